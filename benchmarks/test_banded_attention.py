"""Banded attention on the CPU, forward and forward + backward, beside PyTorch's attention with the band as a mask."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from olift_fast import reference
from olift_fast.ops import banded_attention
from olift_fast.ops._native import why_not_native

WINDOW = (8, 8)
SHAPES = [(1, 48, 26, 8, 32), (8, 48, 26, 1, 32), (1, 1024, 26, 8, 32), (1, 4096, 26, 8, 32)]
DENSE_FRAMES = 1024


def native(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """One pass over q, k, v where they lie."""
    return banded_attention(q, k, v, WINDOW, backend="native")


def blocked(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The plain-PyTorch backend."""
    return banded_attention(q, k, v, WINDOW, backend="reference")


def masked_sdpa(mask: Tensor) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """`scaled_dot_product_attention` with a mask that is made once, outside of what is timed."""

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        flat = (x.permute(0, 2, 3, 1, 4) for x in (q, k, v))
        return functional.scaled_dot_product_attention(*flat, attn_mask=mask).permute(0, 3, 1, 2, 4)

    return attend


@pytest.mark.parametrize("backward", [False, True], ids=["forward", "forward_backward"])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
@pytest.mark.parametrize("way", ["native", "blocked", "masked_sdpa"])
def test_banded_attention(benchmark: Any, way: str, shape: tuple[int, ...], backward: bool) -> None:
    if way == "native" and why_not_native() is not None:
        pytest.skip(str(why_not_native()))
    batch, frames, joints, heads, width = shape
    if way == "masked_sdpa" and frames > DENSE_FRAMES:
        pytest.skip("it computes all T x T scores: seconds a call")
    torch.manual_seed(0)
    qkv = torch.randn(batch, frames, joints, 3, heads, width, requires_grad=backward)
    time = torch.arange(frames)
    band = (time[None] - time[:, None]).abs() <= WINDOW[0]
    function = {"native": native, "blocked": blocked, "masked_sdpa": masked_sdpa(band)}[way]

    with torch.no_grad():
        few = qkv[:, :48].unbind(dim=3)
        small = function if way != "masked_sdpa" else masked_sdpa(band[:48, :48])
        torch.testing.assert_close(small(*few), reference.banded_attention(*few, WINDOW), atol=1e-5, rtol=1e-4)
    upstream = torch.randn(batch, frames, joints, heads, width)

    def run() -> None:
        out = function(*qkv.unbind(dim=3))
        if backward:
            qkv.grad = None
            out.backward(upstream)

    benchmark.pedantic(run, rounds=15, warmup_rounds=3)
    benchmark.extra_info.update(shape=shape, window=WINDOW, way=way)
