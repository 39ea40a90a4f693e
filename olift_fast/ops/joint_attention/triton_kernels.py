"""Triton kernels of `joint_attention`.

A tile is ITEMS frames of BLOCK joints, all of a frame's or a part of them; products are batched over the frames, so
that nothing passes from one to another. Scores are kept in base 2: their exponentials are single instructions.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs

from __future__ import annotations

import triton
import triton.language as tl

VARYING = [
    "frames",
    "joints",
    "total",
    *(f"{x}_{axis}" for x in ("q", "k", "v", "grad", "dx") for axis in ("clip", "frame", "joint", "head")),
    *(f"graph_{axis}" for axis in ("clip", "head", "query", "key")),
    *(f"visible_{axis}" for axis in ("clip", "frame", "joint")),
]
LOG2E = tl.constexpr(1.4426950408889634)
LN2 = tl.constexpr(0.6931471805599453)


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
    total: tl.int32,
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
    ITEMS: tl.constexpr,
    D: tl.constexpr,
):
    """One program: BLOCK queries of one head in each of ITEMS frames, over all the keys of their frames.

    Grid (groups of ITEMS frames × H, blocks of queries): the heads of a frame, which share cache lines, run side by
    side. Reads q once, and k and v once for each block of queries; writes out and the log-sum-exp.
    """
    graph_strides = (graph_clip, graph_head, graph_query, graph_key)
    visible_strides = (visible_clip, visible_frame, visible_joint)
    head = (tl.program_id(0) % H).to(tl.int64)
    place = locate(tl.program_id(0) // H, frames, total, ITEMS)
    queries = rows_from(tl.program_id(1) * BLOCK, place, joints, BLOCK)
    q_row = strided_rows(place, queries, head, q_clip, q_frame, q_joint, q_head, UNIT)
    q = load_rows(q_ptr, q_row, queries[1], DH, D)

    best = tl.full([ITEMS, BLOCK], float("-inf"), tl.float32)
    sums = tl.zeros([ITEMS, BLOCK], tl.float32)
    mixed = tl.zeros([ITEMS, BLOCK, D], tl.float32)
    for begin in range(0, joints, BLOCK):
        keys = rows_from(begin, place, joints, BLOCK)
        seen = pairs(place, queries, keys, head, graph_ptr, graph_strides, visible_ptr, visible_strides)
        read = tl.max(seen.to(tl.int32), axis=1) != 0
        k_row = strided_rows(place, keys, head, k_clip, k_frame, k_joint, k_head, UNIT)
        v_row = strided_rows(place, keys, head, v_clip, v_frame, v_joint, v_head, UNIT)
        k = keep(load_rows(k_ptr, k_row, keys[1], DH, D), read)
        v = keep(load_rows(v_ptr, v_row, keys[1], DH, D), read)

        scores = multiply(q, transpose(k)) * (scale * LOG2E)
        scores = tl.where(seen, scores, float("-inf"))
        most = tl.maximum(best, tl.max(scores, axis=2))
        level = tl.where(most == float("-inf"), 0.0, most)
        weights = tl.exp2(scores - level[:, :, None])
        fade = tl.exp2(best - level)
        sums = sums * fade + tl.sum(weights, axis=2)
        mixed = mixed * fade[:, :, None] + multiply(weights.to(v.dtype), v)
        best = most

    empty = sums == 0.0
    sums = tl.where(empty, 1.0, sums)
    out = tl.where(empty[:, :, None], 0.0, mixed / sums[:, :, None])
    row = dense_rows(place, queries, head, frames, joints, H)
    store_rows(out_ptr, row * DH, queries[1], out, DH, D)
    tl.store(lse_ptr + row, (best + tl.log2(sums)) * LN2, mask=queries[1])


@triton.jit(do_not_specialize=VARYING)
def backward_kernel(
    grad_ptr,
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
    total: tl.int32,
    grad_clip: tl.int64,
    grad_frame: tl.int64,
    grad_joint: tl.int64,
    grad_head: tl.int64,
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
    dx_clip: tl.int64,
    dx_frame: tl.int64,
    dx_joint: tl.int64,
    dx_head: tl.int64,
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
    ITEMS: tl.constexpr,
    D: tl.constexpr,
    WHOLE: tl.constexpr,
):
    """One program: the gradients of one head in ITEMS frames, each gathered from the rows that it depends on.

    Grid (groups of ITEMS frames × H,). WHOLE: a tile holds all joints, every input is read once. Otherwise a frame's
    pairs of blocks are gone through twice, along the queries for grad_k and grad_v, along the keys for grad_q, with
    ``delta = grad · out`` in place of the sum over all keys.
    """
    graph_strides = (graph_clip, graph_head, graph_query, graph_key)
    visible_strides = (visible_clip, visible_frame, visible_joint)
    head = (tl.program_id(0) % H).to(tl.int64)
    place = locate(tl.program_id(0) // H, frames, total, ITEMS)
    for begin in range(0, joints, BLOCK):
        keys = rows_from(begin, place, joints, BLOCK)
        k_row = strided_rows(place, keys, head, k_clip, k_frame, k_joint, k_head, UNIT)
        v_row = strided_rows(place, keys, head, v_clip, v_frame, v_joint, v_head, UNIT)
        dx_row = strided_rows(place, keys, head, dx_clip, dx_frame, dx_joint, dx_head, UNIT)
        dk = tl.zeros([ITEMS, BLOCK, D], tl.float32)
        dv = tl.zeros([ITEMS, BLOCK, D], tl.float32)
        read = tl.zeros([ITEMS, BLOCK], tl.int32) != 0
        for start in range(0, BLOCK if WHOLE else joints, BLOCK):
            queries = rows_from(start, place, joints, BLOCK)
            seen = pairs(place, queries, keys, head, graph_ptr, graph_strides, visible_ptr, visible_strides)
            touched = tl.max(seen.to(tl.int32), axis=1) != 0
            read = read | touched
            row = dense_rows(place, queries, head, frames, joints, H)
            lse = tl.load(lse_ptr + row, mask=queries[1], other=float("-inf"))
            asked = lse > float("-inf")
            q_row = strided_rows(place, queries, head, q_clip, q_frame, q_joint, q_head, UNIT)
            grad_row = strided_rows(place, queries, head, grad_clip, grad_frame, grad_joint, grad_head, UNIT)
            q = keep(load_rows(q_ptr, q_row, queries[1], DH, D), asked)
            k = keep(load_rows(k_ptr, k_row, keys[1], DH, D), touched)
            v = keep(load_rows(v_ptr, v_row, keys[1], DH, D), touched)
            grad = keep(load_rows(grad_ptr, grad_row, queries[1], DH, D), asked)
            weights, pull = weigh(q, k, v, grad, lse, seen, scale)
            if WHOLE:
                delta = tl.sum(weights * pull, axis=2)
            else:
                delta = dots(grad, load_rows(out_ptr, row * DH, queries[1], DH, D))
            slopes = tl.where(seen, weights * (pull - delta[:, :, None]), 0.0).to(q.dtype)
            dk += multiply(transpose(slopes), q)
            dv += multiply(transpose(weights.to(grad.dtype)), grad)
            if WHOLE:
                store_rows(dq_ptr, dx_row, queries[1], multiply(slopes, k) * scale, DH, D)
        # A key that is not read gets 0, even where the gradient from above is NaN.
        dk = tl.where(read[:, :, None], dk * scale, 0.0)
        dv = tl.where(read[:, :, None], dv, 0.0)
        store_rows(dk_ptr, dx_row, keys[1], dk, DH, D)
        store_rows(dv_ptr, dx_row, keys[1], dv, DH, D)

    if not WHOLE:
        for start in range(0, joints, BLOCK):
            queries = rows_from(start, place, joints, BLOCK)
            row = dense_rows(place, queries, head, frames, joints, H)
            lse = tl.load(lse_ptr + row, mask=queries[1], other=float("-inf"))
            asked = lse > float("-inf")
            q_row = strided_rows(place, queries, head, q_clip, q_frame, q_joint, q_head, UNIT)
            grad_row = strided_rows(place, queries, head, grad_clip, grad_frame, grad_joint, grad_head, UNIT)
            q = keep(load_rows(q_ptr, q_row, queries[1], DH, D), asked)
            grad = keep(load_rows(grad_ptr, grad_row, queries[1], DH, D), asked)
            delta = dots(grad, load_rows(out_ptr, row * DH, queries[1], DH, D))
            dq = tl.zeros([ITEMS, BLOCK, D], tl.float32)
            for begin in range(0, joints, BLOCK):
                keys = rows_from(begin, place, joints, BLOCK)
                seen = pairs(place, queries, keys, head, graph_ptr, graph_strides, visible_ptr, visible_strides)
                touched = tl.max(seen.to(tl.int32), axis=1) != 0
                k_row = strided_rows(place, keys, head, k_clip, k_frame, k_joint, k_head, UNIT)
                v_row = strided_rows(place, keys, head, v_clip, v_frame, v_joint, v_head, UNIT)
                k = keep(load_rows(k_ptr, k_row, keys[1], DH, D), touched)
                v = keep(load_rows(v_ptr, v_row, keys[1], DH, D), touched)
                weights, pull = weigh(q, k, v, grad, lse, seen, scale)
                slopes = tl.where(seen, weights * (pull - delta[:, :, None]), 0.0).to(q.dtype)
                dq += multiply(slopes, k)
            dx_row = strided_rows(place, queries, head, dx_clip, dx_frame, dx_joint, dx_head, UNIT)
            store_rows(dq_ptr, dx_row, queries[1], dq * scale, DH, D)


@triton.jit
def weigh(q, k, v, grad, lse, seen, scale):
    """The weight of each pair, and what a change of it brings; 0 where a query does not see a key."""
    level = tl.where(lse > float("-inf"), lse * LOG2E, 0.0)
    scores = multiply(q, transpose(k)) * (scale * LOG2E)
    weights = tl.where(seen, tl.exp2(scores - level[:, :, None]), 0.0)
    pull = tl.where(seen, multiply(grad, transpose(v)), 0.0)
    return weights, pull


@triton.jit
def dots(a, b):
    """The dot product of each row of a and b."""
    return tl.sum(a.to(tl.float32) * b.to(tl.float32), axis=2)


@triton.jit
def multiply(a, b):
    """The matrix product of each frame's a and b, in float32; float32 factors are not rounded.

    Batched products give each warp frames of its own; the product of a single frame is shared by all the warps.
    """
    ITEMS: tl.constexpr = a.shape[0]
    if ITEMS > 1:
        return tl.dot(a, b, input_precision="ieee")
    else:
        product = tl.dot(tl.reshape(a, a.shape[1:]), tl.reshape(b, b.shape[1:]), input_precision="ieee")
        return tl.reshape(product, [1, a.shape[1], b.shape[2]])


@triton.jit
def transpose(x):
    """Rows and columns of each frame exchanged."""
    return tl.permute(x, (0, 2, 1))


@triton.jit
def locate(group, frames, total, ITEMS: tl.constexpr):
    """(clip, frame, exists) of the frames of a group."""
    frame = group * ITEMS + tl.arange(0, ITEMS)
    return (frame // frames).to(tl.int64), (frame % frames).to(tl.int64), frame < total


@triton.jit
def rows_from(begin, place, joints, BLOCK: tl.constexpr):
    """(joint, exists in each frame) of BLOCK joints from `begin` on."""
    joint = begin + tl.arange(0, BLOCK)
    return joint.to(tl.int64), place[2][:, None] & (joint < joints)[None, :]


@triton.jit
def pairs(place, queries, keys, head, graph_ptr, graph_strides, visible_ptr, visible_strides):
    """bool (frames, queries, keys): whether each query sees each key."""
    exist = queries[1][:, :, None] & keys[1][:, None, :]
    seen = exist
    if visible_ptr is not None:
        clip, frame, joint = visible_strides
        key = (place[0] * clip + place[1] * frame)[:, None] + (keys[0] * joint)[None, :]
        seen = seen & (tl.load(visible_ptr + key, mask=keys[1], other=0) != 0)[:, None, :]
    if graph_ptr is not None:
        clip, of_head, query, key = graph_strides
        row = (place[0] * clip + head * of_head)[:, None] + (queries[0] * query)[None, :]
        pair = row[:, :, None] + (keys[0] * key)[None, None, :]
        seen = seen & (tl.load(graph_ptr + pair, mask=exist, other=0) != 0)
    return seen


@triton.jit
def strided_rows(place, rows, head, clip, frame, joint, of_head, UNIT: tl.constexpr):
    """Where each row starts, with strides in units, so that their alignment is known when this is compiled."""
    start = place[0] * clip + place[1] * frame + head * of_head
    return (start * UNIT)[:, None] + (rows[0] * joint * UNIT)[None, :]


@triton.jit
def dense_rows(place, rows, head, frames, joints, H: tl.constexpr):
    """The index of each row in a contiguous ``(B, T, J, H)``."""
    return ((place[0] * frames + place[1]) * joints * H + head)[:, None] + (rows[0] * H)[None, :]


@triton.jit
def load_rows(ptr, row, mask, DH: tl.constexpr, D: tl.constexpr):
    """The rows that exist, 0 from DH on."""
    column = tl.arange(0, D)
    known = mask[:, :, None] & (column < DH)[None, None, :]
    return tl.load(ptr + row[:, :, None] + column[None, None, :], mask=known, other=0.0)


@triton.jit
def keep(rows, mask):
    """The rows with 0 where they are masked; after the load, which then waits for no mask."""
    return tl.where(mask[:, :, None], rows, 0.0)


@triton.jit
def store_rows(ptr, row, mask, values, DH: tl.constexpr, D: tl.constexpr):
    """Writes the rows that are not masked, in the type of the memory."""
    column = tl.arange(0, D)
    known = mask[:, :, None] & (column < DH)[None, None, :]
    tl.store(ptr + row[:, :, None] + column[None, None, :], values.to(ptr.dtype.element_ty), mask=known)
