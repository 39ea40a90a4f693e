"""Which way is up: of a pitch, of a pair of joints, and estimated from how animals stand."""

from __future__ import annotations

import numpy as np
import pytest
from made_up_lifts import TABLE, lifted, seen_from, standing

from benchmarks.walkers import planted
from olift_fast.data.cameras import upright_rotation
from olift_fast.errors import InputError
from olift_fast.tracks.rigs import rig, rig_names
from olift_fast.tracks.skeleton import Skeleton
from olift_fast.world import estimate_up, pitch_and_roll, to_world, up_of_pitch
from olift_fast.world.feet import feet_of, is_upright, limbs_of, upright_trunk_of


def camera(pitch: float, roll: float = 0.0, azimuth: float = 0.7) -> np.ndarray:
    return upright_rotation(*np.radians([[azimuth], [pitch], [roll]]))[0]


def degrees(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.degrees(np.arccos(np.clip(a @ b, -1, 1))))


@pytest.mark.parametrize("pitch", [-90, -30, 0, 25, 90])
def test_up_of_a_pitch_is_that_of_a_camera_that_looks_down_by_it(pitch: float) -> None:
    np.testing.assert_allclose(up_of_pitch(pitch), camera(pitch)[:, 2], atol=1e-12)


@pytest.mark.parametrize(("pitch", "roll"), [(20, 0), (-40, 10), (5, -35)])
def test_pitch_and_roll_are_those_of_up(pitch: float, roll: float) -> None:
    assert pitch_and_roll(up_of_pitch(pitch, roll)) == pytest.approx((pitch, roll))


def test_a_pitch_that_is_told_is_taken() -> None:
    result = lifted(seen_from(standing(), camera(20))[None])
    for told in (to_world(result, pitch=33), to_world(lifted(result.joints, pitch=33))):
        np.testing.assert_allclose(told.world.up, up_of_pitch(33), atol=1e-12)
        assert told.world.gravity == "pitch"


def test_a_pitch_of_no_such_animal_is_warned_of() -> None:
    result = next(planted(1, frames=60)).true_lift(0.01, 0)
    assert to_world(result, pitch=10).warnings == ()
    assert "gravity by the pitch is" in to_world(result, pitch=-80).warnings[0]


def test_up_may_be_told_in_the_cameras_axes_or_by_two_joints() -> None:
    result = lifted(seen_from(standing(), camera(15, 8))[None])
    given = to_world(result, up=(0, -2, 0)).world
    np.testing.assert_allclose(given.up, (0, -1, 0))
    assert (given.gravity, given.gravity_error) == ("given", 0)
    joints = to_world(result, up="front_paw-shoulder").world
    np.testing.assert_allclose(joints.up, camera(15, 8)[:, 2], atol=1e-6)
    assert joints.gravity == "joints"
    with pytest.raises(InputError, match="no joint 'shoulde'; did you mean"):
        to_world(result, up="front_paw-shoulde")
    with pytest.raises(InputError, match="three numbers"):
        to_world(result, up=(0, 0, 0))
    with pytest.raises(InputError, match="leave out one"):
        to_world(result, up=(0, -1, 0), pitch=3)


@pytest.mark.parametrize(("pitch", "roll"), [(0, 0), (30, 3), (60, 0), (20, -12)])
def test_a_body_that_stands_still_tells_up(pitch: float, roll: float) -> None:
    turns = np.linspace(0, 2 * np.pi, 60)
    joints = [seen_from(standing(1), camera(pitch, roll, azimuth)) for azimuth in turns]
    up = estimate_up(lifted(np.concatenate(joints)[None]))
    assert up.source == "feet"
    assert degrees(up.vector, camera(pitch, roll)[:, 2]) < 5


def test_the_estimate_is_within_8_degrees_on_walking_bodies() -> None:
    errors, said = [], []
    for number, walker in enumerate(planted(15, frames=90, seed=1)):
        up = estimate_up(walker.true_lift(0.02, number))
        errors.append(degrees(up.vector, walker.up))
        said.append(up.error)
    assert np.median(errors) < 6
    # What it says of its error is neither far too little nor far too much.
    assert 0.5 < np.median(said) / np.sqrt(np.mean(np.square(errors))) < 4


def test_names_alike_do_not_make_a_rat_stand_upright() -> None:
    names = ("HipL", "HipR", "KneeL", "KneeR", "ShinL", "ShinR", "ShoulderL", "ShoulderR", "ElbowL", "ElbowR")
    rat = Skeleton(names)
    assert is_upright(rat)
    sides = [
        np.array([x, y, z]) for x, z in ((-1, 0.8), (-0.9, 0.4), (-1, 0), (1, 0.8), (0.9, 0.4)) for y in (0.2, -0.2)
    ]
    joints = np.concatenate([seen_from(np.tile(sides, (15, 1, 1)), camera(10, 0, azimuth)) for azimuth in (0, 1, 2)])
    up = estimate_up(lifted(joints[None], rat))
    assert degrees(up.vector, camera(10)[:, 2]) < 10


def test_without_names_cameras_are_taken_to_be_usual_and_the_error_says_so() -> None:
    plain = Skeleton(tuple(f"joint{index}" for index in range(9)))
    up = estimate_up(lifted(seen_from(standing(), camera(10))[None], plain))
    assert up.source == "assumed" and up.error > 10
    assert abs(pitch_and_roll(up.vector)[1]) < 1


def test_feet_are_the_outermost_joints_of_the_legs() -> None:
    assert [TABLE.names[joint] for joint in feet_of(TABLE)] == list(TABLE.names[:4])
    coco = rig("coco_17")
    assert [coco.names[joint] for joint in feet_of(coco)] == ["left_ankle", "right_ankle"]
    body = rig("halpe_26")
    assert {body.names[joint] for joint in feet_of(body)} == {
        f"{side}{part}" for side in "LR" for part in ("BigToe", "SmallToe", "Heel")
    }
    assert feet_of(rig("mediapipe_hand_21")).size == 0
    assert is_upright(coco) and not is_upright(TABLE)
    assert [[TABLE.names[joint] for joint in ends] for ends in limbs_of(TABLE)] == [
        ["left_shoulder", "right_shoulder", "left_hip", "right_hip"],
        ["left_front_paw", "right_front_paw", "left_hind_paw", "right_hind_paw"],
    ]
    assert len(upright_trunk_of(TABLE)[0]) == 0


@pytest.mark.parametrize("name", rig_names())
def test_every_rig_can_be_asked(name: str) -> None:
    skeleton = rig(name)
    assert set(feet_of(skeleton)) <= set(range(skeleton.num_joints))
    low, high = upright_trunk_of(skeleton)
    assert (len(low) > 0) == (len(high) > 0)
