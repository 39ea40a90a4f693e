"""The forward Triton kernel of `banded_attention`, and functions that the backward shares with it.

A program computes BLOCK frames of ITEMS joints of one head. The keys of BLOCK frames are in a span of
``BLOCK + left + right`` frames around them. With a window of 8 these are 16 queries against 32 keys, which is one tile
for any T, so no tile is mostly outside of the band. Programs are in the order of heads in memory, and programs of
neighboring blocks, whose spans overlap, run at the same time. So a row is read once from memory, and then from the L2
cache.

The kernel multiplies tiles, although only 17/32 of a tile are in the band. On tensor cores this takes far fewer
instructions for a row than to load, convert and reduce 17 keys for each query. With the latter, instructions and not
memory would limit the speed in 16 bits. In float32 a product of tiles is three products of TF32 on the tensor cores,
with the error of float32 sums. For wide heads these operands would not fit in registers, so the products are true
float32 on the ordinary cores.

A NaN in a masked frame is never read. A NaN in another frame may reach all frames of its tile.

Names are those of FlashAttention's papers: m_i, l_i and acc are the running maximum, sum and output of each row, p the
softmax. ``at`` is a program's clip, joints [ITEMS] and head; ``first`` is its first frame. BACK is ``left`` and REACH
is ``left + right``. DH is the width of a head, D that of the tile, the next power of two. Strides are in units of UNIT.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import triton
import triton.language as tl

from olift_fast.ops.triton_rows import LOG2E, load_rows, softmax_step, store_rows

VARYING = [
    "frames",
    "joints",
    *(f"{x}_{axis}" for x in ("q", "k", "v", "do", "dq") for axis in ("clip", "frame", "joint", "head")),
    *(f"visible_{axis}" for axis in ("clip", "frame", "joint")),
]


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
    """One program: the output, and the log-sum-exp to base 2, of BLOCK frames of ITEMS joints of one head.

    Grid: heads × groups of ITEMS joints × blocks × clips, in one dimension, heads fastest. A program reads q once, and
    k and v of its span; it writes out and lse, both contiguous. These are (4 Dh e + 4) bytes a row from memory for
    elements of e bytes; the overlap of spans, ``(left + right) / BLOCK`` of k and v, comes from the L2 cache. The keys
    are in TILES tiles of TILE frames; only those inside the clip are visited, with a running maximum. With a window of
    8 there is one tile. ALIKE: q, k and v have the same strides.
    """
    at, first = locate(frames, joints, H, BLOCK, ITEMS)
    q_strides = in_units(q_clip, q_frame, q_joint, q_head, UNIT)
    k_strides = q_strides
    v_strides = q_strides
    if not ALIKE:
        k_strides = in_units(k_clip, k_frame, k_joint, k_head, UNIT)
        v_strides = in_units(v_clip, v_frame, v_joint, v_head, UNIT)
    visible_strides = (visible_clip, visible_frame, visible_joint, 0)
    lse_strides = contiguous_strides(frames, joints, H, 1)
    out_strides = contiguous_strides(frames, joints, H * DH, DH)
    length = clip_length(lengths_ptr, at, frames)
    q_mask = inside(at, first, length, joints, BLOCK)
    q = load_rows(q_ptr, rows(q_strides, at, first, BLOCK), q_mask, DH, D)

    m_i = tl.full([ITEMS, BLOCK], float("-inf"), tl.float32)
    l_i = tl.zeros([ITEMS, BLOCK], tl.float32)
    acc = tl.zeros([ITEMS, BLOCK, D], tl.float32)
    PRECISION: tl.constexpr = "tf32x3" if D <= 32 else "ieee"
    start, stop = 0, TILES
    if TILES > 1:
        start, stop = tiles_within(first, length, BACK, TILES, TILE)
    for tile in range(start, stop):
        begin = first + (tile * TILE - BACK)
        k_mask = keys_within(visible_ptr, visible_strides, at, begin, length, joints, TILE)
        k = load_rows(k_ptr, rows(k_strides, at, begin, TILE), k_mask, DH, D)
        v = load_rows(v_ptr, rows(v_strides, at, begin, TILE), k_mask, DH, D)
        offset, band = tile_offsets(tile, REACH, BLOCK, TILE)
        scores = score(q, k, bias_ptr, at, offset, band, scale, REACH, PRECISION)
        mask = band[None, :, :] & q_mask[:, :, None] & k_mask[:, None, :]
        p, alpha, m_i, l_i = softmax_step(tl.where(mask, scores, float("-inf")), m_i, l_i)
        acc = tl.dot(p.to(v.dtype), v, acc * alpha[:, :, None], input_precision=PRECISION)

    exists = inside(at, first, frames, joints, BLOCK)
    l_i = tl.where(l_i == 0.0, 1.0, l_i)
    store_rows(out_ptr, rows(out_strides, at, first, BLOCK), exists, acc * (1.0 / l_i)[:, :, None], DH, D)
    tl.store(lse_ptr + rows(lse_strides, at, first, BLOCK), m_i + tl.log2(l_i), mask=exists)


@triton.jit
def locate(frames, joints, H: tl.constexpr, BLOCK: tl.constexpr, ITEMS: tl.constexpr):
    """A program's ``at`` (clip, joints [ITEMS] and head), and its first frame."""
    program = tl.program_id(0)
    groups = (joints + ITEMS - 1) // ITEMS
    blocks = (frames + BLOCK - 1) // BLOCK
    group = program // H
    block = group // groups
    joint = (group % groups) * ITEMS + tl.arange(0, ITEMS)
    return ((block // blocks).to(tl.int64), joint, program % H), (block % blocks) * BLOCK


@triton.jit
def clip_length(lengths_ptr, at, frames):
    """The number of frames of the clip that are not padding."""
    length = frames
    if lengths_ptr is not None:
        length = tl.minimum(tl.load(lengths_ptr + at[0]), frames).to(tl.int32)
    return length


@triton.jit
def inside(at, first, length, joints, N: tl.constexpr):
    """Bool [ITEMS, N]: whether the N frames from ``first`` on are in the clip, and the joint exists."""
    frame = first + tl.arange(0, N)[None, :]
    return (frame >= 0) & (frame < length) & (at[1] < joints)[:, None]


@triton.jit
def keys_within(visible_ptr, visible_strides, at, first, length, joints, N: tl.constexpr):
    """Bool [ITEMS, N]: whether the N frames from ``first`` on are keys: inside the clip, and visible."""
    mask = inside(at, first, length, joints, N)
    if visible_ptr is not None:
        place = rows(visible_strides, at, first, N)
        mask = mask & (tl.load(visible_ptr + place, mask=mask, other=0) != 0)
    return mask


@triton.jit
def tiles_within(first, length, BACK: tl.constexpr, TILES: tl.constexpr, TILE: tl.constexpr):
    """Start and stop of the tiles that have frames of the clip; tile 0 begins at ``first - BACK``."""
    start = tl.maximum((BACK - first) // TILE, 0)
    return start, tl.minimum((length + BACK - first + TILE - 1) // TILE, TILES)


@triton.jit
def in_units(clip, frame, joint, head, UNIT: tl.constexpr):
    """The strides in elements, from strides in units of UNIT."""
    return clip * UNIT, frame * UNIT, joint * UNIT, head * UNIT


@triton.jit
def contiguous_strides(frames, joints, joint: tl.constexpr, head: tl.constexpr):
    """Strides of a contiguous (B, T, J, H, …) with ``joint`` elements a joint and ``head`` elements a head."""
    frame = joints.to(tl.int64) * joint
    return frame * frames, frame, joint, head


@triton.jit
def rows(strides, at, first, N: tl.constexpr):
    """The offsets in memory of N frames of each joint, from ``first`` on: int64 [ITEMS, N]."""
    clip, joint, head = at
    start = clip * strides[0] + first * strides[1] + head.to(tl.int64) * strides[3]
    start += joint.to(tl.int64)[:, None] * strides[2]
    return start + tl.arange(0, N).to(tl.int64)[None, :] * strides[1]


@triton.jit
def tile_offsets(tile, REACH: tl.constexpr, BLOCK: tl.constexpr, TILE: tl.constexpr):
    """The place of each column of a tile in the band of each row, and whether it is in the band: both [BLOCK, TILE]."""
    offset = tile * TILE + tl.arange(0, TILE)[None, :] - tl.arange(0, BLOCK)[:, None]
    return offset, (offset >= 0) & (offset <= REACH)


@triton.jit
def score(a, b, bias_ptr, at, entry, band, scale, REACH: tl.constexpr, PRECISION: tl.constexpr):
    """``scale · a·b`` of all pairs of rows of a and b, plus the bias at ``entry`` in the band; to base 2."""
    scores = tl.dot(a, tl.permute(b, (0, 2, 1)), input_precision=PRECISION) * (scale * LOG2E)
    if bias_ptr is not None:
        bias = tl.load(bias_ptr + at[2] * (REACH + 1) + entry, mask=band, other=0.0)
        scores += (bias * LOG2E)[None, :, :]
    return scores


@triton.jit
def as_tf32(x):
    """``x`` as the sum of two numbers for the tensor cores, for `product`. Half precision needs no second number.

    The first is x rounded to the 10 bits of TF32, ties away from zero. The second is the rest, at most ``2 ** -11`` of
    x, and exact. An infinity becomes NaN.
    """
    high = x
    low = x
    if x.dtype == tl.float32:
        bits = x.to(tl.int32, bitcast=True)
        high = ((bits + 0x1000) & -0x2000).to(tl.float32, bitcast=True)
        low = x - high
    return high, low


@triton.jit
def product(a, b, acc):
    """``a @ b + acc``, of two matrices in the form of `as_tf32`.

    In float32 these are three products on tensor cores. They leave out the product of both rests, and the bits of each
    rest that TF32 cuts off: at most ``1.25 * 2 ** -20`` of a term.
    """
    if a[0].dtype == tl.float32:
        acc = tl.dot(a[1], b[0], acc, input_precision="tf32")
        acc = tl.dot(a[0], b[1], acc, input_precision="tf32")
    return tl.dot(a[0], b[0], acc, input_precision="tf32")
