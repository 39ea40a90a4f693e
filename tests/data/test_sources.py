"""Sources of training clips: what they draw, from where, and that the same seed gives the same clips."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from olift_fast.data.cameras import CameraRange, Cameras, project, upright_rotation
from olift_fast.data.clips import ClipBatch
from olift_fast.data.corruption import Corruption
from olift_fast.data.generator import AnimalGenerator
from olift_fast.data.mocap import Paired, Segment
from olift_fast.data.sources import ClipSource, GeneratorSource, MotionSource, PairedSource
from olift_fast.errors import InputError
from olift_fast.tracks.skeleton import Skeleton

BODY = Skeleton(("hip", "knee_l", "knee_r", "head"), ((0, 1), (0, 2), (0, 3)), name="body")
CLEAN = Corruption.none()


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def walk(frames: int, joints: int = 4, seed: int = 0) -> npt.NDArray[np.float32]:
    """(T, J, 3) a body of fixed shape that turns and walks, Z up."""
    body = rng(seed).normal(size=(joints, 3))
    angle = np.linspace(0, 2, frames)
    cos, sin, zero = np.cos(angle), np.sin(angle), np.zeros(frames)
    turn = np.stack([cos, -sin, zero, sin, cos, zero, zero, zero, zero + 1], axis=-1).reshape(frames, 3, 3)
    moved = body @ turn.transpose(0, 2, 1) + np.linspace([0, 0, 1], [2, 1, 1], frames)[:, None]
    return np.asarray(moved, dtype=np.float32)


def segment(positions: npt.NDArray[np.float32], skeleton: Skeleton = BODY) -> Segment:
    return Segment(positions, 0, len(positions), 30.0, skeleton, "made", "0")


def paired(
    positions: npt.NDArray[np.float32], skeleton: Skeleton = BODY, cameras: int = 1, sequence: bool = True
) -> Paired:
    """Level cameras around the world's origin, all looking at it from 8 units away."""
    azimuth = np.arange(cameras) * 1.7
    rotation = upright_rotation(azimuth, np.zeros(cameras), np.zeros(cameras))
    return Paired(
        positions=positions,
        keypoints_2d=np.full((cameras, *positions.shape[:2], 2), 77, np.float32),
        confidence=np.ones((cameras, *positions.shape[:2]), np.float32),
        K=np.stack([np.array([[900 + 10 * c, 0, 320], [0, 900, 240], [0, 0, 1]]) for c in range(cameras)]),
        dist=np.zeros((cameras, 5)),
        R=rotation,
        t=np.tile([0.0, 0, 8], (cameras, 1)),
        image_sizes=np.tile([640, 480], (cameras, 1)),
        camera_names=tuple(map(str, range(cameras))),
        fps=30.0,
        sequence=sequence,
        skeleton=skeleton,
        source="made",
        units="m",
    )


def same(a: ClipBatch, b: ClipBatch) -> bool:
    names = ("keypoints", "visible", "joints", "labelled")
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in names) and a.skeleton == b.skeleton


SOURCES: dict[str, Callable[[], ClipSource]] = {
    "motion": lambda: MotionSource("walker", [segment(walk(60))], recombined=0.5),
    "paired": lambda: PairedSource("filmed", [paired(walk(60), cameras=2)]),
    "paired, random cameras": lambda: PairedSource("filmed", [paired(walk(60))], camera=CameraRange()),
    "generator": lambda: GeneratorSource(),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_every_source_draws_the_same_clips_for_the_same_numbers(kind: str) -> None:
    source: ClipSource = SOURCES[kind]()
    first = source.draw(rng(1), 5, 12)
    assert first.visible.shape[:2] == (5, 12) and source.name
    assert same(first, source.draw(rng(1), 5, 12)) and same(first, SOURCES[kind]().draw(rng(1), 5, 12))
    other = source.draw(rng(2), 5, 12)
    assert other.keypoints.shape != first.keypoints.shape or not np.array_equal(other.keypoints, first.keypoints)


@pytest.mark.parametrize("kind", ["motion", "paired", "paired, random cameras"])
def test_recorded_time_is_stretched(kind: str) -> None:
    """The speed of a clip relative to its size varies as much as the speeds that are drawn."""

    def spread(speed: tuple[float, float]) -> float:
        made = SOURCES[kind]()
        assert isinstance(made, MotionSource | PairedSource)
        source = replace(made, corruption=CLEAN, speed=speed)
        joints = source.draw(rng(3), 40, 8).joints
        pace = np.linalg.norm(np.diff(joints, axis=1), axis=-1).mean(axis=(1, 2)) / np.abs(joints).mean(axis=(1, 2, 3))
        return float(pace.max() / pace.min())

    assert spread((1, 1)) < 2.5 < 3.5 < spread((0.4, 2.5))


def test_motion_is_seen_by_cameras_of_the_range() -> None:
    source = MotionSource("walker", [segment(walk(40))], CameraRange(image_size=(200, 100), weak=0, follow=0), CLEAN)
    clips = source.draw(rng(), 30, 10)
    assert clips.family == "walker" and clips.visible.all() and clips.labelled.all()
    assert clips.keypoints.min() >= 0 and clips.keypoints[..., 0].max() <= 200 and clips.keypoints[..., 1].max() <= 100


def test_unknown_joints_are_unlabelled_and_invisible_and_change_no_others() -> None:
    whole = walk(12)
    gap = whole.copy()
    gap[3, 1] = np.nan
    gap[:, 3] = np.nan
    clips = MotionSource("w", [segment(gap)], corruption=CLEAN, speed=(1, 1)).draw(rng(), 2, 12)
    expected = np.ones((2, 12, 4), dtype=bool)
    expected[:, 3, 1] = expected[:, :, 3] = False
    assert (clips.labelled == expected).all() and (clips.visible == expected).all()
    assert (
        (clips.joints[~expected] == 0).all() and np.isfinite(clips.keypoints).all() and np.isfinite(clips.joints).all()
    )
    # What is known has the shape it had: relative to the knee, in units of one distance.
    across = clips.joints[:, 0, 2] - clips.joints[:, 0, 0]
    true = whole[0, 2] - whole[0, 0], whole[0, 1] - whole[0, 0]
    ratio = np.linalg.norm(clips.joints[:, 0, 1] - clips.joints[:, 0, 0], axis=-1) / np.linalg.norm(across, axis=-1)
    np.testing.assert_allclose(ratio, np.linalg.norm(true[1]) / np.linalg.norm(true[0]), rtol=1e-4)


def test_stretches_without_any_label_are_never_drawn() -> None:
    positions = walk(60)
    positions[20:50] = np.nan
    clips = MotionSource("w", [segment(positions)], corruption=CLEAN).draw(rng(), 50, 8)
    assert clips.labelled.all()
    with pytest.raises(
        InputError, match=r"w: no segment is long enough for 21 frames at speed 1\.0: the longest has 20"
    ):
        MotionSource("w", [segment(positions)], speed=(1.0, 1.0)).draw(rng(), 1, 21)


def test_a_clip_with_few_labels_stays_finite() -> None:
    positions = np.full((6, 4, 3), np.nan, np.float32)
    positions[2, 1] = 3
    positions[3, 1:3] = [[3, 4, 5], [1, 2, 3]]
    clips = MotionSource("w", [segment(positions)]).draw(rng(), 20, 2)
    assert np.isfinite(clips.joints).all() and np.isfinite(clips.keypoints).all()
    assert (clips.labelled.any(axis=(1, 2))).all()


def test_paired_clips_are_what_their_own_camera_sees() -> None:
    recording = paired(walk(10), cameras=3)
    clips = PairedSource("filmed", [recording], corruption=CLEAN, speed=(1, 1)).draw(rng(), 40, 10)
    views = []
    for camera in range(3):
        K, R, t = (part[camera : camera + 1] for part in (recording.K, recording.R, recording.t))
        views.append(project(recording.positions[None], Cameras.from_calibration(K, R, t, (640, 480))))
    seen = [[np.allclose(clip, view[0], atol=1e-3) for view, _ in views] for clip in clips.keypoints]
    assert (np.sum(seen, axis=1) == 1).all() and (np.sum(seen, axis=0) > 4).all()
    which = np.argmax(seen, axis=1)
    np.testing.assert_allclose(clips.joints, np.stack([views[index][1][0] for index in which]), atol=1e-3)
    assert clips.family == "body" and clips.visible.all()


@pytest.mark.slow
def test_each_skeleton_is_drawn_equally_often_and_each_recording_by_its_length() -> None:
    other = Skeleton(("a", "b"), ((0, 1),))
    long, short = walk(90), walk(30) + np.array([0, 0, 3], np.float32)
    recordings = [paired(long), paired(short), *(paired(walk(20, 2, seed), other) for seed in range(7))]
    source = PairedSource("filmed", recordings, corruption=CLEAN, speed=(1, 1))
    generator = rng()
    drawn = [source.draw(generator, 8, 10) for _ in range(150)]
    bodies = [clips for clips in drawn if clips.skeleton == BODY]
    assert 55 < len(bodies) < 95 and {clips.family for clips in drawn} == {"body", "filmed"}
    low = np.concatenate([clips.keypoints[..., 1].mean(axis=(1, 2)) > 60 for clips in bodies])
    assert 0.65 < low.mean() < 0.85
    # Only the long one has 60 frames.
    assert {source.draw(generator, 1, 60).skeleton for _ in range(5)} == {BODY}
    with pytest.raises(
        InputError, match="filmed: no recording is long enough for 91 frames at speed 1: the longest has 90"
    ):
        source.draw(generator, 1, 91)


def test_single_moments_are_drawn_one_at_a_time() -> None:
    source = PairedSource("labels", [paired(walk(30), sequence=False)])
    assert source.draw(rng(), 4, 1).visible.shape == (4, 1, 4)
    with pytest.raises(InputError, match="labels: no recording is long enough for 2 frames"):
        source.draw(rng(), 4, 2)


def test_a_generator_that_is_handed_over_goes_on_with_its_own_numbers() -> None:
    source, alone = GeneratorSource(AnimalGenerator((7, 0))), AnimalGenerator((7, 0))
    for seed in (5, 5):
        assert same(source.draw(rng(seed), 2, 6), alone.batch(2, 6))
    only = GeneratorSource(families={"fish": 1.0}, corruption=CLEAN)
    clips = only.draw(rng(), 2, 6)
    assert clips.family == "fish" and clips.visible.all()


def test_sources_with_nothing_to_draw_are_refused() -> None:
    nothing = np.full((9, 4, 3), np.nan, np.float32)
    with pytest.raises(InputError, match="w: needs a segment with a known joint, got none in 1 segments"):
        MotionSource("w", [segment(nothing)])
    with pytest.raises(InputError, match="got none in 0 segments"):
        MotionSource("w", [])
    with pytest.raises(InputError, match="f: needs a recording with a known joint, got none in 1 recordings"):
        PairedSource("f", [paired(nothing)])
    odd = segment(walk(9, 2), Skeleton(("a", "b")))
    with pytest.raises(InputError, match=r"w: segments must be of one skeleton, got several, of \[2, 4\] joints"):
        MotionSource("w", [segment(walk(9)), odd])
