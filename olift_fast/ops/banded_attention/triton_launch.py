"""The Triton backend of `banded_attention`: forward and backward in one launch each, on tensors where they lie."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from olift_fast.ops.banded_attention.registration import register
from olift_fast.ops.triton_runtime import ceil_div, launch, mask_strides, power_of_two, stride_unit, strides_in

BLOCK = 16


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
    from olift_fast.ops.banded_attention.triton_kernels_backward import backward_kernel

    unit = stride_unit(q, k, v, grad, dq)
    programs, sizes, options = _configuration(q, left, right, backward=True)
    partial = None if dbias is None else dbias.new_empty(programs // q.shape[3], *dbias.shape)
    launch(
        backward_kernel,
        (programs,),
        *(grad, q, k, v, out, lse, bias, visible, lengths, dq, dk, dv, partial, scale, *sizes),
        *strides_in(unit, q, k, v, grad, dq),
        *mask_strides(visible, 3),
        UNIT=unit,
        ALIKE=q.stride() == k.stride() == v.stride() == dq.stride() and grad.stride() == out.stride(),
        OFFSETS=max(options["TILE"], power_of_two(left + right + 1)),
        **options,
    )
    if dbias is not None and partial is not None:
        torch.sum(partial, dim=0, out=dbias)


def _configuration(q: Tensor, left: int, right: int, backward: bool) -> tuple[int, tuple[int, int], dict[str, Any]]:
    """How many programs to launch, the sizes that vary, and what the kernel is compiled for."""
    B, T, J, H, Dh = q.shape
    width = max(16, power_of_two(Dh))
    joints, warps = _team(width, q.element_size(), backward)
    # The gradients of wide heads in float32: a tile of twice as many keys would not fit in registers.
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

    Each joint gets one warp where the warp's registers hold the operands, and the backward has more of them. Products
    in float32 run on the ordinary cores, and each thread then holds rows of both operands in registers. So several
    warps share a joint of wide heads.
    """
    if bytes_per_element == 2:
        return (4, 4) if width <= 64 else (1, 8) if backward else (2, 2)
    if width == 16:
        return 4, 4
    if width == 32:
        return (2, 8) if backward else (2, 4)
    return 1, 8


triton_attention = register("banded_attention_triton", _forward, _backward, None)
