"""The Triton backend of `joint_attention`: one launch for the forward, one for the backward, without copies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from olift_fast.ops.joint_attention.registration import register
from olift_fast.ops.triton_runtime import ceil_div, launch, mask_strides, power_of_two, stride_unit, strides_in

_BLOCK = 32
"""Joints of a tile; as many as a word of 32 bits can mask."""
_PROGRAMS = 4096
"""So many programs fill the largest GPU several times. With more frames and heads, a program takes several frames."""
_MOST_FRAMES = 8


def _forward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    graph: Tensor | None,
    visible: Tensor | None,
    out: Tensor,
    lse: Tensor,
) -> None:
    unit = stride_unit(q, k, v)
    arguments = (q, k, v, out, lse, graph, visible, q.shape[-1] ** -0.5)
    plan = _plan(q, graph, visible, (q, k, v), unit, backward=False)
    if plan is not None:
        from olift_fast.ops.joint_attention.triton_kernels_whole import whole_forward_kernel

        launch(whole_forward_kernel, (plan.programs,), *arguments, *plan.arguments, **_options(q, unit), **plan.options)
        return
    from olift_fast.ops.joint_attention.triton_kernels import forward_kernel

    blocks = ceil_div(q.shape[2], _BLOCK)
    launch(
        forward_kernel,
        (q.shape[0] * q.shape[1] * q.shape[3], blocks),
        *(*arguments, *q.shape[1:3]),
        *strides_in(unit, q, k, v),
        *mask_strides(graph, 4),
        *mask_strides(visible, 3),
        **_options(q, unit),
        BLOCK=_BLOCK,
        num_warps=_warps_of_a_block(q),
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
    unit = stride_unit(grad, q, k, v, dq)
    plan = _plan(q, graph, visible, (grad, q, k, v, dq), unit, backward=True)
    if plan is not None:
        from olift_fast.ops.joint_attention.triton_kernels_whole import whole_backward_kernel

        launch(
            whole_backward_kernel,
            (plan.programs,),
            *(grad, q, k, v, lse, graph, visible, dq, dk, dv, q.shape[-1] ** -0.5, *plan.arguments),
            **_options(q, unit),
            **plan.options,
        )
        return
    from olift_fast.ops.joint_attention.triton_kernels import backward_kernel

    launch(
        backward_kernel,
        (q.shape[0] * q.shape[1] * q.shape[3],),
        *(grad, q, k, v, out, lse, graph, visible, dq, dk, dv, q.shape[-1] ** -0.5, *q.shape[1:3]),
        *strides_in(unit, grad, q, k, v, dq),
        *mask_strides(graph, 4),
        *mask_strides(visible, 3),
        **_options(q, unit),
        BLOCK=_BLOCK,
        num_warps=_warps_of_a_block(q),
    )


@dataclass(frozen=True)
class _Plan:
    """A launch of the kernels of whole skeletons."""

    programs: int
    arguments: tuple[int, ...]
    options: dict[str, Any]


def _plan(
    q: Tensor, graph: Tensor | None, visible: Tensor | None, tensors: Sequence[Tensor], unit: int, backward: bool
) -> _Plan | None:
    """The launch if a tile can have all joints of a frame; None if these are too many, or too far apart in memory."""
    B, T, J, H, _ = q.shape
    if J > _BLOCK:
        return None
    strides = [tuple(stride // unit for stride in x.stride()[:4]) for x in tensors]
    of_graph, of_visible = mask_strides(graph, 4), mask_strides(visible, 3)
    over_frames = [*strides, of_visible]
    if T == 1:  # The stride over frames is then arbitrary.
        over_frames = [(clip, clip, *rest) for clip, _, *rest in over_frames]
    if of_graph[0] == 0 and all(clip == T * frame for clip, frame, *_ in over_frames):
        B, T = 1, B * T  # The frames of all clips are evenly spaced and have one graph, so they count as one clip.
    reach = [unit * joint for _, _, joint, *_ in over_frames]
    if (J - 1) * max(*reach, of_graph[2] + of_graph[3]) >= 2**31 - 256:
        return None
    each = max(1, min(_MOST_FRAMES, B * T * H // _PROGRAMS))
    groups = ceil_div(T, each)
    *of_tensors, of_visible = over_frames
    warps = _warps(q, backward, masked=graph is not None or visible is not None)
    arguments = (T, J, each, groups, *(x for strides in of_tensors for x in strides), *of_graph, *of_visible)
    return _Plan(B * groups * H, arguments, {"BLOCK": 16 if J <= 16 else _BLOCK, "num_warps": warps})


def _options(q: Tensor, unit: int) -> dict[str, Any]:
    """The constants that all kernels are compiled for."""
    H, Dh = q.shape[3:]
    return {"H": H, "DH": Dh, "UNIT": unit, "D": max(16, power_of_two(Dh)), "num_stages": 1}


def _warps(q: Tensor, backward: bool, masked: bool) -> int:
    """The number of warps whose registers can hold a tile of a whole skeleton.

    Products in float32 run without tensor cores and keep whole rows of both factors, so they take more warps. So do
    wide heads, heads whose width is no power of two because of their masks, and a backward without graph and
    visibility.
    """
    small, Dh = q.shape[2] <= 16, q.shape[-1]
    if q.dtype == torch.float32:
        return 4 if small and Dh <= 32 else 16 if backward and Dh > 32 else 8
    warps = max(1, power_of_two(Dh) // (64 if small else 32))
    if small:
        return warps
    return 2 * warps if Dh != power_of_two(Dh) or (backward and not masked and warps == 1) else warps


def _warps_of_a_block(q: Tensor) -> int:
    """The number of warps whose registers can hold a tile of a part of a skeleton."""
    Dh = q.shape[-1]
    if q.dtype == torch.float32 or Dh > 64:
        return 8
    return 2 if Dh <= 32 and Dh == power_of_two(Dh) else 4


triton_attention = register("joint_attention_triton", _forward, _backward, None)
