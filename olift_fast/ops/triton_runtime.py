"""Whether Triton kernels can run here, and functions for their launches."""

from __future__ import annotations

import functools
import os
from contextlib import nullcontext
from math import gcd
from typing import Any

import torch
from torch import Tensor

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
"""The dtypes that every kernel takes."""
WIDEST = 128
"""The widest head that the attentions' kernels take."""

_FALSE = {"", "0", "n", "no", "off", "false"}
_OLDEST = (3, 6)


@functools.cache
def why_not_triton() -> str | None:
    """One line on why Triton kernels can't run here on any tensor; None if they can."""
    try:
        import triton
    except ImportError as error:
        return f"triton cannot be imported: {' '.join(str(error).split())}"
    version = tuple(int(part) for part in triton.__version__.split(".")[:2])
    if version < _OLDEST:
        return f"triton must be at least {'.'.join(map(str, _OLDEST))}, got {triton.__version__}"
    if interpreted():
        return None
    if not torch.cuda.is_available():
        return "torch finds no CUDA device (TRITON_INTERPRET=1 runs the kernels on the CPU, slowly, to test them)"
    major, minor = torch.cuda.get_device_capability()
    if major < 8:
        return f"the GPU must have compute capability 8.0 or more, got {major}.{minor}"
    return None


@functools.cache
def interpreted() -> bool:
    """Whether Triton's interpreter runs the kernels: TRITON_INTERPRET was set when they were first imported."""
    return os.environ.get("TRITON_INTERPRET", "").lower() not in _FALSE


def launch(kernel: Any, grid: tuple[int, ...], *arguments: Any, **options: Any) -> None:
    """Run a Triton kernel on the GPU of its first argument."""
    first: Tensor = arguments[0]
    with torch.cuda.device(first.device) if first.is_cuda else nullcontext():
        kernel[grid](*arguments, **options)


def power_of_two(least: int) -> int:
    """The smallest power of two that is at least `least`."""
    return 1 << (least - 1).bit_length()


def ceil_div(count: int, size: int) -> int:
    """The number of blocks of `size` for `count` items."""
    return -(-count // size)


def stride_unit(*tensors: Tensor | None, most: int = 8) -> int:
    """The largest power of two up to `most` that divides every stride but the last of every tensor.

    A kernel takes strides in units of this compile-time constant. So the compiler knows that loads are aligned, and yet
    the kernel is not compiled again for each stride, that is for each T and J.
    """
    strides = (s for x in tensors if x is not None for s in x.stride()[:-1])
    return functools.reduce(gcd, strides, most)


def strides_in(unit: int, *tensors: Tensor) -> list[int]:
    """The strides of clip, frame, joint and head of each tensor ``(B, T, J, H, Dh)``, in that unit."""
    return [stride // unit for x in tensors for stride in x.stride()[:4]]


def mask_strides(mask: Tensor | None, dimensions: int) -> tuple[int, ...]:
    """The strides of a mask; zeros without one."""
    return (0,) * dimensions if mask is None else mask.stride()
