"""Keeps the results of a live stream, to write them as `LiftedTracks`."""

from __future__ import annotations

import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from io import FileIO
from pathlib import Path
from shlex import quote
from typing import NamedTuple

from olift_fast.errors import InputError
from olift_fast.streaming.record_blocks import Block, OpenBlock, Stored
from olift_fast.streaming.record_journal import Held, open_locked, read_journal
from olift_fast.streaming.record_parts import CELLS, Facts, parts_of
from olift_fast.streaming.record_writer import RecordWriter, continuation_name
from olift_fast.streaming.session import Ended, Event, Lifted
from olift_fast.tracks.containers import CoordinateFrame, LiftedTracks
from olift_fast.tracks.skeleton import Skeleton


class PartSize(NamedTuple):
    """The size of a part of a recording."""

    num_tracks: int
    num_frames: int


class Recording:
    """Keeps the results of a `Session` and gives them as `LiftedTracks`.

    A frame of `LiftedTracks` is a moment (`Lifted.tick`); a track is NaN in moments without a frame of it. A name that
    comes again is another track: "dog", "dog (2)". Results take 25 bytes a joint, or 33 with standard deviations, and
    28 bytes a frame of a track: in memory or, with a journal, on disk.

    With a journal, a thread writes new results every half second, and `add` does not wait for it. A crash, a kill or a
    power cut then loses at most the last second, and `recover_recording` reads the rest. A journal takes as much disk
    space as the results; `write` deletes it when it has written the parts. If the disk is full, the recording goes on
    in the temporary folder or in memory, and `warn` is called.

    Args:
        skeleton: of every track.
        frame: of coordinates, "camera" or "object".
        model: the model's name.
        pitch: of the camera, as given to the stream (`StreamingLifter`).
        fps: moments a second; by default from the frames' times, if they have some.
        source: where the keypoints come from.
        journal: a file to grow in; without one the recording is in memory.
        warn: called from another thread, with a line for the user; by default a Python warning.

    Raises:
        InputError: the journal can't be written, another process uses it, or it has an earlier recording.
    """

    def __init__(
        self,
        skeleton: Skeleton,
        *,
        frame: CoordinateFrame = "camera",
        model: str = "",
        pitch: float | None = None,
        fps: float | None = None,
        source: str | None = None,
        journal: str | Path | None = None,
        warn: Callable[[str], None] = warnings.warn,
    ) -> None:
        self._facts = Facts(skeleton, frame, model, pitch, fps, source)
        self._open = OpenBlock(skeleton.num_joints)
        self._full: list[Block] = []
        self._lives: set[int] = set()
        self._count = 0
        self._lock = threading.Lock()
        self._stored: list[Stored] = []
        self._journals: list[Path] = []
        self._files: list[FileIO] = []
        self._writer = None if journal is None else RecordWriter(Path(journal), self._facts, self._take, warn)
        self.notes: tuple[str, ...] = ()
        """Messages about lost parts of a recovered recording."""

    def __len__(self) -> int:
        """The number of frames kept, of all tracks together."""
        return self._count

    def add(self, event: Event) -> None:
        """Stores an event of the session."""
        with self._lock:
            if isinstance(event, Lifted):
                if not self._open.fits(event):
                    self._close_block()
                self._open.add(event)
                self._lives.add(event.life)
                self._count += 1
            elif isinstance(event, Ended) and event.life in self._lives:
                self._lives.remove(event.life)
                if event.scale is not None:
                    self._open.end(event.life, event.scale)

    def parts(self, cells: int = CELLS) -> list[LiftedTracks]:
        """All results as one `LiftedTracks`, or as several consecutive ones if one would be too large.

        A part has only the tracks with a frame in it; otherwise many short tracks would make a huge, nearly empty
        table. `each_part` returns the parts one by one.

        Args:
            cells: the most tracks × moments × joints of a part.
        """
        return list(self.each_part(cells))

    def each_part(self, cells: int = CELLS) -> Iterator[LiftedTracks]:
        """The `parts`, each joined when it is reached: about 33 bytes a cell. Results that come later are left out."""
        return parts_of(self._blocks(), self._facts, cells)

    def write(self, path: str | Path) -> list[tuple[Path, PartSize]]:
        """Writes the parts as ``out.npz``, ``out.2.npz``, …, one after another, and then deletes the journal.

        Args:
            path: of the first part; its suffix chooses the format, as for `write_lifted`.

        Returns:
            each file and its size.

        Raises:
            InputError: a part can't be written; the message says where the results are and what to do.
        """
        from olift_fast.io import write_lifted
        from olift_fast.io.write import part_path

        written = []
        try:
            for number, part in enumerate(self.each_part(), 1):
                size = PartSize(part.num_tracks, part.num_frames)
                written.append((write_lifted(part, part_path(Path(path), number)), size))
        except InputError as error:
            raise InputError(f"{error}{self._way_out()}") from error
        self._remove_journals()
        return written

    def close(self) -> None:
        """Ends the recording. Its journal, if it has one, then has all results, and stays."""
        self._blocks()
        for file in self._files:
            file.close()

    def _blocks(self) -> Sequence[Stored]:
        """All blocks; results that are added later are in memory."""
        if self._writer is not None:
            self._stored, self._journals, self._files = self._writer.stop()
            self._writer = None
        with self._lock:
            self._close_block()
            return [*self._stored, *self._full]

    def _take(self) -> list[Block]:
        """The blocks that have come since the last call."""
        with self._lock:
            self._close_block()
            taken, self._full = self._full, []
            return taken

    def _close_block(self) -> None:
        block = self._open.take()
        if block is not None:
            self._full.append(block)

    def _way_out(self) -> str:
        """Where the results are, if the parts can't be written; for the end of a message."""
        if not self._journals:
            return ""
        lost = sum(len(block.rows) for block in [*self._stored, *self._full] if isinstance(block, Block))
        but = f", but for the last {lost:,} frames, which are lost" if lost else ""
        first, *more = map(str, self._journals)
        also = f" (and {', '.join(more)})" if more else ""
        command = f"olift recover {quote(first)} -o FILE"
        return f"; the results are in {first}{also}{but}: `{command}` writes them to another place"

    def _remove_journals(self) -> None:
        self.close()
        for path in self._journals:
            with suppress(FileNotFoundError):
                path.unlink()


def recover_recording(journal: str | Path) -> Recording:
    """The recording that a crash, a kill or a full disk has left in a journal. Its `write` deletes the journal.

    If more than an unfinished last block is lost, its `notes` say what. No other process may use the journal.

    Raises:
        InputError: the journal can't be read, is not a journal, or is being written.
    """
    found, notes = _opened_both(Path(journal)), []
    held, journals = found[0].held, [journal.path for journal in found]
    if len(found) == 1 and held.continued is not None:
        notes.append(f"the recording went on in {held.continued}, which is gone: what came then is missing")
    damaged = sum(journal.held.damaged for journal in found)
    if damaged:
        notes.append(f"{damaged:,} bytes of the journal are damaged: the results that were there are missing")
    # If the second journal was full, too, later blocks may be in the first again.
    blocks = sorted((block for journal in found for block in journal.held.blocks), key=lambda block: block.number)
    recording = Recording(held.facts.skeleton)
    recording._facts, recording._stored, recording._count = held.facts, [*blocks], sum(block.rows for block in blocks)
    recording._journals, recording._files = journals, [journal.file for journal in found]
    recording.notes = tuple(notes)
    return recording


class _Opened(NamedTuple):
    path: Path
    file: FileIO
    held: Held


def _opened_both(path: Path) -> list[_Opened]:
    """A journal, and the one in which the recording went on, if that is found."""
    with ExitStack() as opened:
        found = [_opened(path)]
        opened.callback(found[0].file.close)
        held = found[0].held
        name = continuation_name(held.number)
        places = [path.parent / name, *([held.continued] if held.continued else [])]
        with suppress(OSError):  # If no folder has room, `gettempdir` finds none.
            places.append(Path(tempfile.gettempdir()) / name)
        second = next((place for place in places if place.is_file()), None)
        if second is not None:
            found.append(_opened(second))
            opened.callback(found[1].file.close)
            if (found[1].held.number, found[1].held.facts) != (held.number, held.facts):
                raise InputError(f"{second}: is of another recording than {path}")
        opened.pop_all()
        return found


def _opened(path: Path) -> _Opened:
    """A journal, locked, and its content."""
    try:
        file = open_locked(path)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    try:
        return _Opened(path, file, read_journal(file, path))
    except BaseException:
        file.close()
        raise
