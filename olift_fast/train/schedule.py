"""The schedule of a training: steps, learning rate, window of each step, weights of the loss."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from olift_fast.errors import InputError
from olift_fast.ops.procrustes import Alignment


@dataclass(frozen=True)
class Schedule:
    """The schedule of a training.

    Args:
        steps: the number of optimizer steps.
        optimizer: "adamw"; or "muon", which uses AdamW for all except the large matrices.
        learning_rate: the peak rate, on AdamW's scale for both optimizers.
        warmup: steps in which the rate rises linearly; after them it falls along a cosine to 1 %.
        weight_decay: of matrices only.
        clip: the largest norm of the gradient.
        average: the decay of the exponential average of the weights; the average is what is saved.
        velocity_weight, reprojection_weight, bone_variance_weight, bone_ratio_weight: weights of the terms of the loss
            (`olift_fast.train.loss.lifting_loss`).
        bones_from: the step from which the terms on bones count. Earlier they would hinder the learning of depth.
        uncertainty_weight: weight of the likelihood in the loss, for lifters that give standard deviations.
        alignment: the error is taken after one Procrustes fit for each "sequence" or each "frame".
        look_ahead: the right side of the motion layers' window, in frames, and how often a step uses it, for a lifter
            for streams with several latencies; None keeps the lifter's window.

    Raises:
        InputError: a value is out of range; the message names it.
    """

    steps: int
    optimizer: Literal["adamw", "muon"] = "adamw"
    learning_rate: float = 1e-3
    warmup: int = 300
    weight_decay: float = 0.02
    clip: float = 1.0
    average: float = 0.998
    velocity_weight: float = 1.0
    reprojection_weight: float = 0.1
    bone_variance_weight: float = 0.0
    bone_ratio_weight: float = 0.0
    bones_from: int = 0
    uncertainty_weight: float = 0.1
    alignment: Alignment = "sequence"
    look_ahead: Mapping[int, float] | None = None

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise InputError(f"steps must be >= 1, got {self.steps}")
        for name in ("learning_rate", "clip"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} must be > 0, got {getattr(self, name)}")
        weights = ("velocity_weight", "reprojection_weight", "bone_variance_weight", "bone_ratio_weight")
        for name in ("warmup", "weight_decay", *weights, "bones_from", "uncertainty_weight"):
            if not getattr(self, name) >= 0:
                raise InputError(f"{name} must be >= 0, got {getattr(self, name)}")
        if not 0 <= self.average < 1:
            raise InputError(f"average must be in 0 … 1, below 1, got {self.average}")
        if self.look_ahead is not None:
            shares = self.look_ahead.values()
            if min(self.look_ahead, default=-1) < 0 or min(shares) < 0 or not sum(shares) > 0:
                raise InputError(
                    f"look_ahead must be frames >= 0 with shares >= 0, not all 0, got {dict(self.look_ahead)}"
                )

    def window(self, step: int, window: tuple[int, int]) -> tuple[int, int]:
        """The window of a step, given the lifter's own."""
        if self.look_ahead is None:
            return window
        shares = np.array(list(self.look_ahead.values()), dtype=np.float64)
        drawn = np.random.default_rng((2412, step)).choice(len(shares), p=shares / shares.sum())
        return window[0], list(self.look_ahead)[int(drawn)]

    def at(self, step: int) -> Schedule:
        """The schedule with the loss's weights of a step: 0 on bones before `bones_from`."""
        return self if step >= self.bones_from else replace(self, bone_variance_weight=0.0, bone_ratio_weight=0.0)

    def rate(self, step: int) -> float:
        """The learning rate of a step."""
        return warm_cosine(step, self.steps, peak=self.learning_rate, warmup=self.warmup, least=0.01)

    def decay(self, step: int) -> float:
        """The decay of the weights' average at a step: smaller at first, so that the initial weights soon drop out."""
        return min(self.average, (step + 1) / (step + 10))


def warm_cosine(step: int, steps: int, *, peak: float, warmup: int, least: float = 0.0) -> float:
    """The learning rate of a step: it rises linearly at first, then falls along a cosine to a share of its peak.

    Args:
        step, steps: its number, from 0 on, and that of all.
        peak: the highest rate.
        warmup: steps.
        least: the share of the peak at the end.
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(steps - warmup, 1)
    return peak * (least + (1 - least) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0))))
