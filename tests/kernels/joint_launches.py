"""Launches of joint attention at the presets' shapes and beyond them, for `compiling.compile_launches`."""

from __future__ import annotations

import torch
from torch import Tensor

from olift_fast.ops.joint_attention.triton_launch import _backward, _forward


def launch(shape: tuple[int, int, int, int, int], dtype: torch.dtype, masked: bool) -> None:
    """Forward and backward on views of a packed projection."""
    B, T, J, H, Dh = shape
    qkv = torch.zeros(B, T, J, 3, H, Dh, dtype=dtype)
    gradient = torch.empty_like(qkv)
    out = torch.empty(shape, dtype=dtype)
    lse = torch.empty(shape[:-1])
    graph: Tensor | None = None
    visible: Tensor | None = None
    if masked:
        graph = torch.ones(H, J, J, dtype=torch.bool).expand(B, -1, -1, -1)
        visible = torch.ones(B, T, J, dtype=torch.bool)
    _forward(*qkv.unbind(3), graph, visible, out, lse)
    _backward(torch.empty_like(out), *qkv.unbind(3), out, lse, graph, visible, *gradient.unbind(3))


def presets() -> None:
    """Head width 32, 4, 8 and 12 heads, 26 joints; each type with masks."""
    for heads, dtype in ((4, torch.float32), (8, torch.bfloat16), (12, torch.float16)):
        launch((2, 48, 26, heads, 32), dtype, masked=True)


def others() -> None:
    """Several frames in a tile, in float32 and in half precision; and no masks."""
    launch((2, 48, 5, 4, 32), torch.float32, masked=True)
    launch((2, 48, 5, 4, 32), torch.bfloat16, masked=True)
    launch((2, 48, 26, 4, 32), torch.bfloat16, masked=False)


def wide_heads() -> None:
    """Up to the widest that the kernels take, in a small skeleton and a larger one, and a width that is padded."""
    for dtype in (torch.float32, torch.bfloat16):
        for joints in (12, 26):
            launch((2, 8, joints, 2, 128), dtype, masked=True)
    launch((2, 8, 12, 2, 64), torch.float32, masked=True)
    launch((2, 8, 5, 2, 20), torch.bfloat16, masked=True)


def several_tiles() -> None:
    """Skeletons of several tiles; whatever changes from call to call, and with it the strides, is one kernel."""
    for shape in ((1, 48, 133), (3, 1, 35), (2, 17, 64), (16, 243, 119)):
        launch((*shape, 4, 32), torch.bfloat16, masked=True)


def lengths() -> None:
    """Skeletons of one tile, likewise."""
    for shape in ((1, 48, 26), (3, 1, 17), (2, 17, 29), (16, 243, 19), (1, 16, 32)):
        launch((*shape, 4, 32), torch.bfloat16, masked=True)
