"""What many test files need: the relative error, a small lifter, and marks that skip where a backend can't run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from olift_fast.model import Lifter, LifterConfig
from olift_fast.ops.native_module import why_not_native, why_not_products
from olift_fast.ops.triton_runtime import interpreted, why_not_triton

needs_native = pytest.mark.skipif(why_not_native() is not None, reason=str(why_not_native()))
needs_triton = pytest.mark.triton
needs_interpreter = pytest.mark.skipif(not interpreted() or why_not_triton() is not None, reason="no interpreter")
needs_bfloat16, needs_int16 = (
    pytest.mark.skipif(why_not_products(dtype) is not None, reason=str(why_not_products(dtype)))
    for dtype in (torch.bfloat16, torch.int16)
)
ROUNDED = [pytest.param("bfloat16", marks=needs_bfloat16), pytest.param("int16", marks=needs_int16)]
"""What the native passes on the CPU round products to."""


def save_random_lifter(folder: Path) -> str:
    """Saves a small untrained lifter in the folder: good for all tests but those of accuracy."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        Lifter(LifterConfig(width=32, heads=2, motion_layers=1, space_layers=1), name="random").save_pretrained(folder)
    return str(folder)


def error(got: Tensor, wanted: Tensor, least: float = 1e-3) -> float:
    """Relative Frobenius error ``|got - wanted| / |wanted|`` in float64, with at least `least` to divide by."""
    got, wanted = (x.detach().cpu().double() for x in (got, wanted))
    return float((got - wanted).norm() / wanted.norm().clamp(min=least))


def assert_compiles_once(function: Callable[..., Tensor], calls: Iterable[tuple[Tensor, ...]]) -> None:
    """It compiles whole, once for the first sizes and once for all others, and gives the same bits, gradients too."""
    from torch._dynamo.testing import CompileCounterWithBackend

    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(function, fullgraph=True, backend=counter)
    for first, *others in calls:
        leaves = [first.clone().requires_grad_() for _ in range(2)]
        results = [f(leaf, *others) for f, leaf in zip((compiled, function), leaves, strict=True)]
        for result in results:
            result.sum().backward()
        assert torch.equal(*results)
        assert torch.equal(leaves[0].grad, leaves[1].grad)
    assert counter.frame_count <= 2
