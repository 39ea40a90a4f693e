"""The Triton kernel of `banded_attention_step`.

A step is small: 26 joints of 8 heads of width 32 read 17 frames of k and v, 0.9 MB in float32. So a launch takes longer
than reading the memory. There are many small, independent programs. They use sums and not products of tiles, because
one query would leave 15/16 of a tensor core's tile empty.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import triton
import triton.language as tl

from olift_fast.ops.triton_rows import LOG2E, softmax_step

VARYING = [
    "joints",
    "q_slots",
    "slots",
    "visible_slots",
    *(f"{x}_{axis}" for x in ("q", "k", "v") for axis in ("ring", "slot", "joint", "head")),
    *(f"visible_{axis}" for axis in ("ring", "slot", "joint")),
]


@triton.jit(do_not_specialize=VARYING, do_not_specialize_on_alignment=["visible_ptr", "frames_ptr", "lengths_ptr"])
def step_kernel(
    q_ptr,
    k_ptr,
    v_ptr,
    out_ptr,
    bias_ptr,
    visible_ptr,
    frames_ptr,
    lengths_ptr,
    scale,
    joints: tl.int32,
    q_slots: tl.int32,
    slots: tl.int32,
    visible_slots: tl.int32,
    q_ring: tl.int64,
    q_slot: tl.int64,
    q_joint: tl.int64,
    q_head: tl.int64,
    k_ring: tl.int64,
    k_slot: tl.int64,
    k_joint: tl.int64,
    k_head: tl.int64,
    v_ring: tl.int64,
    v_slot: tl.int64,
    v_joint: tl.int64,
    v_head: tl.int64,
    visible_ring: tl.int64,
    visible_slot: tl.int64,
    visible_joint: tl.int64,
    H: tl.constexpr,
    DH: tl.constexpr,
    BACK: tl.constexpr,
    REACH: tl.constexpr,
    UNIT: tl.constexpr,
    TILE: tl.constexpr,
    ITEMS: tl.constexpr,
    D: tl.constexpr,
):
    """One program: the output of one frame of ITEMS joints of one head.

    Grid: heads × groups of ITEMS joints × sequences, in one dimension, heads fastest. A program reads the frame's
    number and the length of its sequence, q once, and k and v of the window once, TILE frames at a time, with a running
    maximum. It writes out, contiguous: ``(2 (left + right) + 4) Dh e`` bytes a row.
    """
    program = tl.program_id(0)
    groups = (joints + ITEMS - 1) // ITEMS
    head = program % H
    ring = (program // H // groups).to(tl.int64)
    joint = (program // H % groups) * ITEMS + tl.arange(0, ITEMS)
    real = joint < joints
    channel = tl.arange(0, D)
    inner = channel < DH
    joint_at = joint.to(tl.int64)
    head_at = head.to(tl.int64)

    frame = tl.load(frames_ptr + ring)
    length = tl.load(lengths_ptr + ring)
    asked = (frame >= 0) & (frame < length)
    q_row = ring * q_ring * UNIT + (frame % q_slots) * q_slot * UNIT + head_at * q_head * UNIT
    q_at = q_row + joint_at[:, None] * q_joint * UNIT + channel[None, :]
    q = tl.load(q_ptr + q_at, mask=(real & asked)[:, None] & inner[None, :], other=0.0).to(tl.float32)

    m_i = tl.full([ITEMS], float("-inf"), tl.float32)
    l_i = tl.zeros([ITEMS], tl.float32)
    acc = tl.zeros([ITEMS, D], tl.float32)
    for start in range(0, REACH + 1, TILE):
        offset = start + tl.arange(0, TILE)
        key = frame - BACK + offset
        held = (offset <= REACH) & (key >= 0) & (key < length) & (key >= length - slots) & asked
        seen = real[:, None] & held[None, :]
        if visible_ptr is not None:
            visible_row = ring * visible_ring + (key % visible_slots) * visible_slot
            visible_at = visible_row[None, :] + joint_at[:, None] * visible_joint
            seen = seen & (tl.load(visible_ptr + visible_at, mask=seen, other=0) != 0)
        read = seen[:, :, None] & inner[None, None, :]
        place = (key % slots)[None, :, None]
        k_row = ring * k_ring * UNIT + head_at * k_head * UNIT + place * k_slot * UNIT
        v_row = ring * v_ring * UNIT + head_at * v_head * UNIT + place * v_slot * UNIT
        k_at = k_row + joint_at[:, None, None] * k_joint * UNIT + channel[None, None, :]
        v_at = v_row + joint_at[:, None, None] * v_joint * UNIT + channel[None, None, :]
        k = tl.load(k_ptr + k_at, mask=read, other=0.0).to(tl.float32)
        v = tl.load(v_ptr + v_at, mask=read, other=0.0).to(tl.float32)

        scores = tl.sum(q[:, None, :] * k, axis=2) * (scale * LOG2E)
        if bias_ptr is not None:
            bias = tl.load(bias_ptr + head * (REACH + 1) + offset, mask=offset <= REACH, other=0.0)
            scores += (bias * LOG2E)[None, :]
        p, alpha, m_i, l_i = softmax_step(tl.where(seen, scores, float("-inf")), m_i, l_i)
        acc = acc * alpha[:, None] + tl.sum(p[:, :, None] * v, axis=1)

    l_i = tl.where(l_i == 0.0, 1.0, l_i)
    out_at = ((ring * joints + joint_at) * H + head)[:, None] * DH + channel[None, :]
    result = acc * (1.0 / l_i)[:, None]
    tl.store(out_ptr + out_at, result.to(out_ptr.dtype.element_ty), mask=real[:, None] & inner[None, :])
