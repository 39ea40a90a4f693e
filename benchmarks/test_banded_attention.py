"""Banded attention, forward and forward + backward, beside PyTorch's attentions with the band as a mask."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from conftest import DEVICES
from side_by_side import FULL, max_error
from torch import Tensor
from torch.nn import functional
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

from benchmarks import floors
from olift_fast import reference
from olift_fast.ops import banded_attention_packed
from olift_fast.ops.native_module import why_not_native

WINDOW = 8
SHAPES = [(1, 48, 26, 8, 32), (1, 1024, 26, 8, 32), *([(1, 4096, 26, 8, 32)] if FULL else [])]
CASES = [(device, shape, torch.float32) for device in DEVICES for shape in SHAPES]
if "cuda" in DEVICES:
    CASES += [("cuda", (16, frames, 26, 8, 32), torch.bfloat16) for frames in (48, 1024)]
# Beyond this the gradients of dense attention take minutes on a CPU.
DENSE_FRAMES = 1024


def name(value: object) -> str | None:
    return "x".join(map(str, value)) if isinstance(value, tuple) else None


@pytest.mark.parametrize("backward", [False, True], ids=["forward", "forward_backward"])
@pytest.mark.parametrize(("device", "shape", "dtype"), CASES, ids=name)
def test_banded_attention(
    side_by_side: Callable[..., None], device: str, shape: tuple[int, ...], dtype: torch.dtype, backward: bool
) -> None:
    """The others get their masks ready made, and PyTorch's attention also its tensors in the layout that it likes."""
    if device == "cpu" and why_not_native() is not None:
        pytest.skip(str(why_not_native()))
    torch.manual_seed(0)
    batch, frames, joints, heads, width = shape
    qkv = torch.randn(batch, frames, joints, 3, heads, width, device=device, dtype=dtype)
    upstream = torch.randn(shape, device=device, dtype=dtype)
    dense = [x.permute(0, 2, 3, 1, 4).flatten(0, 1).contiguous() for x in qkv.unbind(dim=3)]
    dense_upstream = upstream.permute(0, 2, 3, 1, 4).flatten(0, 1).contiguous()
    time = torch.arange(frames, device=device)
    band = (time[None] - time[:, None]).abs() <= WINDOW
    blocks = create_block_mask(
        lambda b, h, i, j: (i - j).abs() <= WINDOW, None, None, frames, frames, device=torch.device(device)
    )
    torch._dynamo.reset()
    flex = torch.compile(flex_attention)

    def over_views(qkv: Tensor) -> Tensor:
        # Four dimensions: PyTorch's fused attention takes no more.
        views = (x.permute(0, 2, 3, 1, 4).flatten(0, 1) for x in qkv.unbind(dim=3))
        return functional.scaled_dot_product_attention(*views, attn_mask=band)

    def over_dense(*qkv: Tensor) -> Tensor:
        return functional.scaled_dot_product_attention(*qkv, attn_mask=band)

    def way(function: Callable[..., Tensor], inputs: list[Tensor], upstream: Tensor) -> Callable[[], Tensor]:
        leaves = [x.detach().requires_grad_(backward) for x in inputs]

        def run() -> Tensor:
            out = function(*leaves)
            if backward:
                torch.autograd.grad(out, leaves, upstream)
            return out

        return run

    ways = {"olift_fast": way(lambda qkv: banded_attention_packed(qkv, WINDOW), [qkv], upstream)}
    if not backward or frames <= DENSE_FRAMES or device == "cuda":
        ways["SDPA, masked"] = way(over_dense, dense, dense_upstream)
        ways["SDPA, masked, strided views"] = way(over_views, [qkv], dense_upstream)
    if not backward or device == "cuda":
        # It has no gradients on the CPU.
        ways["FlexAttention, compiled"] = way(lambda *qkv: flex(*qkv, block_mask=blocks), dense, dense_upstream)
    if frames <= DENSE_FRAMES:
        few = [x[:, :, :2] for x in qkv.unbind(dim=3)]
        wanted = reference.banded_attention(*(x.double() for x in few), (WINDOW, WINDOW))
        for called, run in ways.items():
            out = run().detach()
            if out.dim() == 4:
                out = out.unflatten(0, (batch, joints)).permute(0, 3, 1, 2, 4)
            assert max_error(out[:, :, :2], wanted) < (1e-5 if dtype == torch.float32 else 1e-2), called
    work = floors.attention(2 * WINDOW + 1, width, dtype.itemsize)
    if backward:
        work = work.plus(floors.attention_backward(2 * WINDOW + 1, width, dtype.itemsize))
    traffic = work.times(upstream.numel() // width).bytes
    rounds = 15 if frames <= DENSE_FRAMES else 4
    side_by_side(ways, rounds=rounds, device=device, traffic=traffic, shape=shape, dtype=str(dtype), window=WINDOW)
