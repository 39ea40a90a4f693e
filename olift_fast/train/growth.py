"""Inputs and outputs that a trained lifter did not have, so that it can be trained on with them."""

from __future__ import annotations

from dataclasses import replace

import torch

from olift_fast.errors import InputError
from olift_fast.model import Lifter, LifterConfig

ADDED = ("pitch", "kinds", "uncertainty")
"""The fields of `LifterConfig` that a checkpoint can be given after it was trained."""


def with_added(lifter: Lifter, config: LifterConfig) -> Lifter:
    """The lifter with the inputs and outputs of a config. What is new starts at 0: its joints stay what they were.

    Args:
        lifter: it is not changed.
        config: its `pitch`, `kinds` and `uncertainty` are taken, and its other fields are not looked at.

    Raises:
        InputError: the lifter has an input or output that the config leaves out.
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
                # Kinds and outputs are rows, those that it had first.
                weights[: len(before[name])] = before[name]
    return larger
