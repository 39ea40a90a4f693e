"""Checkpoints that are given inputs and outputs which they were trained without."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch

from olift_fast.errors import InputError
from olift_fast.model import Lifter, LifterConfig
from olift_fast.train.growth import with_added

SMALL = LifterConfig(width=16, heads=2, motion_layers=1, space_layers=1, frequencies=8, mlp_ratio=1)
ALL = replace(SMALL, pitch=True, kinds=5, uncertainty=True)


@pytest.mark.parametrize("before", [SMALL, replace(SMALL, pitch=True), replace(SMALL, kinds=3), ALL])
def test_the_joints_stay_and_all_new_weights_learn(before: LifterConfig) -> None:
    torch.manual_seed(0)
    lifter = Lifter(before)
    larger = with_added(lifter, ALL)
    assert larger.config == ALL and lifter.config == before
    keypoints, kinds = torch.randn(2, 6, 4, 2), torch.tensor([1, 2, 0, 2])
    told = {"pitch": torch.tensor([10.0, -80.0])} if before.pitch else {}
    known = told | {"kinds": kinds} if before.kinds else told
    every = {"pitch": torch.tensor([10.0, -80.0]), "kinds": kinds}
    with torch.no_grad():
        expected = lifter(keypoints, **known)
        torch.testing.assert_close(larger(keypoints, **known), expected)
        if not told and not before.kinds:
            torch.testing.assert_close(larger(keypoints, **every), expected)
    lifted = larger.train()(keypoints, **every, uncertainty=True)
    (lifted * torch.randn(5)).sum().backward()
    for name in ("encoder.pitch.weight", "encoder.kind.weight", "decoder.mlp.2.weight"):
        gradient = larger.get_parameter(name).grad
        assert gradient is not None and gradient[-1 if "kind" not in name else 2].abs().sum() > 0, name


def test_what_the_model_has_is_not_taken_away() -> None:
    for name, asked, had in (("pitch", False, True), ("kinds", 3, 5), ("uncertainty", False, True)):
        with pytest.raises(InputError, match=re.escape(f"{name} must leave the model what it has, {had}, got {asked}")):
            with_added(Lifter(ALL), replace(ALL, **{name: asked}))
    assert with_added(lifter := Lifter(ALL), replace(ALL, width=32)) is lifter
