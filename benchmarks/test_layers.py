"""The layers between two attentions with their gradients, beside PyTorch's, as they are and compiled."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from side_by_side import FULL
from torch import Tensor

from olift_fast import ops, reference
from olift_fast.ops.native_module import why_not_native, why_not_products

WIDTH, INNER = 128, 256
SHAPES = {
    "norm_linear": [(WIDTH,), (WIDTH,), (3 * WIDTH, WIDTH), (3 * WIDTH,)],
    "linear_residual": [(WIDTH, WIDTH), (WIDTH,)],
    "norm_mlp": [(WIDTH,), (WIDTH,), (INNER, WIDTH), (INNER,), (WIDTH, INNER), (WIDTH,)],
}
PRECISIONS = ["float32", *(["bfloat16"] if why_not_products(torch.bfloat16) is None else [])]


@pytest.mark.skipif(why_not_native() is not None, reason=str(why_not_native()))
@pytest.mark.parametrize("backward", [False, True], ids=["forward", "forward_backward"])
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("op", SHAPES)
def test_dense(side_by_side: Callable[..., None], op: str, precision: str, backward: bool) -> None:
    """8 clips of 48 frames of 26 joints, at the widths of `small`; bfloat16 by autocast."""
    torch.manual_seed(0)
    points = (8, 48, 26)
    half = precision == "bfloat16"
    x = torch.randn(*points, WIDTH, dtype=torch.bfloat16 if half and op == "linear_residual" else torch.float32)
    leaves = [x, *(torch.randn(*shape) / shape[-1] ** 0.5 for shape in SHAPES[op])]
    if op == "linear_residual":
        leaves.append(torch.randn(*points, WIDTH))
    leaves = [leaf.requires_grad_(backward) for leaf in leaves]

    def way(function: Callable[..., Tensor]) -> Callable[[], Tensor]:
        def run() -> Tensor:
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
                out = function(*leaves)
            if backward:
                for leaf in leaves:
                    leaf.grad = None
                out.backward(torch.ones_like(out))
            return out.detach()

        return run

    plain = getattr(reference, op)
    ways = {"olift_fast": way(getattr(ops, op))}
    if FULL:
        torch._dynamo.reset()
        ways["compiled reference"] = way(torch.compile(plain))
    ways["reference"] = way(plain)
    first, *others = (run() for run in ways.values())
    for other in others:
        torch.testing.assert_close(first, other, atol=0.1 if half else 1e-3, rtol=2e-2 if half else 1e-3)
    side_by_side(ways, rounds=9, op=op, precision=precision, points=points, width=WIDTH)
