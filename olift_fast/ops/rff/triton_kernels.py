"""Triton kernels of the Fourier features.

A row of x, of out and of dout, the gradient of out, belongs to a point. Hidden points are never loaded.

Phases are computed in float32 from exact products: x and the frequencies are each split into two numbers of 12 bits.
The features of a tile of points × frequencies stay in registers. Only `encode_kernel`, whose result they are, writes
them to memory.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs

from __future__ import annotations

import triton
import triton.language as tl

from olift_fast.ops.triton_math import hardware_cosine, hardware_sine

_VARYING = ["points", "dout_stride"]


@triton.jit
def _split(value):
    """Two floats of 12 bits each whose sum is value. So products of such floats are exact."""
    high = (value.to(tl.int32, bitcast=True) & -4096).to(tl.float32, bitcast=True)
    return high, value - high


@triton.jit
def _features(x_ptr, freqs_ptr, rows, seen, columns, C: tl.constexpr, F: tl.constexpr, operand: tl.constexpr):
    """cos and sin of 2π x·B, (rows, columns), exact enough for products in ``operand``; x is 0 in rows not ``seen``."""
    known = columns < F
    turns = tl.zeros((rows.shape[0], columns.shape[0]), tl.float32)
    for c in tl.static_range(C):
        x_high, x_low = _split(tl.load(x_ptr + rows * C + c, mask=seen, other=0.0))
        b_high, b_low = _split(tl.load(freqs_ptr + c * F + columns, mask=known, other=0.0))
        whole = x_high[:, None] * b_high[None, :]
        # Adding 1.5 · 2^23 rounds to an integer.
        turns += whole - ((whole + 12582912.0) - 12582912.0)
        turns += x_high[:, None] * b_low[None, :] + x_low[:, None] * b_high[None, :]
        turns += x_low[:, None] * b_low[None, :]
    turns -= tl.floor(turns + 0.5)
    if operand != tl.float32:
        # The error of 2^-20 is far below the rounding of half precision.
        return hardware_cosine(turns * 6.283185307179586), hardware_sine(turns * 6.283185307179586)
    # The nearest number of half turns gives the sign of both. The rest, in [-1/4, 1/4] turns, goes through minimax
    # polynomials of its square.
    half = (turns * 2.0 + 12582912.0) - 12582912.0
    s = turns - 0.5 * half
    sign = 1.0 - 2.0 * half * half
    z = s * s
    sine = 39.76161658 * z - 76.58139636
    sine = sine * z + 81.60248511
    sine = sine * z - 41.34168072
    sine = sine * z + 6.28318528
    cosine = -24.98223759 * z + 60.14401506
    cosine = cosine * z - 85.45357162
    cosine = cosine * z + 64.93934663
    cosine = cosine * z - 19.73920855
    cosine = cosine * z + 1.0
    return cosine * sign, sine * (s * sign)


@triton.jit
def _seen(visible_ptr, rows, exists):
    """Bool: which rows are visible points; all that exist if there is no mask."""
    seen = exists
    if visible_ptr is not None:
        seen = exists & (tl.load(visible_ptr + rows, mask=exists, other=0) != 0)
    return seen


@triton.jit(do_not_specialize=_VARYING)
def encode_kernel(
    x_ptr, freqs_ptr, visible_ptr, out_ptr, points, C: tl.constexpr, F: tl.constexpr, BLOCK_N: tl.constexpr,
    BLOCK_F: tl.constexpr,
):  # fmt: skip
    """One program: the features of BLOCK_N points × BLOCK_F frequencies.

    Grid (blocks of points, blocks of frequencies). A program reads x and writes out; the 8F bytes a point of out limit
    the speed.
    """
    rows = (tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)).to(tl.int64)
    columns = tl.program_id(1) * BLOCK_F + tl.arange(0, BLOCK_F)
    exists = rows < points
    seen = _seen(visible_ptr, rows, exists)
    cosine, sine = _features(x_ptr, freqs_ptr, rows, seen, columns, C, F, tl.float32)
    if visible_ptr is not None:
        cosine = tl.where(seen[:, None], cosine, 0.0)
        sine = tl.where(seen[:, None], sine, 0.0)
    place = out_ptr + rows[:, None] * (2 * F) + columns[None, :]
    written = exists[:, None] & (columns < F)[None, :]
    tl.store(place, cosine, mask=written)
    tl.store(place + F, sine, mask=written)


@triton.jit(do_not_specialize=_VARYING)
def linear_kernel(
    x_ptr, freqs_ptr, weight_ptr, bias_ptr, visible_ptr, token_ptr, out_ptr, points, D, C: tl.constexpr,
    F: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_F: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """One program: all D outputs of BLOCK_N points.

    Grid (blocks of points,). A program reads x and the layer, which stays in the caches, and writes out; the D elements
    a point of out limit the speed. If BLOCK_F covers all frequencies, the features are computed once and stay in
    registers for all blocks of outputs.
    """
    rows = (tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)).to(tl.int64)
    exists = rows < points
    seen = _seen(visible_ptr, rows, exists)
    operand: tl.constexpr = weight_ptr.dtype.element_ty
    if BLOCK_F >= F:
        cosine, sine = _features(x_ptr, freqs_ptr, rows, seen, tl.arange(0, BLOCK_F), C, F, operand)
    for first in range(0, D, BLOCK_D):
        outputs = first + tl.arange(0, BLOCK_D)
        sums = tl.zeros((BLOCK_N, BLOCK_D), tl.float32)
        for first_column in tl.static_range(0, F, BLOCK_F):
            columns = first_column + tl.arange(0, BLOCK_F)
            if BLOCK_F < F:
                cosine, sine = _features(x_ptr, freqs_ptr, rows, seen, columns, C, F, operand)
            place = weight_ptr + outputs[None, :] * (2 * F) + columns[:, None]
            known = (columns < F)[:, None] & (outputs < D)[None, :]
            sums = tl.dot(cosine.to(operand), tl.load(place, mask=known, other=0.0), sums, input_precision="ieee")
            sums = tl.dot(sine.to(operand), tl.load(place + F, mask=known, other=0.0), sums, input_precision="ieee")
        if bias_ptr is not None:
            sums += tl.load(bias_ptr + outputs, mask=outputs < D, other=0.0).to(tl.float32)[None, :]
        if visible_ptr is not None:
            hidden = tl.zeros((BLOCK_D,), tl.float32)
            if token_ptr is not None:
                hidden = tl.load(token_ptr + outputs, mask=outputs < D, other=0.0).to(tl.float32)
            sums = tl.where(seen[:, None], sums, hidden[None, :])
        place = out_ptr + rows[:, None] * D + outputs[None, :]
        tl.store(place, sums.to(out_ptr.dtype.element_ty), mask=exists[:, None] & (outputs < D)[None, :])


@triton.jit
def _phase_gradient(
    dout_ptr, dout_stride, x_ptr, freqs_ptr, weight_ptr, rows, seen, columns, D, C: tl.constexpr, F: tl.constexpr,
    BLOCK_D: tl.constexpr,
):  # fmt: skip
    """The gradient of the phase in turns, (rows, columns): 2π (cos · g_sin - sin · g_cos), g the features' gradient."""
    known = columns < F
    operand: tl.constexpr = tl.float32 if weight_ptr is None else weight_ptr.dtype.element_ty
    if weight_ptr is not None:
        g_cosine = tl.zeros((rows.shape[0], columns.shape[0]), tl.float32)
        g_sine = tl.zeros((rows.shape[0], columns.shape[0]), tl.float32)
        for first in range(0, D, BLOCK_D):
            outputs = first + tl.arange(0, BLOCK_D)
            place = dout_ptr + rows[:, None] * dout_stride + outputs[None, :]
            dout = tl.load(place, mask=seen[:, None] & (outputs < D)[None, :], other=0.0).to(operand)
            place = weight_ptr + outputs[:, None] * (2 * F) + columns[None, :]
            filled = (outputs < D)[:, None] & known[None, :]
            g_cosine = tl.dot(dout, tl.load(place, mask=filled, other=0.0), g_cosine, input_precision="ieee")
            g_sine = tl.dot(dout, tl.load(place + F, mask=filled, other=0.0), g_sine, input_precision="ieee")
    else:
        place = dout_ptr + rows[:, None] * dout_stride + columns[None, :]
        filled = seen[:, None] & known[None, :]
        g_cosine = tl.load(place, mask=filled, other=0.0).to(tl.float32)
        g_sine = tl.load(place + F, mask=filled, other=0.0).to(tl.float32)
    cosine, sine = _features(x_ptr, freqs_ptr, rows, seen, columns, C, F, operand)
    return 6.283185307179586 * (cosine * g_sine - sine * g_cosine)


@triton.jit(do_not_specialize=_VARYING)
def x_gradient_kernel(
    dout_ptr, x_ptr, freqs_ptr, weight_ptr, visible_ptr, dx_ptr, points, dout_stride, D, C: tl.constexpr,
    F: tl.constexpr, CHANNELS: tl.constexpr, UNIT: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_F: tl.constexpr,
    BLOCK_D: tl.constexpr,
):  # fmt: skip
    """One program: the gradient dx of BLOCK_N points; 0 for a hidden point. Grid (blocks of points,)."""
    rows = (tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)).to(tl.int64)
    exists = rows < points
    seen = _seen(visible_ptr, rows, exists)
    channels = tl.arange(0, CHANNELS)
    sums = tl.zeros((BLOCK_N, CHANNELS), tl.float32)
    for first in range(0, F, BLOCK_F):
        columns = first + tl.arange(0, BLOCK_F)
        dphase = _phase_gradient(
            dout_ptr, dout_stride * UNIT, x_ptr, freqs_ptr, weight_ptr, rows, seen, columns, D, C, F, BLOCK_D
        )
        for c in tl.static_range(C):
            b = tl.load(freqs_ptr + c * F + columns, mask=columns < F, other=0.0)
            total = tl.sum(dphase * b[None, :], axis=1)
            sums += tl.where((channels == c)[None, :], total[:, None], 0.0)
    if visible_ptr is not None:
        sums = tl.where(seen[:, None], sums, 0.0)
    tl.store(dx_ptr + rows[:, None] * C + channels[None, :], sums, mask=exists[:, None] & (channels < C)[None, :])


@triton.jit(do_not_specialize=_VARYING)
def freqs_gradient_kernel(
    dout_ptr, x_ptr, freqs_ptr, weight_ptr, visible_ptr, partial_ptr, points, dout_stride, D, C: tl.constexpr,
    F: tl.constexpr, CHANNELS: tl.constexpr, UNIT: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_F: tl.constexpr,
    BLOCK_D: tl.constexpr,
):  # fmt: skip
    """One program: the part of BLOCK_F frequencies' gradient that comes from one run of points.

    Grid (runs, blocks of frequencies). Run r has the blocks of points r, r + runs, … The number of runs does not depend
    on the GPU, and so neither does the result.
    """
    run = tl.program_id(0)
    columns = tl.program_id(1) * BLOCK_F + tl.arange(0, BLOCK_F)
    channels = tl.arange(0, CHANNELS)
    sums = tl.zeros((CHANNELS, BLOCK_F), tl.float32)
    for block in range(run, tl.cdiv(points, BLOCK_N), tl.num_programs(0)):
        rows = (block * BLOCK_N + tl.arange(0, BLOCK_N)).to(tl.int64)
        seen = _seen(visible_ptr, rows, rows < points)
        dphase = _phase_gradient(
            dout_ptr, dout_stride * UNIT, x_ptr, freqs_ptr, weight_ptr, rows, seen, columns, D, C, F, BLOCK_D
        )
        for c in tl.static_range(C):
            total = tl.sum(dphase * tl.load(x_ptr + rows * C + c, mask=seen, other=0.0)[:, None], axis=0)
            sums += tl.where((channels == c)[:, None], total[None, :], 0.0)
    place = partial_ptr + run.to(tl.int64) * (C * F) + channels[:, None] * F + columns[None, :]
    tl.store(place, sums, mask=(channels < C)[:, None] & (columns < F)[None, :])


@triton.jit(do_not_specialize=_VARYING)
def layer_gradient_kernel(
    dout_ptr, x_ptr, freqs_ptr, visible_ptr, partial_ptr, points, dout_stride, D, C: tl.constexpr, F: tl.constexpr,
    OPERAND: tl.constexpr, UNIT: tl.constexpr, WEIGHT: tl.constexpr, BIAS: tl.constexpr, TOKEN: tl.constexpr,
    BLOCK_N: tl.constexpr, BLOCK_F: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """One program: the part of the gradients of weight, bias and token that comes from one run of points.

    Grid (runs, blocks of BLOCK_D outputs, blocks of BLOCK_F frequencies). A row of `partial` has the sums of the three
    in this order; WEIGHT, BIAS and TOKEN say which of them are wanted. dout is read once from memory, and then from the
    L2 cache.
    """
    run = tl.program_id(0)
    outputs = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    columns = tl.program_id(2) * BLOCK_F + tl.arange(0, BLOCK_F)
    cosines = tl.zeros((BLOCK_D, BLOCK_F), tl.float32)
    sines = tl.zeros((BLOCK_D, BLOCK_F), tl.float32)
    shown = tl.zeros((BLOCK_D,), tl.float32)
    hidden = tl.zeros((BLOCK_D,), tl.float32)
    for block in range(run, tl.cdiv(points, BLOCK_N), tl.num_programs(0)):
        rows = (block * BLOCK_N + tl.arange(0, BLOCK_N)).to(tl.int64)
        exists = rows < points
        seen = _seen(visible_ptr, rows, exists)
        place = dout_ptr + rows[None, :] * (dout_stride * UNIT) + outputs[:, None]
        dout = tl.load(place, mask=seen[None, :] & (outputs < D)[:, None], other=0.0)
        if WEIGHT:
            cosine, sine = _features(x_ptr, freqs_ptr, rows, seen, columns, C, F, OPERAND)
            cosines = tl.dot(dout.to(OPERAND), cosine.to(OPERAND), cosines, input_precision="ieee")
            sines = tl.dot(dout.to(OPERAND), sine.to(OPERAND), sines, input_precision="ieee")
        if BIAS:
            shown += tl.sum(dout.to(tl.float32), axis=1)
        if TOKEN:
            covered = (exists & (seen == 0))[None, :] & (outputs < D)[:, None]
            hidden += tl.sum(tl.load(place, mask=covered, other=0.0).to(tl.float32), axis=1)
    bias = D * 2 * F if WEIGHT else 0
    token = bias + D if BIAS else bias
    to = partial_ptr + run.to(tl.int64) * (token + D if TOKEN else token)
    if WEIGHT:
        place = to + outputs[:, None] * (2 * F) + columns[None, :]
        filled = (outputs < D)[:, None] & (columns < F)[None, :]
        tl.store(place, cosines, mask=filled)
        tl.store(place + F, sines, mask=filled)
    first = tl.program_id(2) == 0
    if BIAS:
        tl.store(to + bias + outputs, shown, mask=(outputs < D) & first)
    if TOKEN:
        tl.store(to + token + outputs, hidden, mask=(outputs < D) & first)


@triton.jit(do_not_specialize=["runs"])
def add_runs_kernel(
    partial_ptr, first_ptr, second_ptr, third_ptr, runs, first_size, second_size, third_size, BLOCK: tl.constexpr
):  # fmt: skip
    """One program: the sums over the rows of `partial`, in order, of BLOCK columns.

    Grid (blocks of columns,). The columns are those of `first`, `second` and `third`, one after the other.
    """
    places = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    begin_third = first_size + second_size
    size = begin_third + third_size
    sums = tl.zeros((BLOCK,), tl.float32)
    for run in range(runs):
        sums += tl.load(partial_ptr + run * size + places, mask=places < size, other=0.0)
    if first_ptr is not None:
        tl.store(first_ptr + places, sums.to(first_ptr.dtype.element_ty), mask=places < first_size)
    if second_ptr is not None:
        within = (places >= first_size) & (places < begin_third)
        tl.store(second_ptr + (places - first_size), sums.to(second_ptr.dtype.element_ty), mask=within)
    if third_ptr is not None:
        within = (places >= begin_third) & (places < size)
        tl.store(third_ptr + (places - begin_third), sums.to(third_ptr.dtype.element_ty), mask=within)
