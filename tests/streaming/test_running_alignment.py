"""Joints turned and scaled onto the keypoints as frames come: near the fit to the whole recording, and never wild."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from olift_fast import InputError, Lifter, LifterConfig, Skeleton, StreamingLifter, read_keypoints
from olift_fast.model import Normalization
from olift_fast.model.alignment import fit_camera, frame_moments, moments
from olift_fast.streaming.running_alignment import RunningAlignment
from olift_fast.tracks import with_inferred_skeleton

Array = np.ndarray

SKELETON = Skeleton(("nose", "left_ear", "right_ear", "neck", "tail"), ((0, 1), (0, 2), (0, 3), (3, 4)))
JOINTS = SKELETON.num_joints
ONE = np.array([0])


def turned(degrees: float, axis: tuple[float, float, float]) -> Array:
    """The rotation matrix."""
    x, y, z = np.array(axis) / np.linalg.norm(axis) * np.radians(degrees)
    skew = torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=torch.float64)
    return torch.linalg.matrix_exp(skew).numpy()


def degrees_between(first: Array, second: Array) -> float:
    return float(np.degrees(np.arccos(np.clip((np.trace(first @ second.T) - 1) / 2, -1, 1))))


def seen(frames: int, rotation: Array, scale: float, noise: float = 0.0, seed: int = 0) -> tuple[Array, Array, Array]:
    """Joints in motion, the keypoints that they overlay once turned and scaled, and which are visible."""
    random = np.random.default_rng(seed)
    joints = random.standard_normal((JOINTS, 3)) + 0.4 * random.standard_normal((frames, JOINTS, 3))
    visible = random.random((frames, JOINTS)) > 0.2
    points = scale * (joints @ rotation.T)[..., :2] + noise * random.standard_normal((frames, JOINTS, 2))
    mean = np.where(visible[..., None], points, 0).sum(1, keepdims=True) / np.maximum(visible.sum(1), 1)[:, None, None]
    return joints.astype(np.float32), np.where(visible[..., None], points - mean, np.nan).astype(np.float32), visible


def stepped(alignment: RunningAlignment, joints: Array, keypoints: Array, visible: Array) -> list[tuple[Array, float]]:
    """The rotation and the scale after each frame of track 0."""
    steps = []
    for t in range(len(joints)):
        rotations, scales = alignment.step(ONE, joints[t : t + 1], keypoints[t : t + 1], visible[t : t + 1])
        steps.append((rotations[0], float(scales[0])))
    return steps


@pytest.mark.parametrize("axis", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, -2, 1)])
@pytest.mark.parametrize("scale", [0.85, 1.16])
def test_finds_the_rotation_and_the_scale(axis: tuple[float, float, float], scale: float) -> None:
    rotation = turned(12, axis)
    steps = stepped(RunningAlignment(1, 30), *seen(60, rotation, scale))
    assert degrees_between(steps[-1][0], rotation) < 0.2 and steps[-1][1] == pytest.approx(scale, rel=0.005)
    assert degrees_between(steps[9][0], rotation) < 3 and steps[9][1] == pytest.approx(scale, rel=0.03)


def test_comes_to_the_fit_of_the_whole_recording() -> None:
    joints, keypoints, visible = seen(400, turned(8, (1, 1, 0)), 1.1, noise=0.15)
    rotation, scale = fit_camera(moments(joints, np.nan_to_num(keypoints), visible))
    last = stepped(RunningAlignment(1, 10_000), joints, keypoints, visible)[-1]
    assert degrees_between(last[0], rotation) < 0.3 and last[1] == pytest.approx(scale, rel=0.005)


def test_follows_a_change_within_some_windows() -> None:
    before, after = seen(100, turned(10, (0, 1, 0)), 1.0), seen(100, turned(-10, (0, 1, 0)), 1.2, seed=1)
    alignment = RunningAlignment(1, 20)
    stepped(alignment, *before)
    last = stepped(alignment, *after)[-1]
    assert degrees_between(last[0], turned(-10, (0, 1, 0))) < 1 and last[1] == pytest.approx(1.2, rel=0.01)


def test_moments_of_frames_are_those_of_the_recording() -> None:
    joints, keypoints, visible = seen(20, turned(5, (1, 0, 0)), 1.0)
    wanted = moments(joints, np.nan_to_num(keypoints), visible)
    np.testing.assert_allclose(frame_moments(joints, keypoints, visible).sum(axis=0), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shown", [0, 1, 2])
def test_what_few_keypoints_leave_open_stays_as_it_was(shown: int) -> None:
    joints, keypoints, visible = seen(50, np.eye(3), 1.0)
    visible[:, shown:] = False
    for rotation, scale in stepped(
        RunningAlignment(1, 30), joints, np.where(visible[..., None], keypoints, np.nan), visible
    ):
        assert np.isfinite(rotation).all() and np.linalg.det(rotation) == pytest.approx(1, abs=1e-5)
        if shown < 2:
            assert np.array_equal(rotation, np.eye(3)) and scale == 1


def test_two_keypoints_that_agree_turn_nothing() -> None:
    """All rotations about the line between them fit as well."""
    joints, _, visible = seen(50, np.eye(3), 1.0)
    visible[:, :2], visible[:, 2:] = True, False
    mean = joints[:, :2].mean(axis=1, keepdims=True)
    last = stepped(RunningAlignment(1, 30), joints, (joints - mean)[..., :2], visible)[-1]
    assert degrees_between(last[0], np.eye(3)) < 1e-2 and last[1] == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("wild", [np.nan, np.inf, 1e38, 0.0])
def test_frames_that_can_not_be_fitted_are_left_out(wild: float) -> None:
    joints, keypoints, visible = seen(30, turned(8, (1, 0, 0)), 1.1)
    alignment = RunningAlignment(2, 30)
    good = stepped(alignment, joints, keypoints, visible)[-1]
    both = np.array([0, 1])
    points = np.stack([keypoints[0], np.full_like(keypoints[0], wild)])
    places = np.stack([joints[0], np.full_like(joints[0], wild)])
    rotations, scales = alignment.step(both, places, points, np.stack([visible[0], np.ones(JOINTS, bool)]))
    assert np.isfinite(rotations).all() and np.isfinite(scales).all()
    alone = RunningAlignment(1, 30)
    stepped(alone, joints, keypoints, visible)
    np.testing.assert_array_equal(rotations[0], stepped(alone, joints[:1], keypoints[:1], visible[:1])[0][0])
    assert degrees_between(rotations[0], good[0]) < 2


def lifter_of(**changes: Any) -> Lifter:
    torch.manual_seed(0)
    config = {"width": 24, "heads": 3, "motion_layers": 2, "space_layers": 1, "window": (3, 1), "frequencies": 7}
    return Lifter(LifterConfig(**{**config, **changes})).eval()


def recording(frames: int, seed: int = 0) -> tuple[Array, Array]:
    random = np.random.default_rng(seed)
    keypoints = (300 + 40 * random.standard_normal((frames, JOINTS, 2))).astype(np.float32)
    return keypoints, random.random((frames, JOINTS)) > 0.2


def test_joints_stay_centered_and_rigid_and_deviations_are_scaled_along() -> None:
    keypoints, visible = recording(30)
    scale = Normalization(40.0)
    plain, aligned = (
        StreamingLifter(lifter_of(uncertainty=True), SKELETON, normalization=scale, align=align) for align in (None, 10)
    )
    pairs = list(zip(plain.push(keypoints, visible), aligned.push(keypoints, visible), strict=True))
    stretches = []
    for before, after in pairs:
        shown = visible[before.frame]
        np.testing.assert_allclose(
            after.joints[shown, :2].mean(axis=0), keypoints[before.frame, shown].mean(axis=0), rtol=1e-4
        )
        spans = [np.linalg.norm(x.joints[:, None] - x.joints, axis=-1) for x in (before, after)]
        stretches.append(spans[1].sum() / spans[0].sum())
        np.testing.assert_allclose(spans[1], stretches[-1] * spans[0], rtol=1e-3, atol=1e-2)
        np.testing.assert_allclose(after.uncertainty, stretches[-1] * before.uncertainty, rtol=1e-3)
    assert np.ptp(stretches) > 0.05, "the fit must have changed the scale for this to tell anything"


def test_next_track_in_a_slot_starts_with_the_model_s_own_frame() -> None:
    keypoints, visible = recording(30)
    used, fresh = (
        StreamingLifter(lifter_of(), SKELETON, normalization=Normalization(40.0), align=10) for _ in range(2)
    )
    used.push(*recording(40, seed=5))
    used.flush()
    both = [stream.push(keypoints, visible) + stream.flush() for stream in (used, fresh)]
    np.testing.assert_array_equal(*(np.stack([result.joints for result in results]) for results in both))


def test_object_frame_and_no_frames_are_refused() -> None:
    with pytest.raises(InputError, match="align needs the frame 'camera', got 'object'"):
        StreamingLifter(lifter_of(), SKELETON, frame="object", align=10)
    with pytest.raises(InputError, match="align must be >= 1, got 0"):
        StreamingLifter(lifter_of(), SKELETON, align=0)


def test_joints_of_a_real_recording_are_as_large_as_its_keypoints(real_data: Path) -> None:
    tracks = with_inferred_skeleton(read_keypoints(real_data / "keypoints2d" / "sleap" / "predictions.analysis.h5"))
    keypoints, visible = (x[:, :200] for x in (tracks.keypoints, tracks.visible(0.3)))
    lifter = Lifter.from_pretrained("small-causal")
    too_large = {}
    for align in (None, 60):
        stream = StreamingLifter(lifter, tracks.skeleton, tracks=tracks.num_tracks, align=align)
        seen, wanted = [], []
        for result in stream.push(keypoints, visible):
            shown = visible[result.track, result.frame]
            for kept, points in ((seen, result.joints[:, :2]), (wanted, keypoints[result.track, result.frame])):
                kept.append(points[shown] - points[shown].mean(axis=0))
        flat, given = np.concatenate(seen), np.concatenate(wanted)
        too_large[align] = np.square(flat).sum() / (flat * given).sum() - 1
    assert too_large[None] > 0.04 and abs(too_large[60]) < 0.01
