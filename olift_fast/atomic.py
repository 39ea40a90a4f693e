"""Writes files that are there in full or not at all."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import IO, Any

from olift_fast.errors import InputError


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """As `replacement`, with errors that a user can read.

    Raises:
        InputError: the folder is missing or not writable, `path` is a folder, the disk is full: one line.
    """
    if path.is_dir():
        raise InputError(f"{path}: is a folder, wanted the name of a file to write")
    if not path.parent.is_dir():
        raise InputError(f"{path}: folder {path.parent} does not exist")
    with writing(path), replacement(path) as temporary:
        yield temporary


@contextmanager
def replacement(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, with the same suffix, that takes its place when the block ends well.

    The content is on disk before the name changes, and then the name is, too; after an error nothing is left of it and
    `path` is as it was.

    Raises:
        OSError: `path` can't be written.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp{path.suffix}")
    try:
        yield temporary
        descriptor = os.open(temporary, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, path)
        sync_folder(path.parent)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns an OSError within the block into an InputError that names `path` and the cause."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {cause(error)}") from error


def reserve(file: IO[bytes] | FileIO, size: int) -> None:
    """Reserves `size` bytes for the file, where the system can, so that a full disk is an error now and not halfway."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)


def sync_folder(folder: Path) -> None:
    """Has the names in a folder on disk, where the system can: a new file outlives a power cut only with its name."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_at(file: FileIO, data: bytes | memoryview, place: int) -> None:
    """Writes all of the bytes at this place of an unbuffered file; raises OSError where only a part could be."""
    rest = memoryview(data).cast("B")
    file.seek(place)
    while len(rest):
        rest = rest[file.write(rest) :]


def lock(file: IO[Any] | FileIO, message: str) -> None:
    """Keeps other processes from a file until it is closed, on systems that can lock files.

    Raises:
        InputError: with this message, where another process has locked it.
    """
    with suppress(ImportError):
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(message) from None


def cause(error: OSError) -> str:
    """Why a file can't be written, in a few words."""
    known = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the disk quota is used up", errno.EROFS: "read-only disk"}
    text = known.get(error.errno or 0) or error.strerror or str(error)
    return " ".join(text.split())
