"""A lock on a folder: one process at a time. The system releases it when the process ends, even if it is killed."""

from __future__ import annotations

import errno
import os
import platform
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from olift_fast.atomic import writing
from olift_fast.errors import InputError, printable
from olift_fast.odd_files import refuse_irregular

_TOLD = 200
"""Bytes of the file that are read."""


class InUseError(InputError):
    """Another process has the folder."""


@contextmanager
def locked(path: Path, what: str, way_out: str, *, shared: bool = False) -> Iterator[None]:
    """Locks a folder against other processes while the block runs. The folder is created if it is missing.

    The lock is ``flock`` on a file in the folder; the file names the process and its host. It is removed when the block
    ends. A file that a killed process left behind stops nobody. A new folder that stays empty is removed, too. On
    Windows there is no lock; on a file system without locks there is a warning instead.

    Args:
        path: the file.
        what: who else may have the folder, for messages: "another training".
        way_out: what the reader of the message can do: "wait until it ends".
        shared: several processes may share the folder; only those that want it alone are kept out. The file then stays,
            and names one of the processes.

    Raises:
        InUseError: another process has the lock; the message names it.
        InputError: the folder can't be written.
    """
    folder = path.parent
    new = not folder.exists()
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    descriptor = _take(path, what, way_out, shared) if os.name == "posix" else None
    try:
        yield
    finally:
        if descriptor is not None:
            _give_back(descriptor, path, shared)
        if new:
            with suppress(OSError):
                folder.rmdir()


_held: set[int] = set()
"""Descriptors of this process's locks. A fork closes its copies: while one is open, the lock is not free."""


def _close_copies() -> None:
    for descriptor in _held:
        with suppress(OSError):
            os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_copies)


def _take(path: Path, what: str, way_out: str, shared: bool) -> int | None:
    """The descriptor that holds the lock; None if the file system has no locks."""
    while True:
        with writing(path):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
        try:
            if not _lock(descriptor, path, what, way_out, shared):
                os.close(descriptor)
                return None
            # The process that had the lock may have removed the file after this one opened it.
            if _is_at(path, descriptor):
                _held.add(descriptor)
                with writing(path):
                    os.ftruncate(descriptor, 0)
                    os.write(descriptor, f"process {os.getpid()} on {platform.node()}\n".encode())
                return descriptor
        except BaseException:
            _held.discard(descriptor)
            os.close(descriptor)
            raise
        os.close(descriptor)


def _give_back(descriptor: int, path: Path, shared: bool) -> None:
    # A fork of this process has closed its copy, and must leave the file alone.
    if descriptor in _held:
        with suppress(OSError):
            # Others may share the file, and later processes must find it.
            if not shared and _is_at(path, descriptor):
                path.unlink()
        _held.discard(descriptor)
        os.close(descriptor)


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _lock(descriptor: int, path: Path, what: str, way_out: str, shared: bool) -> bool:
    """Takes the lock; False if the file system has no locks."""
    import fcntl

    refuse_irregular(path, os.fstat(descriptor).st_mode)
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            holder = printable(os.pread(descriptor, _TOLD, 0).decode(errors="replace").strip())
            told = f"{what} writes into it ({holder or 'its process is not told'})"
            raise InUseError(f"{path.parent}: {told}: {way_out}") from None
        warnings.warn(f"{path}: can't be locked ({error.strerror}): start nothing else there", stacklevel=2)
        return False
    return True
