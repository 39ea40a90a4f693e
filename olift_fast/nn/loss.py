"""Squared error of 3D points after the Procrustes fit."""

from __future__ import annotations

from typing import get_args

import torch
from torch import Tensor, nn

from olift_fast.ops import procrustes_mse
from olift_fast.ops.checks import check_floating, check_shape
from olift_fast.ops.procrustes import Alignment, ProcrustesKind, Reduction


class ProcrustesLoss(nn.Module):
    """``min Σ w |s R joints + t - target|²`` over R, s and t: one fit for a sequence, or one for each frame.

    Args:
        kind: "rigid" (s = 1), "similarity", or "rotation" (s = 1, t = 0).
        alignment: one fit for a "sequence", or one for each "frame".
        reduction: "mean": weighted, over all points; "sum"; or "none": the weighted mean of each fit.

    Raises:
        ValueError: an unknown kind, alignment or reduction.

    The gradient holds R, s and t constant. That is exact for a squared error (envelope theorem), and the gradient is
    finite even if the fit is ambiguous, as for a flat prediction. If the position of the frames is unknown, center the
    joints and the target of each frame on their means first. `olift_fast.train.loss.lifting_loss` does so, and adds a
    velocity term.
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
        """The loss: a scalar; with reduction "none" one for each sequence, ``(...)``, or for each frame, ``(..., T)``.

        Args:
            joints, target: ``(..., T, J, 3)``; with alignment "frame" also ``(..., J, 3)``. Half precision is allowed;
                the loss is computed in float32 or float64.
            weights: ``(..., T, J)``, bool or >= 0, all 1 by default. A point of weight 0 is never read into
                arithmetic: its target may be NaN.

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
        return procrustes_mse(
            joints, target, weights=weights, kind=self.kind, alignment=self.alignment, reduction=self.reduction
        )

    def extra_repr(self) -> str:
        """The arguments, for ``repr``."""
        return f"kind={self.kind!r}, alignment={self.alignment!r}, reduction={self.reduction!r}"
