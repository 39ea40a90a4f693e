"""One training at a time in a folder."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from olift_fast import folder_lock

FILE = "training.lock"
InUseError = folder_lock.InUseError


def locked(folder: Path) -> AbstractContextManager[None]:
    """Makes the folder, and keeps other trainings out of it while the block runs (`olift_fast.folder_lock`).

    Raises:
        InUseError: another process has the lock; the message names the process.
        InputError: the folder can't be written.
    """
    return folder_lock.locked(folder / FILE, "another training", "wait until it ends, or give another run.out")
