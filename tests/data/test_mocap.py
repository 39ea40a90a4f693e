from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from olift_fast.data.mocap import (
    Motion,
    Paired,
    Segment,
    held_out_clips,
    known_stretches,
    load_all,
    load_motion,
    load_paired,
    sample_clips,
    split,
)
from olift_fast.errors import InputError
from olift_fast.tracks.skeleton import Skeleton

SOURCES = ["fly_anipose_17", "fly_df3d_30", "human_cmu", "mouse_salk34", "rat_dannce23"]
# Joints that are above others, and joints from which to which the body faces.
FEET_TRUNK_BACK_FRONT = {
    "fly_anipose_17": ("LF_Claw RF_Claw", "Th_mid", "Th_mid", "L_ant_base R_ant_base"),
    "fly_df3d_30": ("LM_Claw RM_Claw", "LM_Coxa RM_Coxa", "LH_Coxa RH_Coxa", "LF_Coxa RF_Coxa"),
    "human_cmu": ("l_toe r_toe", "spine1", "l_ankle r_ankle", "l_toe r_toe"),
    "mouse_salk34": ("MTP_L MTP_R Forepaw_L Forepaw_R", "Trunk Spine", "TTI", "Neck"),
    "rat_dannce23": ("FootL FootR HandL HandR", "SpineM", "TailBase", "SpineF"),
}


@pytest.fixture(scope="module")
def motions(real_data: Path) -> dict[str, Motion]:
    return load_all(real_data / "motion3d")


def mean_of(motion: Motion, names: str) -> np.ndarray:
    return motion.positions[:, [motion.skeleton.names.index(name) for name in names.split()]].mean(axis=1)


def test_all_recordings_are_read(motions: dict[str, Motion]) -> None:
    assert list(motions) == SOURCES
    assert {name: motion.positions.shape for name, motion in motions.items()} == {
        "fly_anipose_17": (6000, 17, 3),
        "fly_df3d_30": (1000, 30, 3),
        "human_cmu": (16929, 25, 3),
        "mouse_salk34": (3600, 34, 3),
        "rat_dannce23": (1000, 23, 3),
    }
    assert motions["human_cmu"].clip_names[17:19] == ("02_04", "02_05")
    assert motions["human_cmu"].clips[-1] == (16267, 16929)
    assert all(motion.skeleton.edges and motion.notes for motion in motions.values())


@pytest.mark.parametrize("source", SOURCES)
def test_feet_are_below_the_trunk(motions: dict[str, Motion], source: str) -> None:
    feet, trunk, _, _ = FEET_TRUNK_BACK_FRONT[source]
    height = mean_of(motions[source], trunk)[:, 2] - mean_of(motions[source], feet)[:, 2]
    # In some takes people climb and hang.
    assert (height > 0).mean() > (0.95 if source == "human_cmu" else 0.99)


@pytest.mark.parametrize("source", SOURCES)
def test_left_is_on_the_left(motions: dict[str, Motion], source: str) -> None:
    motion = motions[source]
    _, _, back, front = FEET_TRUNK_BACK_FRONT[source]
    forward = mean_of(motion, front) - mean_of(motion, back)
    to_the_left = np.cross(np.array([0.0, 0.0, 1.0]), forward)
    sides = np.array(motion.skeleton.sides)
    across = motion.positions[:, sides > 0].mean(axis=1) - motion.positions[:, sides < 0].mean(axis=1)
    assert (np.sum(to_the_left * across, axis=1) > 0).mean() > 0.9


@pytest.mark.parametrize("source", SOURCES)
def test_turning_up_is_a_rotation(motions: dict[str, Motion], real_data: Path, source: str) -> None:
    stored = np.load(real_data / f"motion3d/{source}.npz")["positions"][::97].astype(np.float64)
    turned = motions[source].positions[::97].astype(np.float64)
    rotation = np.linalg.lstsq(stored.reshape(-1, 3), turned.reshape(-1, 3), rcond=None)[0].T
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-5)
    assert np.linalg.det(rotation) > 0


def test_mouse_walks_on_a_level_floor(motions: dict[str, Motion]) -> None:
    toes = np.concatenate([mean_of(motions["mouse_salk34"], name) for name in ("MTP_L", "MTP_R")])
    level = np.abs(toes[:, 2] - np.median(toes[:, 2]))
    assert np.median(level) < 0.4 and np.ptp(toes[:, :2], axis=0).min() > 80


@pytest.mark.parametrize("source", SOURCES)
def test_train_and_held_out_never_meet(motions: dict[str, Motion], source: str) -> None:
    train, held_out = split(motions[source])
    used = np.zeros(len(motions[source].positions), dtype=int)
    for segment in (*train, *held_out):
        used[segment.start : segment.stop] += 1
        assert (segment.positions == motions[source].positions[segment.start : segment.stop]).all()
    assert used.max() == 1
    if source == "human_cmu":
        assert [segment.clip_name for segment in held_out] == [f"02_{take:02d}" for take in range(5, 11)]
        assert used.min() == 1 and len(train) == 18
    else:
        (before,), (after,) = train, held_out
        assert after.start - before.stop == 48 and after.stop == len(used)
        assert len(after.positions) == round(0.2 * len(used))


def test_other_recordings_hold_out_their_last_takes() -> None:
    motion = motion_of(lengths=[30, 40, 50, 60, 70])
    train, held_out = split(motion)
    assert [segment.clip_name for segment in held_out] == ["4"] and len(train) == 4
    with pytest.raises(InputError, match="too few"):
        split(motion_of(lengths=[50]))
    with pytest.raises(InputError, match="fraction"):
        split(motion, fraction=1)


def motion_of(lengths: list[int]) -> Motion:
    """A motion in which joint 0 counts frames along x, and joint 1 takes along y."""
    frames = sum(lengths)
    positions = np.zeros((frames, 2, 3), dtype=np.float32)
    positions[:, 0, 0] = np.arange(frames)
    positions[:, 1, 1] = np.repeat(np.arange(len(lengths)), lengths)
    stops = np.cumsum(lengths)
    clips = tuple((int(stop - length), int(stop)) for stop, length in zip(stops, lengths, strict=True))
    names = tuple(str(index) for index in range(len(lengths)))
    return Motion(positions, clips, names, 30.0, Skeleton(("a", "b"), ((0, 1),)), "made", "m")


def segments_of(motion: Motion) -> list[Segment]:
    return [
        Segment(motion.positions[start:stop], start, stop, motion.fps, motion.skeleton, motion.source, name)
        for (start, stop), name in zip(motion.clips, motion.clip_names, strict=True)
    ]


def test_sampled_clips_are_stretches_of_one_take() -> None:
    segments = segments_of(motion_of(lengths=[20, 9, 33]))
    clips = sample_clips(segments, 200, 10, np.random.default_rng(1))
    assert clips.shape == (200, 10, 2, 3) and clips.dtype == np.float32
    assert (np.diff(clips[:, :, 0, 0], axis=1) == 1).all()
    takes = clips[:, :, 1, 1]
    assert (takes == takes[:, :1]).all()
    # The take of 9 frames is too short; the others are drawn in proportion to their 11 and 24 starting frames.
    assert set(np.unique(takes)) == {0, 2}
    assert 0.2 < (takes[:, 0] == 0).mean() < 0.43
    assert clips[:, 0, 0, 0].min() == 0 and clips[:, -1, 0, 0].max() == 61


def test_sampling_repeats_with_the_same_generator() -> None:
    segments = segments_of(motion_of(lengths=[90, 80]))
    first, again, other = (sample_clips(segments, 16, 12, np.random.default_rng(seed), (0.5, 2)) for seed in (7, 7, 8))
    assert (first == again).all() and (first != other).any()


def test_speed_stretches_time_evenly_within_its_range() -> None:
    segments = segments_of(motion_of(lengths=[64, 12]))
    clips = sample_clips(segments, 300, 16, np.random.default_rng(2), (0.5, 3.0))
    steps = np.diff(clips[:, :, 0, 0], axis=1)
    np.testing.assert_allclose(steps, np.broadcast_to(steps[:, :1], steps.shape), atol=1e-4)
    assert steps.min() >= 0.5 - 1e-4 and steps.max() <= 3 + 1e-4
    assert steps[:, 0].min() < 0.7 and steps[:, 0].max() > 2.6
    takes = clips[:, :, 1, 1]
    # A take of 12 frames gives 16 at speeds up to 11/15, and clips never reach into the next take.
    assert (takes == takes[:, :1]).all() and (steps[takes[:, 0] == 1] <= 11 / 15 + 1e-4).all()
    assert set(np.unique(takes)) == {0, 1}


def test_single_frames_can_be_sampled() -> None:
    clips = sample_clips(segments_of(motion_of(lengths=[3])), 50, 1, np.random.default_rng(0))
    assert set(clips[:, 0, 0, 0]) == {0, 1, 2}


def test_time_between_a_known_and_an_unknown_position_is_unknown() -> None:
    motion = motion_of(lengths=[12])
    motion.positions[5, 0] = np.nan
    (segment,) = segments_of(motion)
    (as_recorded,) = sample_clips([segment], 1, 12, np.random.default_rng(0))
    np.testing.assert_array_equal(as_recorded, motion.positions)
    (slow,) = sample_clips([segment], 1, 22, np.random.default_rng(0), (0.5, 0.5))
    first = 0 if slow[0, 0, 0] == 0 else 1
    unknown = np.isnan(slow[:, 0]).all(axis=1)
    assert (unknown == [4.5 <= first + frame / 2 <= 5.5 for frame in range(22)]).all() and np.isfinite(slow[:, 1]).all()


def test_a_frame_with_nothing_known_parts_a_segment() -> None:
    motion = motion_of(lengths=[9, 4, 3])
    motion.positions[[0, 4, 5, 9, 10, 11, 12]] = np.nan
    motion.positions[7, 0] = np.nan
    parts = known_stretches(segments_of(motion))
    assert [(part.start, part.stop, part.clip_name) for part in parts] == [(1, 4, "0"), (6, 9, "0"), (13, 16, "2")]
    for part in parts:
        np.testing.assert_array_equal(part.positions, motion.positions[part.start : part.stop])


def test_sampling_refuses_what_it_cannot_do(motions: dict[str, Motion]) -> None:
    rng = np.random.default_rng(0)
    segments = segments_of(motion_of(lengths=[20]))
    with pytest.raises(InputError, match="the longest has 20"):
        sample_clips(segments, 1, 21, rng)
    with pytest.raises(InputError, match="one skeleton"):
        sample_clips([], 1, 4, rng)
    with pytest.raises(InputError, match="one skeleton"):
        sample_clips([*segments, *split(motions["rat_dannce23"])[0]], 1, 4, rng)
    with pytest.raises(InputError, match="0 < low <= high"):
        sample_clips(segments, 1, 4, rng, (2, 1))


def test_held_out_clips_are_fixed_and_in_order(motions: dict[str, Motion]) -> None:
    counts = {name: held_out_clips(motion).shape[:2] for name, motion in motions.items()}
    assert counts == {
        "fly_anipose_17": (25, 48),
        "fly_df3d_30": (4, 48),
        "human_cmu": (56, 48),
        "mouse_salk34": (15, 48),
        "rat_dannce23": (4, 48),
    }
    rat = motions["rat_dannce23"].positions
    assert (held_out_clips(motions["rat_dannce23"])[1] == rat[848:896]).all()


def test_held_out_clip_is_shorter_only_when_nothing_longer_exists() -> None:
    motion = motion_of(lengths=[300])
    assert held_out_clips(motion, frames=48).shape[:2] == (1, 48)
    short = held_out_clips(motion, frames=61, stride=61)
    assert short[0, :, 0, 0].tolist() == list(range(240, 300))
    with pytest.raises(InputError, match="stride >= frames"):
        held_out_clips(motion, frames=48, stride=24)


def project(paired: Paired, camera: int) -> np.ndarray:
    """OpenCV's pinhole camera with k1, k2, p1, p2, k3."""
    seen = paired.positions @ paired.R[camera].T + paired.t[camera]
    x, y = seen[..., 0] / seen[..., 2], seen[..., 1] / seen[..., 2]
    k1, k2, p1, p2, k3 = paired.dist[camera]
    radius = x * x + y * y
    radial = 1 + k1 * radius + k2 * radius**2 + k3 * radius**3
    bent_x = x * radial + 2 * p1 * x * y + p2 * (radius + 2 * x * x)
    bent_y = y * radial + p1 * (radius + 2 * y * y) + 2 * p2 * x * y
    return np.stack([bent_x, bent_y, np.ones_like(x)], axis=-1) @ paired.K[camera].T[:, :2]


@pytest.mark.parametrize(
    ("name", "medians"),
    [
        ("human_pose2sim_balancing", [11.4, 8.0, 18.0, 9.4]),
        # The stored 2D of the hand labels are projections of their 3D.
        ("mouse_dannce_m2_labels", [0.0] * 6),
    ],
)
def test_3d_lands_on_2d_in_every_camera(real_data: Path, name: str, medians: list[float]) -> None:
    paired = load_paired(real_data / f"paired/{name}.npz")
    errors = [np.linalg.norm(project(paired, c) - paired.keypoints_2d[c], axis=-1) for c in range(len(paired.K))]
    np.testing.assert_allclose([np.nanmedian(error) for error in errors], medians, atol=0.1)
    np.testing.assert_allclose(
        paired.R @ paired.R.transpose(0, 2, 1), np.tile(np.eye(3), (len(medians), 1, 1)), atol=1e-9
    )
    assert (np.linalg.det(paired.R) > 0).all()


def test_paired_files_say_what_they_are(real_data: Path) -> None:
    human = load_paired(real_data / "paired/human_pose2sim_balancing.npz")
    assert human.sequence and human.fps == 60 and human.image_sizes.tolist() == [[1088, 1920]] * 4
    assert human.camera_names == ("cam_01", "cam_02", "cam_03", "cam_04")
    assert np.isnan(human.keypoints_2d[human.confidence == 0]).all() and (human.confidence == 0).any()
    mouse = load_paired(real_data / "paired/mouse_dannce_m2_labels.npz")
    assert not mouse.sequence and mouse.keypoints_2d.shape == (6, 91, 22, 2)
    assert ((mouse.confidence == 1) == np.isfinite(mouse.keypoints_2d).all(axis=-1)).all()
    assert (np.isnan(mouse.positions).any(axis=-1)[None] == (mouse.confidence == 0)).all()


def content(**changed: Any) -> dict[str, Any]:
    arrays = {
        "positions": np.ones((6, 2, 3)),
        "joint_names": np.array(["a", "b"]),
        "edges": np.array([[0, 1]]),
        "fps": np.float32(30),
        "clip_starts": np.array([0, 4]),
    }
    return {name: value for name, value in (arrays | changed).items() if value is not None}


def test_unknown_recording_is_taken_to_be_z_up(tmp_path: Path) -> None:
    np.savez(tmp_path / "lizard.npz", **content(positions=np.arange(36).reshape(6, 2, 3)))
    motion = load_motion(tmp_path / "lizard.npz")
    assert motion.positions.ravel().tolist() == list(range(36))
    assert motion.clips == ((0, 4), (4, 6)) and motion.clip_names == ("0", "1")
    assert motion.source == "lizard" and motion.units == "unknown"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"positions": None}, "has no array positions; it has joint_names"),
        ({"positions": np.ones((6, 3, 3))}, r"positions must be \(frames, 2, 3\), got \(6, 3, 3\)"),
        ({"positions": np.full((6, 2, 3), np.nan)}, "known somewhere, got NaN in all 6 frames"),
        ({"positions": np.full((6, 2, 3), np.inf)}, "finite, or NaN where not known, got 36 infinite values"),
        ({"joint_names": np.array(["a", "a"])}, "distinct"),
        ({"edges": np.array([[0, 2]])}, r"edge \(0, 2\)"),
        ({"fps": np.float32(0)}, "fps"),
        ({"clip_starts": np.array([1, 4])}, "clip_starts must begin with 0"),
        ({"clip_starts": np.array([0, 6])}, "clip_starts"),
        ({"clip_names": np.array(["one"])}, "clip_names must have 2 names, got 1"),
        ({"joint_names": np.array(["a", None], dtype=object)}, "not a readable .npz"),
    ],
)
def test_bad_recordings_are_refused_in_one_line(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    path = tmp_path / "bad.npz"
    np.savez(path, **content(**changed))
    with pytest.raises(InputError, match=message) as caught:
        load_motion(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def test_a_joint_that_is_nan_is_unknown_in_that_frame(tmp_path: Path) -> None:
    positions = np.arange(36, dtype=np.float64).reshape(6, 2, 3)
    positions[3, 1, 2] = np.nan
    np.savez(tmp_path / "human_cmu.npz", **content(positions=positions))
    motion = load_motion(tmp_path / "human_cmu.npz")
    unknown = np.isnan(motion.positions)
    assert unknown[3, 1].all() and unknown.sum() == 3
    np.testing.assert_allclose(
        motion.positions[..., 2][~unknown[..., 2]], positions[..., 1][~unknown[..., 2]], atol=1e-5
    )


def test_bad_recordings_of_a_folder_are_raised_or_skipped_with_a_count(tmp_path: Path) -> None:
    np.savez(tmp_path / "good.npz", **content())
    np.savez(tmp_path / "other.npz", **content(positions=np.ones((6, 3, 3))))
    (tmp_path / "text.npz").write_text("not an archive")
    with pytest.raises(InputError, match=r"other\.npz: positions must be"):
        load_all(tmp_path)
    with pytest.warns(UserWarning, match=r"skipped 2 of 3 files: .*other.npz: positions.*text.npz: not a readable"):
        assert list(load_all(tmp_path, on_bad="skip")) == ["good"]
    (tmp_path / "good.npz").unlink()
    with pytest.raises(InputError, match=r"all 2 files are unusable; the first: .*other\.npz"):
        load_all(tmp_path, on_bad="skip")


def test_files_that_are_no_npz_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_motion(tmp_path / "absent.npz")
    for name, data in (("text.npz", b"not an archive"), ("empty.npz", b""), ("cut.npz", b"PK\x03\x04rest")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError, match=r"not a readable .npz"):
            load_motion(tmp_path / name)
    np.save(tmp_path / "one.npy", np.ones(3))
    with pytest.raises(InputError, match="no zip archive"):
        load_motion(tmp_path / "one.npy")
    np.savez_compressed(tmp_path / "spoilt.npz", **content(positions=np.random.default_rng(0).random((6, 2, 3))))
    spoilt = bytearray((tmp_path / "spoilt.npz").read_bytes())
    spoilt[60:200] = bytes(140)
    (tmp_path / "spoilt.npz").write_bytes(spoilt)
    with pytest.raises(InputError, match=r"not a readable .npz"):
        load_motion(tmp_path / "spoilt.npz")
    with pytest.raises(InputError, match=r"no \.npz recordings"):
        load_all(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"keypoints_2d": np.ones((2, 5, 2, 2))}, r"keypoints_2d must be \(cameras, 6, 2, 2 or 3\)"),
        ({"K": np.ones((3, 3, 3))}, r"K must have shape \(2, 3, 3\)"),
        ({"dist": np.ones((2, 8))}, "at most 5"),
        ({"tvec": None}, "has no array tvec"),
    ],
)
def test_bad_paired_files_are_refused(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    cameras = {
        "keypoints_2d": np.ones((2, 6, 2, 2)),
        "K": np.tile(np.eye(3), (2, 1, 1)),
        "rvec": np.zeros((2, 3)),
        "tvec": np.zeros((2, 3)),
        "image_size": np.full((2, 2), 100),
    }
    np.savez(tmp_path / "good.npz", **content(**cameras))
    good = load_paired(tmp_path / "good.npz")
    assert np.array_equal(good.R, np.tile(np.eye(3), (2, 1, 1))) and good.dist.shape == (2, 5)
    np.savez(tmp_path / "bad.npz", **content(**(cameras | changed)))
    with pytest.raises(InputError, match=message):
        load_paired(tmp_path / "bad.npz")
