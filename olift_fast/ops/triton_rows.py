"""Shared by Triton kernels: loads and stores of rows, and the running softmax of the attentions.

The pointer of an optional tensor may be None; ``if pointer is not None`` is decided when the kernel is compiled.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import triton
import triton.language as tl

LOG2E = tl.constexpr(1.4426950408889634)


@triton.jit
def load_rows(pointer, row, mask, DH: tl.constexpr, D: tl.constexpr):
    """The rows at offsets ``row`` [ITEMS, N]: [ITEMS, N, D]. Rows without ``mask`` are not read, and 0."""
    channel = tl.arange(0, D)[None, None, :]
    mask = mask[:, :, None]
    if D != DH:
        mask = mask & (channel < DH)
    return tl.load(pointer + (row[:, :, None] + channel), mask=mask, other=0.0)


@triton.jit
def store_rows(pointer, row, mask, value, DH: tl.constexpr, D: tl.constexpr):
    """Write ``value`` [ITEMS, N, D] to the rows of ``mask`` at offsets ``row`` [ITEMS, N], in the memory's dtype."""
    channel = tl.arange(0, D)[None, None, :]
    mask = mask[:, :, None]
    if D != DH:
        mask = mask & (channel < DH)
    tl.store(pointer + (row[:, :, None] + channel), value.to(pointer.dtype.element_ty), mask=mask)


@triton.jit
def softmax_step(scores, m_i, l_i):
    """Update the running maximum ``m_i`` and sum ``l_i`` of each row with a tile of ``scores``, to base 2.

    Returns ``p, alpha, m_i, l_i``. p is ``2 ** (scores - m_i)``, 0 for a score of -inf. The caller multiplies its
    running output by alpha. See FlashAttention (Dao et al. 2022), algorithm 1.
    """
    axis: tl.constexpr = len(scores.shape) - 1
    m_new = tl.maximum(m_i, tl.max(scores, axis=axis))
    # In a row without any key so far the maximum is -inf, and -inf - -inf would be NaN.
    finite = tl.where(m_new == float("-inf"), 0.0, m_new)
    p = tl.exp2(scores - tl.expand_dims(finite, axis))
    alpha = tl.exp2(m_i - finite)
    return p, alpha, m_new, l_i * alpha + tl.sum(p, axis=axis)


@triton.jit
def row_dots(a, b):
    """The dot product of each row of ``a`` with the same row of ``b``; rows are along the last axis."""
    return tl.sum(a.to(tl.float32) * b.to(tl.float32), axis=len(a.shape) - 1)
