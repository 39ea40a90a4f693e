"""Random Fourier features of points, and the linear layer on top of them."""

from __future__ import annotations

import torch
from torch import Tensor

from olift_fast.ops.backends import Backend, choose_backend
from olift_fast.ops.checks import check_device, check_floating, check_mask, check_shape
from olift_fast.ops.registration import autocast_dtype
from olift_fast.ops.rff.eager import eager_rff_encode, eager_rff_linear
from olift_fast.ops.rff.native import native_encode, native_linear, refuse_native_encode, refuse_native_linear
from olift_fast.ops.rff.triton_launch import refuse_triton_rff, triton_encode, triton_linear

__all__ = ["rff_encode", "rff_linear"]


def rff_encode(x: Tensor, freqs: Tensor, *, visible: Tensor | None = None, backend: Backend | None = None) -> Tensor:
    """``[cos 2πxB, sin 2πxB]``; phases are reduced in turns first, so that large ones stay accurate.

    Args:
        x: points ``(..., C)``.
        freqs: frequencies B ``(C, F)`` in turns per unit of x.
        visible: bool ``(...)``; the features are 0 where it is False, and x is not read into arithmetic there.
        backend: "triton" (GPU), "native" (CPU) or "eager"; by default the first that takes these tensors.

    Returns:
        ``(..., 2F)``: F cosines, then F sines; in the wider dtype of x and freqs, but phases are at least float32.

    Raises:
        ValueError, TypeError: an argument has the wrong shape, dtype or device.
        RuntimeError: the backend asked for can't run.

    The fast backends keep phases up to 1e4 turns accurate to 1e-5; "eager" rounds them in their own dtype.

    Source: Rahimi & Recht 2007; Tancik et al. 2020. Equivalent to `olift_fast.reference.rff_encode`.
    """
    _check(x, freqs, visible)
    refusals = {"triton": refuse_triton_rff(x, freqs), "native": refuse_native_encode(x, freqs)}
    chosen = choose_backend("rff_encode", backend, refusals)
    dtype = torch.promote_types(x.dtype, freqs.dtype)
    x, freqs = _at_least_float32(x), _at_least_float32(freqs)
    if chosen == "eager":
        return eager_rff_encode(x, freqs, visible=visible).to(dtype)
    encode = native_encode if chosen == "native" else triton_encode
    return encode(x, freqs, visible).to(dtype)


def rff_linear(
    x: Tensor,
    freqs: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    visible: Tensor | None = None,
    token: Tensor | None = None,
    backend: Backend | None = None,
) -> Tensor:
    """``rff_encode(x, freqs) @ weight.T + bias``, and ``token`` where the point is hidden.

    The features are never written to memory; the backward computes them again.

    Args:
        x: points ``(..., C)``.
        freqs: frequencies ``(C, F)``.
        weight: ``(D, 2F)``; its dtype is that of the product (under autocast: autocast's), phases are at least float32.
        bias: ``(D,)``, in weight's dtype.
        visible: bool ``(...)``; hidden points are not read into arithmetic.
        token: ``(D,)``, the output of a hidden point; by default zeros.
        backend: "triton" (GPU), "native" (CPU, float32) or "eager"; by default the first that takes these tensors.

    Returns:
        ``(..., D)`` in the wider dtype of the product's and token's.

    Raises:
        ValueError, TypeError: an argument has the wrong shape, dtype or device.
        RuntimeError: the backend asked for can't run, or a second derivative is asked of a fast one.

    Equivalent to `olift_fast.reference.rff_linear`.
    """
    _check(x, freqs, visible)
    autocast = autocast_dtype(x.device)
    _check_layer(x, freqs, weight, bias, token, autocast is not None)
    refusals = {
        "triton": refuse_triton_rff(x, freqs, weight, bias, token),
        "native": refuse_native_linear(x, freqs, weight, bias, token),
    }
    chosen = choose_backend("rff_linear", backend, refusals)
    x, freqs = _at_least_float32(x), _at_least_float32(freqs)
    if chosen == "eager":
        return eager_rff_linear(x, freqs, weight, bias, visible=visible, token=token)
    product = autocast or weight.dtype
    dtype = product if visible is None or token is None else torch.promote_types(product, token.dtype)
    if chosen == "native":
        return native_linear(x, freqs, weight, bias, visible, token).to(dtype)
    bias = None if bias is None else bias.to(product)
    return triton_linear(x, freqs, weight.to(product), bias, visible, token, dtype)


def _at_least_float32(tensor: Tensor) -> Tensor:
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def _check(x: Tensor, freqs: Tensor, visible: Tensor | None) -> None:
    check_floating("x", x)
    check_floating("freqs", freqs)
    if freqs.dim() != 2 or x.dim() < 1 or freqs.shape[0] != x.shape[-1] or freqs.numel() == 0:
        raise ValueError(f"freqs must be (C, F) for x (..., C), got {tuple(freqs.shape)} for {tuple(x.shape)}")
    check_device("freqs", freqs, x)
    check_mask("visible", visible, x, tuple(x.shape[:-1]))


def _check_layer(
    x: Tensor, freqs: Tensor, weight: Tensor, bias: Tensor | None, token: Tensor | None, autocast: bool
) -> None:
    check_floating("weight", weight)
    check_device("weight", weight, x)
    width = weight.shape[0] if weight.dim() else 0
    check_shape("weight", weight, (width, 2 * freqs.shape[1]))
    for name, vector in (("bias", bias), ("token", token)):
        if vector is not None:
            check_shape(name, vector, (width,))
            check_floating(name, vector)
            check_device(name, vector, x)
    if bias is not None and bias.dtype != weight.dtype and not autocast:
        raise TypeError(f"bias must be {weight.dtype}, got {bias.dtype}")
