"""The Triton backend of `banded_attention`: one launch for the forward, one for the backward, without copies."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from olift_fast.ops.banded_attention.registration import register
from olift_fast.ops.triton_runtime import ceil_div, launch, mask_strides, power_of_two, stride_unit, strides_in

BLOCK = 16
PROGRAMS = 2048
"""Programs of the backward that walks along time: more than an H100 runs at once."""
FARTHEST = 1 << 26
"""Elements from frame to frame, at most: BLOCK times as many still fit in 31 bits."""
SPAN_WARPS = {2: {16: 1, 32: 1, 64: 4, 128: 4}, 4: {16: 4, 32: 4, 64: 8}}
"""Warps of a program that walks along time, by bytes of an element and width: the fewest with enough registers."""


def _forward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    left: int,
    right: int,
    bias: Tensor | None,
    visible: Tensor | None,
    lengths: Tensor | None,
    scale: float,
    out: Tensor,
    lse: Tensor,
) -> None:
    from olift_fast.ops.banded_attention.triton_kernels import forward_kernel

    unit = stride_unit(q, k, v)
    programs, sizes, options = _configuration(q, left, right, backward=False)
    launch(
        forward_kernel,
        (programs,),
        *(q, k, v, out, lse, bias, visible, lengths, scale, *sizes),
        *strides_in(unit, q, k, v),
        *mask_strides(visible, 3),
        UNIT=unit,
        ALIKE=q.stride() == k.stride() == v.stride(),
        **options,
    )


def _backward(
    grad: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    lse: Tensor,
    left: int,
    right: int,
    bias: Tensor | None,
    visible: Tensor | None,
    lengths: Tensor | None,
    scale: float,
    dq: Tensor,
    dk: Tensor,
    dv: Tensor,
    dbias: Tensor | None,
) -> None:
    unit = stride_unit(q, k, v, grad, dq)
    H = q.shape[3]
    # In float32 the gradients of wide heads, which a program keeps along a span, would not fit in registers.
    wide = left + right > BLOCK or (q.element_size() == 4 and q.shape[4] > 64)
    programs, sizes, options = (
        _configuration(q, left, right, backward=True) if wide else span_configuration(q, left, right)
    )
    partial = None if dbias is None else dbias.new_empty(programs // H, *dbias.shape)
    written = (dq, dk, dv, partial, scale, *sizes, *strides_in(unit, q, k, v, grad, dq), *mask_strides(visible, 3))
    alike = q.stride() == k.stride() == v.stride() == dq.stride() and grad.stride() == out.stride()
    read = (lse, bias, visible, lengths)
    if wide:
        from olift_fast.ops.banded_attention.triton_kernels_wide_backward import wide_backward_kernel

        options["OFFSETS"] = max(options["TILE"], power_of_two(left + right + 1))
        launch(
            wide_backward_kernel, (programs,), grad, q, k, v, out, *read, *written, UNIT=unit, ALIKE=alike, **options
        )
    else:
        from olift_fast.ops.banded_attention.triton_kernels_backward import backward_kernel

        options["LONG"] = max(abs(x.stride(1)) for x in (q, k, v, grad, dq)) >= FARTHEST
        launch(backward_kernel, (programs,), grad, q, k, v, *read, *written, UNIT=unit, ALIKE=alike, **options)
    if dbias is not None and partial is not None:
        torch.sum(partial, dim=0, out=dbias)


def span_configuration(q: Tensor, left: int, right: int) -> tuple[int, tuple[int, int, int], dict[str, Any]]:
    """As `_configuration`, for the backward that walks along time; the last size is the number of blocks of a span.

    Every span starts one block early, so long spans read and compute less. They have up to 8 blocks, but fewer if there
    would be too few programs for all multiprocessors. Programs of one warp get as many registers as allow 9 of them on
    a multiprocessor.
    """
    B, T, J, H, Dh = q.shape
    width = max(16, power_of_two(Dh))
    blocks = ceil_div(T, BLOCK)
    span = min(max(blocks * B * J * H // PROGRAMS, 3), 8)
    options = {
        "H": H,
        "DH": Dh,
        "BACK": left,
        "REACH": left + right,
        "BLOCK": BLOCK,
        "D": width,
        "num_warps": SPAN_WARPS[q.element_size()][width],
        "num_stages": 1,
    }
    if options["num_warps"] == 1:
        options["maxnreg"] = 216
    return B * ceil_div(blocks, span) * J * H, (T, J, span), options


def _configuration(q: Tensor, left: int, right: int, backward: bool) -> tuple[int, tuple[int, int], dict[str, Any]]:
    """The number of programs, the sizes that vary, and the constants that the kernel is compiled for."""
    B, T, J, H, Dh = q.shape
    width = max(16, power_of_two(Dh))
    joints, warps = _team(width, q.element_size(), backward)
    # In float32 the gradients of wide heads with twice as many keys in a tile would not fit in registers.
    narrow = left + right == 0 or (backward and q.element_size() == 4 and width > 64)
    tile = BLOCK if narrow else 2 * BLOCK
    if joints > J:
        joints, warps = power_of_two(J), warps * power_of_two(J) // joints
    options = {
        "H": H,
        "DH": Dh,
        "BACK": left,
        "REACH": left + right,
        "BLOCK": BLOCK,
        "TILE": tile,
        "TILES": ceil_div(BLOCK + left + right, tile),
        "ITEMS": joints,
        "D": width,
        "num_warps": warps,
        "num_stages": 1,
    }
    return B * ceil_div(T, BLOCK) * ceil_div(J, joints) * H, (T, J), options


def _team(width: int, bytes_per_element: int, backward: bool) -> tuple[int, int]:
    """Joints and warps of a program.

    Each joint gets one warp if the operands fit in the warp's registers; the backward has more operands. For products
    of float32 on the ordinary cores each thread holds rows of both operands. So several warps share a joint there, in
    the backward and for wide heads.
    """
    if bytes_per_element == 2:
        return (4, 4) if width <= 64 else (1, 8) if backward else (2, 2)
    if width == 16 or (width == 32 and not backward):
        return 4, 4
    if width == 32:
        return 2, 8
    return 1, 8


triton_attention = register("banded_attention_triton", _forward, _backward, None)
