"""The file that a recording grows in: blocks with checksums, so that its content can be trusted after a crash.

The file begins with `MARK`. Blocks follow: each is `_SIGN`, the length and the CRC-32 of its content, and the content.
The first block is JSON that describes the recording. Each other block is a `Block`, or JSON that names the file in
which the recording goes on.
"""

from __future__ import annotations

import json
import math
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from io import FileIO
from pathlib import Path
from shlex import quote
from typing import Any

from olift_fast.atomic import lock, sync_folder, write_at, writing
from olift_fast.errors import InputError
from olift_fast.streaming.record_blocks import Block
from olift_fast.streaming.record_parts import Facts
from olift_fast.tracks.skeleton import Skeleton

MARK = b"olift record, version 1\n"
SUFFIX = ".journal"
_SIGN = b"\xf5OL\n"
_HEAD = struct.Struct("<4sII")
_LONGEST = 1 << 26
_WINDOW = 1 << 20
_UNUSABLE = (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError)


def journal_of(out: Path) -> Path:
    """The journal's path: the recording for `out` grows there until it is written."""
    return out.with_name(out.name + SUFFIX)


class Journal:
    """A journal that is written to, locked against other processes.

    Args:
        path: the file to create; a journal without results is overwritten.
        facts: about the recording.
        number: identifies the recording: a journal and the one that continues it have the same.

    Until `file` is closed, no other process can write or read the journal.

    Raises:
        InputError: the file can't be written, another process uses it, or it has results of an earlier recording.
    """

    def __init__(self, path: Path, facts: Facts, number: str) -> None:
        self.path, self._joints = path, facts.skeleton.num_joints
        with writing(path):
            self.file = open_locked(path, make=True)
            try:
                _refuse_results(self.file, path)
                self.file.truncate(0)
                self._end = 0
                self._write(MARK + _framed(json.dumps({"number": number, **asdict(facts)}).encode()))
                sync_folder(path.parent)
            except BaseException:
                self.file.close()
                raise

    def append(self, block: Block) -> OnDisk:
        """Writes a block, which is on disk when this returns. After an error the file is as it was.

        Raises:
            OSError: the disk is full, or gone.
        """
        data, place = block.to_bytes(), self._end + _HEAD.size
        self._write(_framed(data))
        return OnDisk(self.path, place, len(data), self._joints, block.number, len(block.rows), block.span)

    def note_continuation(self, path: Path) -> None:
        """Writes the path where the recording goes on, if there is room for it."""
        with suppress(OSError):
            self._write(_framed(json.dumps({"continued": str(path)}).encode()))

    def _write(self, data: bytes) -> None:
        try:
            write_at(self.file, data, self._end)
            os.fsync(self.file.fileno())
        except OSError:
            with suppress(OSError):
                self.file.truncate(self._end)
            raise
        self._end += len(data)


@dataclass(frozen=True)
class OnDisk:
    """A block in a journal; see `Stored`."""

    path: Path
    place: int
    length: int
    joints: int
    number: int
    rows: int
    span: tuple[int, int] | None

    def load(self) -> Block:
        """Reads the block; raises InputError if it can't be read any more."""
        try:
            with open(self.path, "rb") as file:
                file.seek(self.place)
                return Block.from_bytes(file.read(self.length), self.joints)
        except OSError as error:
            raise InputError(f"{self.path}: {error.strerror or error}") from error
        except _UNUSABLE as error:
            raise InputError(f"{self.path}: the results at byte {self.place:,} are damaged") from error


@dataclass(frozen=True)
class Held:
    """The content of a journal.

    Args:
        facts, number: see `Journal`.
        blocks: the undamaged blocks, in their order.
        damaged: the number of bytes before the last undamaged block that belong to no block.
        continued: the path where the recording goes on, if it does.
    """

    facts: Facts
    number: str
    blocks: list[OnDisk]
    damaged: int
    continued: Path | None


def read_journal(file: FileIO, path: Path) -> Held:
    """The content of a journal, in bounded memory. An unfinished last block is left out.

    Raises:
        InputError: the file is not a journal.
    """
    file.seek(0)
    if file.read(len(MARK)) != MARK:
        raise InputError(f"{path}: not a journal of `olift stream --record`")
    found = _whole_blocks(file)
    place, header = next(found, (0, b""))
    try:
        content = json.loads(header)
        number, facts = str(content["number"]), _facts(content)
    except _UNUSABLE as error:
        raise InputError(f"{path}: damaged: its first block does not describe a recording") from error
    blocks: list[OnDisk] = []
    damaged, end, continued = 0, place + len(header), None
    for place, data in found:
        damaged += place - _HEAD.size - end
        end = place + len(data)
        try:
            if data.startswith(b'{"continued"'):
                continued = Path(json.loads(data)["continued"])
                continue
            block = Block.from_bytes(data, facts.skeleton.num_joints)
        except _UNUSABLE:
            damaged += len(data)
            continue
        blocks.append(
            OnDisk(path, place, len(data), facts.skeleton.num_joints, block.number, len(block.rows), block.span)
        )
    return Held(facts, number, blocks, damaged, continued)


def open_locked(path: Path, make: bool = False) -> FileIO:
    """The file, unbuffered, locked against other processes until it is closed.

    Args:
        make: create the file if it is missing.

    Raises:
        InputError: another process has locked it. OSError: it can't be opened.
    """
    while True:
        more = os.O_CREAT if make else 0
        file = FileIO(path, "r+", opener=lambda name, flags: os.open(name, flags | more, 0o600))  # noqa: B023
        try:
            lock(file, f"{path}: another process is recording into it")
            # The process that had it locked may have deleted it meanwhile.
            if os.fstat(file.fileno()).st_nlink:
                return file
        except BaseException:
            file.close()
            raise
        file.close()


def _refuse_results(file: FileIO, path: Path) -> None:
    """Raises InputError if the file has results, or is not a journal."""
    file.seek(0)
    start = file.read(len(MARK))
    if not MARK.startswith(start):
        raise InputError(f"{path}: is there already, and no journal of a recording: move it away")
    found = _whole_blocks(file)
    next(found, None)
    if next(found, None) is not None:
        raise InputError(
            f"{path}: holds what an earlier stream recorded before it was stopped: "
            f"`olift recover {quote(str(path))}` writes that to a file; delete it if you don't want it"
        )


def _framed(data: bytes) -> bytes:
    return _HEAD.pack(_SIGN, len(data), zlib.crc32(data)) + data


def _whole_blocks(file: FileIO) -> Iterator[tuple[int, bytes]]:
    """The place and the bytes of each undamaged block; damaged bytes between them are skipped."""
    place: int | None = len(MARK)
    while place is not None:
        file.seek(place)
        head = _read(file, _HEAD.size)
        if len(head) == _HEAD.size:
            sign, length, checksum = _HEAD.unpack(head)
            data = _read(file, length) if sign == _SIGN and length <= _LONGEST else b""
            if data and len(data) == length and zlib.crc32(data) == checksum:
                yield place + _HEAD.size, data
                place += _HEAD.size + length
                continue
        place = _next_sign(file, place + 1)


def _next_sign(file: FileIO, place: int) -> int | None:
    """The place where the next block may begin; None if there is none."""
    while True:
        file.seek(place)
        window = _read(file, _WINDOW)
        at = window.find(_SIGN)
        if at >= 0:
            return place + at
        if len(window) < _WINDOW:
            return None
        place += len(window) - len(_SIGN) + 1


def _read(file: FileIO, size: int) -> bytes:
    """The next `size` bytes, fewer only at the end of the file."""
    parts: list[bytes] = []
    while size and (part := file.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _facts(content: dict[str, Any]) -> Facts:
    """The facts from the result of `asdict`; raises ValueError, TypeError or KeyError for other content."""
    given = {field.name: content[field.name] for field in fields(Facts)}
    for name in ("pitch", "fps"):
        if given[name] is not None and not math.isfinite(given[name]):
            raise ValueError(f"{name} must be finite, got {given[name]}")
    for name, kinds in (("frame", (str,)), ("model", (str,)), ("source", (str, type(None)))):
        if not isinstance(given[name], kinds):
            raise TypeError(f"{name} must be text, got {given[name]!r:.40}")
    return Facts(**given | {"skeleton": Skeleton(**given["skeleton"])})
