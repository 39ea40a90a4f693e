"""Input files that are not regular files: the content of a pipe is copied; devices and sockets are refused."""

from __future__ import annotations

import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from olift_fast.errors import InputError

MAX_PIPED = 2**30
"""The most bytes that are read from a pipe, into a temporary file."""
_PIECE = 2**20
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def refuse_odd(path: Path) -> None:
    """Raises InputError if the path is a device or a socket, whose content may never end."""
    kind = _mode(path)
    if any(test(kind) for test in (stat.S_ISSOCK, stat.S_ISCHR, stat.S_ISBLK)):
        refuse_irregular(path, kind)


def refuse_irregular(path: Path, mode: int) -> None:
    """Raises InputError if the mode (``st_mode``) is that of a folder, a pipe, a socket or a device."""
    if not stat.S_ISREG(mode):
        kind = next((name for test, name in _KINDS if test(mode)), "something else")
        raise InputError(f"{path}: is {kind}, wanted a file")


def check_file(path: Path) -> None:
    """Raises InputError unless the path is a regular file."""
    if not path.exists():
        raise InputError(f"{path}: no such file")
    refuse_irregular(path, _mode(path))


@contextmanager
def as_file(path: Path) -> Iterator[Path]:
    """The path itself, or, for a pipe such as ``<(zcat keypoints.csv.gz)``, a temporary file with its content.

    Raises:
        InputError: a device, a socket, an empty pipe, or one with more than `MAX_PIPED` bytes.
    """
    refuse_odd(path)
    if not stat.S_ISFIFO(_mode(path)):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="olift-pipe-") as folder:
        copy = Path(folder) / "content"
        try:
            _copy(path, copy)
        except OSError as error:
            raise InputError(f"{path}: is a pipe whose content can't be kept: {error.strerror or error}") from error
        yield copy


def _copy(pipe: Path, copy: Path) -> None:
    size = 0
    with pipe.open("rb", buffering=0) as source, copy.open("wb") as kept:
        while piece := source.read(_PIECE):
            size += len(piece)
            if size > MAX_PIPED:
                raise InputError(f"{pipe}: is a pipe with more than {MAX_PIPED:,} bytes: write them to a file first")
            kept.write(piece)
    if not size:
        raise InputError(f"{pipe}: is a pipe out of which nothing came, wanted the content of a file")


def _mode(path: Path) -> int:
    """The file's mode (``st_mode``); 0 if there is no such file."""
    try:
        return path.stat().st_mode
    except (OSError, ValueError):
        # A name with a NUL is a ValueError.
        return 0
