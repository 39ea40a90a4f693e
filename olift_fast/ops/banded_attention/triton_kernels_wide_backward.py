"""The backward Triton kernel of `banded_attention` for wide bands and wide heads. Programs are as in `triton_kernels`.

Names are those of FlashAttention's papers: do is the gradient of out, p the softmax, dp and ds the gradients of p and
of the scores, and delta is ``sum(do * out)`` of a row.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import triton
import triton.language as tl

from olift_fast.ops.banded_attention.triton_kernels import (
    VARYING,
    clip_length,
    contiguous_strides,
    in_units,
    inside,
    keys_within,
    locate,
    rows,
    score,
    tile_offsets,
    tiles_within,
)
from olift_fast.ops.triton_rows import load_rows, row_dots, store_rows


@triton.jit(do_not_specialize=VARYING)
def wide_backward_kernel(
    do_ptr,
    q_ptr,
    k_ptr,
    v_ptr,
    out_ptr,
    lse_ptr,
    bias_ptr,
    visible_ptr,
    lengths_ptr,
    dq_ptr,
    dk_ptr,
    dv_ptr,
    dbias_ptr,
    scale,
    frames: tl.int32,
    joints: tl.int32,
    q_clip: tl.int64,
    q_frame: tl.int64,
    q_joint: tl.int64,
    q_head: tl.int64,
    k_clip: tl.int64,
    k_frame: tl.int64,
    k_joint: tl.int64,
    k_head: tl.int64,
    v_clip: tl.int64,
    v_frame: tl.int64,
    v_joint: tl.int64,
    v_head: tl.int64,
    do_clip: tl.int64,
    do_frame: tl.int64,
    do_joint: tl.int64,
    do_head: tl.int64,
    dq_clip: tl.int64,
    dq_frame: tl.int64,
    dq_joint: tl.int64,
    dq_head: tl.int64,
    visible_clip: tl.int64,
    visible_frame: tl.int64,
    visible_joint: tl.int64,
    H: tl.constexpr,
    DH: tl.constexpr,
    BACK: tl.constexpr,
    REACH: tl.constexpr,
    UNIT: tl.constexpr,
    ALIKE: tl.constexpr,
    BLOCK: tl.constexpr,
    TILE: tl.constexpr,
    TILES: tl.constexpr,
    ITEMS: tl.constexpr,
    D: tl.constexpr,
    OFFSETS: tl.constexpr,
):
    """One program: all gradients of BLOCK frames of ITEMS joints of one head.

    First the block's frames are keys: over the queries that attended them it sums dk and dv. Then they are queries:
    over the keys that they attended it sums dq, and a part of dbias. No two programs add to one place, so results are
    the same bitwise from run to run. The softmax is computed twice, which costs less than a second launch that reads q,
    k, v and do again.

    The grid is that of the forward kernel. A program reads q, k, v, do, out and lse, and writes dq, dk and dv, which
    have the same strides: (8 Dh e + 4) bytes a row from memory, the overlaps from the L2 cache. It also writes the sums
    over its joints of the gradient of the bias, a row of ``left + right + 1``. ALIKE: q, k, v and dq have the same
    strides, and do is contiguous.
    """
    at, first = locate(frames, joints, H, BLOCK, ITEMS)
    lse_strides = contiguous_strides(frames, joints, H, 1)
    out_strides = contiguous_strides(frames, joints, H * DH, DH)
    q_strides = in_units(q_clip, q_frame, q_joint, q_head, UNIT)
    k_strides = q_strides
    v_strides = q_strides
    dq_strides = q_strides
    do_strides = out_strides
    if not ALIKE:
        k_strides = in_units(k_clip, k_frame, k_joint, k_head, UNIT)
        v_strides = in_units(v_clip, v_frame, v_joint, v_head, UNIT)
        dq_strides = in_units(dq_clip, dq_frame, dq_joint, dq_head, UNIT)
        do_strides = in_units(do_clip, do_frame, do_joint, do_head, UNIT)
    visible_strides = (visible_clip, visible_frame, visible_joint, 0)
    pointers = (do_ptr, q_ptr, k_ptr, v_ptr, out_ptr, lse_ptr, visible_ptr)
    strides = (do_strides, q_strides, k_strides, v_strides, out_strides, lse_strides, visible_strides)
    length = clip_length(lengths_ptr, at, frames)

    dk, dv = keys_gradients(
        *(pointers, strides, bias_ptr, at, first, length, joints, scale, DH, BACK, REACH),
        *(BLOCK, TILE, TILES, ITEMS, D),
    )
    exists = inside(at, first, frames, joints, BLOCK)
    row = rows(dq_strides, at, first, BLOCK)
    store_rows(dk_ptr, row, exists, dk * scale, DH, D)
    store_rows(dv_ptr, row, exists, dv, DH, D)

    dq, dbias = queries_gradient(
        *(pointers, strides, bias_ptr, at, first, length, joints, scale, DH, BACK, REACH),
        *(BLOCK, TILE, TILES, ITEMS, D, OFFSETS),
    )
    # This is `first`, but the compiler does not know it. So it computes the rows again, and keeps no registers for
    # them.
    again = tl.minimum(first, frames)
    exists = inside(at, again, frames, joints, BLOCK)
    store_rows(dq_ptr, rows(dq_strides, at, again, BLOCK), exists, dq * scale, DH, D)
    if dbias_ptr is not None:
        entry = tl.arange(0, OFFSETS)
        tl.store(dbias_ptr + tl.program_id(0).to(tl.int64) * (REACH + 1) + entry, dbias, mask=entry <= REACH)


@triton.jit
def queries_gradient(
    pointers, strides, bias_ptr, at, first, length, joints, scale, DH: tl.constexpr, BACK: tl.constexpr,
    REACH: tl.constexpr, BLOCK: tl.constexpr, TILE: tl.constexpr, TILES: tl.constexpr, ITEMS: tl.constexpr,
    D: tl.constexpr, OFFSETS: tl.constexpr,
):  # fmt: skip
    """For the block's frames as queries: dq / scale, and the block's part of dbias [OFFSETS]."""
    do_ptr, q_ptr, k_ptr, v_ptr, out_ptr, lse_ptr, visible_ptr = pointers
    do_strides, q_strides, k_strides, v_strides, out_strides, lse_strides, visible_strides = strides
    q_mask = inside(at, first, length, joints, BLOCK)
    q = load_rows(q_ptr, rows(q_strides, at, first, BLOCK), q_mask, DH, D)
    do = load_rows(do_ptr, rows(do_strides, at, first, BLOCK), q_mask, DH, D)
    out = load_rows(out_ptr, rows(out_strides, at, first, BLOCK), q_mask, DH, D)
    lse = load_lse(lse_ptr, lse_strides, at, first, q_mask, BLOCK)
    delta = row_dots(do, out)
    dq = tl.zeros([ITEMS, BLOCK, D], tl.float32)
    dbias = tl.zeros([OFFSETS], tl.float32)
    start, stop = tiles_within(first, length, BACK, TILES, TILE)
    for tile in range(start, stop):
        begin = first + (tile * TILE - BACK)
        k_mask = keys_within(visible_ptr, visible_strides, at, begin, length, joints, TILE)
        k = load_rows(k_ptr, rows(k_strides, at, begin, TILE), k_mask, DH, D)
        v = load_rows(v_ptr, rows(v_strides, at, begin, TILE), k_mask, DH, D)
        offset, band = tile_offsets(tile, REACH, BLOCK, TILE)
        scores = score(q, k, bias_ptr, at, offset, band, scale, REACH, "ieee")
        mask = band[None, :, :] & q_mask[:, :, None] & k_mask[:, None, :]
        dp = tl.dot(do, tl.permute(v, (0, 2, 1)), input_precision="ieee")
        ds = tl.where(mask, tl.exp2(scores - lse[:, :, None]) * (dp - delta[:, :, None]), 0.0)
        dq = tl.dot(ds.to(k.dtype), k, dq, input_precision="ieee")
        if bias_ptr is not None:
            dbias += sum_offsets(tl.sum(ds, axis=0), tile, BLOCK, TILE, OFFSETS)
    return dq, dbias


@triton.jit
def keys_gradients(
    pointers, strides, bias_ptr, at, first, length, joints, scale, DH: tl.constexpr, BACK: tl.constexpr,
    REACH: tl.constexpr, BLOCK: tl.constexpr, TILE: tl.constexpr, TILES: tl.constexpr, ITEMS: tl.constexpr,
    D: tl.constexpr,
):  # fmt: skip
    """For the block's frames as keys: dk / scale, and dv."""
    do_ptr, q_ptr, k_ptr, v_ptr, out_ptr, lse_ptr, visible_ptr = pointers
    do_strides, q_strides, k_strides, v_strides, out_strides, lse_strides, visible_strides = strides
    k_mask = keys_within(visible_ptr, visible_strides, at, first, length, joints, BLOCK)
    k = load_rows(k_ptr, rows(k_strides, at, first, BLOCK), k_mask, DH, D)
    v = load_rows(v_ptr, rows(v_strides, at, first, BLOCK), k_mask, DH, D)
    dk = tl.zeros([ITEMS, BLOCK, D], tl.float32)
    dv = tl.zeros([ITEMS, BLOCK, D], tl.float32)
    start, stop = tiles_within(first, length, REACH - BACK, TILES, TILE)
    for tile in range(start, stop):
        begin = first + (tile * TILE - (REACH - BACK))
        q_mask = inside(at, begin, length, joints, TILE)
        lse = load_lse(lse_ptr, lse_strides, at, begin, q_mask, TILE)
        q_mask = q_mask & (lse > float("-inf"))
        q = load_rows(q_ptr, rows(q_strides, at, begin, TILE), q_mask, DH, D)
        do = load_rows(do_ptr, rows(do_strides, at, begin, TILE), q_mask, DH, D)
        out = load_rows(out_ptr, rows(out_strides, at, begin, TILE), q_mask, DH, D)
        delta = row_dots(do, out)
        offset, band = tile_offsets(tile, REACH, BLOCK, TILE)
        scores = score(k, q, bias_ptr, at, REACH - offset, band, scale, REACH, "ieee")
        mask = band[None, :, :] & k_mask[:, :, None] & q_mask[:, None, :]
        p = tl.where(mask, tl.exp2(scores - lse[:, None, :]), 0.0)
        dv = tl.dot(p.to(do.dtype), do, dv, input_precision="ieee")
        dp = tl.dot(v, tl.permute(do, (0, 2, 1)), input_precision="ieee")
        ds = tl.where(mask, p * (dp - delta[:, None, :]), 0.0)
        dk = tl.dot(ds.to(q.dtype), q, dk, input_precision="ieee")
    return dk, dv


@triton.jit
def load_lse(lse_ptr, strides, at, first, mask, N: tl.constexpr):
    """The log-sum-exp of N frames to base 2, [ITEMS, N]; -inf without ``mask``."""
    return tl.load(lse_ptr + rows(strides, at, first, N), mask=mask, other=float("-inf"))


@triton.jit
def sum_offsets(ds, tile, BLOCK: tl.constexpr, TILE: tl.constexpr, OFFSETS: tl.constexpr):
    """The sums of ``ds`` [BLOCK, TILE] over its diagonals: entry o of [OFFSETS] is the sum over pairs with offset o."""
    # First sum the diagonals of the tile, then move each sum to its entry.
    column = tl.arange(0, 2 * TILE)[None, :] + tl.arange(0, BLOCK)[:, None] - (BLOCK - 1)
    within = (column >= 0) & (column < TILE)
    diagonals = tl.sum(tl.where(within, tl.gather(ds, tl.where(within, column, 0), 1), 0.0), axis=0)
    place = tl.arange(0, OFFSETS) - tile * TILE + (BLOCK - 1)
    within = (place >= 0) & (place < 2 * TILE)
    return tl.where(within, tl.gather(diagonals, tl.where(within, place, 0), 0), 0.0)
