"""Positions as a motion of bones: trees, rotations, the rest pose."""

from __future__ import annotations

import numpy as np
import pytest
from lifted_motions import swinging

from olift_fast.io.writers.bone_tree import bone_tree
from olift_fast.io.writers.rotations import euler_zxy, proper, quaternions, swing
from olift_fast.io.writers.skeletal_motion import skeletal_motion
from olift_fast.io.writers.trunk import with_trunk
from olift_fast.tracks import rig, rig_names
from olift_fast.tracks.skeleton import Skeleton


def turns(count: int, seed: int = 0) -> np.ndarray:
    return proper(np.random.default_rng(seed).normal(size=(count, 3, 3)))


def about(axis: int, degrees: np.ndarray) -> np.ndarray:
    """Rotations about an axis, by the textbook."""
    a, b = [(1, 2), (2, 0), (0, 1)][axis]
    found = np.broadcast_to(np.eye(3), (*degrees.shape, 3, 3)).copy()
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    found[..., a, a] = found[..., b, b] = cosine
    found[..., a, b], found[..., b, a] = -sine, sine
    return found


@pytest.mark.parametrize("name", rig_names())
def test_trees_reach_all_joints_by_edges(name: str) -> None:
    skeleton = rig(name)
    tree = bone_tree(skeleton, np.ones(skeleton.num_joints, bool))
    assert sorted(tree.order) == list(range(skeleton.num_joints)) and len(tree.roots) == len(skeleton.pieces())
    edges = {frozenset(edge) for edge in skeleton.edges}
    for parent, joint in tree.bones:
        assert frozenset((parent, joint)) in edges and tree.order.index(parent) < tree.order.index(joint)
        assert joint in tree.children[parent]


def test_joints_that_are_not_known_part_the_tree() -> None:
    skeleton = Skeleton(("a", "b", "c", "d"), ((0, 1), (1, 2), (2, 3)))
    tree = bone_tree(skeleton, np.array([True, False, True, True]))
    assert tree.order == (0, 2, 3) and tree.roots == (0, 2) and tree.bones == ((2, 3),)


def test_the_root_is_the_pelvis_or_the_middle() -> None:
    chain = Skeleton(("a", "b", "c", "d", "e"), ((0, 1), (1, 2), (2, 3), (3, 4)))
    assert bone_tree(chain, np.ones(5, bool)).roots == (2,)
    named = Skeleton(("pelvis", "b", "c", "d", "e"), chain.edges)
    assert bone_tree(named, np.ones(5, bool)).roots == (0,)


def test_swings_are_the_smallest_turns_and_reach_opposite_directions() -> None:
    rng = np.random.default_rng(0)
    start = rng.normal(size=(50, 3))
    start /= np.linalg.norm(start, axis=-1, keepdims=True)
    end = np.roll(start, 1, axis=0)
    end[:3] = -start[:3]
    end[3] = start[3]
    found = swing(start, end)
    np.testing.assert_allclose(np.einsum("tij,tj->ti", found, start), end, atol=1e-9)
    np.testing.assert_allclose(found @ np.swapaxes(found, -1, -2), np.broadcast_to(np.eye(3), found.shape), atol=1e-7)
    cosine = (np.einsum("tii->t", found) - 1) / 2
    np.testing.assert_allclose(cosine, np.einsum("ti,ti->t", start, end), atol=1e-9)


def test_euler_angles_give_the_rotation_back() -> None:
    rotations = turns(500).reshape(100, 5, 3, 3)
    z, x, y = np.moveaxis(euler_zxy(rotations), -1, 0)
    np.testing.assert_allclose(about(2, z) @ about(0, x) @ about(1, y), rotations, atol=1e-9)
    locked = about(2, np.array([30.0, -50.0])) @ about(0, np.array([90.0, -90.0])) @ about(1, np.array([20.0, 80.0]))
    z, x, y = np.moveaxis(euler_zxy(locked), -1, 0)
    np.testing.assert_allclose(about(2, z) @ about(0, x) @ about(1, y), locked, atol=1e-7)


def test_euler_angles_of_a_steady_turn_do_not_jump() -> None:
    """Three turns about each axis, and over the pole where the angles have two values: steps stay small."""
    degrees = np.linspace(0, 1080, 400)
    for axis, more in ((0, 1), (1, 2), (2, 0), (0, 2)):
        rotations = about(axis, degrees) @ about(more, degrees / 5)
        steps = np.abs(np.diff(euler_zxy(rotations), axis=0))
        assert steps.max() < 30, (axis, more, steps.max())
    wound = euler_zxy(about(2, degrees))[-1, 0]
    assert wound == pytest.approx(1080)


def test_quaternions_are_those_of_the_rotations_and_steady() -> None:
    rotations = turns(200)
    rotations[:3] = about(0, np.array([180.0, 0.0, 179.9999]))
    x, y, z, w = quaternions(rotations).T
    again = np.stack(
        [
            np.stack([1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)], -1),
            np.stack([2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)], -1),
            np.stack([2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)], -1),
        ],
        axis=-2,
    )
    np.testing.assert_allclose(again, rotations, atol=1e-7)
    steady = quaternions(about(1, np.linspace(0, 1440, 300)))
    assert np.einsum("ti,ti->t", steady[1:], steady[:-1]).min() > 0.9


def walker(frames: int = 60, heading: float = 40.0) -> tuple[Skeleton, np.ndarray]:
    """A body with legs that swing, upright, that turns about itself by a full turn."""
    names = ("pelvis", "neck", "left_hip", "right_hip", "left_knee", "right_knee")
    skeleton = Skeleton(names, ((0, 1), (0, 2), (0, 3), (2, 4), (3, 5)))
    swing_of = 30 * np.sin(np.linspace(0, 20, frames))
    rest = np.array([[0, 1, 0], [0, 1.6, 0], [0.2, 1, 0], [-0.2, 1, 0], [0.2, 0.5, 0], [-0.2, 0.5, 0]])
    joints = np.repeat(rest[np.newaxis], frames, axis=0)
    for hip, knee, sign in ((2, 4, 1), (3, 5, -1)):
        joints[:, knee] = joints[:, hip] + about(0, sign * swing_of) @ (rest[knee] - rest[hip])
    around = about(1, heading + np.linspace(0, 360, frames))
    return skeleton, np.einsum("tij,tkj->tki", around, joints)


def test_the_rest_pose_stands_upright_and_faces_z() -> None:
    skeleton, joints = walker()
    motion = skeletal_motion(joints, skeleton)
    rest = motion.rest - motion.rest[0]
    np.testing.assert_allclose(rest[1], [0, 0.6, 0], atol=0.02)
    np.testing.assert_allclose(rest[2], [0.2, 0, 0], atol=0.02)
    np.testing.assert_allclose(rest[4], [0.2, -0.5, 0], atol=0.05)


def test_a_body_that_lies_and_rolls_has_a_rest_pose_all_the_same() -> None:
    skeleton, joints = walker()
    rolled = np.einsum("tij,tkj->tki", about(2, np.linspace(0, 720, len(joints))), joints)
    motion = skeletal_motion(rolled, skeleton)
    for parent, joint in motion.tree.bones:
        length = np.linalg.norm(joints[0, joint] - joints[0, parent])
        assert np.linalg.norm(motion.rest[joint] - motion.rest[parent]) == pytest.approx(length, rel=1e-6)
    assert np.isfinite(motion.rotations).all()


@pytest.mark.parametrize("name", ["coco_17", "ap10k_17", "superanimal_quadruped", "mediapipe_hand_21"])
def test_rotations_put_each_first_bone_where_it_is(name: str) -> None:
    skeleton = rig(name)
    joints = swinging(skeleton)
    motion = skeletal_motion(joints, skeleton)
    for joint in motion.tree.order:
        for place, child in enumerate(motion.tree.children[joint]):
            rest = motion.rest[child] - motion.rest[joint]
            turned = motion.rotations[:, joint] @ (motion.turned(joint, child) if place else np.eye(3))
            way = joints[:, child] - joints[:, joint]
            np.testing.assert_allclose(turned @ rest, way, atol=2e-3 * np.linalg.norm(rest))


def test_a_single_bone_does_not_twist() -> None:
    """A bone that swings in a plane turns about the axis square to it alone."""
    skeleton = Skeleton(("a", "b", "c"), ((0, 1), (1, 2)))
    angles = np.linspace(-80, 80, 50)
    tip = about(2, angles) @ np.array([0, -1.0, 0])
    joints = np.stack([tip * 0 + (0, 1, 0), tip * 0, tip], axis=1)
    motion = skeletal_motion(joints, skeleton)
    axis = np.einsum("tij,j->ti", motion.rotations[:, 1], motion.rotations[0, 1].T @ (0, 0, 1.0))
    np.testing.assert_allclose(axis, np.broadcast_to([0, 0, 1.0], axis.shape), atol=1e-6)


def test_a_body_in_one_line_does_not_roll_over_as_it_bends() -> None:
    """A worm on a plane that winds to both sides, while it turns about by a full turn."""
    skeleton = Skeleton(tuple("abcdef"), tuple((joint, joint + 1) for joint in range(5)))
    time = np.linspace(0, 6, 200)
    joints = np.zeros((200, 6, 3))
    for joint in range(5):
        angle = 60 * time + 35 * np.sin(2.5 * time - 1.3 * joint)
        joints[:, joint + 1] = joints[:, joint] + about(1, angle) @ (1.0, 0, 0)
    joints[..., 1] += np.random.default_rng(0).normal(0, 0.1, joints.shape[:2])
    rotations = skeletal_motion(joints, skeleton).rotations
    up = np.einsum("tjab,jb->tja", rotations, np.einsum("jba,b->ja", rotations[0], np.array([0, 1.0, 0])))
    assert up[..., 1].min() > 0.3


def test_bones_have_lengths_even_where_joints_fall_together() -> None:
    skeleton = Skeleton(("a", "b", "c", "d"), ((0, 1), (1, 2), (2, 3)))
    joints = swinging(skeleton)
    joints[:, 3] = joints[:, 2]
    motion = skeletal_motion(joints, skeleton)
    assert np.linalg.norm(motion.rest[3] - motion.rest[2]) > 0
    joints[:] = 5.0
    assert np.isfinite(skeletal_motion(joints, skeleton).rotations).all()


def test_gaps_are_bridged_by_straight_lines() -> None:
    skeleton = Skeleton(("a", "b"), ((0, 1),))
    joints = np.arange(36.0).reshape(6, 2, 3)
    holed = joints.copy()
    holed[[0, 2, 3], 1] = np.nan
    found = skeletal_motion(holed, skeleton).joints
    np.testing.assert_allclose(found[1:], joints[1:])
    np.testing.assert_allclose(found[0, 1], joints[1, 1])


def test_a_trunk_of_four_corners_gets_a_middle() -> None:
    skeleton = rig("coco_17")
    joints = swinging(skeleton)
    wider, more = with_trunk(skeleton, joints)
    assert wider.names[17:] == ("hips", "chest")
    at = {name: place for place, name in enumerate(wider.names)}
    np.testing.assert_allclose(more[:, at["hips"]], joints[:, [at["left_hip"], at["right_hip"]]].mean(axis=1))
    tree = bone_tree(wider, np.ones(19, bool))
    assert [wider.names[joint] for joint in tree.roots] == ["hips"]
    parent = {wider.names[joint]: wider.names[above] for above, joint in tree.bones}
    assert parent["left_shoulder"] == parent["right_shoulder"] == parent["nose"] == "chest"
    assert parent["left_hip"] == parent["right_hip"] == parent["chest"] == "hips"
    assert (parent["left_ear"], parent["right_ear"]) == ("left_eye", "right_eye")


def test_a_neck_between_the_shoulders_is_the_top_of_the_trunk() -> None:
    wider, more = with_trunk(rig("openpose_body_25b"), swinging(rig("openpose_body_25b")))
    assert wider.num_joints == more.shape[1] == 26
    neck = next(name for name in wider.names if "neck" in name.lower())
    edges = {frozenset((wider.names[a], wider.names[b])) for a, b in wider.edges}
    assert frozenset(("hips", neck)) in edges


def test_other_trunks_stay_as_they_are() -> None:
    for name in ("ap10k_17", "human36m_17"):
        skeleton, joints = rig(name), swinging(rig(name))
        assert with_trunk(skeleton, joints) == (skeleton, joints)
    joints = swinging(rig("coco_17"))
    joints[:, rig("coco_17").names.index("left_hip")] = np.nan
    assert with_trunk(rig("coco_17"), joints)[0] == rig("coco_17")
