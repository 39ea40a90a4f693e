"""The backward Triton kernel of `banded_attention`, for bands of up to BLOCK + 1 frames.

A program walks along time. A step takes BLOCK queries and the 2 BLOCK keys that contain their bands. The first half of
these keys, ``near``, was the second half, ``far``, of the step before. After this step the near keys have had all their
queries, so their gradients are complete. So each row is read once, and the softmax of each pair is computed once.
`triton_kernels_wide_backward` is for wider bands.

Names are those of FlashAttention's papers: do is the gradient of out, p the softmax, dp and ds the gradients of p and
of the scores. delta is the sum of ``p * dp`` over the keys of a query. A step has all these keys, so out is not read.
Tiles of pairs are [keys, queries]. ``at`` is the offset in memory at which a step's rows or tiles begin, an int64;
``lane`` is the offset of each element from there. DH is the width of a head, D that of the tile, the next power of two.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import triton
import triton.language as tl

from olift_fast.ops.banded_attention.triton_kernels import VARYING, as_tf32, contiguous_strides, in_units, product
from olift_fast.ops.triton_rows import LOG2E


@triton.jit(do_not_specialize=[*VARYING, "blocks"])
def backward_kernel(
    do_ptr,
    q_ptr,
    k_ptr,
    v_ptr,
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
    blocks: tl.int32,
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
    D: tl.constexpr,
    LONG: tl.constexpr,
):
    """One program: all gradients of one joint and head, for a span of ``blocks`` blocks of queries.

    Grid: heads × joints × spans × clips, in one dimension, heads fastest. A span writes dq of its queries, and dk and
    dv of as many frames that start BACK frames earlier; the last span also those up to the clip's end. It starts one
    block early, because queries before its own attended these keys. No two programs add to one place, so results are
    the same bitwise from run to run. Besides dq, dk and dv, which have the same strides, a program writes one row of
    ``REACH + 1`` sums of the gradient of the bias.

    In registers are the near and far halves of k and v, dk and dv of the near half, and the sums for the bias. ALIKE:
    q, k, v and dq have the same strides, and do is contiguous. LONG: the offsets of a block's rows need more than 31
    bits. The visibility and the log-sum-exp are read one step ahead, because they decide which rows are read.
    """
    program = tl.program_id(0)
    spans = (frames + blocks * BLOCK - 1) // (blocks * BLOCK)
    head = (program % H).to(tl.int64)
    joint = ((program // H) % joints).to(tl.int64)
    clip = (program // H // joints // spans).to(tl.int64)
    first = (program // H // joints % spans) * (blocks * BLOCK)
    stop = tl.minimum(first + blocks * BLOCK, frames)
    start = tl.where(first > 0, first - BLOCK, first)
    length = frames
    if lengths_ptr is not None:
        length = tl.minimum(tl.load(lengths_ptr + clip), frames).to(tl.int32)

    place = (clip, joint, head)
    q_strides = in_units(q_clip, q_frame, q_joint, q_head, UNIT)
    k_strides = q_strides
    v_strides = q_strides
    dq_strides = q_strides
    do_strides = contiguous_strides(frames, joints, H * DH, DH)
    if not ALIKE:
        k_strides = in_units(k_clip, k_frame, k_joint, k_head, UNIT)
        v_strides = in_units(v_clip, v_frame, v_joint, v_head, UNIT)
        dq_strides = in_units(dq_clip, dq_frame, dq_joint, dq_head, UNIT)
        do_strides = in_units(do_clip, do_frame, do_joint, do_head, UNIT)
    visible_strides = (visible_clip, visible_frame, visible_joint, 0)
    q_at, q_lane = tile_at(q_strides, place, start, BLOCK, D, LONG)
    do_at, do_lane = tile_at(do_strides, place, start, BLOCK, D, LONG)
    k_at, k_lane = tile_at(k_strides, place, start - BACK, BLOCK, D, LONG)
    v_at, v_lane = tile_at(v_strides, place, start - BACK, BLOCK, D, LONG)
    dq_at, dq_lane = tile_at(dq_strides, place, start, BLOCK, D, LONG)
    dk_at = dq_at - BACK * dq_strides[1]
    lse_at, lse_lane = rows_at(contiguous_strides(frames, joints, H, 1), place, start, BLOCK, LONG)
    visible_at, visible_lane = rows_at(visible_strides, place, start - BACK, BLOCK, LONG)

    near_table = band_table(bias_ptr, head, 0, BLOCK, REACH)
    far_table = band_table(bias_ptr, head, BLOCK, BLOCK, REACH)
    near_dbias = tl.zeros([BLOCK, BLOCK], tl.float32)
    far_dbias = tl.zeros([BLOCK, BLOCK], tl.float32)
    dk = tl.zeros([BLOCK, D], tl.float32)
    dv = tl.zeros([BLOCK, D], tl.float32)
    near_mask = keys_from(visible_ptr, visible_at + visible_lane, start - BACK, length, BLOCK)
    visible_at += BLOCK * visible_frame
    far_mask = keys_from(visible_ptr, visible_at + visible_lane, start - BACK + BLOCK, length, BLOCK)
    lse = tl.load(lse_ptr + (lse_at + lse_lane), mask=frames_from(start, length, BLOCK), other=float("-inf"))
    near_k = load_tile(k_ptr + k_at, k_lane, near_mask, DH, D)
    near_v = load_tile(v_ptr + v_at, v_lane, near_mask, DH, D)
    for begin in tl.range(start, stop, BLOCK):
        q_mask = lse > float("-inf")
        q = load_tile(q_ptr + q_at, q_lane, q_mask, DH, D)
        do = load_tile(do_ptr + do_at, do_lane, q_mask, DH, D)
        k_at += BLOCK * k_strides[1]
        v_at += BLOCK * v_strides[1]
        far_k = load_tile(k_ptr + k_at, k_lane, far_mask, DH, D)
        far_v = load_tile(v_ptr + v_at, v_lane, far_mask, DH, D)
        visible_at += BLOCK * visible_frame
        lse_at += BLOCK * (joints * H)
        after = frames_from(begin + BLOCK, tl.minimum(length, stop), BLOCK)
        next_lse = tl.load(lse_ptr + (lse_at + lse_lane), mask=after, other=float("-inf"))
        next_mask = keys_from(visible_ptr, visible_at + visible_lane, begin - BACK + 2 * BLOCK, length, BLOCK)

        lse = tl.where(q_mask, lse, float("inf"))
        near_hidden = tl.where(near_mask, 0.0, float("-inf"))
        far_hidden = tl.where(far_mask, 0.0, float("-inf"))
        q_parts = as_tf32(q)
        do_parts = as_tf32(do)
        near_p, near_dp = pairs(q_parts, do_parts, near_k, near_v, near_table, scale, lse, near_hidden)
        far_p, far_dp = pairs(q_parts, do_parts, far_k, far_v, far_table, scale, lse, far_hidden)
        delta = tl.sum(near_p * near_dp, axis=0) + tl.sum(far_p * far_dp, axis=0)
        near_ds = near_p * (near_dp - delta[None, :])
        far_ds = far_p * (far_dp - delta[None, :])
        own = begin >= first
        if dbias_ptr is not None:  # noqa: SIM102 - decided when the kernel is compiled
            if own:
                near_dbias += near_ds
                far_dbias += far_ds
        near_ds_parts = as_tf32(near_ds.to(q.dtype))
        far_ds_parts = as_tf32(far_ds.to(q.dtype))
        zero = tl.zeros([BLOCK, D], tl.float32)
        dq = product(transposed(near_ds_parts), as_tf32(near_k), zero)
        dq = product(transposed(far_ds_parts), as_tf32(far_k), dq)
        store_tile(dq_ptr + dq_at, dq_lane, own & frames_from(begin, frames, BLOCK), dq * scale, DH, D)
        dk = product(near_ds_parts, q_parts, dk)
        dv = product(as_tf32(near_p.to(q.dtype)), do_parts, dv)
        exists = own & frames_from(begin - BACK, frames, BLOCK)
        store_tile(dk_ptr + dk_at, dq_lane, exists, dk * scale, DH, D)
        store_tile(dv_ptr + dk_at, dq_lane, exists, dv, DH, D)
        dk = product(far_ds_parts, q_parts, zero)
        dv = product(as_tf32(far_p.to(q.dtype)), do_parts, zero)
        near_k = far_k
        near_v = far_v
        near_mask = far_mask
        far_mask = next_mask
        lse = next_lse
        q_at += BLOCK * q_strides[1]
        do_at += BLOCK * do_strides[1]
        dq_at += BLOCK * dq_strides[1]
        dk_at += BLOCK * dq_strides[1]

    end = first + (stop - first + BLOCK - 1) // BLOCK * BLOCK
    exists = (stop == frames) & frames_from(end - BACK, frames, BLOCK)
    store_tile(dk_ptr + dk_at, dq_lane, exists, dk * scale, DH, D)
    store_tile(dv_ptr + dk_at, dq_lane, exists, dv, DH, D)
    if dbias_ptr is not None:
        store_offsets(dbias_ptr, near_dbias, far_dbias, BLOCK, REACH)


@triton.jit
def pairs(q_parts, do_parts, k, v, table, scale, lse, hidden):
    """p and dp [keys, queries]; p is 0 where ``hidden`` or ``table`` is -inf, or ``lse`` is inf."""
    k_parts = as_tf32(k)
    zero = tl.zeros(table.shape, tl.float32)
    s = product(k_parts, transposed(q_parts), zero) * (scale * LOG2E) + table
    dp = product(as_tf32(v), transposed(do_parts), zero)
    return tl.exp2(s - lse[None, :] + hidden[:, None]), dp


@triton.jit
def transposed(parts):
    """Both parts of `as_tf32` of a matrix, each transposed."""
    return tl.permute(parts[0], (1, 0)), tl.permute(parts[1], (1, 0))


@triton.jit
def band_table(bias_ptr, head, ahead, BLOCK: tl.constexpr, REACH: tl.constexpr):
    """The bias of each pair to base 2, [keys, queries], -inf outside of the band.

    The first key is ``ahead`` frames after the start of the first query's band.
    """
    entry = ahead + tl.arange(0, BLOCK)[:, None] - tl.arange(0, BLOCK)[None, :]
    band = (entry >= 0) & (entry <= REACH)
    table = tl.where(band, 0.0, float("-inf"))
    if bias_ptr is not None:
        bias = tl.load(bias_ptr + head * (REACH + 1) + entry, mask=band, other=float("-inf"))
        table = bias * LOG2E
    return table


@triton.jit
def store_offsets(dbias_ptr, near, far, BLOCK: tl.constexpr, REACH: tl.constexpr):
    """Write the sums of ds over all pairs with the same offset to the program's row.

    The offset is ``key - query`` in the near half and ``key - query + BLOCK`` in the far half. So an offset below BLOCK
    is ``(key - query) % BLOCK`` of the pairs of near with key >= query and the pairs of far with key < query. The
    offset BLOCK is the diagonal of far.
    """
    query = tl.arange(0, BLOCK)[None, :]
    key = tl.arange(0, BLOCK)[:, None]
    ring = tl.where(key >= query, near, far)
    sums = tl.sum(tl.gather(ring, (key + query) % BLOCK, 0), axis=1)
    entry = tl.arange(0, BLOCK)
    row = dbias_ptr + tl.program_id(0).to(tl.int64) * (REACH + 1)
    tl.store(row + entry, sums, mask=entry <= REACH)
    if REACH == BLOCK:
        tl.store(row + BLOCK, tl.sum(tl.where(key == query, far, 0.0)))


@triton.jit
def rows_at(strides, place, first, BLOCK: tl.constexpr, LONG: tl.constexpr):
    """The offset in memory of frame ``first``, and the offsets from there of the BLOCK frames from it on."""
    at = place[0] * strides[0] + first * strides[1] + place[1] * strides[2] + place[2] * strides[3]
    frame = strides[1]
    if not LONG:
        frame = frame.to(tl.int32)
    return at, tl.arange(0, BLOCK) * frame


@triton.jit
def tile_at(strides, place, first, BLOCK: tl.constexpr, D: tl.constexpr, LONG: tl.constexpr):
    """`rows_at`, with the offsets of all channels of these rows, [BLOCK, D]."""
    at, lane = rows_at(strides, place, first, BLOCK, LONG)
    return at, lane[:, None] + tl.arange(0, D)[None, :]


@triton.jit
def frames_from(first, length, BLOCK: tl.constexpr):
    """Whether the BLOCK frames from ``first`` on are in a clip of ``length`` frames."""
    frame = first + tl.arange(0, BLOCK)
    return (frame >= 0) & (frame < length)


@triton.jit
def keys_from(visible_ptr, row, first, length, BLOCK: tl.constexpr):
    """Whether these frames are keys: inside the clip, and visible."""
    mask = frames_from(first, length, BLOCK)
    if visible_ptr is not None:
        mask = mask & (tl.load(visible_ptr + row, mask=mask, other=0) != 0)
    return mask


@triton.jit
def load_tile(pointer, lane, mask, DH: tl.constexpr, D: tl.constexpr):
    """The channels of BLOCK rows, [BLOCK, D]. Rows without ``mask`` are not read, and 0."""
    mask = mask[:, None]
    if D != DH:
        mask = mask & (tl.arange(0, D)[None, :] < DH)
    return tl.load(pointer + lane, mask=mask, other=0.0)


@triton.jit
def store_tile(pointer, lane, mask, value, DH: tl.constexpr, D: tl.constexpr):
    """Write ``value`` [BLOCK, D] to the rows of ``mask``, in the memory's dtype."""
    mask = mask[:, None]
    if D != DH:
        mask = mask & (tl.arange(0, D)[None, :] < DH)
    tl.store(pointer + lane, value.to(pointer.dtype.element_ty), mask=mask)
