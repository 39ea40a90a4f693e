"""The Triton backend of `joint_attention`: forward and backward in one launch each, on tensors where they lie."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from olift_fast.ops.joint_attention.registration import register
from olift_fast.ops.triton_runtime import ceil_div, launch, mask_strides, power_of_two, stride_unit, strides_in


def _forward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    graph: Tensor | None,
    visible: Tensor | None,
    out: Tensor,
    lse: Tensor,
) -> None:
    from olift_fast.ops.joint_attention.triton_kernels import forward_kernel

    unit = stride_unit(q, k, v)
    programs, blocks, sizes, options = _configuration(q, backward=False)
    launch(
        forward_kernel,
        (programs, blocks),
        *(q, k, v, out, lse, graph, visible, q.shape[-1] ** -0.5, *sizes),
        *strides_in(unit, q, k, v),
        *mask_strides(graph, 4),
        *mask_strides(visible, 3),
        UNIT=unit,
        **options,
    )


def _backward(
    grad: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    lse: Tensor,
    graph: Tensor | None,
    visible: Tensor | None,
    dq: Tensor,
    dk: Tensor,
    dv: Tensor,
) -> None:
    from olift_fast.ops.joint_attention.triton_kernels import backward_kernel

    unit = stride_unit(grad, q, k, v, dq)
    programs, blocks, sizes, options = _configuration(q, backward=True)
    launch(
        backward_kernel,
        (programs,),
        *(grad, q, k, v, out, lse, graph, visible, dq, dk, dv, q.shape[-1] ** -0.5, *sizes),
        *strides_in(unit, grad, q, k, v, dq),
        *mask_strides(graph, 4),
        *mask_strides(visible, 3),
        UNIT=unit,
        WHOLE=blocks == 1,
        **options,
    )


def _configuration(q: Tensor, backward: bool) -> tuple[int, int, tuple[int, int, int], dict[str, Any]]:
    """How many programs and blocks of queries, the sizes that vary, and what the kernels are compiled for."""
    B, T, J, H, Dh = q.shape
    block, items, warps = _tile(J, Dh, q.dtype, backward)
    options = {
        "H": H,
        "DH": Dh,
        "BLOCK": block,
        "ITEMS": items,
        "D": max(16, power_of_two(Dh)),
        "num_warps": warps,
        "num_stages": 1,
    }
    return ceil_div(B * T, items) * H, ceil_div(J, block), (T, J, B * T), options


def _tile(J: int, Dh: int, dtype: torch.dtype, backward: bool) -> tuple[int, int, int]:
    """Joints and frames of a tile, and the warps that hold it in registers.

    A tile is as small as the skeleton allows, so that most of its pairs are real; a larger skeleton takes several. In
    float32 the products are exact, without tensor cores, and keep whole rows of both factors: that takes more warps. So
    do wide heads, and the masks of heads whose width is no power of two; and for some, tiles are smaller.
    """
    small, wide = J <= 16, Dh > 64
    if dtype == torch.float32:
        if (backward and small and Dh > 32) or (wide and not backward):
            return 16, 1, 8
        return (16, 2, 8) if small else (32, 1, 8)
    warps = 1 if Dh <= 32 and Dh == power_of_two(Dh) else 2
    if small:
        return (16, 1, 4) if backward and wide else (16, 4, 4 * warps)
    return 32, 1, 8 if wide else 2 * warps


triton_attention = register("joint_attention_triton", _forward, _backward, None)
