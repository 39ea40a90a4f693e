"""Triton kernels of `joint_attention` for skeletons of up to 32 joints: one tile has all joints of a frame.

The keys that a query may attend are a word of 32 bits, bit j for joint j. A program packs the graph into words once,
for all its frames. In half precision one warp has enough registers for a tile.

Names are those of `triton_kernels`.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs

from __future__ import annotations

import triton
import triton.language as tl

from olift_fast.ops.joint_attention.triton_tiles import load_tile, multiply, store_some
from olift_fast.ops.triton_math import hardware_log2
from olift_fast.ops.triton_rows import LOG2E

VARYING = [
    "frames",
    "joints",
    "each",
    "groups",
    *(f"{x}_{axis}" for x in ("q", "k", "v", "do", "dq") for axis in ("clip", "frame", "joint", "head")),
    *(f"graph_{axis}" for axis in ("clip", "head", "query", "key")),
    *(f"visible_{axis}" for axis in ("clip", "frame", "joint")),
]


@triton.jit(do_not_specialize=VARYING)
def whole_forward_kernel(
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
    each: tl.int32,
    groups: tl.int32,
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
    """One program: one head in ``each`` frames of a clip, one after the other.

    Grid (clips × groups of frames × H,). The heads of a frame, which share cache lines, run side by side. A program
    reads q, k and v once, and writes out and the log-sum-exp to base 2. The words of the graph stay in registers.
    """
    clip, head, first, count = locate(frames, each, groups, H)
    joint = tl.arange(0, BLOCK)
    bit, exists = 1 << joint, joint < joints
    row = tl.minimum(joint, joints - 1)  # What repeats the last joint is read, and masked.
    words = pack(graph_ptr, clip * graph_clip + head * graph_head, graph_query, graph_key, row, joints)
    read = tl.reduce(words, 0, either)
    q_row = row * q_joint.to(tl.int32) * UNIT
    k_row = row * k_joint.to(tl.int32) * UNIT
    v_row = row * v_joint.to(tl.int32) * UNIT
    out_row = row * H
    visible_row = row * visible_joint.to(tl.int32)
    for step in range(0, count):
        frame = (first + step).to(tl.int64)
        seen = load_visible(visible_ptr, clip * visible_clip + frame * visible_frame, visible_row, bit)
        # q and k need no mask: a hidden joint affects only rows and columns of the scores that are masked.
        q = load_tile(q_ptr + (clip * q_clip + frame * q_frame + head * q_head) * UNIT, q_row, None, DH, D)
        k = load_tile(k_ptr + (clip * k_clip + frame * k_frame + head * k_head) * UNIT, k_row, None, DH, D)
        v_at = v_ptr + (clip * v_clip + frame * v_frame + head * v_head) * UNIT
        v = load_tile(v_at, v_row, (read & seen & bit) != 0, DH, D)

        mask = (words[:, None] & bit[None, :] & seen) != 0
        scores = tl.where(mask, multiply(q, tl.trans(k)), float("-inf"))
        m_i = tl.max(scores, axis=1)
        empty = m_i == float("-inf")
        level = tl.where(empty, 0.0, m_i * (scale * LOG2E))
        p = tl.exp2(scores * (scale * LOG2E) - level[:, None])
        l_i = tl.where(empty, 1.0, tl.sum(p, axis=1))
        out = multiply(p.to(v.dtype), v) * (1.0 / l_i)[:, None]

        start = (clip * frames + frame) * joints * H + head
        store_some(out_ptr + start * DH, out_row * DH, exists, (words & seen) != 0, out, DH, D)
        lse = tl.where(empty, float("-inf"), level + hardware_log2(l_i))
        tl.store(lse_ptr + start + out_row, lse, mask=exists)


@triton.jit(do_not_specialize=VARYING)
def whole_backward_kernel(
    do_ptr,
    q_ptr,
    k_ptr,
    v_ptr,
    lse_ptr,
    graph_ptr,
    visible_ptr,
    dq_ptr,
    dk_ptr,
    dv_ptr,
    scale,
    frames: tl.int32,
    joints: tl.int32,
    each: tl.int32,
    groups: tl.int32,
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
    """One program: the gradients of one head in ``each`` frames of a clip, one after the other.

    Grid and options are those of `whole_forward_kernel`. A program reads q, k, v, do and lse once, and writes dq, dk
    and dv. Queries without a key and keys without a query are not read, and their gradients are 0.
    """
    clip, head, first, count = locate(frames, each, groups, H)
    joint = tl.arange(0, BLOCK)
    bit, exists = 1 << joint, joint < joints
    row = tl.minimum(joint, joints - 1)  # What repeats the last joint is read, and masked.
    words = pack(graph_ptr, clip * graph_clip + head * graph_head, graph_query, graph_key, row, joints)
    read = tl.reduce(words, 0, either)
    do_row = row * do_joint.to(tl.int32) * UNIT
    q_row = row * q_joint.to(tl.int32) * UNIT
    k_row = row * k_joint.to(tl.int32) * UNIT
    v_row = row * v_joint.to(tl.int32) * UNIT
    dq_row = row * dq_joint.to(tl.int32) * UNIT
    lse_row = row * H
    visible_row = row * visible_joint.to(tl.int32)
    for step in range(0, count):
        frame = (first + step).to(tl.int64)
        seen = load_visible(visible_ptr, clip * visible_clip + frame * visible_frame, visible_row, bit)
        asking, asked = (words & seen) != 0, (read & seen & bit) != 0
        q = load_tile(q_ptr + (clip * q_clip + frame * q_frame + head * q_head) * UNIT, q_row, asking, DH, D)
        k = load_tile(k_ptr + (clip * k_clip + frame * k_frame + head * k_head) * UNIT, k_row, asked, DH, D)
        v = load_tile(v_ptr + (clip * v_clip + frame * v_frame + head * v_head) * UNIT, v_row, asked, DH, D)
        do = load_tile(do_ptr + (clip * do_clip + frame * do_frame + head * do_head) * UNIT, do_row, asking, DH, D)
        start = (clip * frames + frame) * joints * H + head
        lse = tl.load(lse_ptr + start + lse_row, mask=asking, other=0.0)

        mask = (words[:, None] & bit[None, :] & seen) != 0
        scores = multiply(q, tl.trans(k)) * (scale * LOG2E)
        p = tl.where(mask, tl.exp2(scores - lse[:, None]), 0.0)
        dp = multiply(do, tl.trans(v))
        delta = tl.sum(p * dp, axis=1)
        # dq and dk need the factor scale. ds has fewer elements, so it gets the factor; but not in float16, whose range
        # of exponents is too small for that.
        of_ds = 1.0 if q.dtype == tl.float16 else scale
        ds = (p * (dp * of_ds - (delta * of_ds)[:, None])).to(q.dtype)
        dv = multiply(tl.trans(p.to(do.dtype)), do)
        dk = multiply(tl.trans(ds), q)
        dq = multiply(ds, k)
        if q.dtype == tl.float16:
            dk *= scale
            dq *= scale

        at = (clip * dq_clip + frame * dq_frame + head * dq_head) * UNIT
        store_some(dq_ptr + at, dq_row, exists, asking, dq, DH, D)
        store_some(dk_ptr + at, dq_row, exists, asked, dk, DH, D)
        store_some(dv_ptr + at, dq_row, exists, asked, dv, DH, D)


@triton.jit
def locate(frames, each, groups, H: tl.constexpr):
    """(clip, head, first frame, number of frames) of a program."""
    program = tl.program_id(0)
    group = program // H
    first = group % groups * each
    return (group // groups).to(tl.int64), (program % H).to(tl.int64), first, tl.minimum(each, frames - first)


@triton.jit
def pack(graph_ptr, start, of_query, of_key, row, joints):
    """The word of each query: a bit for each joint that it may attend by the graph. 0 for queries that don't exist."""
    joint = tl.arange(0, row.shape[0])
    word = tl.where(joint < joints, (2 << (joints - 1)) - 1, 0)  # 2 << 31 is 0.
    if graph_ptr is not None:
        pair = (row * of_query.to(tl.int32))[:, None] + (row * of_key.to(tl.int32))[None, :]
        word &= tl.sum(tl.where(tl.load(graph_ptr + start + pair) != 0, 1 << joint[None, :], 0), axis=1)
    return word


@triton.jit
def load_visible(visible_ptr, start, visible_row, bit):
    """The word with the bits of the visible joints; all bits without a mask."""
    if visible_ptr is not None:
        return tl.sum(tl.where(tl.load(visible_ptr + start + visible_row) != 0, bit, 0), axis=0)
    else:
        return -1


@triton.jit
def either(a, b):
    """The bits of both."""
    return a | b
