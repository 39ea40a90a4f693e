"""Writes files that are there in full or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from io import FileIO
from pathlib import Path
from typing import IO, Any

from olift_fast.errors import InputError


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """As `replacement`, with errors that a user can read.

    Raises:
        InputError: the folder is missing or not writable, `path` is a folder, a device or a pipe, the disk is full: one
            line.
    """
    with writing(path):
        check_replaceable(path)
        with replacement(path) as temporary:
            yield temporary


def check_replaceable(path: Path) -> Path:
    """The file that is written where `path` is asked for: its target, where it is a symbolic link.

    Raises:
        InputError: its folder does not exist, or something that is no file is there.
    """
    target = link_target(path)
    linked = "" if target == path else f" (a link to {target})"
    if target.is_dir():
        raise InputError(f"{path}{linked}: is a folder, wanted the name of a file to write")
    if target.exists() and not target.is_file():
        raise InputError(f"{path}{linked}: is a device, a pipe or a socket, wanted the name of a file to write")
    if not target.parent.is_dir():
        wrong = "is no folder" if target.parent.exists() else "does not exist"
        raise InputError(f"{path}{linked}: folder {target.parent} {wrong}")
    return target


@contextmanager
def replacement(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, with the same suffix, that takes its place when the block ends well.

    The content is on disk before the name changes, and then the name is, too; after an error nothing is left of it and
    `path` is as it was. A symbolic link stays, and what it leads to is replaced, or made where it is not there yet.
    What killed processes have left in the folder is removed.

    Raises:
        OSError: `path` can't be written, or is a device, a pipe or a socket.
    """
    path = link_target(path)
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise OSError(errno.EINVAL, "it is a device, a pipe or a socket", str(path))
    _remove_abandoned(path.parent)
    owner = f"{_machine()}-{os.getpid()}-{secrets.token_hex(4)}"
    temporary = path.with_name(f".{path.name[:40]}.{owner}.tmp{path.suffix}")
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


def link_target(path: Path) -> Path:
    """Where a symbolic link leads, through all links; any other path itself.

    Raises:
        OSError: links that lead in a circle.
    """
    if not path.is_symlink():
        return path
    target = Path(os.path.realpath(path))
    if target.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    return target


_TEMPORARY = re.compile(r"\..*\.(?P<machine>[0-9a-f]{8})-(?P<process>\d+)-[0-9a-f]{8}\.tmp.*", re.DOTALL)


@cache
def _remove_abandoned(folder: Path) -> None:
    """Removes the temporary files in a folder whose processes, of this machine, have ended; once in a process."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            found = _TEMPORARY.fullmatch(entry.name)
            if found and found["machine"] == _machine() and not _runs(int(found["process"])):
                with suppress(OSError):
                    os.unlink(entry.path)


def _runs(process: int) -> bool:
    """Whether there is a process with this number; True where that can't be told."""
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


@cache
def _machine() -> str:
    """Tells machines, and containers on one machine, apart: the numbers of processes mean the same within one."""
    known = [platform.node()]
    with suppress(OSError):
        known.append(Path("/etc/machine-id").read_text(encoding="ascii", errors="replace"))
    with suppress(OSError):
        known.append(os.readlink("/proc/self/ns/pid"))
    return hashlib.sha256("/".join(known).encode()).hexdigest()[:8]


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
    known = {
        errno.ENOSPC: "the disk is full",
        errno.EDQUOT: "the disk quota is used up",
        errno.EROFS: "read-only disk",
        errno.EEXIST: "a file is there, wanted a folder",
        errno.ENOTDIR: "a folder above it is a file",
    }
    text = known.get(error.errno or 0) or error.strerror or str(error)
    return " ".join(text.split())
