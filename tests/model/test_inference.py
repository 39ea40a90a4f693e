"""Lifting recordings: chunks without seams, the camera's frame, hidden frames, units that can be undone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest
import torch

from olift_fast.errors import InputError
from olift_fast.model import Lifter, LifterConfig, Normalization, lift_in_chunks, lift_tracks
from olift_fast.model.alignment import fit_camera, moments, sum_moments
from olift_fast.model.inference import place, prepare, run
from olift_fast.ops import orthographic_procrustes
from olift_fast.tracks.containers import KeypointTracks
from olift_fast.tracks.rigs import rig
from olift_fast.tracks.skeleton import Skeleton

CONFIG = LifterConfig(width=32, heads=4, motion_layers=2, space_layers=1, window=(3, 2))


@pytest.fixture(scope="module")
def lifter() -> Lifter:
    torch.manual_seed(0)
    return Lifter(CONFIG, name="random").eval()


def recording(tracks: int = 2, frames: int = 30, seed: int = 0) -> KeypointTracks:
    rng = np.random.default_rng(seed)
    skeleton = rig("coco_17")
    keypoints = 300 + 50 * rng.normal(size=(tracks, frames, 17, 2)).cumsum(axis=1).astype(np.float32)
    confidence = rng.uniform(0, 1, size=(tracks, frames, 17)).astype(np.float32)
    names = tuple(f"track {index}" for index in range(tracks))
    return KeypointTracks(keypoints, confidence, skeleton, names, fps=30.0, source="clip")


@pytest.mark.parametrize("chunk", [1, 7, 16, 29, 1000])
def test_chunks_have_no_seams(lifter: Lifter, chunk: int) -> None:
    skeleton = rig("coco_17")
    generator = torch.Generator().manual_seed(1)
    keypoints = torch.randn(100, 17, 2, generator=generator)
    visible = torch.rand(100, 17, generator=generator) > 0.3
    visible[40:60] = False
    graph, sides = torch.from_numpy(skeleton.graph(1)), torch.tensor(skeleton.sides)
    with torch.no_grad():
        whole = lifter(keypoints[None], visible[None], graph=graph, sides=sides)[0]
    done: list[int] = []
    parts = lift_in_chunks(lifter, keypoints, visible, skeleton, chunk=chunk, advance=done.append)
    out_of_reach = parts.isnan().any(dim=(1, 2))
    # Four frames on see the last visible one (2 layers · right 2), six frames back the next (2 · left 3).
    assert out_of_reach.nonzero().flatten().tolist() == list(range(46, 56))
    assert torch.allclose(parts[~out_of_reach], whole[~out_of_reach], atol=2e-5)
    assert done == sorted(done) and done[-1] == 100


def test_camera_frame_overlays_the_input_where_the_shape_allows(lifter: Lifter) -> None:
    rng = np.random.default_rng(3)
    shape = rng.normal(size=(20, 9, 3)).astype(np.float32)
    shape -= shape.mean(axis=1, keepdims=True)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    turn *= np.linalg.det(turn)
    path = rng.normal(size=(20, 1, 2)).cumsum(axis=0) * 30 + 500
    keypoints = (80 * shape @ turn.T[:, :2] + path).astype(np.float32)
    visible = rng.random((20, 9)) > 0.3
    visible[11] = False
    prepared = prepare(keypoints, visible, Skeleton(tuple("abcdefghi")))
    joints, rotation, scale = place(shape, prepared)
    assert np.abs(rotation - turn).max() < 1e-3
    assert scale == pytest.approx(80, rel=1e-4)
    seen = np.arange(20) != 11
    assert np.abs(joints[seen, :, :2] - keypoints[seen]).max() < 0.1
    assert np.abs(joints[..., 2] - 80 * (shape @ turn.T)[..., 2]).max() < 0.1
    assert np.abs(joints[11, :, :2].mean(0) - 0.5 * (path[10] + path[12])[0]).max() < 60


def test_units_can_be_undone(lifter: Lifter) -> None:
    tracks = recording()
    camera, obj = (lift_tracks(lifter, tracks, frame=frame) for frame in ("camera", "object"))
    for index in range(2):
        moved = camera.joints[index] - camera.joints[index].mean(axis=1, keepdims=True)
        back = moved @ camera.rotation[index] / camera.scale[index]
        assert np.abs(back - obj.joints[index]).max() < 1e-4
    assert (obj.rotation == np.eye(3)).all()
    assert (camera.model, camera.units, obj.units) == ("random", "pixels", "model units")
    assert camera.fps == 30.0 and camera.tracks == tracks.tracks
    assert (camera.visible == tracks.visible(0.3)).all()


def test_moving_and_zooming_the_picture_moves_and_zooms_the_result(lifter: Lifter) -> None:
    tracks = recording()
    before = lift_tracks(lifter, tracks).joints
    moved = replace(tracks, keypoints=2 * tracks.keypoints + np.float32([100, -40]))
    after = lift_tracks(lifter, moved).joints
    assert np.abs(after - (2 * before + np.float32([100, -40, 0]))).max() < 0.05 * np.abs(before).max()


def test_frames_and_tracks_with_nothing_visible(lifter: Lifter) -> None:
    tracks = recording(tracks=2, frames=60)
    confidence = tracks.confidence.copy()
    confidence[0, 20:50] = 0
    confidence[1] = 0
    lifted = lift_tracks(lifter, replace(tracks, confidence=confidence))
    missing = np.isnan(lifted.joints).any(axis=(2, 3))
    assert np.flatnonzero(missing[0]).tolist() == list(range(26, 46))
    assert missing[1].all()
    assert np.isnan(lifted.joints[0]).all(axis=(1, 2)).sum() == missing[0].sum()
    with pytest.raises(InputError, match=r"clip: no keypoint is visible at min_confidence 0.3"):
        lift_tracks(lifter, replace(tracks, confidence=np.zeros_like(confidence)))


def test_one_frame_and_one_joint_lift(lifter: Lifter) -> None:
    one = KeypointTracks(np.ones((1, 1, 1, 2)), np.ones((1, 1, 1)), Skeleton(("tip",)), ("a",))
    lifted = lift_tracks(lifter, one)
    assert np.allclose(lifted.joints, [[[[1, 1, 0]]]], atol=1e-5)


def test_mirrored_lifting_has_no_handedness(lifter: Lifter) -> None:
    tracks = recording(tracks=1)
    flip = np.float32([-1, 1])
    skeleton = replace(tracks.skeleton, sides=tuple(-side for side in tracks.skeleton.sides))
    reflected = replace(tracks, keypoints=tracks.keypoints * flip, skeleton=skeleton)
    one, other = (lift_tracks(lifter, x, frame="object", mirror=True).joints for x in (tracks, reflected))
    assert np.abs(one * np.float32([-1, 1, 1]) - other).max() < 1e-4
    plain = lift_tracks(lifter, tracks, frame="object").joints
    assert np.abs(plain - one).max() > 1e-2
    wanted = lift_tracks(lifter, reflected, frame="object").joints * np.float32([-1, 1, 1])
    assert np.abs(0.5 * (plain + wanted) - one).max() < 1e-4


def test_progress_reaches_the_end(lifter: Lifter) -> None:
    seen: list[tuple[int, int]] = []
    lift_tracks(lifter, recording(), progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (60, 60) and [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_unknown_frame_is_named(lifter: Lifter) -> None:
    with pytest.raises(InputError, match=r"frame must be 'camera' or 'object', got 'world'"):
        lift_tracks(lifter, recording(), frame="world")


def test_old_name_of_frame_still_works(lifter: Lifter) -> None:
    with pytest.warns(DeprecationWarning, match="the argument output is now frame") as warned:
        old = lift_tracks(lifter, recording(), output="object")
    assert warned[0].filename == __file__
    assert old.frame == "object"
    np.testing.assert_array_equal(old.joints, lift_tracks(lifter, recording(), frame="object").joints)


@pytest.mark.slow
@pytest.mark.parametrize("frame", ["camera", "object"])
@pytest.mark.parametrize("mirror", [False, True])
def test_three_steps_are_what_lift_tracks_does(
    lifter: Lifter, frame: Literal["camera", "object"], mirror: bool
) -> None:
    tracks = recording(tracks=3, frames=60)
    tracks.confidence[0, 20:50] = 0
    tracks.confidence[1] = 0
    whole = lift_tracks(lifter, tracks, frame=frame, mirror=mirror)
    for index, visible in enumerate(tracks.visible()):
        prepared = prepare(tracks.keypoints[index], visible, tracks.skeleton)
        joints, rotation, scale = place(run(lifter, prepared, mirror=mirror), prepared, frame)
        np.testing.assert_array_equal(joints, whole.joints[index])
        np.testing.assert_array_equal(rotation, whole.rotation[index])
        np.testing.assert_array_equal(prepared.centers, whole.centers[index])
        assert scale == whole.scale[index]


def test_joints_that_a_track_never_has_are_empty_and_move_nothing(lifter: Lifter) -> None:
    tracks = recording(tracks=3)
    tracks.keypoints[0, :, 11:] = np.nan
    tracks.confidence[1, :, :11] = 0
    tracks.confidence[2] = 0
    assert tracks.absent().tolist() == [[False] * 11 + [True] * 6, [True] * 11 + [False] * 6, [False] * 17]
    whole = lift_tracks(lifter, tracks)
    for index, kept in enumerate([range(11), range(11, 17)]):
        alone = replace(
            tracks,
            keypoints=tracks.keypoints[[index]][:, :, kept],
            confidence=tracks.confidence[[index]][:, :, kept],
            skeleton=tracks.skeleton.subset([tracks.skeleton.names[joint] for joint in kept]),
            tracks=("alone",),
        )
        wanted = lift_tracks(lifter, alone)
        np.testing.assert_array_equal(whole.joints[index][:, kept], wanted.joints[0])
        np.testing.assert_array_equal(whole.rotation[index], wanted.rotation[0])
        others = [joint for joint in range(17) if joint not in kept]
        assert np.isnan(whole.joints[index][:, others]).all()


def test_joint_that_no_track_has_is_estimated(lifter: Lifter) -> None:
    tracks = recording(tracks=2)
    tracks.keypoints[:, :, 4] = np.nan
    assert not tracks.absent().any() and np.isfinite(lift_tracks(lifter, tracks).joints).all()


def test_part_of_a_track_is_prepared_as_in_the_whole() -> None:
    tracks = recording(tracks=1, frames=60)
    keypoints, visible = tracks.keypoints[0], tracks.visible()[0]
    whole = prepare(keypoints, visible, tracks.skeleton)
    part = prepare(keypoints[13:40], visible[13:40], tracks.skeleton, whole.normalization)
    np.testing.assert_array_equal(part.keypoints, whole.keypoints[13:40])
    np.testing.assert_array_equal(part.centers, whole.centers[13:40])


@pytest.mark.parametrize("time_encoding", ["absolute", "table"])
def test_track_that_shows_nothing_is_not_lifted(time_encoding: Any) -> None:
    lifter = Lifter(replace(CONFIG, time_encoding=time_encoding, time_rows=8)).eval()
    done: list[int] = []
    joints = lift_in_chunks(
        lifter, torch.zeros(20, 17, 2), torch.zeros(20, 17, dtype=torch.bool), rig("coco_17"), advance=done.append
    )
    assert joints.shape == (20, 17, 3) and joints.isnan().all() and done == []


def test_normalization_centers_frames_and_scales_clips() -> None:
    keypoints = recording().keypoints[0]
    visible = recording().visible()[0]
    normalization = Normalization.fit(keypoints, visible)
    normalized, centers = normalization.apply(keypoints, visible)
    assert (normalized[~visible] == 0).all()
    for frame in range(len(keypoints)):
        assert np.allclose(centers[frame], keypoints[frame, visible[frame]].mean(axis=0), rtol=1e-5)
        assert np.abs(normalized[frame, visible[frame]].mean(axis=0)).max() < 1e-5
    assert np.square(normalized[visible]).sum(axis=-1).mean() == pytest.approx(1, rel=1e-4)
    lonely = np.zeros_like(visible)
    lonely[:, 3] = True
    assert Normalization.fit(keypoints, lonely).scale == 1.0
    assert np.isnan(normalization.apply(keypoints, np.zeros_like(visible))[1]).all()


def test_moments_of_parts_stand_for_all_points() -> None:
    random = np.random.default_rng(5)
    joints, normalized = (random.normal(size=(50, 7, size)).astype(np.float32) for size in (3, 2))
    normalized += 2 * joints[..., :2] + joints[..., 2:]
    visible = random.random((50, 7)) < 0.6
    visible[3:6] = False
    weights = visible[..., None]
    count = np.maximum(weights.sum(axis=1, keepdims=True), 1)
    # Each frame about its mean, as the lifter's input is.
    joints, normalized = (x - (weights * x).sum(axis=1, keepdims=True) / count for x in (joints, normalized))
    source, target = (torch.from_numpy(x.reshape(-1, x.shape[-1])).double() for x in (joints, normalized))
    wanted = orthographic_procrustes(source, target, weights=torch.from_numpy(visible.reshape(-1)).double())
    parts = [moments(joints[a:b], normalized[a:b], visible[a:b]) for a, b in ((0, 4), (4, 31), (31, 50))]
    rotation, stretch = fit_camera(sum_moments(parts))
    np.testing.assert_allclose(rotation, wanted[0].numpy(), atol=1e-5)
    assert stretch == pytest.approx(float(wanted[1]), rel=1e-5)
