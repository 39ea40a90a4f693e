"""Writes files so that each is there in full or not at all."""

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
    """`replacement` with errors that a user can read.

    Raises:
        InputError: the folder is missing or not writable, `path` is a folder, a device or a pipe, or the disk is full.
            The message is one line.
    """
    with writing(path):
        check_replaceable(path)
        with replacement(path) as temporary:
            yield temporary


def check_replaceable(path: Path) -> Path:
    """The file that a write to `path` replaces: `path` itself, or the target if `path` is a symbolic link.

    Raises:
        InputError: the folder does not exist, or `path` is a folder, a device, a pipe or a socket.
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
    """A temporary path beside `path`, with the same suffix, which replaces `path` when the block ends without an error.

    The content is synced to disk before the rename, and the folder after it. After an error the temporary file is
    removed, and `path` is as it was. If `path` is a symbolic link, the link stays; its target is replaced or created.
    Temporary files that killed processes left in the folder are removed.

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
    """The target of a symbolic link, through all links; any other path is returned as it is.

    Raises:
        OSError: the links lead in a circle.
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
    """Removes a folder's temporary files whose processes ran on this machine and have ended; once in each process."""
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
    """A name for this machine or container: within one, a process number means one process."""
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
    """Reserves `size` bytes for the file, if the system can, so that a full disk is an error now and not halfway."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)


def sync_folder(folder: Path) -> None:
    """Syncs a folder to disk, if the system can: without its name there, a new file is lost in a power cut."""
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
