"""Standard deviations that hold on clips that a lifter was not trained on."""

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
"""Of a normal distribution within one standard deviation: 68.3 %."""


def calibrated(lifter: Lifter, batches: Sequence[Batch]) -> Lifter:
    """A copy whose standard deviations hold 68.3 % of the errors on these clips; its joints are the same.

    There are two factors, one for x and y and one for z, each the smallest with which this share of the errors, after
    one similarity alignment a clip, is within one standard deviation. They go into the bias of the decoder's last
    layer, which gives logarithms.

    Args:
        lifter: one that gives standard deviations.
        batches: one a source (`collate`); each source counts the same, however many clips it has. They should be of
            animals that training left out: errors on those are larger than on animals that it had.

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
    """The smallest value that `SHARE` of all values are not above, where every source has the same weight."""
    values, order = torch.cat(list(sources)).sort()
    weights = torch.cat([torch.full_like(own, 1 / own.numel(), dtype=torch.float64) for own in sources])[order]
    place = int(torch.searchsorted(weights.cumsum(dim=0), SHARE * len(sources)))
    found = float(values[min(place, len(values) - 1)])
    if not 0 < found < math.inf:
        raise InputError(f"errors to calibrate on must be finite and above 0, got {found:g} standard deviations")
    return found
