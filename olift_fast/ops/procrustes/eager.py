"""The plain-PyTorch backend of the Procrustes fits: the reference, plus the conditioning of the rotation."""

from __future__ import annotations

import torch
from torch import Tensor

from olift_fast import reference


def eager_fit(
    source: Tensor, target: Tensor, weights: Tensor | None, kind: reference.ProcrustesKind, reflection: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """R, s, t and the conditioning of `procrustes`, in any float dtype; differentiable twice."""
    fit = reference.procrustes(source, target, weights, kind=kind, reflection=reflection)
    return *fit, _conditioning(source, target, weights, kind)


def eager_orthographic_fit(source: Tensor, target: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """R, s, t of `orthographic_procrustes`, in any float dtype."""
    return reference.orthographic_procrustes(source, target, weights)


def _conditioning(source: Tensor, target: Tensor, weights: Tensor | None, kind: reference.ProcrustesKind) -> Tensor:
    with torch.no_grad():
        weights = source.new_ones(source.shape[:-1]) if weights is None else weights
        weights = weights.unsqueeze(-1)
        total = weights.sum(dim=-2, keepdim=True)
        share = weights / torch.where(total > 0, total, 1.0) * (kind != "rotation")
        source, target = (torch.where(weights > 0, points, 0.0) for points in (source, target))
        source, target = (points - (share * points).sum(dim=-2, keepdim=True) for points in (source, target))
        values = torch.linalg.eigvalsh(reference.davenport((source * weights).mT @ target))
        largest = values[..., 3]
        return torch.where(largest > 0, (largest - values[..., 2]) / (2 * largest.clamp(min=1e-30)), 0.0)
