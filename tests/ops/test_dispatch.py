"""Operations go past PyTorch's dispatcher only where nothing there wants to see them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from helpers import needs_native
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.overrides import TorchFunctionMode
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from olift_fast import ops
from olift_fast.ops.registration import NAMESPACE, Operation, operation

pytestmark = needs_native


@operation("doubled_in_a_test", None, fake=lambda x: torch.empty_like(x))
def doubled(x: Tensor) -> Tensor:
    return 2 * x


CALLS: dict[str, Callable[[Tensor], Any]] = {
    "banded_attention": lambda x: ops.banded_attention(x, x, x, 2),
    "joint_attention": lambda x: ops.joint_attention(x, x, x),
    "rff_linear": lambda x: ops.rff_linear(x[..., :2], x.new_ones(2, 4), x.new_ones(3, 8)),
    "procrustes_error": lambda x: ops.procrustes_mse(x[0, :, :, 0, :3], x[0, :, :, 1, :3]),
}
"""By the name of the operation in ``torch.ops``."""


class Names(TorchDispatchMode):
    """What passes the dispatcher."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.seen.append(str(func))
        return func(*args, **(kwargs or {}))


class Functions(TorchFunctionMode):
    """What passes a mode of functions."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.seen.append(str(func))
        return func(*args, **(kwargs or {}))


class Named(Tensor):
    """A subclass, which sees what is done to it."""

    seen: list[str] = []  # noqa: RUF012

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        cls.seen.append(str(func))
        return super().__torch_function__(func, types, args, kwargs)


@contextmanager
def no_dispatcher(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Operations that go through the dispatcher raise."""

    def refuse(operation: Operation, *_inputs: Any) -> Any:
        raise AssertionError(f"{operation} goes through the dispatcher")

    with monkeypatch.context() as patched:
        patched.setattr(Operation, "op", property(lambda operation: lambda *inputs: refuse(operation, *inputs)), False)
        yield


def points(**options: Any) -> Tensor:
    return torch.randn(1, 9, 5, 2, 8, generator=torch.Generator().manual_seed(0)).requires_grad_(**options)


@pytest.mark.parametrize("name", CALLS)
def test_modes_and_profilers_see_every_operation(name: str) -> None:
    x = points(requires_grad=False)
    full = f"{NAMESPACE}.{name}.default"
    with Names() as dispatched:
        CALLS[name](x)
    assert full in dispatched.seen
    with Functions() as called:
        CALLS[name](x)
    assert full in called.seen
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        CALLS[name](x)
    assert f"{NAMESPACE}::{name}" in {event.key for event in profiled.key_averages()}
    with FlopCounterMode(display=False):
        CALLS[name](x)


def test_subclasses_see_the_operation() -> None:
    Named.seen.clear()
    doubled(points(requires_grad=False).as_subclass(Named))
    assert f"{NAMESPACE}.doubled_in_a_test.default" in Named.seen


@pytest.mark.parametrize("name", CALLS)
def test_without_them_only_gradients_go_through_the_dispatcher(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x = points()
    wanted = CALLS[name](x.detach())
    with no_dispatcher(monkeypatch):
        assert torch.equal(CALLS[name](x.detach()), wanted)
        with torch.no_grad():
            assert torch.equal(CALLS[name](nn.Parameter(x)), wanted)
        with torch.inference_mode():
            assert torch.equal(CALLS[name](x), wanted)
        with pytest.raises(AssertionError, match="goes through the dispatcher"):
            CALLS[name](x)
    assert CALLS[name](x).grad_fn is not None


@pytest.mark.parametrize("name", CALLS)
def test_derivatives_that_there_are_not_are_not_lost_in_silence(name: str) -> None:
    x = points(requires_grad=False)
    with torch.no_grad(), pytest.raises(RuntimeError, match="functorch"):
        torch.func.grad(lambda y: CALLS[name](y).sum())(x)
    with torch.no_grad(), forward_ad.dual_level():
        assert torch.equal(CALLS[name](x), CALLS[name](x.clone()))
        with pytest.raises(NotImplementedError, match=f"{name} has no derivative in forward mode; backend='eager' has"):
            CALLS[name](forward_ad.make_dual(x, torch.ones_like(x)))
        with ops.use_backend("eager"):
            tangent = forward_ad.unpack_dual(CALLS[name](forward_ad.make_dual(x, torch.ones_like(x)))).tangent
    assert tangent is not None


@pytest.mark.parametrize("name", CALLS)
def test_a_view_that_negates_its_memory_is_resolved(name: str) -> None:
    """Such views are, for example, the imaginary parts of conjugates."""
    x = points(requires_grad=False)
    with torch.no_grad():
        negated = torch._neg_view(-x)
        assert negated.is_neg() and torch.equal(negated, x)
        assert torch.equal(CALLS[name](negated), CALLS[name](x))
        assert torch.equal(CALLS[name](nn.Parameter(negated)), CALLS[name](x))


def test_one_negated_view_among_others_is_resolved() -> None:
    source, target = torch.randn(2, 5, 7, 3, generator=torch.Generator().manual_seed(1))
    wanted = ops.procrustes_mse(source, target)
    assert torch.equal(ops.procrustes_mse(source, torch._neg_view(-target)), wanted)
    assert torch.equal(ops.procrustes_mse(torch._neg_view(-source), target), wanted)


@pytest.mark.parametrize("name", CALLS)
def test_a_batch_of_gradients_is_refused_by_pytorch(name: str) -> None:
    """The gradients of such a batch are tensors without memory, whose type is that of all tensors."""
    x = points()
    out = CALLS[name](x)
    with pytest.raises(RuntimeError, match=rf"Batching rule not implemented for {NAMESPACE}::{name}_backward"):
        torch.autograd.grad(out, x, torch.ones(3, *out.shape), is_grads_batched=True)


def test_tracing_records_the_operation() -> None:
    x = points(requires_grad=False)
    graph = torch.jit.trace(lambda y: ops.joint_attention(y, y, y), x, check_trace=False).graph
    assert f"{NAMESPACE}::joint_attention" in str(graph)


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("gradients", [False, True])
def test_the_meta_device_gives_shapes(name: str, gradients: bool) -> None:
    x = points()
    wanted = CALLS[name](x)
    with torch.set_grad_enabled(gradients):
        given = x.detach().to("meta").requires_grad_()
        shape = CALLS[name](given)
    assert (shape.shape, shape.dtype, shape.device.type) == (wanted.shape, wanted.dtype, "meta")
    if gradients:
        shape.sum().backward()
        assert given.grad is not None
        assert given.grad.shape == x.shape
