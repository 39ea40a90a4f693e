"""Functions for the Triton kernels of `joint_attention`: loads and stores of tiles, and their products.

A tile of q, k, v and so on is [BLOCK, D]. A row is a joint of a frame, with DH channels, padded to D.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def load_tile(pointer, row, mask, DH: tl.constexpr, D: tl.constexpr):
    """The rows at offsets ``row`` [BLOCK]. Rows without ``mask`` [BLOCK] are not read, and 0; None reads all rows."""
    channel = tl.arange(0, D)[None, :]
    at = pointer + (row[:, None] + channel)
    if mask is None and D == DH:
        return tl.load(at)
    elif D == DH:
        return tl.load(at, mask=mask[:, None], other=0.0)
    elif mask is None:
        return tl.load(at, mask=channel < DH, other=0.0)
    else:
        return tl.load(at, mask=mask[:, None] & (channel < DH), other=0.0)


@triton.jit
def store_tile(pointer, row, mask, value, DH: tl.constexpr, D: tl.constexpr):
    """Write ``value`` [BLOCK, D] to the rows of ``mask`` at offsets ``row``, in the memory's dtype."""
    channel = tl.arange(0, D)[None, :]
    mask = mask[:, None]
    if D != DH:
        mask = mask & (channel < DH)
    tl.store(pointer + (row[:, None] + channel), value.to(pointer.dtype.element_ty), mask=mask)


@triton.jit
def store_some(pointer, row, exists, mask, value, DH: tl.constexpr, D: tl.constexpr):
    """`store_tile` of ``value`` in the rows of ``mask``, and of 0 in the other rows that exist."""
    store_tile(pointer, row, exists & mask, value, DH, D)
    store_tile(pointer, row, exists & (mask == 0), tl.zeros(value.shape, tl.float32), DH, D)


@triton.jit
def multiply(a, b):
    """The matrix product, added up in float32; float32 factors are not rounded."""
    return tl.dot(a, b, input_precision="ieee")
