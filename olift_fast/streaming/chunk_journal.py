"""The finished chunks of a recording that is lifted from disk to disk, so that a killed run can be continued."""

from __future__ import annotations

import io
import json
import os
import warnings
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from olift_fast.atomic import lock, reserve, sync_folder, write_at, writing
from olift_fast.errors import InputError

Array = npt.NDArray[np.float32]
Moments = npt.NDArray[np.float64]


class ChunkJournal:
    """The chunks' joints in a ``.npy`` file; their bounds, moments and checksums in lines of JSON.

    Standard deviations, if there are any, are two more columns beside each joint's x, y, z. A line is written after its
    joints, and both are on disk when `add` returns. A chunk counts as done only if its joints and its line fit its
    checksum: a crash, a full disk or another program may have damaged the files.

    Args:
        out: the result's path, for messages. The two files are hidden files beside it.
        shape: ``(T, J, columns)``.
        chunk: frames of a chunk.
        lines, rows: the two files.
    """

    def __init__(self, out: Path, shape: tuple[int, int, int], chunk: int, lines: FileIO, rows: FileIO) -> None:
        self.shape, self.done = shape, dict[int, Moments]()
        self._out, self._chunk, self._lines, self._rows = out, chunk, lines, rows
        self._checksums: dict[int, int | None] = {}
        self._header = _npy_header(shape)
        self._end = 0

    @classmethod
    @contextmanager
    def of(
        cls, out: Path, job: dict[str, Any], shape: tuple[int, int, int], chunk: int, restart: bool
    ) -> Iterator[ChunkJournal]:
        """The journal of the job that writes `out`: a new one, or the one that an earlier run left.

        Args:
            job: everything that a chunk depends on, by names for messages.
            shape, chunk: see `ChunkJournal`.
            restart: begin anew, and ignore an earlier run.

        Raises:
            InputError: the files can't be written, another process uses them, they belong to another job, or they are
                damaged.
        """
        names = [out.with_name(f".{out.name}.partial.{kind}") for kind in ("jsonl", "npy")]
        with ExitStack() as stack:
            with writing(out):
                lines, rows = (stack.enter_context(FileIO(name, "r+", opener=_make)) for name in names)
                lock(lines, f"{out}: another process is lifting into it")
            journal = cls(out, shape, chunk, lines, rows)
            entries = [] if restart else journal._read(job)
            with writing(out):
                if entries and journal._starts_well():
                    journal._take_up(entries)
                else:
                    journal._begin(job)
            damaged = len({entry["start"] for entry in entries}) - len(journal.done)
            if damaged:
                chunks = "1 chunk" if damaged == 1 else f"{damaged:,} chunks"
                told = f"{out}: {chunks} that an earlier run left do not fit their checksums, and are lifted again"
                # The warning shows the line that called `lift_long`.
                warnings.warn(told, stacklevel=4)
            yield journal

    def add(self, start: int, joints: Array, moments: Moments) -> None:
        """Stores a finished chunk.

        Raises:
            InputError: the disk is full; earlier chunks stay.
        """
        data = np.ascontiguousarray(joints, dtype="<f4")
        entry = {"start": start, "frames": len(joints), "moments": moments.tolist()}
        checksum = _checksum(entry, data)
        try:
            with writing(self._out):
                write_at(self._rows, data.data, self._place(start))
                os.fsync(self._rows.fileno())
                self._write_line(entry | {"crc32": checksum})
        except InputError as error:
            raise InputError(f"{error}; the same call goes on from there when there is room") from error
        self.done[start], self._checksums[start] = moments, checksum

    def read(self, start: int) -> Array:
        """The joints of a finished chunk.

        Raises:
            InputError: they were changed after they were written.
        """
        entry, joints = self._entry(start), self._joints(start)
        if _checksum(entry, joints) != self._checksums[start]:
            raise InputError(
                f"{self._out}: frames {start:,} to {start + len(joints):,} changed on disk after they were lifted: "
                "call it again to lift them anew"
            )
        return joints

    def remove(self) -> None:
        """Deletes the files, once the result is written."""
        for file in (self._rows, self._lines):
            with suppress(FileNotFoundError):
                Path(os.fsdecode(file.name)).unlink()

    def _read(self, job: dict[str, Any]) -> list[dict[str, Any]]:
        """The entries that an earlier run of the job left; an unfinished last line is left out."""
        self._lines.seek(0)
        data = self._lines.readall()
        self._end = data.rfind(b"\n") + 1
        anew = f"pass restart=True, or delete {Path(os.fsdecode(self._lines.name)).name}"
        damaged = f"{self._out}: what an earlier run has left is damaged: {anew}"
        try:
            found = [json.loads(line) for line in data[: self._end].splitlines()]
        except (ValueError, RecursionError):
            raise InputError(damaged) from None
        if not found:
            return []
        if not isinstance(found[0], dict):
            raise InputError(damaged)
        differ = [key for key in job if found[0].get(key) != job[key]]
        if differ:
            other = f"an earlier run stopped half-way with another {', '.join(differ)}"
            raise InputError(f"{self._out}: {other}: call it as then, {anew}")
        if not all(map(self._is_entry, found[1:])):
            raise InputError(damaged)
        return found[1:]

    def _is_entry(self, entry: Any) -> bool:
        """Whether `entry` has the form of a chunk's entry."""
        if not isinstance(entry, dict) or type(entry.get("start")) is not int:
            return False
        start, frames = entry["start"], self.shape[0]
        if not 0 <= start < frames or start % self._chunk or entry.get("frames") != min(self._chunk, frames - start):
            return False
        try:
            return np.array(entry.get("moments"), np.float64).shape == (5, 5)
        except (ValueError, TypeError, OverflowError):
            return False

    def _begin(self, job: dict[str, Any]) -> None:
        """Makes empty files and reserves room for all joints, so that a disk that is too full is noticed now."""
        try:
            self._lines.truncate(0)
            self._rows.truncate(0)
            write_at(self._rows, self._header, 0)
            self._reserve()
            self._end = 0
            self._write_line(job)
            sync_folder(self._out.parent)
        except OSError:
            self.remove()
            raise

    def _take_up(self, entries: list[dict[str, Any]]) -> None:
        """Counts chunks that fit their checksums as done. If a chunk was lifted twice, the last one counts."""
        self._lines.truncate(self._end)
        self._reserve()
        for start, entry in {entry["start"]: entry for entry in entries}.items():
            self.done[start] = np.array(entry["moments"], np.float64)
            self._checksums[start] = entry.get("crc32")
            try:
                self.read(start)
            except InputError:
                del self.done[start], self._checksums[start]

    def _starts_well(self) -> bool:
        """Whether the file of joints is one of this shape."""
        self._rows.seek(0)
        return self._rows.read(len(self._header)) == self._header

    def _reserve(self) -> None:
        size = self._place(self.shape[0])
        reserve(self._rows, size)
        self._rows.truncate(size)
        os.fsync(self._rows.fileno())

    def _entry(self, start: int) -> dict[str, Any]:
        frames = min(self._chunk, self.shape[0] - start)
        return {"start": start, "frames": frames, "moments": self.done[start].tolist()}

    def _joints(self, start: int) -> Array:
        joints = np.zeros((min(self._chunk, self.shape[0] - start), *self.shape[1:]), "<f4")
        rest = memoryview(joints.data).cast("B")
        self._rows.seek(self._place(start))
        while len(rest) and (count := self._rows.readinto(rest)):
            rest = rest[count:]
        return joints

    def _place(self, start: int) -> int:
        """Where the joints of a frame are in the file."""
        return len(self._header) + start * self.shape[1] * self.shape[2] * 4

    def _write_line(self, content: dict[str, Any]) -> None:
        line = json.dumps(content).encode() + b"\n"
        write_at(self._lines, line, self._end)
        os.fsync(self._lines.fileno())
        self._end += len(line)


def _checksum(entry: dict[str, Any], joints: Array) -> int:
    """The checksum of a chunk's joints and its entry."""
    return zlib.crc32(json.dumps(entry).encode(), zlib.crc32(joints.data))


def _npy_header(shape: tuple[int, ...]) -> bytes:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return header.getvalue()


def _make(name: str, flags: int) -> int:
    return os.open(name, flags | os.O_CREAT, 0o666)
