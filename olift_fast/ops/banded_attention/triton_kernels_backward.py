"""The backward Triton kernel of `banded_attention`; see `kernels` for how the work is cut."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import triton
import triton.language as tl

from olift_fast.ops.banded_attention.triton_kernels import (
    LOG2E,
    VARYING,
    clip_length,
    dense_strides,
    in_units,
    inside,
    load_rows,
    locate,
    rows,
    store_rows,
    tile_offsets,
    tiles_within,
)


@triton.jit(do_not_specialize=VARYING)
def backward_kernel(
    grad_ptr,
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
    grad_clip: tl.int64,
    grad_frame: tl.int64,
    grad_joint: tl.int64,
    grad_head: tl.int64,
    dx_clip: tl.int64,
    dx_frame: tl.int64,
    dx_joint: tl.int64,
    dx_head: tl.int64,
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
    """All gradients of BLOCK frames of ITEMS joints of one head, in one pass over what the forward read and wrote.

    First the block as queries, over the keys that they attended: dq, and a partial dbias. Then the block as keys, over
    the queries that attended them: dk and dv. No two programs add to one place, so results repeat bitwise. The weights
    are computed twice, which costs less than a second launch and a second reading of q, k, v and grad.

    Grid: as the forward's. Reads q, k, v, grad, out and lse, writes dq, dk, dv, which share their strides: (8 Dh e + 4)
    bytes a row from memory, the overlaps from the L2 cache; and the sums over its joints of the bias gradient, one row
    of ``left + right + 1`` a program. ALIKE: q, k, v, dq have the same strides, and grad is contiguous.
    """
    clip, first, joint, head = locate(frames, joints, H, BLOCK, ITEMS)
    lse_strides = dense_strides(frames, joints, H, 1)
    out_strides = dense_strides(frames, joints, H * DH, DH)
    q_strides = in_units(q_clip, q_frame, q_joint, q_head, UNIT)
    k_strides = q_strides
    v_strides = q_strides
    dx_strides = q_strides
    grad_strides = out_strides
    if not ALIKE:
        k_strides = in_units(k_clip, k_frame, k_joint, k_head, UNIT)
        v_strides = in_units(v_clip, v_frame, v_joint, v_head, UNIT)
        dx_strides = in_units(dx_clip, dx_frame, dx_joint, dx_head, UNIT)
        grad_strides = in_units(grad_clip, grad_frame, grad_joint, grad_head, UNIT)
    visible_strides = (visible_clip, visible_frame, visible_joint, 0)
    length = clip_length(lengths_ptr, clip, frames)
    written = inside(first, joint, frames, joints, BLOCK)
    dx_row = rows(dx_strides, clip, first, joint, head, BLOCK)

    # The block as queries, over the keys that they attended.
    asked = inside(first, joint, length, joints, BLOCK)
    q_row = rows(q_strides, clip, first, joint, head, BLOCK)
    grad_row = rows(grad_strides, clip, first, joint, head, BLOCK)
    out_row = rows(out_strides, clip, first, joint, head, BLOCK)
    lse_row = rows(lse_strides, clip, first, joint, head, BLOCK)
    q = load_rows(q_ptr, q_row, asked, DH, D)
    grad = load_rows(grad_ptr, grad_row, asked, DH, D)
    out = load_rows(out_ptr, out_row, asked, DH, D)
    lse = tl.load(lse_ptr + lse_row, mask=asked, other=float("-inf")) * LOG2E
    delta = tl.sum(grad.to(tl.float32) * out.to(tl.float32), axis=2)
    dq = tl.zeros([ITEMS, BLOCK, D], tl.float32)
    dbias = tl.zeros([OFFSETS], tl.float32)
    start, stop = 0, TILES
    if TILES > 1:
        start, stop = tiles_within(first, length, BACK, TILES, TILE)
    for tile in range(start, stop):
        begin = first + (tile * TILE - BACK)
        seen = inside(begin, joint, length, joints, TILE)
        if visible_ptr is not None:
            place = rows(visible_strides, clip, begin, joint, head, TILE)
            seen = seen & (tl.load(visible_ptr + place, mask=seen, other=0) != 0)
        k_row = rows(k_strides, clip, begin, joint, head, TILE)
        v_row = rows(v_strides, clip, begin, joint, head, TILE)
        k = load_rows(k_ptr, k_row, seen, DH, D)
        v = load_rows(v_ptr, v_row, seen, DH, D)

        offset = tile_offsets(tile, BLOCK, TILE)
        band = (offset >= 0) & (offset <= REACH)
        scores = tl.dot(q, tl.permute(k, (0, 2, 1)), input_precision="ieee") * (scale * LOG2E)
        if bias_ptr is not None:
            bias = tl.load(bias_ptr + head * (REACH + 1) + offset, mask=band, other=0.0)
            scores += (bias * LOG2E)[None, :, :]
        attended = band[None, :, :] & asked[:, :, None] & seen[:, None, :]
        slope = tl.dot(grad, tl.permute(v, (0, 2, 1)), input_precision="ieee") - delta[:, :, None]
        slope = tl.where(attended, tl.exp2(scores - lse[:, :, None]) * slope, 0.0)
        dq = tl.dot(slope.to(k.dtype), k, dq, input_precision="ieee")
        if dbias_ptr is not None:
            dbias += sum_offsets(tl.sum(slope, axis=0), tile, BLOCK, TILE, TILES, OFFSETS)
    store_rows(dq_ptr, dx_row, written, dq * scale, DH, D)
    if dbias_ptr is not None:
        entry = tl.arange(0, OFFSETS)
        tl.store(dbias_ptr + tl.program_id(0).to(tl.int64) * (REACH + 1) + entry, dbias, mask=entry <= REACH)

    # The block as keys, over the queries that attended them.
    seen = inside(first, joint, length, joints, BLOCK)
    if visible_ptr is not None:
        place = rows(visible_strides, clip, first, joint, head, BLOCK)
        seen = seen & (tl.load(visible_ptr + place, mask=seen, other=0) != 0)
    k_row = rows(k_strides, clip, first, joint, head, BLOCK)
    v_row = rows(v_strides, clip, first, joint, head, BLOCK)
    k = load_rows(k_ptr, k_row, seen, DH, D)
    v = load_rows(v_ptr, v_row, seen, DH, D)
    dk = tl.zeros([ITEMS, BLOCK, D], tl.float32)
    dv = tl.zeros([ITEMS, BLOCK, D], tl.float32)
    start, stop = 0, TILES
    if TILES > 1:
        start, stop = tiles_within(first, length, REACH - BACK, TILES, TILE)
    for tile in range(start, stop):
        begin = first + (tile * TILE - (REACH - BACK))
        out_rows = rows(out_strides, clip, begin, joint, head, TILE)
        lse_rows = rows(lse_strides, clip, begin, joint, head, TILE)
        asking = inside(begin, joint, length, joints, TILE)
        query_lse = tl.load(lse_ptr + lse_rows, mask=asking, other=float("-inf")) * LOG2E
        asking = asking & (query_lse > float("-inf"))
        q_rows = rows(q_strides, clip, begin, joint, head, TILE)
        grad_rows = rows(grad_strides, clip, begin, joint, head, TILE)
        queries = load_rows(q_ptr, q_rows, asking, DH, D)
        upstream = load_rows(grad_ptr, grad_rows, asking, DH, D)
        output = load_rows(out_ptr, out_rows, asking, DH, D)
        query_delta = tl.sum(upstream.to(tl.float32) * output.to(tl.float32), axis=2)

        offset = tile_offsets(tile, BLOCK, TILE)
        band = (offset >= 0) & (offset <= REACH)
        scores = tl.dot(k, tl.permute(queries, (0, 2, 1)), input_precision="ieee") * (scale * LOG2E)
        if bias_ptr is not None:
            bias = tl.load(bias_ptr + head * (REACH + 1) + REACH - offset, mask=band, other=0.0)
            scores += (bias * LOG2E)[None, :, :]
        attended = band[None, :, :] & seen[:, :, None] & asking[:, None, :]
        weights = tl.where(attended, tl.exp2(scores - query_lse[:, None, :]), 0.0)
        dv = tl.dot(weights.to(upstream.dtype), upstream, dv, input_precision="ieee")
        slope = tl.dot(v, tl.permute(upstream, (0, 2, 1)), input_precision="ieee") - query_delta[:, None, :]
        slope = tl.where(attended, weights * slope, 0.0)
        dk = tl.dot(slope.to(queries.dtype), queries, dk, input_precision="ieee")
    store_rows(dk_ptr, dx_row, written, dk * scale, DH, D)
    store_rows(dv_ptr, dx_row, written, dv, DH, D)


@triton.jit
def sum_offsets(slope, tile, BLOCK: tl.constexpr, TILE: tl.constexpr, TILES: tl.constexpr, OFFSETS: tl.constexpr):
    """Sums ``slope`` [BLOCK, TILE] over its diagonals: entry o of [OFFSETS] is the sum where `tile_offsets` is o."""
    row = tl.arange(0, BLOCK)[:, None]
    if TILES == 1:
        column = tl.arange(0, OFFSETS)[None, :] + row
        sums = tl.sum(tl.where(column < TILE, tl.gather(slope, column % TILE, 1), 0.0), axis=0)
    else:
        # First the diagonals of the tile, then each to its place.
        column = tl.arange(0, 2 * TILE)[None, :] + row - (BLOCK - 1)
        within = (column >= 0) & (column < TILE)
        diagonals = tl.sum(tl.where(within, tl.gather(slope, tl.where(within, column, 0), 1), 0.0), axis=0)
        place = tl.arange(0, OFFSETS) - tile * TILE + (BLOCK - 1)
        within = (place >= 0) & (place < 2 * TILE)
        sums = tl.where(within, tl.gather(diagonals, tl.where(within, place, 0), 0), 0.0)
    return sums
