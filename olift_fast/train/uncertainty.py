"""Metrics of a lifter's standard deviations: whether errors are as large as they say, and whether they find bad joints.

Every metric takes lifted ``(B, T, J, 5)``, as `Lifter.forward` gives it with `uncertainty`, and target ``(B, T, J, 3)``
in one unit of length, and labelled, bool ``(B, T, J)``, where the target is known. It returns one value a clip
``(B,)``, NaN for a clip without a label. Joints are fitted to the target as `sa_mpjpe` fits them.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from olift_fast.train.metrics import Metric, aligned_difference

Axes = Literal["xy", "z"]
SURE = (0.9, 0.8, 0.7, 0.6, 0.5)
"""The shares of the surest joints whose error `olift eval` shows: a sparsification curve."""


def coverage(lifted: Tensor, target: Tensor, labelled: Tensor, *, axes: Axes, deviations: float = 1.0) -> Tensor:
    """Share of true positions within k standard deviations: ``mean over (t, j) in M and a of [|e_a| ≤ k σ_a]``.

    Args:
        lifted, target, labelled: see above.
        axes: a is x and y, or z alone.
        deviations: k. Of a normal distribution, 68.3 % are within 1, and 95 % within 1.96.

    Returns:
        ``(B,)`` from 0 to 1. A joint that is not finite is outside.
    """
    chosen = slice(0, 2) if axes == "xy" else slice(2, 3)
    inside = errors_in_deviations(lifted, target, labelled)[..., chosen] <= deviations
    return (inside & labelled[..., None]).double().flatten(1).sum(dim=1) / (
        inside.shape[-1] * labelled.flatten(1).sum(dim=1)
    )


def error_of_the_surest(lifted: Tensor, target: Tensor, labelled: Tensor, *, share: float) -> Tensor:
    """`sa_mpjpe` of the share of a clip's labeled joints whose standard deviations are smallest, same fit.

    A joint's standard deviation is ``√(2 σ_xy² + σ_z²)``. The difference to the error of all joints is the gain of
    leaving out the other joints (sparsification).

    Args:
        lifted, target, labelled: see above.
        share: of the joints of all frames together, above 0, up to 1.

    Returns:
        ``(B,)`` in the unit of the target; infinity where one of these joints is not finite.
    """
    error = aligned_difference(lifted[..., :3], target, labelled).norm(dim=-1).nan_to_num(nan=torch.inf).flatten(1)
    known = labelled.flatten(1)
    count = known.sum(dim=1, keepdim=True)
    total = (2 * lifted[..., 3].square() + lifted[..., 4].square()).flatten(1)
    rank = torch.where(known, total, torch.inf).argsort(dim=1, stable=True).argsort(dim=1)
    kept = known & (rank < (share * count).ceil())
    return torch.where(kept, error, 0.0).sum(dim=1) / kept.sum(dim=1)


def errors_in_deviations(lifted: Tensor, target: Tensor, labelled: Tensor) -> Tensor:
    """``|e_a| / σ_a`` ``(B, T, J, 3)``, e = s R ŷ + d − y, one fit a clip; infinity where a joint is not finite."""
    error = aligned_difference(lifted[..., :3], target, labelled)
    return (error.abs() / lifted[..., [3, 3, 4]]).nan_to_num(nan=torch.inf)


UNCERTAINTY_METRICS = (
    *(
        Metric(
            name=f"surest_{100 * share:.0f}",
            column=f"surest {100 * share:.0f}%",
            function=error_of_the_surest,
            options={"share": share},
            mean_of="(over the surest joints) |s R ŷ + d − y|, one fit a clip",
            unit="length",
            use="what leaving out uncertain joints gains",
        )
        for share in SURE
    ),
    *(
        Metric(
            name=f"coverage_{percent}_{axes}",
            column=f"{axes} {percent}%",
            function=coverage,
            options={"axes": axes, "deviations": deviations},
            mean_of="1 where |e_a| ≤ k σ_a, else 0, e = s R ŷ + d − y, one fit a clip",
            unit="share",
            use="whether the standard deviations hold",
            more_is_better=True,
            percent=f"{axes} within {deviations:g} standard deviations",
        )
        for axes in ("xy", "z")
        for percent, deviations in ((68, 1.0), (95, 1.96))
    ),
)
"""The metrics that `olift eval` shows for lifters with standard deviations, in the order of its columns."""
