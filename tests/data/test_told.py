"""The pitch of cameras, and what a model is told of a skeleton."""

from __future__ import annotations

import numpy as np
import pytest

from olift_fast.data.cameras import VIEWS, CameraRange, Cameras, project, random_cameras
from olift_fast.data.clips import ClipBatch, concatenate, mirror
from olift_fast.data.corruption import Corruption
from olift_fast.data.generator import AnimalGenerator
from olift_fast.data.told import Graph, with_graph, without_kinds, without_pitch
from olift_fast.errors import InputError
from olift_fast.tracks import Skeleton


def bodies(seed: int, clips: int, frames: int = 10) -> np.ndarray:
    rng = np.random.default_rng(seed)
    wobble = np.cumsum(rng.normal(scale=0.05, size=(clips, frames, 7, 3)), axis=1)
    return (rng.normal(size=(clips, 1, 7, 3)) + wobble).astype(np.float32)


def drawn(seed: int = 0, clips: int = 4, frames: int = 24, **camera: object) -> ClipBatch:
    ranges = CameraRange(**camera)  # type: ignore[arg-type]
    return AnimalGenerator(seed, ["quadruped"], ranges, Corruption.none(), without_edges=0).batch(clips, frames)


def bones(skeleton: Skeleton) -> set[frozenset[int]]:
    return {frozenset(edge) for edge in skeleton.edges}


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("moving", [{}, {"pan": 1.0, "follow": 0.0}, {"follow": 1.0}])
def test_cameras_of_a_view_see_every_joint_and_know_their_pitch(view: str, moving: dict[str, float]) -> None:
    positions = bodies(1, clips=300)
    ranges = CameraRange(views={view: 1}, roll=(-15, 15), **moving)
    cameras = random_cameras(np.random.default_rng(2), positions, ranges)
    pitch = cameras.pitch
    low, high = VIEWS[view]
    assert pitch.dtype == np.float32 and pitch.shape == (300,)
    assert low - 1e-2 <= pitch.min() < low + 3 and high - 3 < pitch.max() <= high + 1e-2
    ahead = cameras.rotation[:, :, 2]
    assert np.allclose(-ahead[..., 2], np.sin(np.radians(pitch))[:, None], atol=1e-4), "the same in all frames"
    keypoints, joints = project(positions, cameras)
    half = 0.5 * cameras.image_size[:, None, None]
    assert np.abs(keypoints / half - 1).max() <= ranges.fill[1] + 1e-3
    # What is higher in the world is nearer to a camera above, and higher in the picture of one beside.
    depth = np.einsum("btj,btj->b", joints[..., 2], positions[..., 2] - positions[..., 2].mean(axis=2, keepdims=True))
    steep = np.abs(pitch) > 60
    assert (np.sign(depth[steep]) == -np.sign(pitch[steep])).all() and (view == "level" or steep.sum() > 50)


def test_pictures_from_straight_above_have_any_direction_up() -> None:
    ranges = CameraRange(elevation=(90, 90), pan=0)
    cameras = random_cameras(np.random.default_rng(3), bodies(4, clips=400, frames=2), ranges)
    assert np.allclose(cameras.pitch, 90, atol=1e-3)
    down = cameras.rotation[:, 0, 1]
    assert np.histogram(np.arctan2(down[:, 1], down[:, 0]), 4, (-np.pi, np.pi))[0].min() > 70
    assert np.allclose(np.linalg.det(cameras.rotation[:, 0]), 1, atol=1e-5)


def test_views_come_as_often_as_asked() -> None:
    ranges = CameraRange(views={"level": 3, "top": 2, "below": 1})
    pitch = random_cameras(np.random.default_rng(5), bodies(6, clips=3000, frames=1), ranges).pitch
    shares = [np.mean((pitch > low) & (pitch < high)) for low, high in VIEWS.values()]
    assert shares == pytest.approx([1 / 2, 1 / 3, 1 / 6], abs=0.04)


@pytest.mark.parametrize("views", [{}, {"level": 0.0}, {"top": -1.0, "level": 2.0}, {"side": 1.0}])
def test_views_without_shares_or_of_other_names_are_refused(views: dict[str, float]) -> None:
    with pytest.raises(InputError, match=r"views must be shares >= 0 of level, top, below, not all 0, got \{"):
        CameraRange(views=views)


def test_calibrated_cameras_have_their_pitch() -> None:
    # World (Z up) to camera: looks along -Z with the world's Y up in the picture, then tilted up by 30 degrees.
    cos, sin = np.cos(np.pi / 6), np.sin(np.pi / 6)
    above = np.array([[1, 0, 0], [0, -1, 0], [0, 0, -1]])
    tilted = np.array([[1, 0, 0], [0, cos, sin], [0, -sin, cos]]) @ above
    K = np.tile(np.diag([900.0, 900, 1]), (2, 1, 1))
    cameras = Cameras.from_calibration(K, np.stack([above, tilted]), np.zeros((2, 3)), (640, 480))
    assert cameras.pitch == pytest.approx([90, 60], abs=1e-3)


def test_clips_keep_their_pitch_in_mirrors_and_together() -> None:
    clips = drawn(elevation=(60, 70))
    assert ((clips.pitch >= 60) & (clips.pitch <= 70)).all() and len(set(clips.pitch)) == len(clips)
    assert np.array_equal(mirror(clips).pitch, clips.pitch)
    both = concatenate([clips, without_pitch(clips)])
    assert np.array_equal(both.pitch[:4], clips.pitch) and np.isnan(both.pitch[4:]).all() and len(both.pitch) == 8
    plain = ClipBatch(clips.keypoints, clips.visible, clips.joints, clips.labelled, clips.skeleton, "made")
    assert plain.pitch.shape == (4,) and plain.pitch.dtype == np.float32 and np.isnan(plain.pitch).all()
    with pytest.raises(ValueError, match="pitch must be"):
        ClipBatch(clips.keypoints, clips.visible, clips.joints, clips.labelled, clips.skeleton, "made", clips.pitch[1:])


def test_damaged_bones_are_lost_or_hung_elsewhere() -> None:
    clips, rng = drawn(1), np.random.default_rng(7)
    true = bones(clips.skeleton)
    kept, wrong = [], []
    for _ in range(300):
        seen = with_graph(clips, "damaged", rng)
        assert (seen.names, seen.sides) == (clips.skeleton.names, clips.skeleton.sides)
        kept.append(len(bones(seen) & true) / len(true))
        wrong.append(len(bones(seen) - true) / len(true))
    # On average 27.5 % are damaged, half of these lost and most of the others between joints without a bone.
    assert 0.7 < np.mean(kept) < 0.76 and 0.1 < np.mean(wrong) < 0.14 and len(set(kept)) > 5


@pytest.mark.parametrize("graph", ["named", "motion"])
def test_inferred_bones_are_mostly_true_ones(graph: Graph) -> None:
    right = found = 0
    for seed in range(6):
        clips = drawn(seed, clips=6)
        seen = with_graph(clips, graph, np.random.default_rng(0))
        right, found = right + len(bones(seen) & bones(clips.skeleton)), found + len(seen.edges)
        assert seen.names == clips.skeleton.names
    assert right > 0.6 * found > 0


def test_bones_are_not_guessed_from_names_that_say_nothing_nor_from_few_frames() -> None:
    clips = drawn(2, clips=2, frames=5)
    rng = np.random.default_rng(0)
    assert with_graph(clips, "motion", rng).edges == () == with_graph(clips, "absent", rng).edges
    hidden = without_kinds(clips.skeleton, np.ones(clips.skeleton.num_joints, bool))
    nameless = ClipBatch(clips.keypoints, clips.visible, clips.joints, clips.labelled, hidden, "made")
    assert with_graph(nameless, "named", rng).edges == () and with_graph(nameless, "true", rng).edges


def test_hidden_kinds_leave_sides_bones_and_the_other_kinds() -> None:
    skeleton = drawn(3).skeleton
    hidden = np.arange(skeleton.num_joints) % 3 == 0
    seen = without_kinds(skeleton, hidden)
    assert (seen.sides, seen.edges) == (skeleton.sides, skeleton.edges)
    assert [kind == 0 for kind in seen.kinds] == hidden.tolist() and all(skeleton.kinds)
    assert np.array_equal(np.array(seen.kinds)[~hidden], np.array(skeleton.kinds)[~hidden])
