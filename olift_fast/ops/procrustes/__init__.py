"""Procrustes alignment of batches of weighted 3D point sets, also onto 2D points (orthographic)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from olift_fast.ops.backends import Backend, choose_backend, refuse_cuda, refuse_native
from olift_fast.ops.checks import check_device, check_floating, check_shape
from olift_fast.ops.procrustes import registration
from olift_fast.ops.procrustes.eager import eager_fit, eager_orthographic_fit
from olift_fast.ops.registration import without_autocast

__all__ = ["Procrustes", "orthographic_procrustes", "procrustes", "procrustes_align", "procrustes_mse"]

ProcrustesKind = Literal["rigid", "similarity", "rotation"]
Alignment = Literal["sequence", "frame"]
Reduction = Literal["mean", "sum", "none"]
_DTYPES = (torch.float32, torch.float64)


class Procrustes(NamedTuple):
    """``target ≈ scale · rotation @ source + translation``.

    Fields: rotation ``(*batch, 3, 3)``; scale ``(*batch)``; translation ``(*batch, 3)``; conditioning ``(*batch)``,
    ``(λ1 - λ2) / 2λ1`` of Davenport's matrix: 0 where the rotation is ambiguous, at most 2/3. It has no gradient.
    """

    rotation: Tensor
    scale: Tensor
    translation: Tensor
    conditioning: Tensor


def procrustes(
    source: Tensor,
    target: Tensor,
    *,
    weights: Tensor | None = None,
    kind: ProcrustesKind = "rigid",
    reflection: bool = False,
    alignment: Alignment = "frame",
    backend: Backend | None = None,
) -> Procrustes:
    """The rotation, scale and translation that minimize ``Σ w |s R source + t - target|²``.

    Args:
        source, target: ``(*batch, P, 3)``. Either may be in half precision; the computation is at least in float32.
        weights: ``(*batch, P)``, >= 0; a point of weight 0 is never read into arithmetic.
        kind: "rigid" (s = 1), "similarity", or "rotation" (s = 1, t = 0).
        reflection: allow det R = -1; proper rotations only by default.
        alignment: "frame": one fit for each ``(P, 3)``; for joints ``(B, T, J, 3)`` this is each frame. "sequence": one
            fit for all frames and joints of ``(*batch, T, J, 3)``, with results ``(*batch, …)``.
        backend: "cuda" or "native" (CPU), for float32 and float64, or "eager"; by default the fastest that can run.

    Returns:
        `Procrustes`. Where the rotation is ambiguous it is still proper, and its gradient is 0.

    Raises:
        ValueError, TypeError: an argument has the wrong shape, dtype or device, or a weight is negative (checked on
            the CPU only, where it costs no synchronization).
        RuntimeError: the backend asked for can't run; the message says why.

    Equivalent to `olift_fast.reference.procrustes`, without an SVD: the rotation is the top eigenvector of Davenport's
    4×4 matrix (Horn 1987), and the gradient solves one 3×3 system, with no difference of singular values to divide by.
    """
    _check(source, target, weights, last=3, alignment=alignment)
    _check_kind(kind)
    source, target, weights = _sets(alignment, *_upcast(source, target, weights))
    chosen = _choose("procrustes", backend, source, target, weights)
    with without_autocast(source.device):
        if chosen == "eager":
            return Procrustes(*eager_fit(source, target, weights, kind, reflection))
        return Procrustes(*_batched(registration.fit, source, target, weights, kind, reflection))


def procrustes_align(
    source: Tensor,
    target: Tensor,
    *,
    weights: Tensor | None = None,
    kind: ProcrustesKind = "rigid",
    alignment: Alignment = "frame",
    backend: Backend | None = None,
) -> Tensor:
    """``s R source + t``: the source moved onto the target, in the source's shape; arguments as in `procrustes`.

    A point of weight 0 does not count in the fit, but is moved. A point with NaN leaves the other gradients finite, if
    its weight is 0 and the gradient of its moved point is 0.
    """
    _check(source, target, weights, last=3, alignment=alignment)
    _check_kind(kind)
    shape = source.shape
    source, target, weights = _sets(alignment, *_upcast(source, target, weights))
    chosen = _choose("procrustes_align", backend, source, target, weights)
    with without_autocast(source.device):
        if chosen == "native":
            return _batched(registration.align, source, target, weights, kind, False)[0].reshape(shape)
        fit = procrustes(source, target, weights=weights, kind=kind, backend="cuda" if chosen == "cuda" else "eager")
        return _move(source, fit.rotation, fit.scale, fit.translation).reshape(shape)


def procrustes_mse(
    source: Tensor,
    target: Tensor,
    *,
    weights: Tensor | None = None,
    kind: ProcrustesKind = "rigid",
    alignment: Alignment = "frame",
    reduction: Reduction = "none",
    backend: Backend | None = None,
) -> Tensor:
    """``min Σ w |s R source + t - target|² / Σ w`` of each fit; 0 where all weights are 0.

    At the optimum the derivative through R, s and t vanishes (envelope theorem), so the gradient holds them constant
    and is finite even where the rotation is ambiguous.

    Args:
        source, target, weights, kind, alignment, backend: as in `procrustes`.
        reduction: "none": the weighted mean of each fit, ``(*batch)``; "mean": the weighted mean over all points of all
            fits; "sum": their weighted sum.

    Raises:
        ValueError, TypeError, RuntimeError: as `procrustes`, or an unknown reduction.
    """
    if reduction not in get_args(Reduction):
        raise ValueError(f"reduction must be one of {', '.join(get_args(Reduction))}, got {reduction!r}")
    _check(source, target, weights, last=3, alignment=alignment)
    _check_kind(kind)
    source, target, weights = _sets(alignment, *_upcast(source, target, weights))
    errors = _errors(source, target, weights, kind, backend)
    if reduction == "none":
        return errors
    if weights is None:
        return errors.mean() if reduction == "mean" else errors.sum() * source.shape[-2]
    totals = weights.sum(dim=-1)
    total = (errors * totals).sum()
    return total / torch.where(totals.sum() > 0, totals.sum(), 1.0) if reduction == "mean" else total


def _errors(
    source: Tensor, target: Tensor, weights: Tensor | None, kind: ProcrustesKind, backend: Backend | None
) -> Tensor:
    """The weighted mean squared error of each fit, ``(*batch)``."""
    chosen = _choose("procrustes_mse", backend, source, target, weights)
    with without_autocast(source.device):
        if chosen != "eager":
            return _batched(registration.error, source, target, weights, kind, False)[0]
        with torch.no_grad():
            fit = procrustes(source, target, weights=weights, kind=kind, backend="eager")
        error = _move(source, fit.rotation, fit.scale, fit.translation) - target
        if weights is None:
            return error.square().sum(dim=-1).mean(dim=-1)
        squared = torch.where(weights[..., None] > 0, error, 0.0).square().sum(dim=-1)
        total = weights.sum(dim=-1)
        return (weights * squared).sum(dim=-1) / torch.where(total > 0, total, 1.0)


def orthographic_procrustes(
    source: Tensor,
    target: Tensor,
    *,
    weights: Tensor | None = None,
    alignment: Alignment = "frame",
    backend: Backend | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """The R, s, t that minimize ``Σ w |s (R source)_xy + t - target|²``: the pose under a weak-perspective camera.

    Args:
        source: ``(*batch, P, 3)``.
        target: ``(*batch, P, 2)``.
        weights: ``(*batch, P)``, >= 0.
        alignment: as in `procrustes`.
        backend: "native" (CPU), for float32 and float64, or "eager"; native by default where it can run.

    Returns:
        R ``(*batch, 3, 3)``, s ``(*batch)``, t ``(*batch, 2)``.

    Raises:
        ValueError, TypeError: an argument has the wrong shape, dtype or device, or a weight is negative (native).
        RuntimeError: the backend asked for can't run.

    Equivalent to `olift_fast.reference.orthographic_procrustes`, which lowers the error step by step. The native
    backend ends with Newton steps, so it reaches the optimum where the reference may not have converged. Its gradient
    is that of the optimum, and 0 where the camera is ambiguous.
    """
    _check(source, target, weights, last=2, alignment=alignment)
    source, target, weights = _sets(alignment, *_upcast(source, target, weights))
    refusals = {"native": refuse_native(_DTYPES, source, target, weights)}
    chosen = choose_backend("orthographic_procrustes", backend, refusals)
    with without_autocast(source.device):
        if chosen == "eager":
            return eager_orthographic_fit(source, target, weights)
        rotation, scale, translation = _batched(registration.orthographic, source, target, weights)
        return rotation, scale, translation


def _choose(op: str, backend: Backend | None, *tensors: Tensor | None) -> str:
    refusals = {"cuda": refuse_cuda(_DTYPES, *tensors), "native": refuse_native(_DTYPES, *tensors)}
    return choose_backend(op, backend, refusals)


def _batched(
    op: Callable[..., tuple[Tensor, ...]],
    source: Tensor,
    target: Tensor,
    weights: Tensor | None,
    *options: str | bool,
) -> tuple[Tensor, ...]:
    """`op` on ``(N, P, 3)`` point sets, its results back in the shape of the batch."""
    if source.dim() == 3:
        return op(source, target, weights, *options)
    batch = source.shape[:-2]
    flat = (source.reshape(-1, *source.shape[-2:]), target.reshape(-1, *target.shape[-2:]))
    flat_weights = None if weights is None else weights.reshape(-1, weights.shape[-1])
    return tuple(x.reshape(batch + x.shape[1:]) for x in op(*flat, flat_weights, *options))


def _move(source: Tensor, rotation: Tensor, scale: Tensor, translation: Tensor) -> Tensor:
    """``s R x + t`` of each point, in one pass over the points."""
    turn = (scale[..., None, None] * rotation).mT.reshape(-1, 3, 3)
    points = source.to(rotation.dtype).reshape(-1, *source.shape[-2:])
    return torch.baddbmm(translation.reshape(-1, 1, 3), points, turn).reshape(source.shape)


def _upcast(source: Tensor, target: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    """All to the wider dtype of source and target, float32 at least."""
    dtype = torch.promote_types(torch.promote_types(source.dtype, target.dtype), torch.float32)
    return source.to(dtype), target.to(dtype), None if weights is None else weights.to(dtype)


def _sets(
    alignment: Alignment, source: Tensor, target: Tensor, weights: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """The arguments with all points of each fit in one axis."""
    if alignment == "frame":
        return source, target, weights
    return source.flatten(-3, -2), target.flatten(-3, -2), None if weights is None else weights.flatten(-2)


def _check_kind(kind: str) -> None:
    if kind not in get_args(ProcrustesKind):
        raise ValueError(f"kind must be one of {', '.join(get_args(ProcrustesKind))}, got {kind!r}")


def _check(source: Tensor, target: Tensor, weights: Tensor | None, *, last: int, alignment: str) -> None:
    if alignment not in get_args(Alignment):
        raise ValueError(f"alignment must be one of {', '.join(get_args(Alignment))}, got {alignment!r}")
    least, points = (3, "T, J") if alignment == "sequence" else (2, "P")
    for name, tensor, width in (("source", source, 3), ("target", target, last)):
        check_floating(name, tensor)
        if tensor.dim() < least or tensor.shape[-1] != width or 0 in tensor.shape[-least:-1]:
            wanted = f"(*batch, {points}, {width}) with {points.replace(', ', ' and ')} >= 1"
            raise ValueError(f"{name} must be {wanted}, got {tuple(tensor.shape)}")
    check_device("target", target, source)
    check_shape("target", target, (*source.shape[:-1], last))
    if weights is not None:
        check_floating("weights", weights)
        check_shape("weights", weights, tuple(source.shape[:-1]))
        check_device("weights", weights, source)
