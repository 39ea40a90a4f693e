"""Temporal proximity attention: each frame of a joint attends the frames around it."""

from __future__ import annotations

import torch
from torch import Tensor

from olift_fast.ops.backends import Backend, choose_backend, refuse_native_attention, refuse_triton_attention
from olift_fast.ops.banded_attention.eager import eager_attention
from olift_fast.ops.banded_attention.native import native_attention
from olift_fast.ops.banded_attention.triton_launch import triton_attention
from olift_fast.ops.checks import check_floating, check_mask, check_packed, check_projections, check_shape
from olift_fast.ops.registration import in_autocast_dtype, split_projection

__all__ = ["banded_attention", "banded_attention_packed", "check_window"]


def banded_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    window: int | tuple[int, int],
    *,
    bias: Tensor | None = None,
    visible: Tensor | None = None,
    lengths: Tensor | None = None,
    scale: float | None = None,
    backend: Backend | None = None,
) -> Tensor:
    """``softmax(scale · q_t k_s + bias_{s-t}) v_s`` over the frames ``t - left <= s <= t + right`` of the same joint.

    The band is clipped at the ends of the sequence, so T may be shorter than the window. Nothing T×T is stored.

    Args:
        q, k, v: ``(B, T, J, H, Dh)``, any strides with a unit last one; views of one projection are read in place.
            Under autocast they are cast to its dtype first, as in `scaled_dot_product_attention`.
        window: ``(left, right)`` in frames, or α for ``(α, α)``.
        bias: ``(H, left+right+1)``, added to the score of the key at offset ``s - t``; entry ``s - t + left``.
        visible: bool ``(B, T, J)``; keys that are not visible are left out and never read into arithmetic.
        lengths: int ``(B,)``; keys at or past a clip's length are left out, queries there give 0.
        scale: of the scores, ``Dh ** -0.5`` by default.
        backend: "triton" (GPU; float32, float16, bfloat16; Dh up to 128), "native" (CPU; float32, bfloat16) or
            "eager"; by default the one of `use_backend` or ``OLIFT_BACKEND``, else the fastest that can run.

    Returns:
        ``(B, T, J, H, Dh)``; a row without any key is 0, with zero gradients. NaN in a visible key makes every row NaN
        whose band has it; with "triton" and "eager", which work in blocks of frames, also rows near it.

    Raises:
        ValueError, TypeError: an argument has the wrong shape, dtype or device, or the window is not an int >= 0.
        RuntimeError: the backend asked for can't run; the message says why.

    Equivalent to:
        ``scaled_dot_product_attention`` on ``(B·J, H, T, Dh)`` with ``attn_mask = bias`` inside the band and ``-inf``
        outside; see `olift_fast.reference.banded_attention`. Source: arXiv 2412.01166, temporal proximity.
    """
    left, right = check_window(window)
    q, k, v = in_autocast_dtype(q, k, v)
    check_projections(q, k, v)
    _check_rest(q, left + right + 1, bias, visible, lengths)
    return _attend([q, k, v], left, right, bias, visible, lengths, scale, backend)


def banded_attention_packed(
    qkv: Tensor,
    window: int | tuple[int, int],
    *,
    bias: Tensor | None = None,
    visible: Tensor | None = None,
    lengths: Tensor | None = None,
    scale: float | None = None,
    backend: Backend | None = None,
) -> Tensor:
    """`banded_attention` for one projection ``(B, T, J, 3, H, Dh)`` with q, k and v.

    Its gradient is written into one tensor of that shape; the gradients of three views would be copied to be stacked.

    Equivalent to ``banded_attention(*qkv.unbind(3), window, …)``; the other arguments and errors are the same.
    """
    left, right = check_window(window)
    check_packed(qkv)
    (qkv,) = in_autocast_dtype(qkv)
    q, k, v = qkv.unbind(dim=3)
    check_projections(q, k, v)
    _check_rest(q, left + right + 1, bias, visible, lengths)
    return _attend([qkv], left, right, bias, visible, lengths, scale, backend)


def _attend(
    projection: list[Tensor],
    left: int,
    right: int,
    bias: Tensor | None,
    visible: Tensor | None,
    lengths: Tensor | None,
    scale: float | None,
    backend: Backend | None,
) -> Tensor:
    first = projection[0]
    scale = first.shape[-1] ** -0.5 if scale is None else float(scale)
    refusals = {"triton": refuse_triton_attention(first), "native": refuse_native_attention(first)}
    chosen = choose_backend("banded_attention", backend, refusals)
    if chosen != "eager":
        attend = triton_attention if chosen == "triton" else native_attention
        return attend(projection, left, right, bias, visible, lengths, scale)
    q, k, v = split_projection(projection)
    bias = None if bias is None else bias.to(q.dtype)
    keys = visible
    if lengths is None:
        return eager_attention(q, k, v, (left, right), bias, keys, scale)
    inside = (torch.arange(q.shape[1], device=q.device) < lengths[:, None])[:, :, None]
    keys = inside.expand(q.shape[:3]) if keys is None else keys & inside
    out = eager_attention(q, k, v, (left, right), bias, keys, scale)
    return torch.where(inside[..., None, None], out, 0.0)


def check_window(window: int | tuple[int, int]) -> tuple[int, int]:
    """The window as ``(left, right)``.

    Raises:
        TypeError: the window is neither an int nor a pair of ints.
        ValueError: the window is negative.
    """
    pair = tuple(window) if isinstance(window, tuple | list) else (window, window)
    if len(pair) != 2 or not all(isinstance(x, int) and not isinstance(x, bool) for x in pair):
        raise TypeError(f"window must be an int or a pair of ints, got {window!r}")
    if pair[0] < 0 or pair[1] < 0:
        raise ValueError(f"window must be >= 0, got {window!r}")
    return pair[0], pair[1]


def _check_rest(q: Tensor, span: int, bias: Tensor | None, visible: Tensor | None, lengths: Tensor | None) -> None:
    check_mask("visible", visible, q, tuple(q.shape[:3]))
    if bias is not None:
        check_floating("bias", bias)
        check_shape("bias", bias, (q.shape[3], span))
    if lengths is not None:
        check_shape("lengths", lengths, (q.shape[0],))
        if lengths.is_floating_point() or lengths.dtype == torch.bool:
            raise TypeError(f"lengths must be integers, got {lengths.dtype}")
    for name, tensor in (("bias", bias), ("lengths", lengths)):
        if tensor is not None and tensor.device != q.device:
            raise ValueError(f"{name} must be on {q.device}, got {tensor.device}")
