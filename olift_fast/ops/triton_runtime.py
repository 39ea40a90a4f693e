"""Whether Triton kernels can run here, and what their launches share."""

from __future__ import annotations

import functools
import os
from math import gcd

import torch
from torch import Tensor

_FALSE = {"", "0", "n", "no", "off", "false"}
_OLDEST = (3, 6)


@functools.cache
def why_not_triton() -> str | None:
    """One line: why Triton kernels can't run here on any tensor; None where they can."""
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


def stride_unit(*tensors: Tensor | None, most: int = 8) -> int:
    """The largest power of two up to `most` that divides every stride but the last of every tensor.

    A kernel takes strides in this unit, a compile-time constant: it can then prove that its loads are aligned, although
    it is not compiled anew for each value of a stride, and with them for each T and J.
    """
    strides = (s for x in tensors if x is not None for s in x.stride()[:-1])
    return functools.reduce(gcd, strides, most)
