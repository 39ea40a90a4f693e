"""Streams and long recordings that are told the camera's pitch: exact, on record, and refused where it can't be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from olift_fast import InputError, Lifter, LifterConfig, Skeleton, StreamingLifter, lift_tracks, read_lifted
from olift_fast.streaming import LiftingProcessor, lift_long, lift_poses
from olift_fast.tracks.containers import KeypointTracks
from olift_fast.tracks.kinds import KINDS

SKELETON = Skeleton(("nose", "left_ear", "right_ear", "tail"), ((0, 1), (0, 2), (0, 3)))
PLAIN = LifterConfig(width=16, heads=2, motion_layers=2, space_layers=1, window=(3, 2), frequencies=5)


@pytest.fixture(scope="module")
def lifter() -> Lifter:
    torch.manual_seed(3)
    return Lifter(replace(PLAIN, pitch=True, kinds=len(KINDS)), name="told").eval()


def poses(count: int = 50, seed: int = 0) -> np.ndarray:
    """``(T, J, 3)`` float32."""
    random = np.random.default_rng(seed)
    values = 300 + 40 * random.standard_normal((count, 4, 3))
    values[..., 2] = random.random((count, 4))
    return values.astype(np.float32)


def offline(lifter: Lifter, values: np.ndarray, **options: Any) -> np.ndarray:
    tracks = KeypointTracks(values[None, ..., :2], values[None, ..., 2], SKELETON, ("0",))
    return lift_tracks(lifter, tracks, **options).joints[0]


def test_processor_equals_offline_and_saves_the_pitch(lifter: Lifter, tmp_path: Path) -> None:
    values = poses(30)
    options: dict[str, Any] = {"frame": "object", "fit_frames": 30, "pitch": 80}
    processor = LiftingProcessor(SKELETON, lifter, **options)
    for pose in values:
        processor.process(pose)
    processor.save(tmp_path / "session.npz")
    saved = read_lifted(tmp_path / "session.npz")
    wanted = offline(lifter, values, frame="object", pitch=80)
    np.testing.assert_allclose(saved.joints[0], wanted, rtol=1e-4, atol=1e-5)
    assert saved.pitch == 80.0
    yielded = [result.joints for result in lift_poses(values, SKELETON, model=lifter, **options)]
    np.testing.assert_allclose(yielded, wanted, rtol=1e-4, atol=1e-5)
    assert np.abs(offline(lifter, values, frame="object") - wanted).max() > 1e-2


@pytest.mark.parametrize("suffix", [".npy", ".h5"])
def test_long_recording_equals_the_track_in_memory(lifter: Lifter, tmp_path: Path, suffix: str) -> None:
    values = poses()
    path = lift_long(lifter, values, tmp_path / f"out{suffix}", skeleton=SKELETON, chunk=16, pitch=-45).path
    if suffix == ".h5":
        with h5py.File(path) as file:
            got, attributes = file["joints"][:], dict(file["joints"].attrs)
        assert attributes["pitch"] == -45
    else:
        got = np.load(path)
    wanted = offline(lifter, values, pitch=-45)
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4 * np.nanstd(wanted))


def test_chunks_of_another_pitch_are_not_taken(lifter: Lifter, tmp_path: Path) -> None:
    values, out = poses(), tmp_path / "out.npy"

    def lift(pitch: float | None, **options: Any) -> bytes:
        return lift_long(lifter, values, out, skeleton=SKELETON, chunk=10, pitch=pitch, **options).path.read_bytes()

    def stop(done: int, _frames: int) -> None:
        if done >= 20:
            raise KeyboardInterrupt

    whole = {pitch: lift(pitch) for pitch in (None, 30, 60)}
    out.unlink()
    for stopped, others in ((30, (None, 60)), (None, (30,))):
        with pytest.raises(KeyboardInterrupt):
            lift(stopped, progress=stop)
        for other in others:
            with pytest.raises(InputError, match=r"another pitch: call it as then, pass restart=True"):
                lift(other)
        assert lift(stopped) == whole[stopped]
    with pytest.raises(KeyboardInterrupt):
        lift(30, progress=stop)
    assert lift(60, restart=True) == whole[60]


ENTRIES: dict[str, Callable[..., Any]] = {
    "stream": lambda model, folder, **told: StreamingLifter(model, SKELETON, **told),
    "processor": lambda model, folder, **told: LiftingProcessor(SKELETON, model, **told),
    "poses": lambda model, folder, **told: next(lift_poses(poses(), SKELETON, model=model, **told)),
    "long": lambda model, folder, **told: lift_long(model, poses(), folder / "out.npy", skeleton=SKELETON, **told),
}


@pytest.mark.parametrize("entry", ENTRIES)
def test_unusable_pitch_is_refused_everywhere(lifter: Lifter, tmp_path: Path, entry: str) -> None:
    for pitch in (-90.1, float("nan")):
        with pytest.raises(InputError, match=rf"pitch must be from -90 .* to 90 degrees .*, got {pitch:g}"):
            ENTRIES[entry](lifter, tmp_path, pitch=pitch)
    with pytest.raises(InputError, match="'plain' does not take the camera's pitch, got 90"):
        ENTRIES[entry](Lifter(PLAIN, name="plain"), tmp_path, pitch=90)
    assert not list(tmp_path.iterdir())
