"""Functions for the Triton kernels of `joint_attention`: tiles of rows, and their products.

A tile of q, of k and so on is [BLOCK, D]: a row is a joint of a frame, D its channels with DH of them real.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def load_tile(pointer, row, mask, DH: tl.constexpr, D: tl.constexpr):
    """The rows that begin at ``row`` [BLOCK]; 0, unread, without ``mask`` [BLOCK], which may be None for all rows."""
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
    """Writes ``value`` [BLOCK, D] to the rows of ``mask`` that begin at ``row``, in the memory's type."""
    channel = tl.arange(0, D)[None, :]
    mask = mask[:, None]
    if D != DH:
        mask = mask & (channel < DH)
    tl.store(pointer + (row[:, None] + channel), value.to(pointer.dtype.element_ty), mask=mask)


@triton.jit
def store_some(pointer, row, exists, mask, value, DH: tl.constexpr, D: tl.constexpr):
    """`store_tile` of ``value`` where ``mask``, and of 0 in the other rows that exist."""
    store_tile(pointer, row, exists & mask, value, DH, D)
    store_tile(pointer, row, exists & (mask == 0), tl.zeros(value.shape, tl.float32), DH, D)


@triton.jit
def multiply(a, b):
    """The matrix product, in float32; float32 factors are not rounded."""
    return tl.dot(a, b, input_precision="ieee")
