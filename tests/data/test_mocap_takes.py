"""Recordings whose takes loop, have rates and subjects of their own, and whose up is any axis."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from olift_fast.data.cameras import CameraRange
from olift_fast.data.corruption import Corruption
from olift_fast.data.mocap import (
    Motion,
    Segment,
    cut_clips,
    first_frames,
    known_stretches,
    load_motion,
    sample_clips,
    segments_of,
    split,
)
from olift_fast.data.sources import MotionSource
from olift_fast.errors import InputError
from olift_fast.tracks.skeleton import Skeleton

TURNED_BACK = {"+x": [2, 1, 0], "-x": [2, 1, 0], "+y": [0, 2, 1], "-y": [0, 2, 1], "+z": [0, 1, 2], "-z": [0, 1, 2]}
TRUNK = re.compile(r"head|neck|chest|spine|torso|body|pelvis|hip|back(?!.*leg)", re.IGNORECASE)
FEET = re.compile(r"foot|toe|hoof|heel|ankle|leg.*end|lowerleg", re.IGNORECASE)
BOXES = ("aw_", "lf_", "pp_")


def write(folder: Path, name: str = "made", **changed: Any) -> Path:
    rng = np.random.default_rng()
    content = {
        "positions": rng.normal(size=(30, 5, 3)).astype(np.float32),
        "joint_names": ["part0", "part1", "part2", "part3", "part4"],
        "edges": [(0, 1), (1, 2), (2, 3), (3, 4)],
        "fps": 30.0,
        "clip_starts": [0, 10],
        "up_axis": "+z",
    }
    np.savez(folder / f"{name}.npz", **{**content, **changed})
    return folder / f"{name}.npz"


def loop(frames: int, cyclic: bool = True) -> Segment:
    """One joint on a circle: at frame t it is at the angle 2 pi t / frames."""
    angle = 2 * np.pi * np.arange(frames) / frames
    positions = np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1)[:, None].astype(np.float32)
    return Segment(positions, 0, frames, 30.0, Skeleton(("a",)), "made", "0", cyclic=cyclic)


@pytest.mark.parametrize("axis", TURNED_BACK)
def test_the_axis_that_is_up_becomes_z(tmp_path: Path, axis: str) -> None:
    path = write(tmp_path, up_axis=axis)
    stored, motion = np.load(path)["positions"], load_motion(path)
    sign = 1 if axis[0] == "+" else -1
    np.testing.assert_allclose(motion.positions[..., 2], sign * stored[..., "xyz".index(axis[1])], atol=1e-6)
    gram = [np.einsum("tik,tjk->tij", each, each) for each in (stored, motion.positions)]
    np.testing.assert_allclose(*gram, atol=1e-5)
    volume = [np.linalg.det(each[:, :3]) for each in (stored, motion.positions)]
    np.testing.assert_allclose(*volume, atol=1e-4)
    assert motion.up_known and all(segment.up_known for segment in segments_of(motion))


def test_up_that_nobody_knows_is_left_as_it_is_and_said(tmp_path: Path) -> None:
    path = write(tmp_path, up_axis="")
    motion = load_motion(path)
    np.testing.assert_array_equal(motion.positions, np.load(path)["positions"])
    assert not motion.up_known and not any(segment.up_known for segment in segments_of(motion))


def test_what_a_file_says_of_up_goes_before_what_is_known_of_its_name(tmp_path: Path) -> None:
    path = write(tmp_path, "human_cmu", up_axis="+z")
    np.testing.assert_array_equal(load_motion(path).positions, np.load(path)["positions"])


def test_takes_of_other_rates_are_resampled(tmp_path: Path) -> None:
    times = np.concatenate([np.arange(10) / 20, np.arange(20) / 30])
    positions = np.broadcast_to(times[:, None, None], (30, 5, 3)).astype(np.float32)
    motion = load_motion(write(tmp_path, positions=positions, clip_fps=[20.0, 30.0]))
    assert motion.clips == ((0, 14), (14, 34)) and motion.fps == 30.0
    for start, stop in motion.clips:
        np.testing.assert_allclose(motion.positions[start:stop, 0, 0], np.arange(stop - start) / 30, atol=1e-6)


def test_a_loop_of_another_rate_still_closes(tmp_path: Path) -> None:
    circle = np.repeat(loop(60).positions, 5, axis=1)
    path = write(tmp_path, positions=circle, clip_starts=[0], cyclic=[True], clip_fps=[41.0])
    (segment,) = segments_of(load_motion(path))
    assert segment.cyclic and len(segment.positions) == round(60 * 30 / 41)
    np.testing.assert_allclose(segment.positions, np.repeat(loop(44).positions, 5, axis=1), atol=0.01)


def test_sides_are_those_of_partners_where_the_front_is_known(tmp_path: Path) -> None:
    # It faces -Z and up is +Y, so that its left is at -X.
    places = np.array([[0, 1, -2], [-1, 0, 0], [1, 0, 0], [0.5, 1, 3], [-0.5, 1, 3]], dtype=np.float32)
    given = {"positions": np.tile(places, (30, 1, 1)), "mirror": [0, 2, 1, 4, 3], "up_axis": "+y"}
    assert load_motion(write(tmp_path, "aw_made", **given)).skeleton.sides == (0, 1, -1, -1, 1)
    assert load_motion(write(tmp_path, "aw_made", **{**given, "mirror": [0, 2, 1, -1, -1]})).skeleton.sides[3:] == (
        0,
        0,
    )
    places[1] = np.nan
    unknown = {**given, "positions": np.tile(places, (30, 1, 1))}
    assert load_motion(write(tmp_path, "aw_made", **unknown)).skeleton.sides == (0, 0, 0, -1, 1)
    assert not any(load_motion(write(tmp_path, "made", **given)).skeleton.sides)
    named = load_motion(write(tmp_path, "aw_made", **given, joint_names=["a", "leg_r", "leg_l", "b", "c"]))
    assert named.skeleton.sides == (0, -1, 1, 0, 0)


def test_takes_that_can_be_played_backward_become_loops(tmp_path: Path) -> None:
    path = write(tmp_path, "hands_handy_left", up_axis="+z")
    stored, (first, second) = np.load(path)["positions"], segments_of(load_motion(path))
    assert first.cyclic and second.cyclic and not first.up_known
    np.testing.assert_array_equal(first.positions, stored[[*range(10), *range(8, 0, -1)]])
    assert len(second.positions) == 2 * 20 - 2


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"up_axis": "y"}, r"up_axis must be one of \+x, -x, .*, or empty, got 'y'"),
        ({"cyclic": [True]}, "cyclic must have 2 values, got 1"),
        ({"subjects": ["a", "b", "c"]}, "subjects must have 2 names, got 3"),
        ({"clip_fps": [30.0]}, "clip_fps must have 2 rates, got 1"),
        ({"clip_fps": [30.0, 0.0]}, r"clip_fps must be from .* fps = 30, got \(30.0, 0.0\)"),
        ({"clip_fps": [30.0, np.nan]}, r"clip_fps must be from .* fps = 30, got \(30.0, nan\)"),
        ({"clip_fps": ["30", "x"]}, r"clip_fps must have 2 rates, got \['30', 'x'\]"),
        ({"cyclic": ["yes", "no"]}, r"cyclic must have 2 values, got \['yes', 'no'\]"),
        ({"mirror": [0, 1, 2]}, r"mirror must be 5 indices of joints, or -1, got \[0, 1, 2\]"),
        ({"mirror": [0, 1, 2, 3, 5]}, r"mirror must be 5 indices of joints, or -1, got \[0, 1, 2, 3, 5\]"),
        ({"mirror": [0.5, 1, 2, 3, 4]}, "mirror must be 5 indices of joints"),
    ],
)
def test_bad_takes_are_told_in_one_line(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    path = write(tmp_path, **changed)
    with pytest.raises(InputError, match=f"{re.escape(str(path))}: {message}") as error:
        load_motion(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("speed", [0.37, 1.0, 2.9])
def test_a_loop_goes_round_at_any_speed(speed: float) -> None:
    rng, segment, frames = np.random.default_rng(), loop(40), 200
    clips = sample_clips([segment], 8, frames, rng, (speed, speed))[:, :, 0]
    angle = np.unwrap(np.arctan2(clips[..., 1], clips[..., 0]), axis=1)
    np.testing.assert_allclose(np.diff(angle, axis=1), 2 * np.pi * speed / 40, atol=0.005)
    starts = np.round(angle[:, 0] / (2 * np.pi) * 40) % 40
    assert len(set(starts)) > 1
    np.testing.assert_allclose(np.linalg.norm(clips, axis=-1), 1, atol=0.005)


def test_only_loops_are_longer_than_they_are() -> None:
    with pytest.raises(InputError, match="the longest has 40"):
        sample_clips([loop(40, cyclic=False)], 1, 48, np.random.default_rng())
    assert cut_clips([loop(40, cyclic=False)]).shape == (1, 40, 1, 3)
    clips = cut_clips([loop(20), loop(60), loop(100), loop(30, cyclic=False)])
    assert clips.shape == (4, 48, 1, 3)
    np.testing.assert_array_equal(clips[0, 40:], clips[0, :8])
    np.testing.assert_array_equal(clips[3], loop(100).positions[48:96])


def test_a_part_of_a_loop_is_none() -> None:
    holed = loop(20)
    holed.positions[7] = np.nan
    assert [part.cyclic for part in known_stretches([holed])] == [False, False]
    assert [part.cyclic for part in known_stretches([loop(20)])] == [True]
    assert [part.cyclic for part in first_frames([loop(20), loop(20)], 30)] == [True, False]
    circle = loop(200).positions
    motion = Motion(circle, ((0, 200),), ("0",), 30.0, Skeleton(("a",)), "made", "m", cyclic=(True,))
    assert [part.cyclic for parts in split(motion) for part in parts] == [False, False]


def test_clips_do_not_depend_on_the_unit(tmp_path: Path) -> None:
    rng = np.random.default_rng()
    positions = rng.normal(size=(40, 5, 3)).cumsum(axis=0).astype(np.float32)
    seed = int(rng.integers(2**31))
    drawn = []
    for name, unit in (("m", 1.0), ("mm", 1024.0)):
        motion = load_motion(write(tmp_path, name, positions=positions * unit, clip_starts=[0]))
        source = MotionSource(name, segments_of(motion), CameraRange(), Corruption.none())
        drawn.append(source.draw(np.random.default_rng(seed), 4, 12))
    np.testing.assert_allclose(drawn[0].keypoints, drawn[1].keypoints, rtol=1e-4, atol=0.01)
    np.testing.assert_allclose(drawn[0].joints, drawn[1].joints, rtol=1e-4, atol=0.01)


@pytest.fixture(scope="module")
def motions(real_data: Path) -> dict[str, Motion]:
    paths = [path for folder in ("animated", "recorded") for path in sorted((real_data / folder).glob("*.npz"))]
    return {path.stem: load_motion(path) for path in paths}


@pytest.mark.slow
def test_all_animated_and_recorded_bodies_stand_upright(motions: dict[str, Motion]) -> None:
    assert len(motions) == 189
    judged = 0
    for name, motion in motions.items():
        assert np.isfinite(motion.positions).all()
        assert motion.up_known != name.startswith(("hands_handy", "hands_xrtools")), name
        names, height = motion.skeleton.names, motion.positions[..., 2]
        feet = [index for index, joint in enumerate(names) if FEET.search(joint)]
        trunk = [index for index, joint in enumerate(names) if TRUNK.search(joint) and index not in feet]
        if feet and trunk:
            judged += 1
            # They lie, roll and fly, too.
            assert (height[:, trunk].mean(axis=1) > height[:, feet].mean(axis=1)).mean() > 0.9, name
    assert judged > 50
    # Boxes have no telling names. Most of these animals stand on the floor of their world, and its height is 0.
    heights = [motion.positions[..., 2] for name, motion in motions.items() if name.startswith(BOXES)]
    floors = [np.median(height.min(axis=1)) / np.median(np.ptp(height, axis=1)) for height in heights]
    assert len(floors) > 100 and (np.abs(floors) < 0.15).mean() > 0.8


@pytest.mark.slow
def test_left_and_right_of_all_bodies_are_beside_each_other(motions: dict[str, Motion]) -> None:
    sided = 0
    for name, motion in motions.items():
        sides = np.array(motion.skeleton.sides)
        if not sides.any() or name.startswith("hands_"):
            continue
        sided += 1
        across = motion.positions[:, sides > 0].mean(axis=1) - motion.positions[:, sides < 0].mean(axis=1)
        assert np.median(np.abs(across[:, 2]) / np.linalg.norm(across, axis=1)) < 0.4, name
        if name.startswith(("animalia_", *BOXES)):
            # Of the named ones it is known, and the others are modeled alike: they face -Z of the file, here +Y.
            assert np.mean(across[:, 0] < 0) > 0.6, name
    assert sided > 165
    for name in ("aw_giraffe", "aw_zebra", "aw_moose", "aw_goose"):
        positions, sides = motions[name].positions, np.array(motions[name].skeleton.sides)
        head = positions[np.arange(len(positions)), positions[..., 2].argmax(axis=1)]
        to_the_left = np.cross([0.0, 0.0, 1.0], head - positions.mean(axis=1))
        across = positions[:, sides > 0].mean(axis=1) - positions[:, sides < 0].mean(axis=1)
        assert ((to_the_left * across).sum(axis=1) > 0).mean() > 0.85, name


@pytest.mark.slow
def test_all_loops_close_and_all_sources_give_clips_of_any_length(motions: dict[str, Motion]) -> None:
    rng = np.random.default_rng()
    loops = 0
    for name, motion in motions.items():
        segments = segments_of(motion)
        for segment in (segment for segment in segments if segment.cyclic):
            loops += 1
            steps = np.linalg.norm(np.diff(segment.positions, axis=0), axis=-1).mean(axis=1)
            gap = np.linalg.norm(segment.positions[0] - segment.positions[-1], axis=-1).mean()
            size = np.ptp(segment.positions, axis=(0, 1)).max()
            assert gap < max(1.6 * steps.max(), 0.01 * size), (name, segment.clip_name)
        for frames in (1, 12, 48):
            batch = MotionSource(name, segments).draw(rng, 1, frames)
            assert batch.visible.shape == (1, frames, motion.skeleton.num_joints)
            assert np.isfinite(batch.joints).all() and batch.labelled.all()
    assert loops > 600
