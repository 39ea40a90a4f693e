"""The Triton backend of `banded_attention_step`: one launch, the place in the rings read on the device."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from olift_fast.ops.backends import refuse_triton
from olift_fast.ops.banded_attention_step.registration import register
from olift_fast.ops.triton_runtime import stride_unit

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
WIDEST = 128
TILE = 16


def refuse_triton_step(q: Tensor) -> str | None:
    """Why the Triton backend can't run this call, or None when it can."""
    if q.shape[-1] > WIDEST:
        return f"Dh must be at most {WIDEST}, got {q.shape[-1]}"
    return refuse_triton(DTYPES, q)


def _step(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    frames: Tensor,
    lengths: Tensor,
    left: int,
    right: int,
    bias: Tensor | None,
    visible: Tensor | None,
    scale: float,
    out: Tensor,
) -> None:
    from olift_fast.ops.banded_attention_step.triton_kernels import step_kernel

    unit = stride_unit(q, k, v)
    programs, joints, options = _configuration(q, left, right)
    with torch.cuda.device(q.device) if q.is_cuda else nullcontext():
        step_kernel[(programs,)](
            *(q, k, v, out, bias, visible, frames, lengths, scale, joints),
            *(q.shape[1], k.shape[1], 1 if visible is None else visible.shape[1]),
            *(stride // unit for x in (q, k, v) for stride in x.stride()[:4]),
            *((0, 0, 0) if visible is None else visible.stride()),
            UNIT=unit,
            **options,
        )


def _configuration(q: Tensor, left: int, right: int) -> tuple[int, int, dict[str, Any]]:
    """How many programs to launch, J, and what the kernel is compiled for.

    A program's tile of keys is 2048 elements: 16 registers a thread of four warps, for k and for v.
    """
    B, _, J, H, Dh = q.shape
    width = max(16, _power_of_two(Dh))
    items = min(128 // width, _power_of_two(J))
    options = {
        "H": H,
        "DH": Dh,
        "BACK": left,
        "REACH": left + right,
        "TILE": TILE,
        "ITEMS": items,
        "D": width,
        "num_warps": 4,
        "num_stages": 1,
    }
    return B * -(-J // items) * H, J, options


def _power_of_two(least: int) -> int:
    return 1 << (least - 1).bit_length()


triton_step = register("banded_attention_step_triton", _step, None)
