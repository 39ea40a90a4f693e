"""A thread that writes a growing recording to disk, so that neither a crash nor a full disk loses it."""

from __future__ import annotations

import secrets
import tempfile
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from io import FileIO
from pathlib import Path

from olift_fast.atomic import cause
from olift_fast.errors import InputError
from olift_fast.streaming.record_blocks import Block, Stored
from olift_fast.streaming.record_journal import SUFFIX, Journal, OnDisk
from olift_fast.streaming.record_parts import Facts

PERIOD = 0.5
"""Seconds between two writes."""
RETRY = 10
"""The number of periods after which a full disk is tried again."""

Warn = Callable[[str], None]


class RecordWriter:
    """Writes the blocks from `take` to a journal twice a second, until it is stopped.

    If the journal can't be written any more, the recording goes on in another journal in the temporary folder. If that
    can't be written either, the results wait in memory until there is room again. `warn` is called at each change.

    Args:
        path: of the journal.
        facts: about the recording.
        take: returns the blocks that have come since its last call; it is called from the thread.
        warn: called from the thread, with a line for the user.

    Raises:
        InputError: see `Journal`.
    """

    def __init__(self, path: Path, facts: Facts, take: Callable[[], list[Block]], warn: Warn) -> None:
        self._facts, self._take, self._warn = facts, take, warn
        self._number = secrets.token_hex(8)
        self._journals = [Journal(path, facts, self._number)]
        self._stored: list[Stored] = []
        self._waiting: deque[Block] = deque()
        self._pause, self._in_memory = 0, False
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="record", daemon=True)
        self._thread.start()

    def stop(self) -> tuple[list[Stored], list[Path], list[FileIO]]:
        """Writes the rest, and ends the thread.

        Returns:
            all blocks (those that could not be written are in memory); the paths of the journals; and the journals as
            open files, which keep other processes from them.
        """
        self._stopped.set()
        self._thread.join()
        journals = self._journals
        return [*self._stored, *self._waiting], [journal.path for journal in journals], [j.file for j in journals]

    def _run(self) -> None:
        last = False
        while not last:
            last = self._stopped.wait(PERIOD)
            self._waiting.extend(self._take())
            self._pause = 0 if last else max(self._pause - 1, 0)
            while self._waiting and not self._pause:
                self._write_one()

    def _write_one(self) -> None:
        """Writes the block that has waited longest, or begins a pause."""
        stored = self._written(self._waiting[0])
        if stored is None:
            self._pause = RETRY
            return
        self._stored.append(stored)
        self._waiting.popleft()
        if self._in_memory and not self._waiting:
            self._in_memory = False
            self._tell(f"{self._journals[0].path}: there is room again: the record is on disk, in {stored.path}")

    def _written(self, block: Block) -> OnDisk | None:
        """The block on disk; None if there is no room anywhere."""
        for journal in reversed(self._journals):
            try:
                return journal.append(block)
            except OSError as error:
                why = cause(error)
        failed = f"{self._journals[0].path}: cannot be written: {why}; the stream goes on, and"
        if len(self._journals) == 1 and (second := self._second()) is not None:
            try:
                stored = second.append(block)
            except OSError:
                second.file.close()
                _forget(second.path)
            else:
                self._journals[0].note_continuation(second.path)
                self._journals.append(second)
                self._tell(f"{failed} its record in {second.path}")
                return stored
        if not self._in_memory:
            self._in_memory = True
            self._tell(f"{failed} its record in memory, which a crash would lose, until there is room")
        return None

    def _tell(self, message: str) -> None:
        """Calls `warn` and ignores its errors, so that the recording goes on."""
        with suppress(OSError):
            self._warn(message)

    def _second(self) -> Journal | None:
        """A journal in the temporary folder."""
        path = None
        try:
            # If no folder has room, `gettempdir` finds none.
            path = Path(tempfile.gettempdir()) / continuation_name(self._number)
            return Journal(path, self._facts, self._number)
        except (InputError, OSError):
            _forget(path)
            return None


def _forget(path: Path | None) -> None:
    """Deletes a file that could not be written, if it is there."""
    with suppress(OSError):
        if path is not None:
            path.unlink()


def continuation_name(number: str) -> str:
    """The name of the file in the temporary folder in which the recording of this number goes on."""
    return f"olift-{number}{SUFFIX}"
