"""One training at a time in a folder."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from olift_fast import folder_lock

FILE = "training.lock"
InUseError = folder_lock.InUseError


def locked(folder: Path) -> AbstractContextManager[None]:
    """Keeps other trainings out of the folder, which is made, while the block runs (`olift_fast.folder_lock`).

    Raises:
        InUseError: another process has the lock; the message names it.
        InputError: the folder can't be written.
    """
    return folder_lock.locked(folder / FILE, "another training", "wait until it ends, or give another run.out")
