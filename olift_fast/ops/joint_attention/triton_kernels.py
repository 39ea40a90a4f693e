"""Triton kernels of `joint_attention` for skeletons of several tiles.

A tile is BLOCK joints of a frame. A tile of queries goes through the keys tile by tile. Scores are to base 2, because
``exp2`` is one instruction.

Names are those of FlashAttention's papers: m_i, l_i and acc are the running maximum, sum and output of each row, do is
the gradient of out, p the softmax, dp and ds the gradients of p and of the scores, and delta is ``sum(do * out)``.
``place`` is a result of `locate`; ``queries`` and ``keys`` are results of `joints_from`. Strides are in units of UNIT.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs

from __future__ import annotations

import triton
import triton.language as tl

from olift_fast.ops.joint_attention.triton_tiles import load_tile, multiply, store_some, store_tile
from olift_fast.ops.triton_math import hardware_log2
from olift_fast.ops.triton_rows import LOG2E, row_dots, softmax_step

VARYING = [
    "frames",
    "joints",
    *(f"{x}_{axis}" for x in ("q", "k", "v", "do", "dq") for axis in ("clip", "frame", "joint", "head")),
    *(f"graph_{axis}" for axis in ("clip", "head", "query", "key")),
    *(f"visible_{axis}" for axis in ("clip", "frame", "joint")),
]


@triton.jit(do_not_specialize=VARYING)
def forward_kernel(
    q_ptr,
    k_ptr,
    v_ptr,
    out_ptr,
    lse_ptr,
    graph_ptr,
    visible_ptr,
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
    graph_clip: tl.int64,
    graph_head: tl.int64,
    graph_query: tl.int64,
    graph_key: tl.int64,
    visible_clip: tl.int64,
    visible_frame: tl.int64,
    visible_joint: tl.int64,
    H: tl.constexpr,
    DH: tl.constexpr,
    UNIT: tl.constexpr,
    BLOCK: tl.constexpr,
    D: tl.constexpr,
):
    """One program: BLOCK queries of one head in one frame, over all keys of the frame.

    Grid (frames × H, blocks of queries). The heads of a frame, which share cache lines, run side by side. q is read
    once, k and v once for each block of queries. A program writes out and the log-sum-exp to base 2. In registers are
    q, m_i, l_i and acc.
    """
    q_strides = (q_clip, q_frame, q_joint, q_head)
    k_strides = (k_clip, k_frame, k_joint, k_head)
    v_strides = (v_clip, v_frame, v_joint, v_head)
    graph_strides = (graph_clip, graph_head, graph_query, graph_key)
    visible_strides = (visible_clip, visible_frame, visible_joint)
    masks = (graph_ptr, graph_strides, visible_ptr, visible_strides)
    k_side = (k_ptr, k_strides, v_ptr, v_strides)
    place = locate(frames, H)
    queries = joints_from(tl.program_id(1) * BLOCK, joints, BLOCK)
    q = load_tile(q_ptr, strided_rows(place, queries, q_strides, UNIT), queries[1], DH, D)

    m_i = tl.full([BLOCK], float("-inf"), tl.float32)
    l_i = tl.zeros([BLOCK], tl.float32)
    acc = tl.zeros([BLOCK, D], tl.float32)
    for begin in range(0, joints, BLOCK):
        keys = joints_from(begin, joints, BLOCK)
        mask, seen = pairs(place, queries, keys, masks)
        k, v = load_keys(k_side, place, keys, seen, UNIT, DH, D)
        scores = multiply(q, tl.trans(k)) * (scale * LOG2E)
        p, alpha, m_i, l_i = softmax_step(tl.where(mask, scores, float("-inf")), m_i, l_i)
        acc = acc * alpha[:, None] + multiply(p.to(v.dtype), v)

    empty = l_i == 0.0
    l_i = tl.where(empty, 1.0, l_i)
    row = contiguous_rows(place, queries, frames, joints, H)
    store_some(out_ptr, row * DH, queries[1], empty == 0, acc * (1.0 / l_i)[:, None], DH, D)
    tl.store(lse_ptr + row, m_i + hardware_log2(l_i), mask=queries[1])


@triton.jit(do_not_specialize=VARYING)
def backward_kernel(
    do_ptr,
    q_ptr,
    k_ptr,
    v_ptr,
    out_ptr,
    lse_ptr,
    graph_ptr,
    visible_ptr,
    dq_ptr,
    dk_ptr,
    dv_ptr,
    scale,
    frames: tl.int32,
    joints: tl.int32,
    do_clip: tl.int64,
    do_frame: tl.int64,
    do_joint: tl.int64,
    do_head: tl.int64,
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
    dq_clip: tl.int64,
    dq_frame: tl.int64,
    dq_joint: tl.int64,
    dq_head: tl.int64,
    graph_clip: tl.int64,
    graph_head: tl.int64,
    graph_query: tl.int64,
    graph_key: tl.int64,
    visible_clip: tl.int64,
    visible_frame: tl.int64,
    visible_joint: tl.int64,
    H: tl.constexpr,
    DH: tl.constexpr,
    UNIT: tl.constexpr,
    BLOCK: tl.constexpr,
    D: tl.constexpr,
):
    """One program: the gradients of one head in one frame.

    Grid (frames × H,). The program goes twice through all pairs of blocks: for each block of keys over the queries,
    which gives dk and dv, and for each block of queries over the keys, which gives dq. ``delta = sum(do * out)`` stands
    for the sum of ``p * dp`` over all keys.
    """
    q_strides = (q_clip, q_frame, q_joint, q_head)
    k_strides = (k_clip, k_frame, k_joint, k_head)
    v_strides = (v_clip, v_frame, v_joint, v_head)
    do_strides = (do_clip, do_frame, do_joint, do_head)
    dq_strides = (dq_clip, dq_frame, dq_joint, dq_head)
    graph_strides = (graph_clip, graph_head, graph_query, graph_key)
    visible_strides = (visible_clip, visible_frame, visible_joint)
    masks = (graph_ptr, graph_strides, visible_ptr, visible_strides)
    q_side = (q_ptr, q_strides, do_ptr, do_strides, out_ptr, lse_ptr)
    k_side = (k_ptr, k_strides, v_ptr, v_strides)
    place = locate(frames, H)
    for begin in range(0, joints, BLOCK):
        keys = joints_from(begin, joints, BLOCK)
        dk = tl.zeros([BLOCK, D], tl.float32)
        dv = tl.zeros([BLOCK, D], tl.float32)
        read = tl.zeros([BLOCK], tl.int32) != 0
        for start in range(0, joints, BLOCK):
            queries = joints_from(start, joints, BLOCK)
            mask, seen = pairs(place, queries, keys, masks)
            read = read | seen
            row = contiguous_rows(place, queries, frames, joints, H)
            k, v = load_keys(k_side, place, keys, seen, UNIT, DH, D)
            q, do, lse = load_queries(q_side, place, queries, row, UNIT, DH, D)
            p, dp = softmax_gradient(q, k, v, do, lse, mask, scale)
            delta = row_dots(do, load_tile(out_ptr, row * DH, queries[1], DH, D))
            ds = tl.where(mask, p * (dp - delta[:, None]), 0.0).to(q.dtype)
            dk += multiply(tl.trans(ds), q)
            dv += multiply(tl.trans(p.to(do.dtype)), do)
        # A key that is not read gets 0, even where do is NaN.
        dk_row = strided_rows(place, keys, dq_strides, UNIT)
        store_some(dk_ptr, dk_row, keys[1], read, dk * scale, DH, D)
        store_some(dv_ptr, dk_row, keys[1], read, dv, DH, D)

    for start in range(0, joints, BLOCK):
        queries = joints_from(start, joints, BLOCK)
        dq = queries_gradient(q_side, k_side, masks, place, queries, frames, joints, scale, H, UNIT, DH, BLOCK, D)
        store_tile(dq_ptr, strided_rows(place, queries, dq_strides, UNIT), queries[1], dq * scale, DH, D)


@triton.jit
def queries_gradient(
    q_side, k_side, masks, place, queries, frames, joints, scale, H: tl.constexpr, UNIT: tl.constexpr,
    DH: tl.constexpr, BLOCK: tl.constexpr, D: tl.constexpr,
):  # fmt: skip
    """dq / scale of a block of queries, over all keys of the frame."""
    row = contiguous_rows(place, queries, frames, joints, H)
    q, do, lse = load_queries(q_side, place, queries, row, UNIT, DH, D)
    delta = row_dots(do, load_tile(q_side[4], row * DH, queries[1], DH, D))
    dq = tl.zeros(q.shape, tl.float32)
    for begin in range(0, joints, BLOCK):
        keys = joints_from(begin, joints, BLOCK)
        mask, seen = pairs(place, queries, keys, masks)
        k, v = load_keys(k_side, place, keys, seen, UNIT, DH, D)
        p, dp = softmax_gradient(q, k, v, do, lse, mask, scale)
        ds = tl.where(mask, p * (dp - delta[:, None]), 0.0).to(q.dtype)
        dq += multiply(ds, k)
    return dq


@triton.jit
def load_queries(q_side, place, queries, row, UNIT: tl.constexpr, DH: tl.constexpr, D: tl.constexpr):
    """q, do and lse of a block of queries; q and do are 0 for a query without any key."""
    q_ptr, q_strides, do_ptr, do_strides, _, lse_ptr = q_side
    lse = tl.load(lse_ptr + row, mask=queries[1], other=float("-inf"))
    q_row, do_row = strided_rows(place, queries, q_strides, UNIT), strided_rows(place, queries, do_strides, UNIT)
    q = keep(load_tile(q_ptr, q_row, queries[1], DH, D), lse > float("-inf"))
    do = keep(load_tile(do_ptr, do_row, queries[1], DH, D), lse > float("-inf"))
    return q, do, lse


@triton.jit
def load_keys(k_side, place, keys, seen, UNIT: tl.constexpr, DH: tl.constexpr, D: tl.constexpr):
    """k and v of a block of keys, 0 for a key that no query may attend."""
    k_ptr, k_strides, v_ptr, v_strides = k_side
    k_row, v_row = strided_rows(place, keys, k_strides, UNIT), strided_rows(place, keys, v_strides, UNIT)
    k = keep(load_tile(k_ptr, k_row, keys[1], DH, D), seen)
    v = keep(load_tile(v_ptr, v_row, keys[1], DH, D), seen)
    return k, v


@triton.jit
def softmax_gradient(q, k, v, do, lse, mask, scale):
    """p and dp [queries, keys], 0 without ``mask``."""
    level = tl.where(lse > float("-inf"), lse, 0.0)
    scores = multiply(q, tl.trans(k)) * (scale * LOG2E)
    p = tl.where(mask, tl.exp2(scores - level[:, None]), 0.0)
    dp = tl.where(mask, multiply(do, tl.trans(v)), 0.0)
    return p, dp


@triton.jit
def locate(frames, H: tl.constexpr):
    """(clip, frame, head) of a program."""
    program = tl.program_id(0)
    frame, head = program // H, program % H
    return (frame // frames).to(tl.int64), (frame % frames).to(tl.int64), head.to(tl.int64)


@triton.jit
def joints_from(begin, joints, BLOCK: tl.constexpr):
    """BLOCK joints from ``begin`` on: their indices, and whether they exist."""
    joint = begin + tl.arange(0, BLOCK)
    return joint.to(tl.int64), joint < joints


@triton.jit
def pairs(place, queries, keys, masks):
    """Bool [queries, keys], whether a query may attend a key; and bool [keys], whether any query may."""
    graph_ptr, graph_strides, visible_ptr, visible_strides = masks
    clip, frame, head = place
    exist = queries[1][:, None] & keys[1][None, :]
    mask = exist
    if visible_ptr is not None:
        key = clip * visible_strides[0] + frame * visible_strides[1] + keys[0] * visible_strides[2]
        mask = mask & (tl.load(visible_ptr + key, mask=keys[1], other=0) != 0)[None, :]
    if graph_ptr is not None:
        row = clip * graph_strides[0] + head * graph_strides[1] + queries[0] * graph_strides[2]
        pair = row[:, None] + (keys[0] * graph_strides[3])[None, :]
        mask = mask & (tl.load(graph_ptr + pair, mask=exist, other=0) != 0)
    return mask, tl.max(mask.to(tl.int32), axis=0) != 0


@triton.jit
def strided_rows(place, rows, strides, UNIT: tl.constexpr):
    """The offset in memory of each row. Strides are in units of UNIT, so that the compiler knows the alignment."""
    clip, frame, head = place
    return (clip * strides[0] + frame * strides[1] + head * strides[3]) * UNIT + rows[0] * strides[2] * UNIT


@triton.jit
def contiguous_rows(place, rows, frames, joints, H: tl.constexpr):
    """The index of each row in a contiguous ``(B, T, J, H)``."""
    clip, frame, head = place
    return (clip * frames + frame) * joints * H + head + rows[0] * H


@triton.jit
def keep(rows, mask):
    """The rows, with 0 in those without ``mask``. Masked after the load, so that the load doesn't wait for the mask."""
    return tl.where(mask[:, None], rows, 0.0)
