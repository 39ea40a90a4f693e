"""Adds inputs and outputs to a trained lifter, so that its training can continue with them."""

from __future__ import annotations

from dataclasses import replace

import torch

from olift_fast.errors import InputError
from olift_fast.model import Lifter, LifterConfig

ADDED = ("pitch", "kinds", "uncertainty")
"""The fields of `LifterConfig` whose inputs or output can be added to a trained checkpoint."""


def with_added(lifter: Lifter, config: LifterConfig) -> Lifter:
    """A copy of the lifter with the inputs and outputs of a config. New weights are 0, so its joints do not change.

    Args:
        lifter: it is not changed.
        config: of which only `pitch`, `kinds` and `uncertainty` are used.

    Raises:
        InputError: the lifter has an input or output that the config does not have.
    """
    wanted = replace(lifter.config, **{name: getattr(config, name) for name in ADDED})
    if wanted == lifter.config:
        return lifter
    for name in ADDED:
        had, asked = getattr(lifter.config, name), getattr(wanted, name)
        if asked < had:
            raise InputError(f"model.changes.{name} must leave the model what it has, {had}, got {asked}")
    larger = Lifter(wanted, lifter.name)
    before = lifter.state_dict()
    with torch.no_grad():
        for name, weights in larger.state_dict().items():
            weights.zero_()
            if name in before:
                # Kinds and outputs are rows; the lifter's own rows come first.
                weights[: len(before[name])] = before[name]
    return larger
