"""Squared error of 3D points up to the motion that fits them best."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from olift_fast.ops import procrustes_mse
from olift_fast.ops.checks import check_floating, check_shape
from olift_fast.reference import Alignment, ProcrustesKind

Reduction = Literal["mean", "sum", "none"]


class ProcrustesLoss(nn.Module):
    """``min Σ w |s R joints + t - target|²`` over R, s and t: one fit a sequence, or one a frame.

    Args:
        kind: "rigid" (s = 1), "similarity", or "rotation" (s = 1, t = 0).
        alignment: one fit a "sequence" or a "frame".
        reduction: "mean" over all points, by weight; "sum"; or "none": the weighted mean of each fit.

    Raises:
        ValueError: an unknown kind, alignment or reduction.

    The gradient holds R, s and t constant, which is exact for a squared error (envelope theorem), and finite where
    the fit is ambiguous, as it is for a flat prediction. Where a frame's place is unknown, centre both on its joints
    first; `olift_fast.train.loss.lifting_loss` does, and adds a velocity term.
    """

    def __init__(
        self, kind: ProcrustesKind = "rigid", alignment: Alignment = "sequence", reduction: Reduction = "mean"
    ) -> None:
        super().__init__()
        for name, value, allowed in (
            ("kind", kind, get_args(ProcrustesKind)),
            ("alignment", alignment, get_args(Alignment)),
            ("reduction", reduction, get_args(Reduction)),
        ):
            if value not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")
        self.kind, self.alignment, self.reduction = kind, alignment, reduction

    def forward(self, joints: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
        """The loss: a scalar, or with reduction "none" ``(...)`` a sequence, ``(..., T)`` a frame.

        Args:
            joints, target: ``(..., T, J, 3)``; ``(..., J, 3)`` will do when aligned a frame.
            weights: ``(..., T, J)``, bool or >= 0: points of weight 0, where the target is unknown, are never read
                into arithmetic. All 1 by default.

        Raises:
            ValueError, TypeError: an argument has the wrong shape, dtype or device.
        """
        check_floating("joints", joints)
        least = 3 if self.alignment == "sequence" else 2
        if joints.dim() < least or joints.shape[-1] != 3:
            wanted = "(..., T, J, 3)" if least == 3 else "(..., J, 3)"
            raise ValueError(f"joints must be {wanted}, got {tuple(joints.shape)}")
        check_shape("target", target, joints.shape)
        if weights is not None:
            check_shape("weights", weights, joints.shape[:-1])
            weights = weights.to(joints.dtype) if weights.dtype == torch.bool else weights
        if self.alignment == "sequence":
            joints, target = joints.flatten(-3, -2), target.flatten(-3, -2)
            weights = None if weights is None else weights.flatten(-2)
        errors = procrustes_mse(joints, target, weights=weights, kind=self.kind)
        if self.reduction == "none":
            return errors
        if weights is None:
            return errors.mean() if self.reduction == "mean" else errors.sum() * joints.shape[-2]
        totals = weights.to(errors.dtype).sum(dim=-1)
        total = (errors * totals).sum()
        return total / torch.where(totals.sum() > 0, totals.sum(), 1.0) if self.reduction == "mean" else total

    def extra_repr(self) -> str:
        """The arguments, for printing."""
        return f"kind={self.kind!r}, alignment={self.alignment!r}, reduction={self.reduction!r}"
