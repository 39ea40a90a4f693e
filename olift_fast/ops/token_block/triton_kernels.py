"""The Triton kernel of `token_block`: a block of tokens goes through all layers between two attentions.

A program keeps BLOCK_N tokens in registers, in float32. All values between layers stay in registers and shared memory.
The weights are read in chunks: BLOCK_K inputs of the projection, BLOCK_H hidden channels of the MLP, BLOCK_E outputs of
the head at a time. All programs read the same weights, so these come from the L2 cache.

Products are in the weights' dtype, and added up in float32; norms, GELU and sums are float32. A product with float32
weights is three products of TF32 on tensor cores (PRECISION), with the error of float32 sums.

Rows are independent: a NaN in one token reaches no other. D is the tokens' width, BLOCK_D the next power of two.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit(do_not_specialize=["rows"])
def token_block_kernel(
    tokens_ptr,
    attended_ptr,
    projection_ptr,
    projection_bias_ptr,
    mlp_norm_ptr,
    mlp_norm_bias_ptr,
    inner_ptr,
    inner_bias_ptr,
    outer_ptr,
    outer_bias_ptr,
    head_norm_ptr,
    head_norm_bias_ptr,
    head_ptr,
    head_bias_ptr,
    last_ptr,
    last_bias_ptr,
    changed_ptr,
    out_ptr,
    rows: tl.int32,
    epsilon,
    D: tl.constexpr,
    HIDDEN: tl.constexpr,
    HEAD: tl.constexpr,
    LAST: tl.constexpr,
    PRECISION: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_E: tl.constexpr,
    BLOCK_L: tl.constexpr,
):
    """One program: BLOCK_N rows of tokens. Grid (blocks of rows,).

    It adds ``projection(attended)`` to the tokens if there is a projection, and then
    ``outer(gelu(inner(norm(tokens))))`` if there is an MLP. It writes the tokens to `changed` unless that is None. It
    writes ``head(norm(tokens))``, or ``last(gelu(head(norm(tokens))))`` if there is a last layer, to `out`. All are
    contiguous.

    It reads tokens and attended once, and all weights; it writes changed and out once.
    """
    first = tl.program_id(0).to(tl.int64) * BLOCK_N
    row = tl.arange(0, BLOCK_N)
    exists = row < rows - first
    columns = tl.arange(0, BLOCK_D)
    filled = exists[:, None]
    if D != BLOCK_D:
        filled = filled & (columns < D)[None, :]
    own = row[:, None] * D + columns[None, :]
    x = tl.load(tokens_ptr + first * D + own, mask=filled, other=0.0).to(tl.float32)
    operand: tl.constexpr = head_ptr.dtype.element_ty

    if projection_ptr is not None:
        for start in range(0, D, BLOCK_K):
            inputs = start + tl.arange(0, BLOCK_K)
            a = _rows(attended_ptr + first * D, row, exists, inputs, D, BLOCK_K).to(operand)
            x = tl.dot(
                a, _weight(projection_ptr, inputs, columns, D, D, BLOCK_K, BLOCK_D), x, input_precision=PRECISION
            )
        x = _plus(x, projection_bias_ptr, columns, D, BLOCK_D)

    if inner_ptr is not None:
        normed = _norm(x, mlp_norm_ptr, mlp_norm_bias_ptr, epsilon, columns, D, BLOCK_D).to(operand)
        for start in range(0, HIDDEN, BLOCK_H):
            hidden = start + tl.arange(0, BLOCK_H)
            weight = _weight(inner_ptr, columns, hidden, D, HIDDEN, BLOCK_D, BLOCK_H)
            h = tl.dot(normed, weight, input_precision=PRECISION)
            h = _gelu(_plus(h, inner_bias_ptr, hidden, HIDDEN, BLOCK_H)).to(operand)
            weight = _weight(outer_ptr, hidden, columns, HIDDEN, D, BLOCK_H, BLOCK_D)
            x = tl.dot(h, weight, x, input_precision=PRECISION)
        x = _plus(x, outer_bias_ptr, columns, D, BLOCK_D)

    if BLOCK_D > 128 and operand == tl.float32:
        # This does not change `first`, but the compiler does not know it. So it computes the offsets again, and keeps
        # no registers for them.
        first = tl.minimum(first, rows)
        exists = row < rows - first
        filled = exists[:, None]
        if D != BLOCK_D:
            filled = filled & (columns < D)[None, :]
        own = row[:, None] * D + columns[None, :]
    if changed_ptr is not None:
        tl.store(changed_ptr + first * D + own, x.to(changed_ptr.dtype.element_ty), mask=filled)

    normed = _norm(x, head_norm_ptr, head_norm_bias_ptr, epsilon, columns, D, BLOCK_D).to(operand)
    if last_ptr is not None:
        outputs = tl.arange(0, BLOCK_L)
        sums = tl.zeros((BLOCK_N, BLOCK_L), tl.float32)
        for start in range(0, HEAD, BLOCK_H):
            hidden = start + tl.arange(0, BLOCK_H)
            h = tl.dot(normed, _weight(head_ptr, columns, hidden, D, HEAD, BLOCK_D, BLOCK_H), input_precision=PRECISION)
            h = _gelu(_plus(h, head_bias_ptr, hidden, HEAD, BLOCK_H)).to(operand)
            weight = _weight(last_ptr, hidden, outputs, HEAD, LAST, BLOCK_H, BLOCK_L)
            sums = tl.dot(h, weight, sums, input_precision=PRECISION)
        sums = _plus(sums, last_bias_ptr, outputs, LAST, BLOCK_L)
        _store(out_ptr + first * LAST, row, exists, outputs, sums, LAST, BLOCK_L)
    else:
        for start in range(0, HEAD, BLOCK_E):
            outputs = start + tl.arange(0, BLOCK_E)
            weight = _weight(head_ptr, columns, outputs, D, HEAD, BLOCK_D, BLOCK_E)
            sums = _plus(tl.dot(normed, weight, input_precision=PRECISION), head_bias_ptr, outputs, HEAD, BLOCK_E)
            _store(out_ptr + first * HEAD, row, exists, outputs, sums, HEAD, BLOCK_E)


@triton.jit
def _rows(pointer, row, exists, columns, WIDTH: tl.constexpr, BLOCK: tl.constexpr):
    """Columns of rows of WIDTH numbers; 0 outside of the tensor."""
    mask = exists[:, None]
    if WIDTH % BLOCK != 0:
        mask = mask & (columns < WIDTH)[None, :]
    return tl.load(pointer + (row[:, None] * WIDTH + columns[None, :]), mask=mask, other=0.0)


@triton.jit
def _store(pointer, row, exists, columns, value, WIDTH: tl.constexpr, BLOCK: tl.constexpr):
    """Write ``value`` to columns of the rows that exist, of WIDTH numbers each, in the memory's dtype."""
    mask = exists[:, None]
    if WIDTH % BLOCK != 0:
        mask = mask & (columns < WIDTH)[None, :]
    tl.store(pointer + (row[:, None] * WIDTH + columns[None, :]), value.to(pointer.dtype.element_ty), mask=mask)


@triton.jit
def _weight(
    pointer,
    inputs,
    outputs,
    INPUTS: tl.constexpr,
    OUTPUTS: tl.constexpr,
    BLOCK_INPUTS: tl.constexpr,
    BLOCK_OUTPUTS: tl.constexpr,
):
    """A part of a weight ``(OUTPUTS, INPUTS)``, transposed: (inputs, outputs); 0 outside of it."""
    place = pointer + (outputs[None, :] * INPUTS + inputs[:, None])
    if INPUTS % BLOCK_INPUTS == 0 and OUTPUTS % BLOCK_OUTPUTS == 0:
        value = tl.load(place)
    else:
        value = tl.load(place, mask=(outputs < OUTPUTS)[None, :] & (inputs < INPUTS)[:, None], other=0.0)
    return value


@triton.jit
def _vector(pointer, columns, WIDTH: tl.constexpr, BLOCK: tl.constexpr):
    """A part of a vector of WIDTH numbers, in float32; 0 outside of it."""
    if WIDTH % BLOCK == 0:
        value = tl.load(pointer + columns)
    else:
        value = tl.load(pointer + columns, mask=columns < WIDTH, other=0.0)
    return value.to(tl.float32)


@triton.jit
def _plus(value, bias_ptr, columns, WIDTH: tl.constexpr, BLOCK: tl.constexpr):
    """``value`` plus a part of a bias of WIDTH numbers, if there is a bias."""
    if bias_ptr is not None:
        value += _vector(bias_ptr, columns, WIDTH, BLOCK)[None, :]
    return value


@triton.jit
def _norm(x, weight_ptr, bias_ptr, epsilon, columns, D: tl.constexpr, BLOCK_D: tl.constexpr):
    """The layer norm of each row of ``x``. Columns from D on are 0 in x."""
    centered = x - (tl.sum(x, axis=1) / D)[:, None]
    if D != BLOCK_D:
        centered = tl.where((columns < D)[None, :], centered, 0.0)
    scale = tl.rsqrt(tl.sum(centered * centered, axis=1) / D + epsilon)
    weight = _vector(weight_ptr, columns, D, BLOCK_D)
    return centered * scale[:, None] * weight[None, :] + _vector(bias_ptr, columns, D, BLOCK_D)[None, :]


@triton.jit
def _gelu(x):
    """``x · Φ(x)``, Φ the normal distribution: PyTorch's GELU without an approximation."""
    return 0.5 * x * (1.0 + tl.erf(x * 0.7071067811865476))
