"""Launches of `banded_attention` at the presets' shapes, for `compiling.compile_launches`."""

from __future__ import annotations

import torch

from olift_fast.ops.banded_attention import triton_launch

WINDOW = 8


def small_float32() -> None:
    launch(torch.float32, heads=4)


def small_bfloat16() -> None:
    launch(torch.bfloat16, heads=4)


def base_float32() -> None:
    launch(torch.float32, heads=8)


def base_bfloat16() -> None:
    launch(torch.bfloat16, heads=8)


def base_float16() -> None:
    launch(torch.float16, heads=8)


def large_float32() -> None:
    launch(torch.float32, heads=12)


def large_bfloat16() -> None:
    launch(torch.bfloat16, heads=12)


def variants() -> None:
    """No bias and no masks; then q, k, v of unlike strides."""
    launch(torch.bfloat16, masked=False)
    launch(torch.bfloat16, packed=False)


def wide_heads() -> None:
    """The widest that the kernels take, with masks."""
    launch(torch.bfloat16, heads=2, width=128)
    launch(torch.float32, heads=2, width=128)


def many_sizes() -> None:
    """One width at several batches, lengths and numbers of joints."""
    for batch, frames, joints in ((1, 1, 4), (1, 16, 26), (2, 17, 5), (3, 48, 26), (1, 243, 32), (16, 1024, 133)):
        launch(torch.bfloat16, shape=(batch, frames, joints))


def launch(
    dtype: torch.dtype,
    *,
    heads: int = 8,
    width: int = 32,
    shape: tuple[int, int, int] = (2, 48, 26),
    masked: bool = True,
    packed: bool = True,
) -> None:
    """Forward and backward on memory that nothing ever touches."""

    qkv, gradients = (torch.empty(*shape, 3, heads, width, dtype=dtype) for _ in range(2))
    q, k, v = qkv.unbind(3)
    dq, dk, dv = gradients.unbind(3)
    if not packed:
        k = torch.empty(*shape, heads, width, dtype=dtype)
    bias = torch.empty(heads, 2 * WINDOW + 1) if masked else None
    visible = torch.empty(shape, dtype=torch.bool) if masked else None
    lengths = torch.empty(shape[0], dtype=torch.int64) if masked else None
    out, grad = (torch.empty(*shape, heads, width, dtype=dtype) for _ in range(2))
    lse = torch.empty(*shape, heads)
    options = (WINDOW, WINDOW, bias, visible, lengths, width**-0.5)
    triton_launch._forward(q, k, v, *options, out, lse)
    triton_launch._backward(
        grad, q, k, v, out, lse, *options, dq, dk, dv, None if bias is None else torch.empty_like(bias)
    )
