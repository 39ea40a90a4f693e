"""Lifting from disk to disk on full disks, after kills, and with damaged files: the right bytes, or one line."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from olift_fast.errors import InputError
from olift_fast.model import Lifter, LifterConfig
from olift_fast.streaming import chunk_journal, lift_long, long_recordings
from olift_fast.tracks.skeleton import Skeleton

RIG = Skeleton(("nose", "left_ear", "right_ear", "tail"), ((0, 1), (0, 2), (0, 3)))
TINY = LifterConfig(width=16, heads=2, motion_layers=1, space_layers=1, window=(3, 2), frequencies=5)
FRAMES, CHUNK = 400, 40
ROUNDS = 20 if "OLIFT_SOAK" not in os.environ else 400


@pytest.fixture(scope="module")
def lifter() -> Lifter:
    torch.manual_seed(0)
    return Lifter(TINY, "tiny").eval()


def keypoints() -> np.ndarray:
    return (300 + 40 * np.random.default_rng(0).standard_normal((FRAMES, RIG.num_joints, 2))).astype(np.float32)


@pytest.fixture(scope="module")
def whole(lifter: Lifter, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What an undisturbed run writes."""
    return lift(lifter, tmp_path_factory.mktemp("whole") / "out.npy")


def lift(lifter: Lifter, out: Path, **options: Any) -> bytes:
    return lift_long(lifter, keypoints(), out, skeleton=RIG, chunk=CHUNK, **options).path.read_bytes()


class StopError(Exception):
    pass


@pytest.fixture
def half_done(lifter: Lifter, tmp_path: Path) -> Path:
    """A result of which six of ten chunks are done."""

    def stop(done: int, _total: int) -> None:
        if done == 6 * CHUNK:
            raise StopError

    out = tmp_path / "out.npy"
    with pytest.raises(StopError):
        lift(lifter, out, progress=stop)
    return out


def files_of(out: Path) -> tuple[Path, Path]:
    """The list of chunks, and the joints."""
    return out.with_name(f".{out.name}.partial.jsonl"), out.with_name(f".{out.name}.partial.npy")


@pytest.fixture
def lifted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one with each chunk that is lifted."""
    found: list[int] = []
    real = long_recordings.run
    monkeypatch.setattr(long_recordings, "run", lambda *a, **k: found.append(1) or real(*a, **k))
    return found


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.35, 0.59, 0.8])
def test_shortened_file_is_lifted_again_where_it_ends(
    lifter: Lifter, half_done: Path, whole: bytes, lifted: list[int], share: float
) -> None:
    _, joints = files_of(half_done)
    size = joints.stat().st_size
    os.truncate(joints, int(share * size))
    missing = 0 if share > 0.6 else 6 - int(max(share * size - 128, 0) / (CHUNK * RIG.num_joints * 12))
    if missing:
        with pytest.warns(UserWarning, match=f"{missing} chunks? that an earlier run left do not fit") as told:
            assert lift(lifter, half_done) == whole
        assert told[0].filename == __file__
    else:
        assert lift(lifter, half_done) == whole
    assert len(lifted) == 4 + missing
    assert os.listdir(half_done.parent) == ["out.npy"]


def test_missing_file_of_joints_is_lifted_again(lifter: Lifter, half_done: Path, whole: bytes) -> None:
    files_of(half_done)[1].unlink()
    with pytest.warns(UserWarning, match="6 chunks"):
        assert lift(lifter, half_done) == whole


def test_damaged_chunk_is_lifted_again_and_told(
    lifter: Lifter, half_done: Path, whole: bytes, lifted: list[int]
) -> None:
    _, joints = files_of(half_done)
    data = bytearray(joints.read_bytes())
    data[128 + 2 * CHUNK * RIG.num_joints * 12 + 17] ^= 4
    joints.write_bytes(data)
    with pytest.warns(UserWarning, match=r"out\.npy: 1 chunk that an earlier run left do not fit"):
        assert lift(lifter, half_done) == whole
    assert len(lifted) == 4 + 1


def test_damaged_line_does_not_turn_the_result(
    lifter: Lifter, half_done: Path, whole: bytes, lifted: list[int]
) -> None:
    lines, _ = files_of(half_done)
    header, *entries = lines.read_text().splitlines()
    entry = json.loads(entries[3])
    entry["moments"][0][0] *= 8
    entries[3] = json.dumps(entry)
    lines.write_text("\n".join([header, *entries]) + "\n")
    with pytest.warns(UserWarning, match="1 chunk that an earlier run left"):
        assert lift(lifter, half_done) == whole
    assert len(lifted) == 4 + 1


def test_lines_without_checksums_are_not_trusted(lifter: Lifter, half_done: Path, whole: bytes) -> None:
    lines, _ = files_of(half_done)
    header, *entries = lines.read_text().splitlines()
    old = [{key: value for key, value in json.loads(entry).items() if key != "crc32"} for entry in entries]
    lines.write_text("\n".join([header, *map(json.dumps, old)]) + "\n")
    with pytest.warns(UserWarning, match="6 chunks that an earlier run left"):
        assert lift(lifter, half_done) == whole


def test_joints_that_change_while_it_runs_are_not_called_done(lifter: Lifter, tmp_path: Path, whole: bytes) -> None:
    out = tmp_path / "out.npy"

    def damage(done: int, total: int) -> None:
        if done == total:
            with files_of(out)[1].open("r+b") as file:
                file.seek(1000)
                file.write(b"\0" * 16)

    with pytest.raises(InputError, match=r"out\.npy: frames 0 to 40 changed on disk after they were lifted"):
        lift(lifter, out, progress=damage)
    assert not out.exists()
    with pytest.warns(UserWarning, match="1 chunk"):
        assert lift(lifter, out) == whole


GARBAGE: list[bytes] = [
    b"[]\n",
    b"null\n",
    b"3\n",
    b'"word"\n',
    b"{}\n",
    b"\xff\xfe\x00\n",
    b"\0" * 50 + b"\n",
    b"[" * 100_000 + b"\n",
    b"HEADER" + b"not JSON\n",
    b"HEADER" + b"[1, 2]\n",
    b"HEADER" + b"null\n",
    b"HEADER" + b"{}\n",
    b"HEADER" + b"\x80abc\n",
    b"HEADER" + b'{"start": "0", "frames": 40, "moments": []}\n',
    b"HEADER" + b'{"start": true, "frames": 40, "moments": []}\n',
    b"HEADER" + b'{"start": 7, "frames": 40, "moments": []}\n',
    b"HEADER" + b'{"start": -40, "frames": 40, "moments": []}\n',
    b"HEADER" + b'{"start": 4000000, "frames": 40, "moments": []}\n',
    b"HEADER" + b'{"start": 0, "frames": 41, "moments": []}\n',
    b"HEADER" + b'{"start": 0, "frames": 40, "moments": [[1, 2], [3]]}\n',
    b"HEADER" + b'{"start": 0, "frames": 40, "moments": {"a": 1}}\n',
    b"HEADER" + b'{"start": 0, "frames": 40, "moments": "x"}\n',
]


@pytest.mark.parametrize("garbage", GARBAGE, ids=range(len(GARBAGE)))
def test_garbage_is_refused_in_a_line_and_stays(lifter: Lifter, half_done: Path, whole: bytes, garbage: bytes) -> None:
    lines, joints = files_of(half_done)
    header = lines.read_bytes().splitlines(keepends=True)[0]
    lines.write_bytes(garbage.replace(b"HEADER", header))
    before = lines.read_bytes(), joints.read_bytes()
    with pytest.raises(InputError, match=r"^.*out\.npy: .*pass restart=True, or delete \.out\.npy\.partial\.jsonl$"):
        lift(lifter, half_done)
    assert (lines.read_bytes(), joints.read_bytes()) == before
    assert lift(lifter, half_done, restart=True) == whole


class FailingDisk:
    """Fails at one write, after a part of it, and at all that come after."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left, self.random = 0, np.random.default_rng(5)
        self._real = chunk_journal.write_at
        monkeypatch.setattr(chunk_journal, "write_at", self.write)

    def write(self, file: FileIO, data: bytes, place: int) -> None:
        self.left -= 1
        if self.left >= 0:
            self._real(file, data, place)
            return
        if self.left == -1:
            self._real(file, memoryview(data).cast("B")[: int(self.random.integers(memoryview(data).nbytes))], place)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.filterwarnings("ignore:.*that an earlier run left")
def test_full_disk_at_any_moment_is_told_and_it_goes_on_later(
    lifter: Lifter, tmp_path: Path, whole: bytes, monkeypatch: pytest.MonkeyPatch, lifted: list[int]
) -> None:
    disk, out, kept = FailingDisk(monkeypatch), tmp_path / "out.npy", []
    for _ in range(ROUNDS):
        disk.left = int(disk.random.integers(0, 6))
        try:
            assert lift(lifter, out) == whole
            out.unlink()
        except InputError as error:
            message = str(error)
            assert "out.npy: cannot be written: the disk is full" in message and "\n" not in message
            assert not out.exists()
        lines = files_of(out)[0]
        kept.append(lines.read_bytes().count(b"\n") if lines.exists() else 0)
    assert max(kept) > 2 and len(set(kept)) > 2
    disk.left = 1 << 20
    assert lift(lifter, out) == whole and os.listdir(tmp_path) == ["out.npy"]


def test_disk_too_full_at_the_start_leaves_nothing(
    lifter: Lifter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(chunk_journal, "reserve", full)
    with pytest.raises(InputError, match=r"out\.npy: cannot be written: the disk is full"):
        lift(lifter, tmp_path / "out.npy")
    assert not list(tmp_path.iterdir())


def test_full_disk_in_hdf5_is_an_input_error(lifter: Lifter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import h5py

    def full(*_: Any) -> None:
        raise RuntimeError("Can't decrement id ref count\n(unable to extend file, errno = 28)")

    with monkeypatch.context() as patched:
        patched.setattr(h5py.File, "close", full)
        with pytest.raises(InputError, match=r"out\.h5: cannot be written: .*errno = 28"):
            lift(lifter, tmp_path / "out.h5")
    assert not (tmp_path / "out.h5").exists()
    lift(lifter, tmp_path / "out.h5")
    assert os.listdir(tmp_path) == ["out.h5"]


# One process loads everything and is forked for each trial: a child lifts until its parent kills it, when so many lines
# are there, and some random milliseconds later.
KILLING = """
import os, random, signal, sys, time, warnings
from pathlib import Path
import torch
from test_long_damage import CHUNK, FRAMES, RIG, TINY, Lifter, files_of, keypoints, lift

torch.set_num_threads(1)
torch.manual_seed(0)
lifter = Lifter(TINY, "tiny").eval()
out, rounds = Path(sys.argv[1]), int(sys.argv[2])
lines = files_of(out)[0]

def done():
    try:
        return lines.read_bytes().count(b"\\n")
    except FileNotFoundError:
        return 0

random.seed()
for number in range(rounds):
    before = done()
    child = os.fork()
    if child == 0:
        warnings.simplefilter("error")
        code = 1
        try:
            lift(lifter, out, progress=lambda *_: time.sleep(0.003))
            code = 0
        finally:
            os._exit(code)
    wanted = before + random.randint(0, 3)
    status = 0, 0
    while status == (0, 0) and done() < wanted:
        status = os.waitpid(child, os.WNOHANG)
    if status == (0, 0):
        time.sleep(random.uniform(0, 0.01))
        os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)
    print(before, done(), os.waitstatus_to_exitcode(status[1]), out.exists(), flush=True)
    if out.exists():
        out.rename(out.with_name(f"done {number}.npy"))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="forks, sends SIGKILL")
def test_killed_at_random_moments_no_finished_chunk_is_lost(lifter: Lifter, tmp_path: Path, whole: bytes) -> None:
    out = tmp_path / "out.npy"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", KILLING, str(out), str(ROUNDS)]
    told = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60 + 3 * ROUNDS)
    assert told.returncode == 0, told.stderr
    rounds = [line.split() for line in told.stdout.splitlines()]
    assert len(rounds) == ROUNDS
    for before, after, code, finished in rounds:
        assert code in ("-9", "0"), f"neither killed nor done, but {code}: {told.stderr}"
        assert finished == "True" or int(after) >= int(before), "a finished chunk was lost"
    assert sum(code == "-9" for *_, code, _ in rounds) > ROUNDS // 2
    assert lift(lifter, out) == whole
    assert all(path.read_bytes() == whole for path in tmp_path.glob("done *.npy"))
    assert not list(tmp_path.glob(".out*.partial*"))
