"""HDF5 files that are broken or hostile: nothing outside them is read, and they cost neither memory nor the process."""

from __future__ import annotations

import ctypes
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from olift_fast.errors import InputError, PickledError
from olift_fast.io import hdf5, read_keypoints
from olift_fast.io.in_child import ChildDiedError, in_child, spawned


def _write(path: Path) -> Path:
    """An analysis file of SLEAP: one animal, four frames, two nodes."""
    with h5py.File(path, "w") as file:
        file["node_names"] = np.array(["head", "tail"], dtype="S")
        file["tracks"] = np.arange(16, dtype=float).reshape(1, 2, 2, 4) + 1
    return path


def test_links_that_lead_out_of_the_file_are_refused(tmp_path: Path) -> None:
    secret = _write(tmp_path / "secret.h5")
    path = tmp_path / "clip.h5"
    with h5py.File(path, "w") as file:
        file["node_names"] = np.array(["head", "tail"], dtype="S")
        file["tracks"] = h5py.ExternalLink(str(secret), "/tracks")
    with pytest.raises(InputError, match=r"clip\.h5: 'tracks' links to another file, and such links are not followed"):
        read_keypoints(path)
    with h5py.File(path, "w") as file:
        file["node_names"] = np.array(["head", "tail"], dtype="S")
        file["inner/tracks"] = np.arange(16, dtype=float).reshape(1, 2, 2, 4) + 1
        file["tracks"] = h5py.SoftLink("/inner/tracks")
    assert read_keypoints(path).num_frames == 4, "links within the file are"


def test_arrays_that_are_stored_in_other_files_are_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(128))
    path = tmp_path / "clip.h5"
    with h5py.File(_write(path), "a") as file:
        del file["tracks"]
        file.create_dataset("tracks", (1, 2, 2, 4), "f8", external=[(str(secret), 0, 128)])
    with pytest.raises(InputError, match=r"/tracks is stored in other files, which are not opened"):
        read_keypoints(path)
    other = _write(tmp_path / "other.h5")
    layout = h5py.VirtualLayout((1, 2, 2, 4), "f8")
    layout[:] = h5py.VirtualSource(str(other), "tracks", (1, 2, 2, 4))
    with h5py.File(_write(path), "a") as file:
        del file["tracks"]
        file.create_virtual_dataset("tracks", layout)
    with pytest.raises(InputError, match=r"/tracks is stored in other files, which are not opened"):
        read_keypoints(path)


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_arrays_larger_than_their_bytes_are_refused_before_they_are_taken(
    tmp_path: Path, compression: str | None
) -> None:
    path = tmp_path / "clip.h5"
    with h5py.File(_write(path), "a") as file:
        del file["tracks"]
        file.create_dataset("tracks", (1, 2, 2, 10**8), "f8", chunks=(1, 2, 2, 1000), compression=compression)
    with pytest.raises(InputError, match=r"/tracks claims 3,200,000,000 bytes from 0: too many"):
        read_keypoints(path)


def test_parts_that_were_never_written_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "clip.h5"
    with h5py.File(_write(path), "a") as file:
        points = file["tracks"][:]
        del file["tracks"]
        file.create_dataset("tracks", (1, 2, 2, 5000), "f8", chunks=(1, 2, 2, 10), fillvalue=np.nan)
        file["tracks"][..., :4] = points
    found = read_keypoints(path)
    assert found.num_frames == 5000 and found.visible().any(axis=-1).sum() == 4


def test_compressed_bytes_that_are_damaged_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "clip.h5"
    with h5py.File(_write(path), "a") as file:
        points = np.random.default_rng(0).uniform(1, 99, (1, 2, 2, 400))
        del file["tracks"]
        dataset = file.create_dataset("tracks", data=points, chunks=points.shape, compression="gzip")
        place = dataset.id.get_chunk_info(0).byte_offset
    data = bytearray(path.read_bytes())
    data[place : place + 64] = bytes(64)
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"clip\.h5: /tracks is not readable \(cut short\?\): "):
        read_keypoints(path)


def _crash(path: Path, what: str) -> int:
    if what == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif what == "null":
        ctypes.string_at(0)
    elif what == "hang":
        while True:
            pass
    elif what == "memory":
        return len(bytearray(8 * 2**30))
    elif what == "allocation":
        raise OSError("Can't open object (memory allocation failed for buffer)")
    elif what == "error":
        raise InputError("tail first")
    elif what == "pickled":
        raise PickledError("the array")
    elif what == "exit":
        sys.exit(3)
    elif what == "odd":
        raise OSError(threading.Lock())
    return len(what)


@pytest.mark.parametrize("what", ["crash", "null", "hang"])
def test_a_file_that_crashes_or_hangs_the_library_is_refused(tmp_path: Path, what: str) -> None:
    path = _write(tmp_path / "clip.h5")
    start = time.perf_counter()
    with pytest.raises(InputError, match=r"^a broken HDF5 file: reading it crashed the HDF5 library, or took more"):
        hdf5.read_safely(_crash, path, what)
    assert time.perf_counter() - start < 30


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory of a child")
@pytest.mark.parametrize("what", ["memory", "allocation"])
def test_a_file_that_takes_too_much_memory_is_refused(tmp_path: Path, what: str) -> None:
    path = _write(tmp_path / "clip.h5")
    with pytest.raises(InputError, match=r"^needs more than the 80\d,\d+,\d+ bytes of memory that a file of its size"):
        hdf5.read_safely(_crash, path, what)


def test_files_that_are_not_hdf5_are_read_in_the_process_itself(tmp_path: Path) -> None:
    path = tmp_path / "clip.csv"
    path.write_text("text")
    assert hdf5.read_safely(_process, path) == os.getpid()
    assert hdf5.read_safely(_process, _write(tmp_path / "clip.h5")) != os.getpid()


def _process(path: Path) -> int:
    return os.getpid()


def test_errors_of_the_child_are_raised_in_the_parent() -> None:
    limits = {"seconds": 10.0, "memory": 2**30}
    assert in_child(_crash, Path(), "fine", **limits) == 4
    with pytest.raises(InputError, match=r"^tail first$"):
        in_child(_crash, Path(), "error", **limits)
    with pytest.raises(PickledError, match=r"^the array holds pickled Python objects") as error:
        in_child(_crash, Path(), "pickled", **limits)
    assert error.value.what == "the array"
    with pytest.raises(SystemExit):
        in_child(_crash, Path(), "exit", **limits)
    with pytest.raises(RuntimeError, match="lock object"):
        in_child(_crash, Path(), "odd", **limits)


@pytest.mark.slow
def test_a_new_interpreter_does_what_a_fork_does() -> None:
    assert spawned(_crash, (Path(), "fine"), 10.0) == (True, 4)
    returned, error = spawned(_crash, (Path(), "error"), 10.0)
    assert not returned and isinstance(error, InputError) and str(error) == "tail first"
    with pytest.raises(ChildDiedError):
        spawned(_crash, (Path(), "crash"), 10.0)


@pytest.mark.slow
def test_children_of_several_threads_do_not_wait_for_each_other(tmp_path: Path) -> None:
    path = _write(tmp_path / "clip.h5")
    found: list[int] = []

    def read() -> None:
        for _ in range(5):
            found.append(read_keypoints(path).num_frames)

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == [4] * 40


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The processes that are forked in a test."""
    found: list[int] = []
    fork = os.fork

    def noted() -> int:
        found.append(fork())
        return found[-1]

    monkeypatch.setattr(os, "fork", noted)
    return found


def _check_gone(children: list[int]) -> None:
    for child in children:
        with pytest.raises(ChildProcessError):
            os.waitpid(child, os.WNOHANG)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems don't fork")
def test_children_leave_no_processes_and_no_files_open(tmp_path: Path, children: list[int]) -> None:
    path = _write(tmp_path / "clip.h5")
    read_keypoints(path)
    before = set(os.listdir("/dev/fd"))
    for _ in range(5):
        read_keypoints(path)
    assert set(os.listdir("/dev/fd")) == before
    assert len(children) == 6
    _check_gone(children)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other systems don't fork")
def test_an_interrupt_ends_the_child(children: list[int]) -> None:
    # Shells start programs in the background with SIGINT ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    start = time.perf_counter()
    try:
        with pytest.raises(KeyboardInterrupt):
            in_child(_crash, Path(), "hang", seconds=30.0, memory=2**30)
    finally:
        signal.signal(signal.SIGINT, before)
    assert time.perf_counter() - start < 20
    assert len(children) == 1
    _check_gone(children)


@pytest.mark.slow
def test_no_flipped_byte_takes_the_process_down(tmp_path: Path) -> None:
    path = tmp_path / "clip.h5"
    whole = _write(path).read_bytes()
    rng = random.Random(11)
    outcomes = {"read": 0, "refused": 0}
    for _ in range(60):
        data = bytearray(whole)
        for _ in range(rng.choice((1, 3))):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
        try:
            found = read_keypoints(path)
            assert np.isfinite(found.keypoints[found.visible()]).all()
            outcomes["read"] += 1
        except InputError as error:
            assert "\n" not in str(error)
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 0
