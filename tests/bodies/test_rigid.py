"""Steady bones: one length for each, the nearest joints, loops, gaps, and how much work that is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from lifted_bodies import lifted, swinging
from scipy.optimize import minimize

from olift_fast.bodies import bone_lengths, length_drift, steady_bones, steady_lengths
from olift_fast.bodies.elimination import elimination_order, meetings, solve
from olift_fast.bodies.rigid import with_lengths
from olift_fast.errors import InputError
from olift_fast.tracks import Skeleton, rig
from olift_fast.tracks.world_frame import WorldFrame

FOX = rig("animalsyn3d_fox")


def noisy(skeleton: Skeleton, frames: int = 60, noise: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    true = swinging(skeleton, frames)
    return true, true + np.random.default_rng(1).normal(0, noise, true.shape)


def test_bones_have_one_length_left_and_right() -> None:
    _, joints = noisy(FOX)
    result = lifted(joints, FOX)
    steady = steady_bones(result)
    assert length_drift(joints, FOX.edges, None) > 0.03
    assert length_drift(steady.joints[0], FOX.edges, None) < 1e-4
    lengths = bone_lengths(steady.joints[0], FOX.edges).mean(axis=0)
    place = {frozenset(FOX.names[joint] for joint in edge): bone for bone, edge in enumerate(FOX.edges)}
    for left in (("Shoulder L", "Elbow L"), ("Hip L", "Knee L")):
        right = frozenset(name.replace(" L", " R") for name in left)
        assert lengths[place[frozenset(left)]] == pytest.approx(lengths[place[right]], rel=1e-4)


def test_noise_shrinks_and_joints_move_little() -> None:
    true, joints = noisy(FOX)
    steady = steady_bones(lifted(joints, FOX)).joints[0]
    before, after = (np.sqrt(np.mean((points - true) ** 2)) for points in (joints, steady))
    assert after < 0.9 * before
    assert np.sqrt(np.mean((steady - joints) ** 2)) < before
    np.testing.assert_allclose(bone_lengths(steady, FOX.edges)[0], bone_lengths(true, FOX.edges)[0], rtol=0.08)


@pytest.mark.parametrize("deviations", [None, np.array([1.0, 1.0, 3.0])])
def test_joints_are_the_nearest_ones(deviations: np.ndarray | None) -> None:
    """Against a general optimizer, frame by frame."""
    edges = ((0, 1), (1, 2), (1, 3), (3, 4))
    rng = np.random.default_rng(2)
    start = rng.normal(0, 10, (5, 3)) + rng.normal(0, 2, (6, 5, 3))
    lengths = bone_lengths(start, edges).mean(axis=0)
    weight = 1 / np.square(np.ones(3) if deviations is None else deviations)
    found = with_lengths(start, edges, lengths, deviations)
    for frame, own in zip(start, found, strict=True):
        best = minimize(
            lambda x, frame=frame: float((weight * (x.reshape(5, 3) - frame) ** 2).sum()),
            own.ravel().astype(float),
            constraints={"type": "eq", "fun": lambda x: bone_lengths(x.reshape(1, 5, 3), edges)[0] - lengths},
            method="SLSQP",
        )
        assert (weight * (own - frame) ** 2).sum() < 1.05 * best.fun + 1e-3


def test_sure_joints_stay_and_unsure_ones_move() -> None:
    skeleton = Skeleton(("a", "b"), ((0, 1),))
    joints = np.zeros((30, 2, 3))
    joints[:, 1, 0] = np.where(np.arange(30) == 7, 14.0, 10.0)
    sure = np.ones((1, 30, 2), np.float32)
    sure[..., 1] = 10.0
    result = lifted(joints, skeleton, uncertainty=sure, uncertainty_xy=sure)
    moved = steady_bones(result).joints[0] - joints
    assert abs(moved[7, 0, 0]) < 0.05 and moved[7, 1, 0] == pytest.approx(-4, abs=0.1)


def test_a_body_in_the_world_gives_way_along_the_cameras_depth() -> None:
    _, joints = noisy(FOX)
    rng = np.random.default_rng(3)
    sure = {name: rng.uniform(1, 9, joints.shape[:2])[None] for name in ("uncertainty", "uncertainty_xy")}
    turn = np.array([[0.0, 0.6, 0.8], [1, 0, 0], [0, 0.8, -0.6]])
    origin = np.array([[3.0, -2, 5]])
    world = WorldFrame(
        rotation=turn, origin=origin, gravity="pitch", gravity_error=1, path="in-plane", path_error=[np.nan]
    )
    for given in ({}, sure):
        camera = steady_bones(lifted(joints, FOX, **given)).joints
        placed = steady_bones(lifted(joints @ turn.T + origin, FOX, frame="world", world=world, **given)).joints
        np.testing.assert_allclose(placed, camera @ turn.T + origin, atol=2e-3)


def test_depth_gives_way_unless_nobody_knows_where_it_is_in_the_world() -> None:
    skeleton = Skeleton(("a", "b"), ((0, 1),))
    joints = np.zeros((31, 2, 3))
    joints[:, 1] = (6, 0, 8)
    joints[3, 1] = (6, 0, 9)
    camera, world = (steady_bones(lifted(joints, skeleton, frame=frame)).joints[0, 3] for frame in ("camera", "world"))
    across, depth = (camera[1] - camera[0])[[0, 2]] - (6, 9)
    assert depth / across == pytest.approx(4 * 9 / 6, rel=0.15)
    across, depth = (world[1] - world[0])[[0, 2]] - (6, 9)
    assert depth / across == pytest.approx(9 / 6, rel=1e-3)


@pytest.mark.parametrize("name", ["coco_17", "mediapipe_hand_21", "mediapipe_pose_33", "superanimal_quadruped"])
def test_skeletons_with_loops(name: str) -> None:
    skeleton = rig(name)
    assert len(skeleton.edges) > skeleton.num_joints - len(skeleton.pieces())
    rng = np.random.default_rng(3)
    body = rng.normal(0, 50, (skeleton.num_joints, 3))
    body += body[skeleton.mirror()] * (-1, 1, 1)
    joints = body + rng.normal(0, 3, (40, skeleton.num_joints, 3))
    steady = steady_bones(lifted(joints, skeleton)).joints[0]
    assert length_drift(steady, skeleton.edges, None) < 1e-3
    assert np.sqrt(np.mean((steady - joints) ** 2)) < 3


def test_lengths_that_contradict_each_other_are_shared() -> None:
    joints = np.random.default_rng(4).normal(0, 1, (50, 4, 3))
    edges = ((0, 1), (1, 2), (2, 0), (2, 3))
    steady = with_lengths(joints, edges, np.array([1.0, 1.0, 3.0, 1.0]))
    lengths = bone_lengths(steady, edges)
    assert np.isfinite(steady).all() and np.abs(steady - joints).max() < 5
    assert lengths.std(axis=0).max() < 0.05 and lengths[:, :3].mean() == pytest.approx(5 / 3, rel=0.1)


def test_missing_joints_stay_missing_and_do_not_leak() -> None:
    _, joints = noisy(FOX)
    whole = steady_bones(lifted(joints, FOX)).joints[0]
    holes = joints.copy()
    holes[10:20] = np.nan
    paw = FOX.names.index("Paw L")
    holes[30, paw] = np.nan
    steady = steady_bones(lifted(holes, FOX)).joints[0]
    np.testing.assert_array_equal(np.isnan(steady), np.isnan(holes))
    others = [frame for frame in range(60) if not 10 <= frame < 20 and frame != 30]
    np.testing.assert_allclose(steady[others], whole[others], atol=1.5)
    lengths = bone_lengths(steady, FOX.edges)
    assert np.nanmax(np.nanstd(lengths, axis=0) / np.nanmean(lengths, axis=0)) < 1e-4


def test_bone_without_length_and_joints_in_one_place() -> None:
    skeleton = Skeleton(("a", "b", "c"), ((0, 1), (1, 2)))
    joints = np.zeros((20, 3, 3))
    joints[:, 2, 0] = 5
    joints[4, 2] = joints[4, 1]
    steady = steady_bones(lifted(joints, skeleton)).joints[0]
    np.testing.assert_allclose(bone_lengths(steady, skeleton.edges)[:, 1], 5, rtol=1e-4)
    assert np.isfinite(steady).all()


def test_lengths_are_of_frames_that_show_both_ends() -> None:
    skeleton = Skeleton(("a", "b"), ((0, 1),))
    joints = np.zeros((40, 2, 3))
    joints[:, 1, 0] = np.where(np.arange(40) < 25, 4.0, 10.0)
    visible = np.arange(40)[:, None].repeat(2, axis=1) >= 25
    assert steady_lengths(joints, skeleton, visible) == pytest.approx([10.0])
    assert steady_lengths(joints, skeleton) == pytest.approx([4.0])


@pytest.mark.parametrize(("spread", "own"), [(0.3, 1.0), (1.0, 0.96), (8.0, 0.0)])
def test_sides_that_clearly_differ_keep_lengths_of_their_own(spread: float, own: float) -> None:
    """Lengths of 20 and 30, and how much of the 5 to their mean each side keeps: ``1 - (spread / 5)²``."""
    skeleton = Skeleton(("hip", "left_knee", "right_knee"), ((0, 1), (0, 2)))
    joints = np.zeros((2001, 3, 3))
    joints[:, 1, 1], joints[:, 2, 1] = np.random.default_rng(3).normal((20, 30), spread, (2001, 2)).T
    found = steady_lengths(joints, skeleton)
    assert found == pytest.approx([25 - 5 * own, 25 + 5 * own], abs=0.25)
    np.testing.assert_allclose(steady_lengths(joints[:, [0, 2, 1]], skeleton), found[::-1])


def test_outliers_do_not_set_lengths() -> None:
    true, joints = noisy(FOX, noise=0.1)
    joints[::6] *= 3
    np.testing.assert_allclose(steady_lengths(joints, FOX), bone_lengths(true, FOX.edges)[0], rtol=0.02)


def test_result_tells_how_far_joints_moved_and_that_an_animal_came_nearer() -> None:
    true, _ = noisy(FOX, frames=240)
    steady = steady_bones(lifted(true, FOX))
    assert steady.warnings == () and "moved by 0.0% of the body's radius" in steady.notes[-1]
    nearer = true * np.linspace(1, 2, 240)[:, None, None]
    nearer[:, FOX.names.index("Tail Tip")] = np.nan
    (warning,) = steady_bones(lifted(nearer, FOX)).warnings
    assert "the body's size changes by" in warning and "came nearer" in warning


def test_skeleton_without_bones_is_an_error() -> None:
    result = replace(lifted(np.zeros((3, 2, 3)), Skeleton(("a", "b"))), source="walk.csv")
    with pytest.raises(InputError, match=r"walk.csv: steady bones need the skeleton's edges"):
        steady_bones(result)


def test_tracks_are_steadied_apart() -> None:
    small, large = swinging(FOX), 3 * swinging(FOX)
    noise = np.random.default_rng(0).normal(0, 1, small.shape)
    both = steady_bones(lifted(np.stack([small + noise, large + noise]), FOX)).joints
    for track, alone in enumerate((small, large)):
        np.testing.assert_array_equal(both[track], steady_bones(lifted(alone + noise, FOX)).joints[0])


def test_trees_need_no_more_work_than_bones_that_meet() -> None:
    for name in ("animalsyn3d_fox", "human36m_17", "animalsyn3d_dragon"):
        edges = rig(name).edges
        assert sum(len(rest) for _, rest in elimination_order(edges)) == len(meetings(edges).first)


@pytest.mark.parametrize("name", ["animalsyn3d_fox", "coco_17", "superanimal_quadruped"])
def test_systems_are_solved(name: str) -> None:
    edges, rng = rig(name).edges, np.random.default_rng(5)
    pairs, frames = meetings(edges), 4
    couplings = rng.uniform(-0.2, 0.2, (len(pairs.first), frames))
    diagonal, right = np.full((len(edges), frames), 2.0), rng.normal(size=(len(edges), frames))
    found = solve(edges, diagonal, couplings, right)
    for frame in range(frames):
        matrix = np.diag(diagonal[:, frame])
        matrix[pairs.first, pairs.second] = matrix[pairs.second, pairs.first] = couplings[:, frame]
        np.testing.assert_allclose(found[:, frame], np.linalg.solve(matrix, right[:, frame]), rtol=1e-9, atol=1e-9)
