"""Random Fourier features of points, and the linear layer on top of them."""

from __future__ import annotations

from torch import Tensor

from olift_fast import reference
from olift_fast.ops._checks import check_floating, check_mask, check_shape
from olift_fast.ops._dispatch import Backend, choose_backend

__all__ = ["rff_encode", "rff_linear"]


def rff_encode(x: Tensor, freqs: Tensor, *, visible: Tensor | None = None, backend: Backend | None = None) -> Tensor:
    """``[cos 2πxB, sin 2πxB]``, the phase reduced in turns first, so that large ones stay accurate.

    Args:
        x: points ``(..., C)``.
        freqs: frequencies B ``(C, F)`` in turns per unit of x.
        visible: bool ``(...)``; the features are 0 where it is False, and x is not read into arithmetic there.
        backend: "reference" is the only backend of this operation.

    Returns:
        ``(..., 2F)``: F cosines, then F sines.

    Raises:
        ValueError, TypeError: an argument has the wrong shape, dtype or device.
        RuntimeError: the backend asked for can't run.

    Source: Rahimi & Recht 2007; Tancik et al. 2020. Equivalent to `olift_fast.reference.rff_encode`.
    """
    _check(x, freqs, visible)
    choose_backend("rff_encode", backend, {})
    return reference.rff_encode(x, freqs, visible=visible)


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

    Args:
        x: points ``(..., C)``.
        freqs: frequencies ``(C, F)``.
        weight: ``(D, 2F)``.
        bias: ``(D,)``.
        visible: bool ``(...)``; what is hidden is not read into arithmetic.
        token: ``(D,)``, stands for a hidden point; zeros by default.
        backend: "reference" is the only backend of this operation.

    Returns:
        ``(..., D)``.

    Raises:
        ValueError, TypeError: an argument has the wrong shape, dtype or device.
        RuntimeError: the backend asked for can't run.

    Equivalent to `olift_fast.reference.rff_linear`.
    """
    _check(x, freqs, visible)
    width = weight.shape[0]
    check_shape("weight", weight, (width, 2 * freqs.shape[1]))
    for name, vector in (("bias", bias), ("token", token)):
        if vector is not None:
            check_shape(name, vector, (width,))
    choose_backend("rff_linear", backend, {})
    return reference.rff_linear(x, freqs, weight, bias, visible=visible, token=token)


def _check(x: Tensor, freqs: Tensor, visible: Tensor | None) -> None:
    check_floating("x", x)
    check_floating("freqs", freqs)
    if freqs.dim() != 2 or x.dim() < 1 or freqs.shape[0] != x.shape[-1]:
        raise ValueError(f"freqs must be (C, F) for x (..., C), got {tuple(freqs.shape)} for {tuple(x.shape)}")
    check_mask("visible", visible, x, tuple(x.shape[:-1]))
