"""Limits for the sizes that a file announces. They are checked before any memory is allocated for the file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

#: An array (tracks, frames, joints) with more values than this counts as a mistake: 3.6 GB of keypoints.
MAX_VALUES = 300_000_000
#: A compressed file or array may unpack to this many bytes at most.
MAX_BYTES = 16 * MAX_VALUES
#: Deflate, which gzip, zip and HDF5 use, packs at most 1032 bytes into one.
MAX_EXPANSION = 1032
#: A file of up to 1 MB may unpack to this many bytes, and announce this many values. Reading it takes less than 1 GB.
FREE_BYTES = 32 * 2**20
FREE_VALUES = 8_000_000
#: Each byte of a file beyond 1 MB adds this many bytes or values. Text and keypoints seldom pack better.
BYTES_A_BYTE = 200
VALUES_A_BYTE = 20

_most_values: ContextVar[int] = ContextVar("most_values", default=MAX_VALUES)


def most_unpacked(packed: int) -> int:
    """The most bytes that `packed` bytes may unpack to."""
    return min(MAX_BYTES, FREE_BYTES + BYTES_A_BYTE * max(packed - 10**6, 0))


def most_values() -> int:
    """The most values that an array (tracks, frames, joints) may have, given the size of the file being read."""
    return _most_values.get()


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Within the block, `most_values` follows from the size of this file or folder."""
    size = sum(file.stat().st_size for file in _files(path))
    before = _most_values.set(min(MAX_VALUES, FREE_VALUES + VALUES_A_BYTE * max(size - 10**6, 0)))
    try:
        yield
    finally:
        _most_values.reset(before)


def _files(path: Path) -> Iterator[Path]:
    """The file itself, or the files of a folder and of the folders in it; links that lead nowhere are left out."""
    inside = path.iterdir() if path.is_dir() else [path]
    for member in inside:
        yield from (file for file in (member.iterdir() if member.is_dir() else [member]) if file.is_file())
