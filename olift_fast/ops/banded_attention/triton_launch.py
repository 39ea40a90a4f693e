"""The Triton backend of `banded_attention`: forward and backward in one launch each, on tensors where they lie."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from olift_fast.ops.backends import refuse_triton
from olift_fast.ops.banded_attention.registration import register
from olift_fast.ops.triton_runtime import stride_unit

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
WIDEST = 128
BLOCK = 16


def refuse_triton_attention(q: Tensor) -> str | None:
    """Why the Triton backend can't run this call, or None when it can."""
    if q.shape[-1] > WIDEST:
        return f"Dh must be at most {WIDEST}, got {q.shape[-1]}"
    return refuse_triton(DTYPES, q)


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
    with _device(q):
        forward_kernel[(programs,)](
            *(q, k, v, out, lse, bias, visible, lengths, scale, *sizes),
            *_strides(unit, q, k, v),
            *_visible_strides(visible),
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
    with _device(q):
        backward_kernel[(programs,)](
            *(grad, q, k, v, out, lse, bias, visible, lengths, dq, dk, dv, partial, scale, *sizes),
            *_strides(unit, q, k, v, grad, dq),
            *_visible_strides(visible),
            UNIT=unit,
            ALIKE=q.stride() == k.stride() == v.stride() == dq.stride() and grad.stride() == out.stride(),
            OFFSETS=max(options["TILE"], _power_of_two(left + right + 1)),
            **options,
        )
    if dbias is not None and partial is not None:
        torch.sum(partial, dim=0, out=dbias)


def _configuration(q: Tensor, left: int, right: int, backward: bool) -> tuple[int, tuple[int, int], dict[str, Any]]:
    """How many programs to launch, the sizes that vary, and what the kernel is compiled for."""
    B, T, J, H, Dh = q.shape
    width = max(16, _power_of_two(Dh))
    tile = BLOCK if left + right == 0 else 2 * BLOCK
    joints, warps = _team(width, q.element_size(), backward)
    if joints > J:
        joints, warps = _power_of_two(J), warps * _power_of_two(J) // joints
    options = {
        "H": H,
        "DH": Dh,
        "BACK": left,
        "REACH": left + right,
        "BLOCK": BLOCK,
        "TILE": tile,
        "TILES": -(-(BLOCK + left + right) // tile),
        "ITEMS": joints,
        "D": width,
        "num_warps": warps,
        "num_stages": 1,
    }
    return B * -(-T // BLOCK) * -(-J // joints) * H, (T, J), options


def _team(width: int, bytes_per_element: int, backward: bool) -> tuple[int, int]:
    """Joints and warps of a program.

    A warp a joint, where its registers hold the operands. The float32 products run on the ordinary cores, each thread
    with rows of both operands in registers: there the wide ones share a joint among warps.
    """
    if bytes_per_element == 2:
        return (4, 4) if width <= 64 else (2, 2)
    if width == 16:
        return 4, 4
    if width == 32:
        return (2, 8) if backward else (2, 4)
    return 1, 8


def _strides(unit: int, *tensors: Tensor) -> list[int]:
    return [stride // unit for x in tensors for stride in x.stride()[:4]]


def _visible_strides(visible: Tensor | None) -> tuple[int, ...]:
    return (0, 0, 0) if visible is None else visible.stride()


def _power_of_two(least: int) -> int:
    return 1 << (least - 1).bit_length()


def _device(tensor: Tensor) -> AbstractContextManager[Any]:
    return torch.cuda.device(tensor.device) if tensor.is_cuda else nullcontext()


triton_attention = register("banded_attention_triton", _forward, _backward, None)
