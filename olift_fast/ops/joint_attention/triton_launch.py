"""The Triton backend of `joint_attention`: forward and backward in one launch each, on tensors where they lie."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from olift_fast.ops.backends import refuse_triton
from olift_fast.ops.joint_attention.registration import register
from olift_fast.ops.triton_runtime import stride_unit

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
WIDEST = 128


def refuse_triton_attention(q: Tensor) -> str | None:
    """Why the Triton backend can't run this call, or None when it can."""
    if q.shape[-1] > WIDEST:
        return f"Dh must be at most {WIDEST}, got {q.shape[-1]}"
    return refuse_triton(DTYPES, q)


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
    programs, blocks, sizes, options = _configuration(q)
    with _device(q):
        forward_kernel[(programs, blocks)](
            *(q, k, v, out, lse, graph, visible, q.shape[-1] ** -0.5, *sizes),
            *_strides(unit, q, k, v),
            *_mask_strides(graph, visible),
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
    programs, blocks, sizes, options = _configuration(q)
    with _device(q):
        backward_kernel[(programs,)](
            *(grad, q, k, v, out, lse, graph, visible, dq, dk, dv, q.shape[-1] ** -0.5, *sizes),
            *_strides(unit, grad, q, k, v, dq),
            *_mask_strides(graph, visible),
            UNIT=unit,
            WHOLE=blocks == 1,
            **options,
        )


def _configuration(q: Tensor) -> tuple[int, int, tuple[int, int, int], dict[str, Any]]:
    """How many programs and blocks of queries, the sizes that vary, and what the kernels are compiled for."""
    B, T, J, H, Dh = q.shape
    block, items, warps = _tile(J, Dh, q.dtype)
    options = {
        "H": H,
        "DH": Dh,
        "BLOCK": block,
        "ITEMS": items,
        "D": max(16, 1 << (Dh - 1).bit_length()),
        "num_warps": warps,
        "num_stages": 1,
    }
    return -(-B * T // items) * H, -(-J // block), (T, J, B * T), options


def _tile(J: int, Dh: int, dtype: torch.dtype) -> tuple[int, int, int]:
    """Joints and frames of a tile, and the warps that hold it in registers.

    A tile is as small as the skeleton allows, so that most of its pairs are real; a larger skeleton takes several. In
    float32 the products are exact, without tensor cores, and keep whole rows of both factors: that takes more warps.
    """
    if dtype == torch.float32:
        return (16, 2, 8) if J <= 16 else (32, 1, 8)
    block, items, warps = (16, 4, 4) if J <= 16 else (32, 1, 2)
    return block, items, warps if Dh <= 32 else 2 * warps


def _strides(unit: int, *tensors: Tensor) -> list[int]:
    return [stride // unit for x in tensors for stride in x.stride()[:4]]


def _mask_strides(graph: Tensor | None, visible: Tensor | None) -> tuple[int, ...]:
    return (
        *((0, 0, 0, 0) if graph is None else graph.stride()),
        *((0, 0, 0) if visible is None else visible.stride()),
    )


def _device(tensor: Tensor) -> AbstractContextManager[Any]:
    return torch.cuda.device(tensor.device) if tensor.is_cuda else nullcontext()


triton_attention = register("joint_attention_triton", _forward, _backward, None)
