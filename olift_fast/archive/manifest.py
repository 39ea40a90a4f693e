"""The manifest of an archive: a record for each file, in parts that the runs append to, and as a table."""

from __future__ import annotations

import csv
import importlib
import importlib.util
import json
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from io import BufferedReader
from pathlib import Path
from typing import Any

from olift_fast.archive.destination import Destination
from olift_fast.archive.records import COLUMNS, Record, rows_of
from olift_fast.archive.stores import remote_of
from olift_fast.atomic import atomic_path, cause, sync_folder, writing
from olift_fast.errors import InputError

PARTS = "manifest"
"""The folder with the parts, below DEST."""
TABLES = ("manifest.csv", "manifest.parquet")
_ROWS = 10_000
"""How many rows a group in Parquet has."""
_SEND = 5.0
"""New records are sent to a store every so many seconds: each time costs a request."""
_SYNC = 1.0
"""New records are synced to the disk every so many seconds."""
_PART = 2**48
"""The place of a record is one number, to save memory: the number of its part times this, plus its first byte there."""


class Manifest:
    """The records of the files of an archive. Use it in a `with` block, and call `load` first.

    A part is a file of JSON lines, and only one run appends to it. If several parts have a record of one file, the last
    part counts: the parts' names begin with the time. A line that is cut off, or is not a record, is left out, and its
    file is lifted again. In a store, the records of every few seconds are an object of their own.

    Args:
        destination: DEST.
        shard: K and N if this run lifts a shard; the name of its part has them.

    Attributes:
        damaged: how many lines were left out.
    """

    def __init__(self, destination: Destination, shard: tuple[int, int] | None = None) -> None:
        self.damaged = 0
        self._destination = destination
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        if destination.folder is not None:
            self._folder = destination.folder / PARTS
        else:
            self._scratch = tempfile.TemporaryDirectory(prefix="olift-manifest-")
            self._folder = Path(self._scratch.name)
        of_shard = f".{shard[0]}-of-{shard[1]}" if shard else ""
        self._name = f"{time.time_ns() // 1000:018d}-{secrets.token_hex(3)}{of_shard}"
        self._parts: list[Path] = []
        self._places: dict[str, int] = {}
        self._open: tuple[int, BufferedReader] | None = None
        self._file: int | None = None
        self._end, self._put, self._synced = 0, 0, 0.0
        self._waiting: list[tuple[str, bytes]] = []
        self._stored: list[str] = []
        self._unsent: list[bytes] = []

    def __enter__(self) -> Manifest:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        if self._scratch is not None:
            self._scratch.cleanup()

    def __len__(self) -> int:
        return len(self._places)

    @property
    def added(self) -> bool:
        """Whether this run has added anything."""
        return self._end > 0

    def load(self) -> None:
        """Reads the parts of earlier runs.

        Raises:
            InputError: they can't be read.
        """
        if self._scratch is not None:
            self._fetch()
        if not self._folder.is_dir():
            return
        for path in sorted(self._folder.glob("*.jsonl")):
            self._parts.append(path)
            try:
                with path.open("rb") as file:
                    self._index(len(self._parts) - 1, file)
            except OSError as error:
                raise InputError(f"{path}: {error.strerror or error}") from error

    def record(self, path: str) -> Record | None:
        """The record of a file; None if there is none."""
        place = self._places.get(path)
        return None if place is None else self._read(place)

    def records(self) -> Iterator[Record]:
        """All records, by path."""
        for path in sorted(self._places):
            yield self._read(self._places[path])

    def add(self, records: Iterable[Record]) -> None:
        """Appends records.

        If the disk is full, or the store can't be reached, they wait for the next call, or for `close`.
        """
        # So the index shares the path's string with the plan, and does not hold a copy for each file.
        self._waiting += [(sys.intern(record["path"]), json.dumps(record).encode() + b"\n") for record in records]
        with suppress(OSError, InputError):
            self._append()
            if self._unsent and time.monotonic() > self._synced + _SEND:
                self._send()

    def close(self) -> None:
        """Writes what is still waiting to the disk or the store.

        Raises:
            InputError: the disk is full, or the store can't be reached. Files whose records are lost are lifted again
                by the next run.
        """
        if self._open is not None:
            self._open[1].close()
            self._open = None
        try:
            if self._waiting:
                self._append()
            if self._unsent:
                self._send()
        except OSError as error:
            count = len(self._waiting)
            self._waiting = []
            told = f"{count:,} records could not be written: {cause(error)}"
            raise InputError(f"{self._folder}: {told}; these files are lifted again by the next run") from error
        finally:
            if self._file is not None:
                with suppress(OSError):
                    os.fsync(self._file)
                os.close(self._file)
                self._file = None

    def write_tables(self) -> list[str]:
        """Writes the table of all rows in csv, and in Parquet if pyarrow is installed; returns the files' names.

        Raises:
            InputError: DEST can't be written.
        """
        self.close()
        written = []
        for name, write in zip(TABLES, (_write_csv, _write_parquet), strict=True):
            if write is _write_parquet and not _has_pyarrow():
                continue
            folder = self._destination.folder or self._folder
            with writing(folder):
                folder.mkdir(parents=True, exist_ok=True)
            with atomic_path(folder / name) as temporary:
                write(temporary, (row for record in self.records() for row in rows_of(record)))
            if self._scratch is not None:
                self._destination.keep(folder / name, name)
            written.append(name)
        return written

    def compact(self) -> None:
        """Replaces all parts by one, which has the last record of each file, by path. No other run may use DEST.

        Raises:
            InputError: DEST can't be written.
        """
        self.close()
        # Only the parts that this run has read are removed: others may have added parts since.
        old = [part.name for part in self._parts] if self._scratch is None else self._stored
        if len(old) < 2:
            return
        name = f"{time.time_ns() // 1000:018d}-{secrets.token_hex(3)}.jsonl"
        path = self._folder / name
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            for record in self.records():
                file.write(json.dumps(record).encode() + b"\n")
        if self._scratch is not None:
            self._destination.keep(path, f"{PARTS}/{name}")
        for part in old:
            with suppress(OSError, InputError):
                self._destination.remove(f"{PARTS}/{part}")
        self.close()
        self._parts, self._places, self._stored = [path], {}, [name]
        with path.open("rb") as again:
            self._index(0, again)

    def _fetch(self) -> None:
        remote, path = remote_of(f"{self._destination.place.rstrip('/')}/{PARTS}")
        for name in sorted(remote.sizes(path)):
            if name.endswith(".jsonl"):
                remote.fetch(f"{path}/{name}", self._folder / name)
                self._stored.append(name)

    def _index(self, part: int, file: BufferedReader) -> None:
        start = 0
        for line in file:
            record = _parsed(line)
            if record is None:
                self.damaged += 1
            else:
                self._places[record["path"]] = part * _PART + start
            start += len(line)

    def _read(self, place: int) -> Record:
        part, start = divmod(place, _PART)
        if self._open is None or self._open[0] != part:
            if self._open is not None:
                self._open[1].close()
            self._open = (part, self._parts[part].open("rb"))
        file = self._open[1]
        file.seek(start)
        record = _parsed(file.readline())
        if record is None:
            raise InputError(f"{self._parts[part]}: was changed while it was read")
        return record

    def _append(self) -> None:
        if self._file is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            path = self._folder / f"{self._name}.jsonl"
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
            sync_folder(self._folder)
            if path not in self._parts:
                self._parts.append(path)
        data = b"".join(line for _, line in self._waiting)
        try:
            rest = memoryview(data)
            while len(rest):
                rest = rest[os.write(self._file, rest) :]
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._file, self._end)
            raise
        part = self._parts.index(self._folder / f"{self._name}.jsonl")
        for path_of_file, line in self._waiting:
            self._places[path_of_file] = part * _PART + self._end
            self._end += len(line)
        self._waiting = []
        if self._scratch is not None:
            self._unsent.append(data)
        elif time.monotonic() > self._synced + _SYNC:
            os.fsync(self._file)
            self._synced = time.monotonic()

    def _send(self) -> None:
        """Sends the records that were appended since the last time to the store."""
        self._synced = time.monotonic()
        path = self._folder / "upload"
        path.write_bytes(b"".join(self._unsent))
        name = f"{self._name}.{self._put:06d}.jsonl"
        self._destination.keep(path, f"{PARTS}/{name}")
        self._stored.append(name)
        self._unsent = []
        self._put += 1


def _parsed(line: bytes) -> Record | None:
    """The record in a line; None if the line is cut off or is not a record."""
    if not line.endswith(b"\n"):
        return None
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or not isinstance(record.get("path"), str):
        return None
    tracks = record.get("tracks", [])
    whole = record.get("status") in ("done", "failed") and isinstance(tracks, list)
    return record if whole and all(isinstance(track, dict) for track in tracks) else None


def _write_csv(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        table = csv.DictWriter(file, list(COLUMNS), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def _has_pyarrow() -> bool:
    return importlib.util.find_spec("pyarrow") is not None


def _write_parquet(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    pa, pq = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    types = {"string": pa.string(), "int64": pa.int64(), "double": pa.float64()}
    schema = pa.schema([(name, types[kind]) for name, kind in COLUMNS.items()])
    # Opened here, because Arrow reads a "~" at the beginning of a path as the home folder.
    with path.open("wb") as opened, pq.ParquetWriter(opened, schema) as file:
        for group in _groups(rows):
            columns = {name: [_encodable(row[name]) for row in group] for name in COLUMNS}
            file.write_table(pa.table(columns, schema=schema))


def _groups(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    group: list[dict[str, Any]] = []
    for row in rows:
        group.append(row)
        if len(group) == _ROWS:
            yield group
            group = []
    yield group


def _encodable(value: Any) -> Any:
    """The value; in a text, lone surrogates become escapes. Names of files may have them, but UTF-8 can't."""
    if not isinstance(value, str) or value.isascii():
        return value
    return value.encode("utf-8", "backslashreplace").decode()
