"""Files to read that are no regular ones: pipes are read, devices, sockets and folders are refused in one line."""

from __future__ import annotations

import gzip
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest

from olift_fast import odd_files
from olift_fast.errors import InputError
from olift_fast.io import read_keypoints, read_lifted, read_skeleton
from olift_fast.odd_files import as_file, check_file
from olift_fast.train.toml import read_toml

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs pipes and devices")

TABLE = b"nose_x,nose_y,tail_x,tail_y\n1,2,3,4\n2,3,4,5\n"


@contextmanager
def piped(folder: Path, content: bytes, name: str = "pipe") -> Iterator[Path]:
    """A pipe into which a thread writes; the reader may go away before the end."""
    path = folder / name
    os.mkfifo(path)

    def write() -> None:
        with suppress(BrokenPipeError):
            path.write_bytes(content)

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    yield path
    thread.join(20)
    assert not thread.is_alive()


def npz(folder: Path) -> bytes:
    np.savez(folder / "clip.npz", keypoints=np.arange(16.0).reshape(1, 4, 2, 2), names=["a", "b"])
    return (folder / "clip.npz").read_bytes()


def hdf5(folder: Path) -> bytes:
    h5py = pytest.importorskip("h5py")
    with h5py.File(folder / "clip.h5", "w") as file:
        file["tracks"] = np.arange(16.0).reshape(1, 2, 2, 4)
        file["node_names"] = ["a", "b"]
    return (folder / "clip.h5").read_bytes()


@pytest.mark.parametrize("content", [lambda _: TABLE, lambda _: gzip.compress(TABLE), npz, hdf5])
def test_a_pipe_is_read_like_the_file(tmp_path: Path, content: Callable[[Path], bytes]) -> None:
    data = content(tmp_path)
    (tmp_path / "file").write_bytes(data)
    wanted = read_keypoints(tmp_path / "file")
    with piped(tmp_path, data) as pipe:
        found = read_keypoints(pipe)
    np.testing.assert_array_equal(found.keypoints, wanted.keypoints)
    assert found.source == str(pipe) and found.skeleton == wanted.skeleton and found.format == wanted.format


def test_skeletons_and_recipes_come_out_of_pipes(tmp_path: Path) -> None:
    with piped(tmp_path, b'{"names": ["a", "b"], "edges": [[0, 1]]}') as pipe:
        assert read_skeleton(pipe).edges == ((0, 1),)
    with piped(tmp_path, b"bodyparts: [a, b]\nskeleton: [[a, b]]\n", "config.yaml") as pipe:
        assert read_skeleton(pipe).edges == ((0, 1),)
    with piped(tmp_path, b"[schedule]\nsteps = 3\n", "recipe") as pipe:
        assert read_toml(pipe, "") == {"schedule": {"steps": 3}}


def test_a_pipe_that_is_empty_or_does_not_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with piped(tmp_path, b"", "empty") as pipe, pytest.raises(InputError, match="pipe out of which nothing came"):
        read_keypoints(pipe)
    monkeypatch.setattr(odd_files, "MAX_PIPED", 3 * 2**20)
    message = "endless: is a pipe with more than 3,145,728 bytes: write them to a file first"
    with piped(tmp_path, bytes(8 * 2**20), "endless") as pipe, pytest.raises(InputError, match=message):
        read_keypoints(pipe)


def test_the_copy_of_a_pipe_goes(tmp_path: Path) -> None:
    with piped(tmp_path, TABLE) as pipe, as_file(pipe) as copy:
        assert copy.read_bytes() == TABLE
    assert not copy.exists() and not copy.parent.exists()


READERS: list[Callable[[Path], object]] = [read_keypoints, read_lifted, read_skeleton, lambda path: read_toml(path, "")]


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("device", ["/dev/zero", "/dev/random", "/dev/null", "link"])
def test_devices_are_refused_by_every_reader(tmp_path: Path, reader: Callable[[Path], object], device: str) -> None:
    path = Path(device)
    if device == "link":
        path = tmp_path / "clip.csv"
        path.symlink_to("/dev/zero")
    with pytest.raises(InputError) as error:
        reader(path)
    assert str(error.value) == f"{path}: is a device, wanted a file"


def test_sockets_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The path of a socket must be short.
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        for reader in READERS:
            with pytest.raises(InputError, match=r"^socket: is a socket, wanted a file$"):
                reader(Path("socket"))


def test_what_must_be_a_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, message in {
        tmp_path / "absent": "no such file",
        tmp_path: "is a folder, wanted a file",
        tmp_path / "pipe": "is a pipe, wanted a file",
        Path("/dev/zero"): "is a device, wanted a file",
    }.items():
        with pytest.raises(InputError, match=f"^{path}: {message}$"):
            check_file(path)


def test_pipes_in_a_folder_are_left_out(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "000000000001_keypoints.json")
    with pytest.raises(InputError, match="a folder without files"):
        read_keypoints(tmp_path)
