"""The types of the runtime's arrays, and new arrays that are aligned for the kernels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from olift_fast.runtime.native_module import ask_for_huge_pages

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int64]
Elements = npt.NDArray[Any]
"""float32, or the bits of bfloat16 as uint16, because NumPy has no bfloat16."""
Weights = Mapping[str, Array]
"""A lifter's parameters and buffers by their names in its ``state_dict``, float32 and contiguous."""

BFLOAT16 = np.dtype(np.uint16)
"""The dtype of arrays with the bits of bfloat16."""
_LINE = 64


def fresh(shape: tuple[int, ...], dtype: npt.DTypeLike = np.float32) -> Elements:
    """An uninitialized array whose memory begins at a cache line, as torch's does; a large one is in huge pages.

    An array of ``np.empty`` begins 16 bytes after a cache line, so each vector of a kernel would be in two cache lines.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.empty(size + _LINE, dtype=np.uint8)
    address = memory.__array_interface__["data"][0]
    start = -address % _LINE
    ask_for_huge_pages(address + start, size)
    return memory[start : start + size].view(dtype).reshape(shape)


def zeros(shape: tuple[int, ...], dtype: npt.DTypeLike = np.float32) -> Elements:
    """`fresh`, filled with 0."""
    array = fresh(shape, dtype)
    array[...] = 0
    return array


def contiguous(array: Elements, dtype: npt.DTypeLike = np.float32) -> Elements:
    """The array itself if it is contiguous and of this dtype, else a copy."""
    return np.ascontiguousarray(array, dtype=dtype)


def widened(bits: Elements) -> Array:
    """The float32 values of numbers that are given as the bits of bfloat16."""
    return np.asarray((bits.astype(np.uint32) << 16).view(np.float32))
