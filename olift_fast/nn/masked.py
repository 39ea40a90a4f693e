"""Means and softmax over the values that a mask keeps. The other values are never read into arithmetic: NaN is fine."""

from __future__ import annotations

import torch
from torch import Tensor


def center(points: Tensor, mask: Tensor) -> Tensor:
    """Each frame's points less the mean of the points that the mask keeps.

    Args:
        points: ``(..., J, C)``.
        mask: bool ``(..., J)``.

    Returns:
        ``(..., J, C)``, 0 where the mask is False.

    Equivalent to `olift_fast.reference.center`.
    """
    kept = torch.where(mask.unsqueeze(-1), points, 0.0)
    count = mask.sum(dim=-1)[..., None, None].clamp(min=1)
    return torch.where(mask.unsqueeze(-1), kept - kept.sum(dim=-2, keepdim=True) / count, 0.0)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of the values that the mask keeps, a scalar; 0 where it keeps none.

    Equivalent to `olift_fast.reference.masked_mean`.
    """
    return torch.where(mask, values, 0.0).sum() / mask.sum().clamp(min=1)


def masked_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    """Softmax over the last axis of the scores that the mask keeps; 0 elsewhere, so a row with none kept is 0.

    Equivalent to `olift_fast.reference.masked_softmax`.
    """
    weights = scores.masked_fill(~mask, torch.finfo(scores.dtype).min).softmax(dim=-1)
    return weights.masked_fill(~mask, 0.0)
