"""Recordings lifted from disk to disk: the same as in memory, whatever interrupts them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from olift_fast.errors import InputError
from olift_fast.model import Lifter, LifterConfig, Normalization, lift_tracks
from olift_fast.streaming import lift_long, long_recordings
from olift_fast.tracks.containers import KeypointTracks
from olift_fast.tracks.rigs import rig

RIG = rig("animalsyn3d_dog")
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
TINY = LifterConfig(width=16, heads=2, motion_layers=2, space_layers=1, window=(3, 2), frequencies=5)


@pytest.fixture
def lifter() -> Lifter:
    torch.manual_seed(0)
    return Lifter(TINY, "tiny").eval()


def recording(frames: int, seed: int = 0) -> np.ndarray:
    """Keypoints and confidence ``(T, J, 3)``, with hidden keypoints, NaN, and stretches that show nothing."""
    random = np.random.default_rng(seed)
    joints = RIG.num_joints
    body = random.normal(size=(1, joints, 2)) * 40
    sway = 10 * np.sin(np.arange(frames)[:, None, None] / 7 + random.normal(size=(1, joints, 2)))
    path = np.cumsum(random.normal(size=(frames, 1, 2)), axis=0) + 300
    rows = np.concatenate([body + sway + path, random.uniform(0.2, 1, (frames, joints, 1))], axis=-1)
    rows[random.random((frames, joints)) < 0.1, 0] = np.nan
    for start in range(40, frames, 97):
        rows[start : start + int(random.integers(1, 25))] = np.nan
    return rows.astype(np.float32)


def in_memory(lifter: Lifter, rows: np.ndarray, **options: Any) -> np.ndarray:
    tracks = KeypointTracks(rows[None, ..., :2], rows[None, ..., 2], RIG, ("it",))
    return lift_tracks(lifter, tracks, **options).joints[0]


@pytest.mark.slow
@pytest.mark.parametrize("frame", ["camera", "object"])
@pytest.mark.parametrize(("frames", "chunk"), [(1, 1), (7, 3), (500, 64), (500, 500), (333, 1000)])
def test_equals_the_track_lifted_in_memory(lifter: Lifter, tmp_path: Path, frames: int, chunk: int, frame: Any) -> None:
    rows = recording(frames)
    result = lift_long(lifter, rows, tmp_path / "out.npy", skeleton=RIG, chunk=chunk, frame=frame)
    got, wanted = np.load(result.path, mmap_mode="r"), in_memory(lifter, rows, frame=frame)
    assert got.dtype == np.float32 and got.shape == wanted.shape
    assert np.array_equal(np.isnan(got), np.isnan(wanted))
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4 * np.nanstd(wanted))
    assert sorted(os.listdir(tmp_path)) == ["out.npy"]


def test_reads_from_files_and_writes_hdf5(lifter: Lifter, tmp_path: Path) -> None:
    rows = recording(300)
    np.save(tmp_path / "in.npy", rows)
    with h5py.File(tmp_path / "in.h5", "w") as file:
        file["pose"], file["seen"] = rows[..., :2], rows[..., 2] >= 0.5
    mapped = np.load(tmp_path / "in.npy", mmap_mode="r")
    first = lift_long(lifter, mapped, tmp_path / "a.npy", skeleton=RIG, min_confidence=0.5, chunk=128)
    with h5py.File(tmp_path / "in.h5") as file:
        second = lift_long(lifter, file["pose"], tmp_path / "b.h5", skeleton=RIG, visible=file["seen"], chunk=128)
    with h5py.File(second.path) as file:
        assert np.array_equal(file["joints"][:], np.load(first.path), equal_nan=True)
        attributes = file["joints"].attrs
        assert attributes["frame"] == attributes["output"] == "camera"
        assert attributes["normalization"] == second.normalization.scale
        assert attributes["scale"] == second.scale and np.array_equal(attributes["rotation"], second.rotation)


def test_normalization_can_be_given(lifter: Lifter, tmp_path: Path) -> None:
    rows = recording(90)
    fitted = lift_long(lifter, rows, tmp_path / "a.npy", skeleton=RIG)
    given = lift_long(lifter, rows, tmp_path / "b.npy", skeleton=RIG, normalization=fitted.normalization)
    assert given.path.read_bytes() == fitted.path.read_bytes()
    other = Normalization(3 * fitted.normalization.scale)
    lift_long(lifter, rows, tmp_path / "c.npy", skeleton=RIG, normalization=other)
    assert (tmp_path / "c.npy").read_bytes() != fitted.path.read_bytes()


def test_old_name_of_frame_still_works(lifter: Lifter, tmp_path: Path) -> None:
    rows = recording(90)
    new = lift_long(lifter, rows, tmp_path / "new.npy", skeleton=RIG, frame="object")
    with pytest.warns(DeprecationWarning, match="the argument output is now frame"):
        old = lift_long(lifter, rows, tmp_path / "old.npy", skeleton=RIG, output="object")
    assert old.path.read_bytes() == new.path.read_bytes()


class StopError(Exception):
    pass


def stop_at(frames: int) -> Any:
    def progress(done: int, _total: int) -> None:
        if done >= frames:
            raise StopError

    return progress


@pytest.mark.slow
def test_goes_on_from_the_last_finished_chunk(lifter: Lifter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = recording(400)
    whole = lift_long(lifter, rows, tmp_path / "whole.npy", skeleton=RIG, chunk=50).path.read_bytes()
    out = tmp_path / "out.npy"
    with pytest.raises(StopError):
        lift_long(lifter, rows, out, skeleton=RIG, chunk=50, progress=stop_at(250))
    assert not out.exists()
    lifted = []
    real = long_recordings.run
    monkeypatch.setattr(long_recordings, "run", lambda *a, **k: lifted.append(1) or real(*a, **k))
    lift_long(lifter, rows, out, skeleton=RIG, chunk=50)
    assert len(lifted) == 3
    assert out.read_bytes() == whole and sorted(os.listdir(tmp_path)) == ["out.npy", "whole.npy"]


@pytest.mark.slow
@pytest.mark.parametrize("torn", [1, 5, 40])
def test_torn_line_is_cut_off(lifter: Lifter, tmp_path: Path, torn: int) -> None:
    rows = recording(300)
    whole = lift_long(lifter, rows, tmp_path / "whole.npy", skeleton=RIG, chunk=50).path.read_bytes()
    out, log = tmp_path / "out.npy", tmp_path / ".out.npy.partial.jsonl"
    with pytest.raises(StopError):
        lift_long(lifter, rows, out, skeleton=RIG, chunk=50, progress=stop_at(200))
    log.write_bytes(log.read_bytes()[:-torn])
    lift_long(lifter, rows, out, skeleton=RIG, chunk=50)
    assert out.read_bytes() == whole


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"chunk": 60}, "chunk"),
        ({"normalization": Normalization(7.0)}, "normalization"),
        ({"min_confidence": 0.5}, "input"),
        ({"skeleton": "no edges"}, "skeleton"),
        ({"model": "another"}, "model"),
        ({"keypoints": "another"}, "input"),
    ],
)
def test_chunks_of_another_job_are_not_taken(
    lifter: Lifter, tmp_path: Path, changes: dict[str, Any], word: str
) -> None:
    rows = recording(200)
    out = tmp_path / "out.npy"
    with pytest.raises(StopError):
        lift_long(lifter, rows, out, skeleton=RIG, chunk=50, progress=stop_at(100))
    given: dict[str, Any] = {"model": lifter, "keypoints": rows, "skeleton": RIG, "chunk": 50, **changes}
    if changes.get("skeleton"):
        given["skeleton"] = type(RIG)(RIG.names)
    if changes.get("model"):
        given["model"] = Lifter(TINY)
    if changes.get("keypoints"):
        given["keypoints"] = recording(200, seed=9)
    with pytest.raises(InputError, match=rf"out\.npy.*another .*{word}.*restart=True"):
        lift_long(out=out, **given)
    lift_long(out=out, restart=True, **given)
    fresh = lift_long(out=tmp_path / "fresh.npy", **given)
    assert out.read_bytes() == fresh.path.read_bytes()


def test_another_process_is_kept_out(lifter: Lifter, tmp_path: Path) -> None:
    rows, out = recording(200), tmp_path / "out.npy"

    def again(*_: int) -> None:
        with pytest.raises(InputError, match="another process is lifting into it"):
            lift_long(lifter, rows, out, skeleton=RIG, chunk=50)

    lift_long(lifter, rows, out, skeleton=RIG, chunk=50, progress=again)
    assert out.exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"keypoints": np.zeros((5, 3, 2))}, r"keypoints must be \(T, 22, 2\) or \(T, 22, 3\), got \(5, 3, 2\)"),
        ({"keypoints": np.full((5, 22, 2), np.nan)}, "no keypoint is visible"),
        ({"visible": np.ones((5, 2), bool)}, r"visible must be \(200, 22\), got \(5, 2\)"),
        ({"frame": "world"}, "frame must be 'camera' or 'object', got 'world'"),
        ({"chunk": 0}, "chunk must be >= 1 frame, got 0"),
        ({"out": "out.txt"}, r"must end in \.npy or \.h5, got '\.txt'"),
        ({"out": "nowhere/out.npy"}, "does not exist"),
    ],
)
def test_unusable_arguments_are_told(lifter: Lifter, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"keypoints": recording(200), "out": "out.npy", **changes}
    with pytest.raises(InputError, match=message):
        lift_long(lifter, given.pop("keypoints"), tmp_path / given.pop("out"), skeleton=RIG, **given)
    assert not list(tmp_path.iterdir())


def test_absolute_time_is_refused(tmp_path: Path) -> None:
    lifter = Lifter(LifterConfig(**{**TINY.__dict__, "time_encoding": "absolute"}))
    with pytest.raises(InputError, match="got 'absolute'"):
        lift_long(lifter, recording(20), tmp_path / "out.npy", skeleton=RIG)


SCRIPT = """
import sys
import numpy as np
import torch
from olift_fast.tracks.rigs import rig
from olift_fast.model import Lifter, LifterConfig
from olift_fast.streaming import lift_long
torch.set_num_threads(1)
torch.manual_seed(0)
lifter = Lifter(LifterConfig(width=16, heads=2, motion_layers=2, space_layers=1, window=(3, 2), frequencies=5))
rows, given = np.load(sys.argv[1], mmap_mode="r"), dict(skeleton=rig("animalsyn3d_dog"), chunk=int(sys.argv[3]))

def own_memory(*_):
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    taken.append(1024 * int(status["RssAnon"].split()[0]))

taken = []
lift_long(lifter, np.array(rows[:4096]), sys.argv[2] + ".warm.npy", progress=own_memory, **given)
print("start", flush=True)
before = max(taken)
lift_long(lifter, rows, sys.argv[2], progress=own_memory, **given)
own_memory()
print(max(taken) - before)
"""


def run(tmp_path: Path, out: Path, chunk: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SCRIPT, tmp_path / "in.npy", out, chunk]
    return subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
@linux
def test_memory_does_not_grow_with_the_recording(tmp_path: Path) -> None:
    rows = recording(2000)
    joints = np.lib.format.open_memmap(tmp_path / "in.npy", "w+", np.float32, (200_000, *rows.shape[1:]))
    for start in range(0, len(joints), len(rows)):
        joints[start : start + len(rows)] = rows
    del joints
    process = run(tmp_path, tmp_path / "out.npy", 1024)
    told = process.communicate(timeout=300)[0].split()
    size = (tmp_path / "out.npy").stat().st_size
    assert process.returncode == 0 and told[0] == "start"
    assert int(told[1]) < size / 2, (
        f"{int(told[1]) >> 20} MiB more than for 4,096 frames; the result has {size >> 20} MiB"
    )
