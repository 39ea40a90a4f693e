"""One step of temporal proximity attention: one frame attends the frames around it in a ring buffer."""

from __future__ import annotations

import torch
from torch import Tensor

from olift_fast.ops.backends import Backend, choose_backend, refuse_native_attention, refuse_triton_attention
from olift_fast.ops.banded_attention import check_window
from olift_fast.ops.banded_attention_step.eager import eager_step
from olift_fast.ops.banded_attention_step.native import native_step
from olift_fast.ops.banded_attention_step.triton_launch import triton_step
from olift_fast.ops.checks import check_floating, check_like, check_mask, check_shape, check_unit_stride

__all__ = ["banded_attention_step"]


def banded_attention_step(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    frames: Tensor,
    lengths: Tensor,
    window: int | tuple[int, int],
    *,
    bias: Tensor | None = None,
    visible: Tensor | None = None,
    scale: float | None = None,
    backend: Backend | None = None,
) -> Tensor:
    """Row ``t = frames[b]`` of `banded_attention` over a sequence whose latest frames are in ring buffers.

    Frame s of a sequence is in slot ``s % slots`` until frame ``s + slots`` overwrites it; ``left + right + 1`` slots
    are enough. Each of the B sequences has its own current frame. Only the result is written, and the work does not
    depend on the lengths of the sequences, so a step can be captured in a CUDA graph.

    Args:
        q: ``(B, its own number of slots, J, H, Dh)``; with one slot, this is the query.
        k, v: ``(B, slots, J, H, Dh)``. Like q any strides with a unit last one; views of one projection are read in
            place.
        frames: int64 ``(B,)``, the frame of the query; -1 for none.
        lengths: int64 ``(B,)``, the number of frames so far; k and v have the last ``slots`` of them. Frames at or past
            this number, and frames that were overwritten, are left out.
        window: ``(left, right)`` in frames, or α for ``(α, α)``.
        bias: ``(H, left+right+1)``, added to the score of the key at offset ``s - t``; entry ``s - t + left``.
        visible: bool ``(B, its own number of slots, J)``; hidden keys are left out and never read into arithmetic.
        scale: of the scores, ``Dh ** -0.5`` by default.
        backend: "triton" (GPU; float32, float16, bfloat16; Dh up to 128), "native" (CPU; float32, bfloat16) or
            "eager"; by default the one of `use_backend` or ``OLIFT_BACKEND``, else the fastest that can run.

    Returns:
        ``(B, J, H, Dh)``; 0 if there is no key, or if ``frames[b]`` is not one of ``0 … lengths[b] - 1``.

    Raises:
        ValueError, TypeError: an argument has the wrong shape, dtype or device, or the window is negative.
        RuntimeError: gradients are needed, which this operation does not have; or the backend asked for can't run.

    Equivalent to:
        ``banded_attention(q, k, v, window, …)[b, frames[b]]`` of whole sequences of ``lengths[b]`` frames.
    """
    left, right = check_window(window)
    _check(q, k, v, frames, lengths, left + right + 1, bias, visible)
    if torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in (q, k, v, bias)):
        message = "call it under torch.inference_mode() or torch.no_grad(), or use banded_attention on whole sequences"
        raise RuntimeError(f"banded_attention_step has no gradient: {message}")
    scale = q.shape[-1] ** -0.5 if scale is None else float(scale)
    refusals = {"triton": refuse_triton_attention(q), "native": refuse_native_attention(q)}
    chosen = choose_backend("banded_attention_step", backend, refusals)
    attend = {"triton": triton_step, "native": native_step, "eager": eager_step}[chosen]
    return attend(q, k, v, frames, lengths, left, right, bias, visible, scale)


def _check(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    frames: Tensor,
    lengths: Tensor,
    span: int,
    bias: Tensor | None,
    visible: Tensor | None,
) -> None:
    for name, ring in (("q", q), ("k", k), ("v", v)):
        check_floating(name, ring)
        if ring.dim() != 5 or ring.shape[1] < 1:
            raise ValueError(f"{name} must be (B, slots >= 1, J, H, Dh), got {tuple(ring.shape)}")
        slots = q.shape[1] if name == "q" else k.shape[1]
        check_shape(name, ring, (q.shape[0], slots, *q.shape[2:]))
        check_like(name, ring, q)
        check_unit_stride(name, ring)
    for name, counts in (("frames", frames), ("lengths", lengths)):
        check_shape(name, counts, (q.shape[0],))
        if counts.dtype != torch.int64:
            raise TypeError(f"{name} must be int64, got {counts.dtype}")
    if visible is not None:
        slots = visible.shape[1] if visible.dim() == 3 else 1
        check_mask("visible", visible, q, (q.shape[0], max(slots, 1), q.shape[2]))
    if bias is not None:
        check_floating("bias", bias)
        check_shape("bias", bias, (q.shape[3], span))
    for name, tensor in (("frames", frames), ("lengths", lengths), ("bias", bias)):
        if tensor is not None and tensor.device != q.device:
            raise ValueError(f"{name} must be on {q.device}, got {tensor.device}")
