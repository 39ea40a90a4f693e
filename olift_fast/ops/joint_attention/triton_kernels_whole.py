"""Triton kernels of `joint_attention` for skeletons of up to 32 joints: a tile holds all joints of its frames.

The rows of a tile are the joints of one frame after the other, as many frames as fit. What a query may see is one word
of 32 bits, bit c for row c of the same tile: the graph is packed once a program, and serves all its frames. In half
precision one warp holds a tile; nothing passes from one to another.

Names are those of `triton_kernels`. ``place`` is what `locate` gives, ``rows`` what `rows_of_tile` gives.
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
    "at_once",
    "tiles",
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
    at_once: tl.int32,
    tiles: tl.int32,
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
    SEVERAL: tl.constexpr,
    D: tl.constexpr,
):
    """One program: ``tiles`` tiles of ``at_once`` frames of one head, one after the other.

    Grid (clips × groups of tiles × H,): the heads of a frame, which share cache lines, run side by side. Reads q, k and
    v once; writes out and the log-sum-exp to base 2. SEVERAL: a tile may hold several frames.
    """
    clip, head, first, last = locate(frames, at_once, tiles, groups, H)
    rows = rows_of_tile(joints, at_once, BLOCK, SEVERAL)
    bit = 1 << rows[0]
    words = pack(graph_ptr, clip * graph_clip + head * graph_head, graph_query, graph_key, rows, joints)
    read = tl.reduce(words, 0, either)
    q_row = offsets(rows, q_frame, q_joint, UNIT)
    k_row = offsets(rows, k_frame, k_joint, UNIT)
    v_row = offsets(rows, v_frame, v_joint, UNIT)
    out_row = (rows[1] * joints + rows[2]) * H
    visible_row = offsets(rows, visible_frame, visible_joint, 1)
    for tile in range(first, last):
        frame, own = frames_of_tile(tile, at_once, frames, rows, SEVERAL)
        seen = load_visible(visible_ptr, clip * visible_clip + frame * visible_frame, visible_row, bit)
        # What is hidden in q and k stays in rows and columns that are masked.
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
        store_some(out_ptr + start * DH, out_row * DH, own, (words & seen) != 0, out, DH, D)
        lse = tl.where(empty, float("-inf"), level + hardware_log2(l_i))
        tl.store(lse_ptr + start + out_row, lse, mask=own)


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
    at_once: tl.int32,
    tiles: tl.int32,
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
    SEVERAL: tl.constexpr,
    D: tl.constexpr,
):
    """One program: the gradients of ``tiles`` tiles of ``at_once`` frames of one head, one after the other.

    Grid and options are those of `whole_forward_kernel`. Reads q, k, v, do and lse once; writes dq, dk and dv. Rows
    that no key or no query reaches are never read, and get 0.
    """
    clip, head, first, last = locate(frames, at_once, tiles, groups, H)
    rows = rows_of_tile(joints, at_once, BLOCK, SEVERAL)
    bit = 1 << rows[0]
    words = pack(graph_ptr, clip * graph_clip + head * graph_head, graph_query, graph_key, rows, joints)
    read = tl.reduce(words, 0, either)
    do_row = offsets(rows, do_frame, do_joint, UNIT)
    q_row = offsets(rows, q_frame, q_joint, UNIT)
    k_row = offsets(rows, k_frame, k_joint, UNIT)
    v_row = offsets(rows, v_frame, v_joint, UNIT)
    dq_row = offsets(rows, dq_frame, dq_joint, UNIT)
    lse_row = (rows[1] * joints + rows[2]) * H
    visible_row = offsets(rows, visible_frame, visible_joint, 1)
    for tile in range(first, last):
        frame, own = frames_of_tile(tile, at_once, frames, rows, SEVERAL)
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
        # The scale belongs to dq and dk. float16 has too few exponents to take it into ds, which has fewer elements.
        of_ds = 1.0 if q.dtype == tl.float16 else scale
        ds = (p * (dp * of_ds - (delta * of_ds)[:, None])).to(q.dtype)
        dv = multiply(tl.trans(p.to(do.dtype)), do)
        dk = multiply(tl.trans(ds), q)
        dq = multiply(ds, k)
        if q.dtype == tl.float16:
            dk *= scale
            dq *= scale

        at = (clip * dq_clip + frame * dq_frame + head * dq_head) * UNIT
        store_some(dq_ptr + at, dq_row, own, asking, dq, DH, D)
        store_some(dk_ptr + at, dq_row, own, asked, dk, DH, D)
        store_some(dv_ptr + at, dq_row, own, asked, dv, DH, D)


@triton.jit
def locate(frames, at_once, tiles, groups, H: tl.constexpr):
    """(clip, head, first tile, tile after the last) of a program."""
    program = tl.program_id(0)
    group = program // H
    first = group % groups * tiles
    last = tl.minimum(first + tiles, tl.cdiv(frames, at_once))
    return (group // groups).to(tl.int64), (program % H).to(tl.int64), first, last


@triton.jit
def frames_of_tile(tile, at_once, frames, rows, SEVERAL: tl.constexpr):
    """(first frame of a tile, the rows that it writes).

    The last tile begins so early that it is full, and leaves the frames to the tile before it that are that one's.
    """
    first = tl.minimum(tile * at_once, frames - at_once)
    own = rows[3]
    if SEVERAL:
        own &= rows[1] >= tile * at_once - first
    return first.to(tl.int64), own


@triton.jit
def rows_of_tile(joints, at_once, BLOCK: tl.constexpr, SEVERAL: tl.constexpr):
    """(row, its frame in the tile, its joint, whether it exists); the others repeat the last, to be read in bounds."""
    row = tl.arange(0, BLOCK)
    used = joints * at_once if SEVERAL else joints
    held = tl.minimum(row, used - 1)
    frame = held // joints if SEVERAL else tl.zeros([BLOCK], tl.int32)
    return row, frame, held - frame * joints, row < used


@triton.jit
def offsets(rows, of_frame, of_joint, UNIT: tl.constexpr):
    """How far each row lies from the first; the launch makes sure that 32 bits hold it."""
    return (rows[1] * of_frame.to(tl.int32) + rows[2] * of_joint.to(tl.int32)) * UNIT


@triton.jit
def pack(graph_ptr, start, of_query, of_key, rows, joints):
    """The word of each row: a bit for each row of its frame that its graph lets it see."""
    row, frame, joint, exists = rows
    # 2 << 31 is 0.
    word = tl.where(exists, ((2 << (joints - 1)) - 1) << (frame * joints), 0)
    if graph_ptr is not None:
        pair = start + (joint * of_query)[:, None] + (joint * of_key)[None, :]
        word &= tl.sum(tl.where(tl.load(graph_ptr + pair) != 0, 1 << row[None, :], 0), axis=1)
    return word


@triton.jit
def load_visible(visible_ptr, start, visible_row, bit):
    """The bits of the rows that are visible."""
    if visible_ptr is not None:
        return tl.sum(tl.where(tl.load(visible_ptr + start + visible_row) != 0, bit, 0), axis=0)
    else:
        return -1


@triton.jit
def either(a, b):
    """The bits of both."""
    return a | b
