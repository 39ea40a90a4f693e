"""Signs of how far a result can be trusted: each is seen where it should be, and warned of where it is bad."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from lifted_bodies import lifted, swinging

from olift_fast.bodies import length_drift, trust
from olift_fast.bodies.bones import body_radius
from olift_fast.bodies.signs import Trust, bones_by_side, jumping
from olift_fast.tracks import Skeleton, rig

FOX = rig("animalsyn3d_fox")
GOOD = Trust(bones=25, left=11, right=11, estimated=0.1, drift=0.05, usual_drift=0.07, jumps=0.0, mirror=0.06)


def test_good_results_are_not_warned_of() -> None:
    told = trust(lifted(swinging(FOX), FOX), usual_drift=0.07)
    assert (told.bones, told.estimated, told.jumps, told.mirror, told.uncertainty) == (25, 0, 0, None, None)
    assert told.drift == pytest.approx(0, abs=1e-6)
    assert list(told.warnings()) == [] == list(GOOD.warnings())
    assert told.line() == (
        "25 bones (10 left, 10 right), 0.0% of the keypoints estimated, bones stretch by 0.0% (in validation 7.0%), "
        "jumps in 0.0% of the frames"
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"estimated": 0.6}, ("only 40% of the keypoints are visible", "olift info")),
        ({"drift": 0.15}, ("bones stretch by 15.0%, against 7.0% in validation", "--rigid")),
        ({"drift": 0.15, "usual_drift": None}, ("bones stretch by 15.0%: check", "--rigid")),
        ({"jumps": 0.08}, ("a joint jumps in 8.0% of the frames", "--smooth")),
        ({"mirror": 0.3}, ("the mirror image is lifted differently, by 30%", "sides and bones")),
        ({"uncertainty": 0.4}, ("depth ±40%", "another view")),
    ],
)
def test_what_is_bad_is_warned_of_with_the_next_step(change: dict[str, float], words: tuple[str, ...]) -> None:
    (warning,) = replace(GOOD, **change).warnings()
    assert all(word in warning for word in words)
    assert "\n" not in warning


def test_what_was_done_already_is_no_next_step() -> None:
    stretch, jump = replace(GOOD, drift=0.15, jumps=0.08).warnings(steadied=True, smoothed=True)
    assert "the --rigid or --body that was given" in stretch and "--smooth" not in jump


def test_bones_are_counted_by_side() -> None:
    skeleton = Skeleton(("neck", "l_hand", "r_hand", "nose", "l_foot"), ((0, 1), (0, 2), (0, 3), (1, 2), (1, 4)))
    assert skeleton.sides == (0, 1, -1, 0, 1) or skeleton.sides == (0, 1, -1, 0, 0)
    assert bones_by_side(replace(skeleton, sides=(0, 1, -1, 0, 1))) == (2, 1)


def test_drift_is_of_windows_like_those_of_validation() -> None:
    bone = Skeleton(("a", "b"), ((0, 1),))
    joints = np.zeros((480, 2, 3))
    joints[:, 1, 0] = np.linspace(1, 3, 480)
    assert length_drift(joints, bone.edges, None) > 0.25
    assert length_drift(joints, bone.edges) < 0.05
    joints[:, 1, 0] = 10 + np.where(np.arange(480) % 2, 1, -1)
    assert length_drift(joints, bone.edges) == pytest.approx(0.1)
    joints[100:200] = np.nan
    assert length_drift(joints, bone.edges) == pytest.approx(0.1)
    assert np.isnan(length_drift(np.full((9, 2, 3), np.nan), bone.edges))


def test_drift_is_that_of_the_metric() -> None:
    torch = pytest.importorskip("torch")
    from olift_fast.train import bone_length_drift

    joints = swinging(FOX, 48) + np.random.default_rng(0).normal(0, 2, (48, FOX.num_joints, 3))
    wanted = bone_length_drift(torch.from_numpy(joints)[None], torch.ones(1, 48, FOX.num_joints, dtype=bool), FOX.edges)
    assert length_drift(joints, FOX.edges) == pytest.approx(float(wanted), rel=1e-6)


def test_jumps_are_seen_and_fast_bodies_do_not_jump() -> None:
    joints = swinging(FOX)
    assert not jumping(joints).any()
    assert not jumping(joints + np.arange(60)[:, None, None] * 500).any()
    joints[20, 3] += 2 * body_radius(joints)
    assert np.flatnonzero(jumping(joints)).tolist() == [19, 20]
    joints[40:] = np.nan
    assert np.flatnonzero(jumping(joints)).tolist() == [19, 20]


def test_result_without_bones_frames_or_joints_is_told_of_without_fuss() -> None:
    told = trust(lifted(np.zeros((1, 2, 3)), Skeleton(("a", "b"))))
    assert (told.drift, told.jumps) == (None, None)
    assert told.line() == "no bones, 0.0% of the keypoints estimated"
    empty = trust(lifted(np.full((5, 2, 3), np.nan), Skeleton(("a", "b"), ((0, 1),))))
    assert empty.drift is None and empty.as_json()["drift"] is None


def test_uncertainty_is_a_share_of_the_body() -> None:
    joints = swinging(FOX)
    sigma = np.full((1, *joints.shape[:2]), 0.2 * body_radius(joints))
    result = lifted(joints, FOX, uncertainty=sigma, uncertainty_xy=sigma)
    assert trust(result).uncertainty == pytest.approx(0.2)
    assert "depth ±20.0%" in trust(result).line()
