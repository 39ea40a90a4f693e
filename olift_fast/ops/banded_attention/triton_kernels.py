"""The forward Triton kernel of `banded_attention`, and what the backward shares with it.

The work of one joint, head and block of BLOCK frames is one small problem: those frames against the span of
``BLOCK + left + right`` frames around them. At window 8 that is 16 frames against 32, one tile, whatever T is, so no
tile is mostly outside the band. A program takes ITEMS joints of one head and block. Programs follow each other as heads
do in memory, and those of neighbouring blocks, whose spans overlap, run at the same time: a row comes once from memory
and then from the L2 cache.

Products of tiles, not multiply-adds over the band: 17/32 of a tile are in the band, yet on tensor cores a row takes a
fraction of the instructions that 17 reloads, conversions and reductions of each key would, which would bound 16-bit
elements by instructions and not by memory. In float32, true float32 on the ordinary cores, both are near the memory's
time: the tile does twice the multiply-adds, and the band 17 times the loads.

A NaN in a frame that is masked is never read. One in a frame that is not may reach the other frames of its tile.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import triton
import triton.language as tl

VARYING = [
    "frames",
    "joints",
    *(f"{x}_{axis}" for x in ("q", "k", "v", "grad", "dx") for axis in ("clip", "frame", "joint", "head")),
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
    bias_ptr,
    visible_ptr,
    lengths_ptr,
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
):
    """The output and log-sum-exp of BLOCK frames of ITEMS joints of one head.

    Grid: heads × groups of ITEMS joints × blocks × clips, in one dimension, heads first. Reads q once and k and v of
    the span, writes out and lse, each contiguous: (4 Dh e + 4) bytes a row from memory, and the spans' overlap,
    ``(left + right) / BLOCK`` of k and v, from the L2 cache. Of the tiles of a wide window only those inside the
    clip are visited, with a running maximum; at window 8 there is one. ALIKE: q, k, v have the same strides.
    """
    clip, first, joint, head = locate(frames, joints, H, BLOCK, ITEMS)
    q_strides = in_units(q_clip, q_frame, q_joint, q_head, UNIT)
    k_strides = q_strides
    v_strides = q_strides
    if not ALIKE:
        k_strides = in_units(k_clip, k_frame, k_joint, k_head, UNIT)
        v_strides = in_units(v_clip, v_frame, v_joint, v_head, UNIT)
    visible_strides = (visible_clip, visible_frame, visible_joint, 0)
    lse_strides = dense_strides(frames, joints, H, 1)
    out_strides = dense_strides(frames, joints, H * DH, DH)
    length = clip_length(lengths_ptr, clip, frames)
    asked = inside(first, joint, length, joints, BLOCK)
    q_row = rows(q_strides, clip, first, joint, head, BLOCK)
    q = load_rows(q_ptr, q_row, asked, DH, D)

    best = tl.full([ITEMS, BLOCK], float("-inf"), tl.float32)
    total = tl.zeros([ITEMS, BLOCK], tl.float32)
    mixed = tl.zeros([ITEMS, BLOCK, D], tl.float32)
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
        scores = tl.where(attended, scores, float("-inf"))

        most = tl.maximum(best, tl.max(scores, axis=2))
        level = tl.where(most == float("-inf"), 0.0, most)
        weights = tl.exp2(scores - level[:, :, None])
        fade = tl.exp2(best - level)
        total = total * fade + tl.sum(weights, axis=2)
        mixed = tl.dot(weights.to(v.dtype), v, mixed * fade[:, :, None], input_precision="ieee")
        best = most

    written = inside(first, joint, frames, joints, BLOCK)
    empty = total == 0.0
    total = tl.where(empty, 1.0, total)
    out_row = rows(out_strides, clip, first, joint, head, BLOCK)
    store_rows(out_ptr, out_row, written, mixed * (1.0 / total)[:, :, None], DH, D)
    lse_row = rows(lse_strides, clip, first, joint, head, BLOCK)
    tl.store(lse_ptr + lse_row, (best + tl.log2(total)) * LN2, mask=written)


@triton.jit
def locate(frames, joints, H: tl.constexpr, BLOCK: tl.constexpr, ITEMS: tl.constexpr):
    """The program's clip, first frame, joints [ITEMS] and head."""
    program = tl.program_id(0)
    groups = (joints + ITEMS - 1) // ITEMS
    blocks = (frames + BLOCK - 1) // BLOCK
    group = program // H
    block = group // groups
    joint = (group % groups) * ITEMS + tl.arange(0, ITEMS)
    return (block // blocks).to(tl.int64), (block % blocks) * BLOCK, joint, program % H


@triton.jit
def clip_length(lengths_ptr, clip, frames):
    """How many frames of the clip are to be read."""
    length = frames
    if lengths_ptr is not None:
        length = tl.minimum(tl.load(lengths_ptr + clip), frames).to(tl.int32)
    return length


@triton.jit
def inside(first, joint, length, joints, N: tl.constexpr):
    """Whether the N frames from ``first`` of each joint are frames of the clip, [ITEMS, N]."""
    frame = first + tl.arange(0, N)[None, :]
    return (frame >= 0) & (frame < length) & (joint < joints)[:, None]


@triton.jit
def tiles_within(first, length, BACK: tl.constexpr, TILES: tl.constexpr, TILE: tl.constexpr):
    """The tiles of the span from ``first - BACK`` that hold frames of the clip: start, stop."""
    start = tl.maximum((BACK - first) // TILE, 0)
    return start, tl.minimum((length + BACK - first + TILE - 1) // TILE, TILES)


@triton.jit
def in_units(clip, frame, joint, head, UNIT: tl.constexpr):
    """Strides that were given in units of UNIT."""
    return clip * UNIT, frame * UNIT, joint * UNIT, head * UNIT


@triton.jit
def dense_strides(frames, joints, joint: tl.constexpr, head: tl.constexpr):
    """Strides of a contiguous (B, T, J, H, …) with ``joint`` elements a joint and ``head`` elements a head."""
    frame = joints.to(tl.int64) * joint
    return frame * frames, frame, joint, head


@triton.jit
def rows(strides, clip, first, joint, head, N: tl.constexpr):
    """Where the N frames from ``first`` of each joint lie, int64 [ITEMS, N]."""
    start = clip * strides[0] + first.to(tl.int64) * strides[1] + head.to(tl.int64) * strides[3]
    start += joint.to(tl.int64)[:, None] * strides[2]
    return start + tl.arange(0, N).to(tl.int64)[None, :] * strides[1]


@triton.jit
def load_rows(pointer, row, read, DH: tl.constexpr, D: tl.constexpr):
    """The channels of the rows that begin at ``row`` [ITEMS, N], [ITEMS, N, D]; 0, unread, where not ``read``."""
    channel = tl.arange(0, D)[None, None, :]
    mask = read[:, :, None]
    if D != DH:
        mask = mask & (channel < DH)
    return tl.load(pointer + (row[:, :, None] + channel), mask=mask, other=0.0)


@triton.jit
def store_rows(pointer, row, written, value, DH: tl.constexpr, D: tl.constexpr):
    """Writes ``value`` [ITEMS, N, D] to the rows that begin at ``row`` [ITEMS, N] and are ``written``."""
    channel = tl.arange(0, D)[None, None, :]
    mask = written[:, :, None]
    if D != DH:
        mask = mask & (channel < DH)
    tl.store(pointer + (row[:, :, None] + channel), value.to(pointer.dtype.element_ty), mask=mask)


@triton.jit
def tile_offsets(tile, BLOCK: tl.constexpr, TILE: tl.constexpr):
    """How far each column of a tile lies into the band of each row, [BLOCK, TILE]: within it from 0 to REACH."""
    return tile * TILE + tl.arange(0, TILE)[None, :] - tl.arange(0, BLOCK)[:, None]
