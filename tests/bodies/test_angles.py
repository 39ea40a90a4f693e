"""Angles of bodies whose posture is known."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from lifted_bodies import lifted, standing

from olift_fast.bodies import angles_of, write_angles
from olift_fast.bodies.trunk import HUMAN_RIGS, person_of, trunk_of
from olift_fast.bodies.vectors import between
from olift_fast.errors import InputError
from olift_fast.tracks import Skeleton, rig

# What turns the world's axes into the camera's: x right, y down, z away.
TO_CAMERA = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])


def values(joints: np.ndarray, skeleton: Skeleton, frame: str = "world") -> dict[str, float]:
    """The angles of the first frame by name."""
    found = angles_of(lifted(joints, skeleton, frame=frame))
    return {angle.name: float(angle.values[0, 0]) for angle in found.angles}


def turned(points: np.ndarray, center: np.ndarray, axis: int, degrees: float) -> np.ndarray:
    """The points turned about an axis through the center, right-handed."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    first, second = [other for other in range(3) if other != axis]
    matrix = np.eye(3)
    sign = -1 if axis == 1 else 1
    matrix[[first, first, second, second], [first, second, first, second]] = cos, -sign * sin, sign * sin, cos
    return (points - center) @ matrix.T + center


def move(joints: np.ndarray, skeleton: Skeleton, names: tuple[str, ...], about: str, axis: int, degrees: float) -> None:
    """Turns some joints about another one, in place; names without a side move on both."""
    for index in [skeleton.names.index(name) for name in names]:
        center = joints[:, skeleton.names.index(about)]
        joints[:, index] = turned(joints[:, index], center, axis, degrees)


def test_standing_person_has_zero_everywhere() -> None:
    joints, skeleton = standing()
    found = values(joints, skeleton)
    clinical = {
        angle.name: float(angle.values[0, 0])
        for angle in angles_of(lifted(joints, skeleton, frame="world")).angles
        if angle.kind == "clinical"
    }
    assert len(clinical) == 2 * (3 + 2 + 3) + 2
    assert max(map(abs, clinical.values())) < 2, clinical
    assert found["trunk pitch"] == pytest.approx(90, abs=1)
    assert found["trunk heading"] == pytest.approx(90, abs=1)
    assert found["LKnee"] == pytest.approx(180, abs=1)
    assert found["LHip-LKnee elevation"] == pytest.approx(-90, abs=1)


@pytest.mark.parametrize("frame", ["world", "camera"])
@pytest.mark.parametrize(("side", "outward"), [("left", 1.0), ("right", -1.0)])
def test_signs_of_clinical_angles(frame: str, side: str, outward: float) -> None:
    """The person faces along y, so a turn about x by +90° brings what hangs forward, and about y outward or inward."""
    letter = side[0].upper()
    for name, moving, about, axis, turn, wanted in (
        ("knee flexion", ("Ankle", "BigToe"), "Knee", 0, -70.0, 70.0),
        ("elbow flexion", ("Wrist",), "Elbow", 0, 110.0, 110.0),
        ("hip flexion", ("Knee", "Ankle"), "Hip", 0, 40.0, 40.0),
        ("hip flexion", ("Knee", "Ankle"), "Hip", 0, -20.0, -20.0),
        ("hip abduction", ("Knee", "Ankle"), "Hip", 1, 25.0 * outward, 25.0),
        ("hip abduction", ("Knee", "Ankle"), "Hip", 1, -15.0 * outward, -15.0),
        ("shoulder flexion", ("Elbow", "Wrist"), "Shoulder", 0, 120.0, 120.0),
        ("shoulder abduction", ("Elbow", "Wrist"), "Shoulder", 1, 100.0 * outward, 100.0),
        ("shoulder elevation", ("Elbow", "Wrist"), "Shoulder", 1, 100.0 * outward, 100.0),
        ("ankle dorsiflexion", ("BigToe",), "Ankle", 0, 20.0, 20.0),
        ("ankle dorsiflexion", ("BigToe",), "Ankle", 0, -30.0, -30.0),
    ):
        joints, skeleton = standing()
        move(joints, skeleton, tuple(letter + part for part in moving), letter + about, axis, turn)
        points = joints if frame == "world" else joints @ TO_CAMERA.T
        assert values(points, skeleton, frame)[f"{side} {name}"] == pytest.approx(wanted, abs=2), (side, name, turn)


def test_directions_that_points_do_not_tell_are_left_empty() -> None:
    joints, skeleton = standing()
    move(joints, skeleton, ("LElbow", "LWrist"), "LShoulder", 0, 90)
    found = values(joints, skeleton)
    assert found["left shoulder flexion"] == pytest.approx(90, abs=2)
    assert np.isnan(found["left shoulder abduction"])


def test_lean_of_the_trunk() -> None:
    joints, skeleton = standing()
    upper = [name for name in skeleton.names if not any(low in name for low in ("Knee", "Ankle", "Toe", "Heel"))]
    move(joints, skeleton, tuple(upper), "Hip", 0, -30)
    found = values(joints, skeleton)
    assert found["trunk flexion"] == pytest.approx(30, abs=1)
    assert found["trunk lateral flexion"] == pytest.approx(0, abs=1)
    assert found["left hip flexion"] == pytest.approx(30, abs=1)
    joints, _ = standing()
    move(joints, skeleton, tuple(upper), "Hip", 1, -20)
    assert values(joints, skeleton)["trunk lateral flexion"] == pytest.approx(20, abs=1)


@pytest.mark.parametrize("heading", [0.0, 60.0, -120.0])
def test_heading_of_people_and_animals(heading: float) -> None:
    joints, skeleton = standing()
    joints = turned(joints, np.zeros(3), 2, heading - 90)
    assert values(joints, skeleton)["trunk heading"] == pytest.approx(heading, abs=1)
    fox = rig("animalsyn3d_fox")
    body = np.zeros((1, fox.num_joints, 3))
    for joint, (name, side) in enumerate(zip(fox.names, fox.sides, strict=True)):
        front = name.startswith(("Shoulder", "Elbow", "Neck", "Nose", "Eye", "Ear", "Wrist", "Paw", "Spine"))
        body[:, joint] = (10.0 if front else -10.0, 2.0 * side, 8.0 if front else 6.0)
    found = values(turned(body, np.zeros(3), 2, heading), fox)
    assert found["trunk heading"] == pytest.approx(heading, abs=1)
    assert found["trunk pitch"] == pytest.approx(np.degrees(np.arctan2(2, 20)), abs=0.5)


def test_angles_need_the_world_for_what_is_upright() -> None:
    joints, skeleton = standing()
    found = angles_of(lifted(joints @ TO_CAMERA.T, skeleton))
    assert {angle.kind for angle in found.angles} == {"joint", "clinical"}
    assert any("camera's frame" in sentence for sentence in found.left_out)
    assert not any(angle.name.startswith("trunk") for angle in found.angles)


def test_every_two_bones_of_a_joint_make_an_angle() -> None:
    skeleton = Skeleton(("hub", "a", "b", "c"), ((0, 1), (2, 0), (0, 3)))
    joints = np.array([[[0, 0, 0], [1, 0, 0], [0, 2, 0], [-3, 0, 0]]], dtype=float)
    assert values(joints, skeleton, "camera") == pytest.approx({"hub (a, b)": 90, "hub (a, c)": 180, "hub (b, c)": 90})
    chain = Skeleton(("a", "b", "c"), ((0, 1), (1, 2)))
    assert list(values(joints[:, :3], chain, "camera")) == ["b"]


def test_missing_joints_make_missing_angles() -> None:
    chain = Skeleton(("a", "b", "c", "d"), ((0, 1), (1, 2), (2, 3)))
    joints = np.random.default_rng(0).normal(size=(5, 4, 3))
    joints[2, 3] = np.nan
    joints[3, 1] = joints[3, 0]
    b, c = angles_of(lifted(joints, chain)).angles
    assert np.isnan(b.values[0]).tolist() == [False, False, False, True, False]
    assert np.isnan(c.values[0]).tolist() == [False, False, True, False, False]


def test_small_angles_are_exact() -> None:
    one, other = np.array([1.0, 0, 0]), np.array([1.0, 1e-7, 0])
    assert between(one, other) == pytest.approx(np.degrees(1e-7), rel=1e-6)


def test_every_human_rig_is_a_person_and_no_animal_is() -> None:
    for name in HUMAN_RIGS:
        person = person_of(rig(name))
        assert person is not None and len(person.joints) >= 12, name
    for name in ("animalsyn3d_fox", "animalsyn3d_hippo", "ap10k_17", "superanimal_quadruped", "mediapipe_hand_21"):
        assert person_of(rig(name)) is None
    foot = person_of(rig("human36m_17"))
    assert foot is not None and foot.joints["left_ankle"] == rig("human36m_17").names.index("LFoot")


@pytest.mark.parametrize("name", ["ap10k_17", "superanimal_topviewmouse", "animalpose_20", "animalsyn3d_chicken"])
def test_animals_have_a_trunk_from_rear_to_front(name: str) -> None:
    trunk = trunk_of(rig(name))
    assert trunk is not None
    names = rig(name).names
    assert all(any(word in names[joint].lower() for word in ("shoulder", "wither", "throat")) for joint in trunk.front)
    assert all(any(word in names[joint].lower() for word in ("hip", "tail", "pelvis")) for joint in trunk.rear)


def test_nameless_joints_have_no_trunk() -> None:
    chain = Skeleton(("p1", "p2", "p3"), ((0, 1), (1, 2)))
    found = angles_of(lifted(np.eye(3)[None], chain, frame="world"))
    assert any("the names of the joints tell no trunk" in sentence for sentence in found.left_out)
    with pytest.raises(InputError, match="angles need the skeleton's edges"):
        angles_of(lifted(np.eye(3)[None], Skeleton(("p1", "p2", "p3"))))


def test_tables(tmp_path: Path) -> None:
    chain = Skeleton(('a,"1"', "b", "c"), ((0, 1), (1, 2)))
    joints = np.zeros((2, 3, 3, 3))
    joints[..., 0, 0], joints[..., 2, 1] = 1.0, 1.0
    joints[1, 2, 2] = np.nan
    result = lifted(joints, chain, fps=50, frames=np.array([10, 11, 14]))
    visible = result.visible.copy()
    visible[0, 1, 0] = False
    result = lifted(joints, chain, fps=50, frames=np.array([10, 11, 14]), visible=visible)
    found = angles_of(result)
    wide = list(csv.DictReader(write_angles(found, result, tmp_path / "wide.csv").open()))
    assert [(row["track"], row["frame"], row["time"]) for row in wide[:3]] == [
        ("animal_0", "10", "0.2"), ("animal_0", "11", "0.22"), ("animal_0", "14", "0.28"),
    ]  # fmt: skip
    assert [row["b"] for row in wide] == ["90.000"] * 5 + [""]
    long = list(csv.DictReader(write_angles(found, result, tmp_path / "rows.long.csv").open()))
    assert [(row["track"], row["frame"], row["angle"], row["kind"]) for row in long][3] == (
        "animal_1", "10", "b", "joint",
    )  # fmt: skip
    assert [row["degrees"] for row in long] == ["90.000"] * 5 + [""]
    assert [row["visible"] for row in long] == ["1", "0", "1", "1", "1", "1"]
