"""Launches of the Fourier features' kernels at the presets' shapes, for `compiling`."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from olift_fast.ops.rff import triton_launch as rff

POINTS = 48 * 26


def every_kernel(dtypes: Sequence[torch.dtype] = (torch.float32, torch.float16, torch.bfloat16)) -> None:
    x, freqs, visible = torch.zeros(POINTS, 2), torch.zeros(2, 64), torch.ones(POINTS, dtype=torch.bool)
    features = torch.zeros(POINTS, 128)
    rff._encode_forward(x, freqs, visible, features)
    rff._encode_backward(features, x, freqs, visible, x, freqs)
    for dtype in dtypes:
        for width in (128, 256, 384):
            weight, bias, token = (torch.zeros(*shape, dtype=dtype) for shape in ((width, 128), (width,), (width,)))
            out = torch.zeros(POINTS, width, dtype=dtype)
            rff._linear_forward(x, freqs, weight, bias, visible, token, out)
            rff._linear_backward(out, x, freqs, weight, visible, x, freqs, weight, bias, token)


def without_float16() -> None:
    """Its registers are bfloat16's."""
    every_kernel((torch.float32, torch.bfloat16))
