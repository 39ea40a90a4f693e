"""Launches of `banded_attention_step` at the presets' shapes, for `compiling.compile_launches`."""

from __future__ import annotations

import torch

from olift_fast.ops.banded_attention_step import triton_launch

WINDOW = 8


def small_float32() -> None:
    launch(torch.float32, heads=4)


def base_float32() -> None:
    launch(torch.float32, heads=8)


def base_bfloat16() -> None:
    launch(torch.bfloat16, heads=8)


def large_bfloat16() -> None:
    launch(torch.bfloat16, heads=12)


def variants() -> None:
    """No bias and no mask; then wide heads; then narrow ones."""
    launch(torch.float32, masked=False)
    launch(torch.float32, width=128)
    launch(torch.float16, width=20)


def many_sizes() -> None:
    """One width with several numbers of tracks and joints, and rings longer than they need be."""
    for tracks, joints, spare in ((1, 4, 0), (1, 26, 0), (2, 5, 1), (3, 133, 0), (256, 26, 7)):
        launch(torch.float32, tracks=tracks, joints=joints, spare=spare)


def launch(
    dtype: torch.dtype,
    *,
    heads: int = 8,
    width: int = 32,
    tracks: int = 2,
    joints: int = 26,
    spare: int = 0,
    masked: bool = True,
) -> None:
    """A step on memory that nothing ever touches."""
    slots = 2 * WINDOW + 1 + spare
    q, k, v = torch.empty(tracks, slots + 1, joints, 3, heads, width, dtype=dtype)[:, :slots].unbind(3)
    bias = torch.empty(heads, 2 * WINDOW + 1) if masked else None
    visible = torch.empty(tracks, 3 * WINDOW + 1, joints, dtype=torch.bool) if masked else None
    counts = torch.empty(2, tracks, dtype=torch.int64)
    out = torch.empty(tracks, joints, heads, width, dtype=dtype)
    triton_launch._step(q, k, v, *counts, WINDOW, WINDOW, bias, visible, width**-0.5, out)
