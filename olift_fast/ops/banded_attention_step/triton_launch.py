"""The Triton backend of `banded_attention_step`: one launch, which reads the place in the rings on the device."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from olift_fast.ops.banded_attention_step.registration import register
from olift_fast.ops.triton_runtime import ceil_div, launch, mask_strides, power_of_two, stride_unit, strides_in

TILE = 16


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
    launch(
        step_kernel,
        (programs,),
        *(q, k, v, out, bias, visible, frames, lengths, scale, joints),
        *(q.shape[1], k.shape[1], 1 if visible is None else visible.shape[1]),
        *strides_in(unit, q, k, v),
        *mask_strides(visible, 3),
        UNIT=unit,
        **options,
    )


def _configuration(q: Tensor, left: int, right: int) -> tuple[int, int, dict[str, Any]]:
    """The number of programs, J, and the constants that the kernel is compiled for.

    A program's tile of keys has 2048 elements: with four warps 16 registers a thread for k, and 16 for v.
    """
    B, _, J, H, Dh = q.shape
    width = max(16, power_of_two(Dh))
    items = min(128 // width, power_of_two(J))
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
    return B * ceil_div(J, items) * H, J, options


triton_step = register("banded_attention_step_triton", _step, None)
