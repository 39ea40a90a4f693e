"""Lengths of bones, for the loss and the metrics."""

from __future__ import annotations

import torch
from torch import Tensor


def bone_lengths(joints: Tensor, labelled: Tensor, bones: Tensor) -> tuple[Tensor, Tensor]:
    """``|joint a - joint b|`` of each bone and frame.

    Args:
        joints: ``(B, T, J, 3)``; what is not labeled is not read.
        labelled: bool ``(B, T, J)``.
        bones: int64 ``(B, E, 2)``, pairs (a, b) of joints, padded with -1.

    Returns:
        Lengths ``(B, T, E)``, and bool ``(B, T, E)``, True where both ends are labeled; elsewhere the length is 0.
    """
    ends = (bones.unsqueeze(-1) == torch.arange(joints.shape[2], device=bones.device)).unbind(dim=2)
    # A product with ±1, because on a GPU the gradient of an indexed read is summed by atomics, in any order.
    step = (ends[0].to(joints.dtype) - ends[1].to(joints.dtype)).unsqueeze(1)
    with torch.autocast(joints.device.type, enabled=False):
        length = (step @ torch.where(labelled.unsqueeze(-1), joints, 0.0)).norm(dim=-1)
    known = [(end.unsqueeze(1) & labelled.unsqueeze(2)).any(dim=-1) for end in ends]
    seen = known[0] & known[1]
    return torch.where(seen, length, 0.0), seen


def proportions(length: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance over time of each bone's length, in units of the clip's mean bone.

    Args:
        length, seen: ``(B, T, E)``, of `bone_lengths`.

    Returns:
        Means ``(B, E)``, whose mean over a clip's bones is 1, and variances ``(B, E)`` in the square of that unit. Both
        are 0 for a bone that is never seen.
    """
    frames = seen.sum(dim=1).clamp(min=1)
    mean = length.sum(dim=1) / frames
    variance = torch.where(seen, length - mean.unsqueeze(1), 0.0).square().sum(dim=1) / frames
    whole = mean.sum(dim=-1, keepdim=True) / seen.any(dim=1).sum(dim=-1, keepdim=True).clamp(min=1)
    whole = torch.where(whole == 0, 1.0, whole)
    return mean / whole, variance / whole.square()
