"""What Triton kernels share: rows of tensors, and the running softmax of the attentions.

A tensor that may be missing is a pointer that may be None, and ``if pointer is not None`` is decided when the kernel is
compiled.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import triton
import triton.language as tl

LOG2E = tl.constexpr(1.4426950408889634)


@triton.jit
def load_rows(pointer, row, mask, DH: tl.constexpr, D: tl.constexpr):
    """The channels of the rows that begin at ``row`` [ITEMS, N], [ITEMS, N, D]; 0, unread, without ``mask``."""
    channel = tl.arange(0, D)[None, None, :]
    mask = mask[:, :, None]
    if D != DH:
        mask = mask & (channel < DH)
    return tl.load(pointer + (row[:, :, None] + channel), mask=mask, other=0.0)


@triton.jit
def store_rows(pointer, row, mask, value, DH: tl.constexpr, D: tl.constexpr):
    """Writes ``value`` [ITEMS, N, D] to the rows of ``mask`` that begin at ``row`` [ITEMS, N], in the memory's type."""
    channel = tl.arange(0, D)[None, None, :]
    mask = mask[:, :, None]
    if D != DH:
        mask = mask & (channel < DH)
    tl.store(pointer + (row[:, :, None] + channel), value.to(pointer.dtype.element_ty), mask=mask)


@triton.jit
def softmax_step(scores, m_i, l_i):
    """Takes a tile of ``scores``, in base 2, into the running maximum ``m_i`` and sum ``l_i`` of each row.

    Returns ``p, alpha, m_i, l_i``: p is ``2 ** (scores - m_i)``, 0 where a score is -inf; what was summed up before is
    to be multiplied by alpha. See FlashAttention (Dao et al. 2022), algorithm 1.
    """
    axis: tl.constexpr = len(scores.shape) - 1
    m_new = tl.maximum(m_i, tl.max(scores, axis=axis))
    # A row without any key yet has -inf there: -inf - -inf would be NaN.
    finite = tl.where(m_new == float("-inf"), 0.0, m_new)
    p = tl.exp2(scores - tl.expand_dims(finite, axis))
    alpha = tl.exp2(m_i - finite)
    return p, alpha, m_new, l_i * alpha + tl.sum(p, axis=axis)


@triton.jit
def row_dots(a, b):
    """The dot product of each row of ``a`` with that of ``b``, rows along the last axis."""
    return tl.sum(a.to(tl.float32) * b.to(tl.float32), axis=len(a.shape) - 1)
