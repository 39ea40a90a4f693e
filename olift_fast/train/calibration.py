"""Calibrates standard deviations on clips that a lifter was not trained on."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from olift_fast.errors import InputError
from olift_fast.model import Lifter
from olift_fast.train.batches import Batch
from olift_fast.train.evaluate import CLIPS_AT_ONCE, lifted_by
from olift_fast.train.uncertainty import errors_in_deviations

SHARE = math.erf(math.sqrt(0.5))
"""The share of a normal distribution within one standard deviation: 68.3 %."""


def calibrated(lifter: Lifter, batches: Sequence[Batch]) -> Lifter:
    """A copy of a lifter with the same joints, in which 68.3 % of the errors are within one standard deviation.

    Its deviations are multiplied by two factors, one for x and y and one for z. Each is the smallest factor with which
    this share of the errors on these clips, after one similarity alignment for each clip, is within one standard
    deviation. The factors are added to the bias of the decoder's last layer, which gives logarithms.

    Args:
        lifter: gives standard deviations.
        batches: one for each source (`collate`); each source counts the same, however many clips it has. The animals
            should not be in the training, because errors are larger on new animals.

    Raises:
        InputError: the lifter gives no standard deviations, or nothing is labeled.
    """
    if not lifter.config.uncertainty:
        raise InputError(f"the model {lifter.name!r} gives no standard deviations to calibrate (see its config)")
    ratios: tuple[list[Tensor], list[Tensor]] = ([], [])
    for batch in batches:
        off = _ratios(lifter, batch)
        for own, values in zip(ratios, (off[:, :2], off[:, 2:]), strict=True):
            if values.numel():
                own.append(values.flatten())
    if not ratios[0]:
        raise InputError("clips to calibrate on must have labeled joints, got none")
    factors = torch.tensor([_quantile(values) for values in ratios], dtype=torch.float64)
    copied = copy.deepcopy(lifter)
    last = cast(nn.Linear, copied.decoder.mlp[-1])
    with torch.no_grad():
        last.bias[3:] += factors.log().to(last.bias)
    return copied


def _ratios(lifter: Lifter, batch: Batch) -> Tensor:
    """``(M, 3)``: the errors of all labeled joints in standard deviations."""
    device = next(lifter.parameters()).device
    method = lifted_by(lifter, uncertainty=True)
    parts = [part.to(device) for part in batch.split(CLIPS_AT_ONCE)]
    return torch.cat([errors_in_deviations(method(p), p.joints, p.labelled)[p.labelled] for p in parts]).cpu()


def _quantile(sources: Sequence[Tensor]) -> float:
    """The `SHARE` quantile of all values, in which every source has the same weight."""
    values, order = torch.cat(list(sources)).sort()
    weights = torch.cat([torch.full_like(own, 1 / own.numel(), dtype=torch.float64) for own in sources])[order]
    place = int(torch.searchsorted(weights.cumsum(dim=0), SHARE * len(sources)))
    found = float(values[min(place, len(values) - 1)])
    if not 0 < found < math.inf:
        raise InputError(f"errors to calibrate on must be finite and above 0, got {found:g} standard deviations")
    return found
