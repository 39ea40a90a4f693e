"""NumPy's files are read as `numpy.load` reads them, within what they really hold, and nothing is unpickled."""

from __future__ import annotations

import io
import os
import pickle
import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from olift_fast.errors import InputError, PickledError
from olift_fast.io import read_keypoints
from olift_fast.io.numpy_files import Archive, read_npy

ARRAYS = {
    "floats": np.random.default_rng(0).normal(size=(3, 4, 5)),
    "fortran": np.asfortranarray(np.arange(12, dtype=np.int16).reshape(3, 4)),
    "big_endian": np.arange(6, dtype=">f4"),
    "names": np.array(["nose", "tail"]),
    "bytes": np.array([b"a", b"bc"]),
    "scalar": np.array(29.97),
    "empty": np.zeros((0, 3)),
    "bools": np.array([True, False]),
    "records": np.array([(1, 2.5)], dtype=[("a", "i4"), ("b", "f8")]),
}


def npy(header: str, data: bytes = b"", version: tuple[int, int] = (1, 0)) -> bytes:
    """An .npy file with this header."""
    text = header.encode() + b"\n"
    length = struct.pack("<H" if version == (1, 0) else "<I", len(text))
    return b"\x93NUMPY" + bytes(version) + length + text + data


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_archives_hold_what_numpy_wrote(tmp_path: Path, save) -> None:
    path = tmp_path / "file.npz"
    save(path, **ARRAYS)
    with Archive(path) as archive:
        assert sorted(archive) == sorted(ARRAYS) and "absent" not in archive and len(archive) == len(ARRAYS)
        for name, wanted in ARRAYS.items():
            np.testing.assert_array_equal(archive[name], wanted, strict=True)
            assert archive[name].flags.writeable


@pytest.mark.parametrize("name", list(ARRAYS))
def test_arrays_are_what_numpy_wrote(tmp_path: Path, name: str) -> None:
    np.save(tmp_path / "file.npy", ARRAYS[name])
    np.testing.assert_array_equal(read_npy(tmp_path / "file.npy"), ARRAYS[name], strict=True)


@pytest.mark.parametrize(
    "shape, dtype",
    [
        ((10**12, 17, 2), "<f8"),
        ((-1, 3), "<f8"),
        ((2**62, 2**62), "<f8"),
        ((4, 17, 2), "<f8"),
        ((2**40,), "<U0"),
        ((2**40, 0, 2), "<f8"),
    ],
)
def test_announced_size_is_compared_with_the_file_before_memory_is_taken(tmp_path: Path, shape, dtype) -> None:
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}}}"
    (tmp_path / "file.npy").write_bytes(npy(header, bytes(100)))
    with zipfile.ZipFile(tmp_path / "file.npz", "w") as archive:
        archive.writestr("keypoints.npy", npy(header, bytes(100)))
    tracemalloc.start()
    for name in ("file.npy", "file.npz"):
        with pytest.raises(InputError, match="announces shape"):
            read_keypoints(tmp_path / name)
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


def test_archive_that_unpacks_to_more_than_its_bytes_can_hold_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.npz"
    np.savez_compressed(path, keypoints=np.zeros((2, 3, 4, 2)))
    data = path.read_bytes()
    entry = data.index(b"PK\x01\x02")
    path.write_bytes(data[: entry + 24] + struct.pack("<I", 2**31) + data[entry + 28 :])
    with pytest.raises(InputError, match="claims 2,147,483,648 bytes"):
        read_keypoints(path)


@pytest.mark.slow
def test_an_array_of_one_value_is_read_beside_points_that_pack_less(tmp_path: Path) -> None:
    points = np.random.default_rng(0).integers(0, 256, 2_000_000, dtype=np.uint8)
    np.savez_compressed(tmp_path / "hour.npz", keypoints=points, confidence=np.ones(40_000_000, np.uint8))
    with Archive(tmp_path / "hour.npz") as archive:
        assert archive["confidence"].all()


class Touch:
    """Pickled, it makes a file when it is opened."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_pickled_objects_are_opened_only_where_that_is_allowed(tmp_path: Path, suffix: str) -> None:
    path, made = tmp_path / f"file{suffix}", tmp_path / "made"
    content = np.empty(1, dtype=object)
    content[0] = Touch(made)
    if suffix == ".npy":
        np.save(path, content, allow_pickle=True)
    else:
        np.savez(path, keypoints=content)
    with pytest.raises(PickledError, match="allow_pickle=True") as refused:
        read_keypoints(path)
    assert str(refused.value).startswith(f"{path}: ") and not made.exists()
    with pytest.raises(InputError):
        read_keypoints(path, allow_pickle=True)
    assert made.exists()


def test_error_can_be_pickled() -> None:
    error = PickledError("clip.npz: the array")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


@pytest.mark.parametrize(
    "header", ["", "{", "{'descr': '<f8'}", "[" * 5000, "{'descr': 'zzz', 'fortran_order': 0, 'shape': ()}"]
)
def test_broken_headers_are_refused(tmp_path: Path, header: str) -> None:
    (tmp_path / "file.npy").write_bytes(npy(header, bytes(64)))
    with pytest.raises(InputError, match="not a readable NumPy file"):
        read_keypoints(tmp_path / "file.npy")


def test_unknown_version_is_named(tmp_path: Path) -> None:
    (tmp_path / "file.npy").write_bytes(npy("{}", version=(9, 0)))
    with pytest.raises(InputError, match="NumPy"):
        read_keypoints(tmp_path / "file.npy")


@pytest.mark.parametrize("version", [2, 3])
def test_length_of_the_header_is_compared_with_the_file(tmp_path: Path, version: int) -> None:
    data = b"\x93NUMPY" + bytes((version, 0)) + struct.pack("<I", 2**32 - 16) + b"{" * 90
    (tmp_path / "file.npy").write_bytes(data)
    with zipfile.ZipFile(tmp_path / "file.npz", "w") as archive:
        archive.writestr("keypoints.npy", data)
    tracemalloc.start()
    for name in ("file.npy", "file.npz"):
        with pytest.raises(InputError, match="a header of 4,294,967,280 bytes"):
            read_keypoints(tmp_path / name)
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


@pytest.mark.parametrize("version", [(2, 0), (3, 0)])
def test_newer_versions_are_read(tmp_path: Path, version: tuple[int, int]) -> None:
    wanted = np.random.default_rng(1).uniform(0, 500, (1, 4, 3, 2))
    with (tmp_path / "file.npy").open("wb") as file:
        np.lib.format.write_array(file, wanted, version=version)
    np.testing.assert_array_equal(read_npy(tmp_path / "file.npy"), wanted)


def test_files_cut_short_are_refused(tmp_path: Path) -> None:
    stream = io.BytesIO()
    np.save(stream, np.ones((5, 3, 2)))
    whole = stream.getvalue()
    for length in range(8, len(whole), 7):
        (tmp_path / "file.npy").write_bytes(whole[:length])
        with pytest.raises(InputError):
            read_keypoints(tmp_path / "file.npy")
