"""Functions for the registration of all operations with ``torch.library``.

`torch.library.custom_op` would take less code, but flattens and checks lists of tensors at every call. This costs 0.1
ms for a result and its gradient, which is much, because a clip of 48 frames takes 0.3 ms in all. For the same reason
an `Operation` goes past PyTorch's dispatcher where nobody listens there.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.autograd import forward_ad

Launch = Callable[..., None]
"""Writes an operation's results into its last arguments."""

NAMESPACE = "olift"
"""The namespace of all operations in ``torch.ops``."""
LIBRARY = torch.library.Library(NAMESPACE, "FRAGMENT")
_BELOW_AUTOGRAD = torch._C._after_autograd_keyset
_NUMBERS = (type(None), bool, int, float, str, torch.dtype)
# On the meta device, sparse, or a wrapper that PyTorch's own functions make, whose type is Tensor nevertheless.
_is_subclass_like = torch._C._dispatch_isTensorSubclassLike


class Operation:
    """A registered operation.

    A call goes through the dispatcher, which takes 11 microseconds, only where something there may want to see it:
    gradients, autocast, `torch.compile`, `torch.func`, a mode, a subclass of tensors, a profiler. Else it calls the
    function. A kernel that other code registers for the operation is not called then, and a
    `torch.profiler.ExecutionTraceObserver` without a profiler does not see the call.

    Args:
        op: the operation in ``torch.ops``.
        function: what it computes, without gradients.
    """

    def __init__(self, op: OpOverload, function: Callable[..., Any]) -> None:
        self.op, self._function = op, function

    op: OpOverload
    """The operation in ``torch.ops``."""

    def __call__(self, *inputs: Any) -> Any:
        """What the operation returns."""
        return self._function(*inputs) if _unobserved(inputs) else self.op(*inputs)


def _unobserved(inputs: Sequence[Any]) -> bool:
    """Whether the dispatcher would do nothing with these inputs but call the operation's function."""
    if (
        torch.compiler.is_compiling()
        or torch._C._is_any_autocast_enabled()
        or torch._C._functorch.peek_interpreter_stack() is not None
        or torch._C._len_torch_dispatch_stack()
        or torch._C._len_torch_function_stack()
        or forward_ad._current_level >= 0
        or torch._C._autograd._profiler_enabled()
        or torch._C._get_tracing_state() is not None
    ):
        return False
    return _plain(inputs, torch.is_grad_enabled())


def _plain(inputs: Sequence[Any], gradients: bool) -> bool:
    """Whether all inputs are numbers and ordinary tensors in memory, none of which wants a gradient.

    Not ordinary are tensors that PyTorch makes of others, such as those of a batch of gradients, and views that negate
    what is in memory, such as the imaginary part of a conjugate: the dispatcher resolves these.
    """
    for x in inputs:
        kind = type(x)
        if kind is Tensor or kind is nn.Parameter:
            if (gradients and x.requires_grad) or _is_subclass_like(x) or x.is_neg():
                return False
        elif not (_plain(x, gradients) if kind is list else kind in _NUMBERS):
            return False
    return True


def operation(
    name: str, devices: Sequence[str] | None, fake: Callable[..., Any], schema: str | None = None
) -> Callable[[Callable[..., Any]], Operation]:
    """A decorator that registers a function as ``olift::{name}`` and returns the registered operation.

    Args:
        name: the operation's name.
        devices: the device types that it runs on; None for any.
        fake: takes the same arguments and returns tensors with the results' shapes, strides and dtypes.
        schema: the operation's schema, such as ``(Tensor x) -> Tensor``; by default from the function's annotations.
    """

    def register(function: Callable[..., Any]) -> Operation:
        signature = schema or torch.library.infer_schema(function, mutates_args=())
        LIBRARY.define(name + signature, tags=torch.Tag.pt2_compliant_tag)
        keys = ["CompositeExplicitAutograd"] if devices is None else [device.upper() for device in devices]
        for key in keys:
            LIBRARY.impl(name, _unseen_by_dynamo(function), key)
        torch.library.register_fake(f"{NAMESPACE}::{name}", fake, lib=LIBRARY)
        return Operation(getattr(getattr(torch.ops, NAMESPACE), name).default, function)

    return register


def differentiate(
    operation: Operation, backward: Callable[..., Any], save: Callable[..., None] = lambda ctx, inputs, outputs: None
) -> None:
    """Gives an operation its gradient.

    Args:
        operation: made by the decorator of this name. Only its first argument may be a list of tensors.
        backward: ``backward(ctx, *gradients)`` returns a gradient for each argument; for a list, a list.
        save: ``save(ctx, inputs, outputs)`` stores in ctx what `backward` needs.
    """

    op = operation.op
    name = op._schema.name.removeprefix(f"{NAMESPACE}::")

    def forward(ctx: Any, *call: Any) -> Any:
        *flat, listed, keys = call
        ctx.listed = listed
        inputs = (flat[:listed], *flat[listed:]) if listed else tuple(flat)
        with torch._C._AutoDispatchBelowAutograd():
            outputs = op.redispatch(keys & _BELOW_AUTOGRAD, *inputs)
        save(ctx, inputs, outputs)
        return tuple(outputs) if isinstance(outputs, list) else outputs

    def gradient(ctx: Any, *gradients: Any) -> Any:
        found = backward(ctx, *gradients)
        return (*found[0], *found[1:], None, None) if ctx.listed else (*found, None, None)

    # So nodes have the operation's name in profiles and printed graphs: "BandedAttentionNativeBackward".
    methods = {"forward": staticmethod(forward), "backward": staticmethod(gradient)}
    Gradient = type("".join(map(str.capitalize, name.split("_"))), (torch.autograd.Function,), methods)

    def differentiated(keys: Any, *inputs: Any) -> Any:
        first, *rest = inputs
        listed = len(first) if isinstance(first, list) else 0
        flat = (*first, *rest) if listed else inputs
        if forward_ad._current_level >= 0 and any(map(_has_tangent, flat)):
            raise NotImplementedError(f"{name} has no derivative in forward mode; backend='eager' has one")
        if torch.is_grad_enabled() and any(isinstance(x, Tensor) and x.requires_grad for x in flat):
            return Gradient.apply(*flat, listed, keys)  # type: ignore[attr-defined]
        with torch._C._AutoDispatchBelowAutograd():
            return op.redispatch(keys & _BELOW_AUTOGRAD, *inputs)

    LIBRARY.impl(name, differentiated, "Autograd", with_keyset=True)


def _has_tangent(x: Any) -> bool:
    return isinstance(x, Tensor) and forward_ad.unpack_dual(x).tangent is not None


def refuse_second_derivative(backward_op: Operation, name: str) -> None:
    """Makes differentiating `backward_op`, the registered backward of the operation `name`, a clear error."""

    def refuse(_context: Any, *_gradients: Any) -> NoReturn:
        raise RuntimeError(f"{name} has no second derivative on this backend; backend='eager' has one")

    differentiate(backward_op, refuse)


def split_projection(projection: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """q, k and v from a list of the three, or from a list of one ``(B, T, J, 3, H, Dh)`` with all three."""
    q, k, v = projection[0].unbind(dim=3) if len(projection) == 1 else projection
    return q, k, v


def gradients_of(inputs: Sequence[Tensor | None], wanted: Sequence[bool]) -> list[Tensor]:
    """Empty tensors for the wanted gradients."""
    return [x.new_empty(x.shape) for x, want in zip(inputs, wanted, strict=True) if want and x is not None]


def in_places(gradients: Sequence[Tensor], wanted: Sequence[bool]) -> list[Tensor | None]:
    """The gradients in the order of the inputs, None for inputs without a wanted gradient."""
    rest = iter(gradients)
    return [next(rest) if want else None for want in wanted]


def into_batch(x: Tensor, dim: int | None, size: int) -> Tensor:
    """An argument of `torch.vmap`, mapped or shared, with the mapped axis in the batch: ``(size · B, …)``."""
    mapped = x.expand(size, *x.shape) if dim is None else x.movedim(dim, 0)
    return mapped.flatten(0, 1)


def rows_of(x: Tensor) -> Tensor:
    """x as a contiguous matrix: all leading dimensions become one."""
    return x.reshape(-1, x.shape[-1]).contiguous()


def contiguous(*tensors: Tensor | None) -> list[Tensor | None]:
    """The tensors, each contiguous; None stays None."""
    return [None if tensor is None else tensor.contiguous() for tensor in tensors]


def autocast_dtype(device: torch.device) -> torch.dtype | None:
    """Autocast's dtype on this device; None where it is off, and on the meta device, where PyTorch has none."""
    on = device.type != "meta" and torch.is_autocast_enabled(device.type)
    return torch.get_autocast_dtype(device.type) if on else None


def without_autocast(device: torch.device) -> AbstractContextManager[Any]:
    """Switches autocast off if it is on. Otherwise does nothing, and adds nothing to a compiled or exported graph."""
    if autocast_dtype(device) is not None:
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def in_autocast_dtype(*tensors: Tensor) -> tuple[Tensor, ...]:
    """The tensors in autocast's dtype if it is on. float64 stays, as in PyTorch's own attention."""
    if not all(isinstance(x, Tensor) for x in tensors):
        return tensors  # Later checks name the wrong one.
    dtype = autocast_dtype(tensors[0].device)
    if dtype is None:
        return tensors
    return tuple(x.to(dtype) if x.is_floating_point() and x.dtype != torch.float64 else x for x in tensors)


def _unseen_by_dynamo(function: Callable[..., Any]) -> Callable[..., Any]:
    """Keeps ``torch.compile`` from compiling a kernel's Python code.

    Only if dynamo is imported already, because importing it takes longer than lifting a clip.
    """
    hidden: Callable[..., Any] | None = None

    def run(*arguments: Any) -> Any:
        nonlocal hidden
        if hidden is None:
            if "torch._dynamo" not in sys.modules:
                return function(*arguments)
            hidden = torch.compiler.disable(function)
        return hidden(*arguments)

    return run
