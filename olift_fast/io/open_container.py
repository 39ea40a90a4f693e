"""Opens a file of any format once: a folder, an array, HDF5, MATLAB, netCDF, Parquet, JSON, or a text table.

Many formats share one container (an HDF5 file may come from DeepLabCut, SLEAP or movement). So the file is opened and
parsed here, and each format then looks at its content.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import h5py

from olift_fast.errors import InputError
from olift_fast.io.csv_table import Table, split_table
from olift_fast.io.foreign_files import refuse_binary, refuse_text
from olift_fast.io.hdf5 import begins_hdf5, open_hdf5
from olift_fast.io.limits import most_unpacked, reading
from olift_fast.io.numpy_files import Archive, read_npy
from olift_fast.io.parsed import refuse_3d


class Container(NamedTuple):
    """A kind of file.

    Args:
        name: the container's name.
        unknown: makes the error for content of no known format, from the content and the `hint` of each format that
            this container can have. None if the last of the container's formats takes all that the others don't.
        wrong_format: None if the content must match the format that the user asks for. Otherwise a format that this
            container can have is read without asking its `matches`, because its reader explains best what is missing.
            For any other format this text is the error's message, with the format's name in place of `{}`.
    """

    name: str
    unknown: Callable[[Any, Sequence[str]], InputError] | None
    wrong_format: str | None = None


class Opened(NamedTuple):
    """An opened file.

    Args:
        container: the kind of file.
        content: a `Folder`, an array, an `Archive` of arrays, an open h5py.File, a JSON list or object, the list of
            values of JSON lines, or a `Table`. If only a library of the extra `io` can open the file, its Path.
    """

    container: Container
    content: Any


class Folder:
    """A folder of files that are frames of one recording.

    Args:
        path: the folder.

    Attributes:
        files: its files by name, without hidden ones, whose names begin with a dot (such as macOS's ``._`` files).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        files = (file for file in path.iterdir() if not file.name.startswith(".") and file.is_file())
        self.files: tuple[Path, ...] = tuple(sorted(files))

    def ending(self, suffix: str) -> list[Path]:
        """The files whose names end in `suffix`, in any case."""
        return [file for file in self.files if file.name.lower().endswith(suffix)]

    @cached_property
    def json(self) -> dict[str, Any]:
        """The value of each .json file, by the file's name; for a file that is not JSON, the error, which names it.

        Packed files (.json.gz) have their names without .gz.

        Raises:
            InputError: none of the .json files is JSON.
        """
        found: dict[str, Any] = {}
        for file in [*self.ending(".json"), *self.ending(".json.gz")]:
            name = file.name.removesuffix(".gz")
            try:
                found[name] = load_json(read_text(file))
            except InputError as error:
                found[name] = InputError(f"{file.name}: {error}")
        if found and all(isinstance(value, InputError) for value in found.values()):
            raise next(iter(found.values()))
        return found


@contextmanager
def open_container(path: Path, allow_pickle: bool) -> Iterator[Opened]:
    """Opens a file by its first bytes, and closes it afterwards.

    Raises:
        InputError: the file is missing, is empty, or can't be opened as the kind of file that its first bytes show.
    """
    with reading(path), _opened(path, allow_pickle) as opened:
        yield opened


@contextmanager
def _opened(path: Path, allow_pickle: bool) -> Iterator[Opened]:
    if not path.exists():
        raise InputError("no such file or folder")
    if path.is_dir():
        yield Opened(FOLDER, Folder(path))
        return
    with path.open("rb") as file:
        head = file.read(520)
    if not head:
        raise InputError("is empty")
    refuse_binary(path, head)
    if head.startswith(b"\x93NUMPY"):
        yield Opened(ARRAY, read_npy(path, allow_pickle))
    elif head.startswith(b"PK"):
        with Archive(path, allow_pickle) as archive:
            yield Opened(ARCHIVE, archive)
    elif begins_hdf5(head):
        with open_hdf5(path) as content:
            yield Opened(HDF5, content)
    elif head.startswith(b"MATLAB 5.0"):
        yield Opened(MATLAB, path)
    elif head.startswith((b"CDF\x01", b"CDF\x02", b"CDF\x05")):
        yield Opened(NETCDF, path)
    elif head.startswith(b"PAR1"):
        yield Opened(PARQUET, path)
    else:
        yield _open_text(read_text(path))


def read_text(path: Path) -> str:
    """A file's text, in UTF-8, or in UTF-16 with a byte order mark, as spreadsheets save it; gzip is unpacked.

    Raises:
        InputError: the file has another encoding, or is binary.
    """
    data = path.read_bytes()
    if data.startswith(b"\x1f\x8b"):
        data = _unpacked(path)
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding, said = "utf-16", "UTF-16"
    elif b"\0" in data:
        raise InputError("binary data in no format that is known here")
    else:
        encoding, said = "utf-8-sig", "UTF-8"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        byte = f"byte 0x{data[error.start]:02x} at {error.start}"
        raise InputError(f"not {said} text: {byte}; save it as UTF-8") from error


def _unpacked(path: Path) -> bytes:
    size = path.stat().st_size
    limit = most_unpacked(size)
    data = bytearray()
    try:
        with gzip.open(path) as file:
            while len(data) <= limit and (part := file.read(2**20)):
                data += part
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"not a readable gzip file (cut short?): {error}") from error
    if len(data) > limit:
        raise InputError(f"unpacks to more than {limit:,} bytes from {size:,}; unpack it first, if that is right")
    return bytes(data)


def load_json(text: str) -> Any:
    """The value of JSON text.

    Raises:
        InputError: the text is not JSON, or is nested too deeply.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise InputError(f"not valid JSON (cut short?): {error.msg} at {where}") from error
    except RecursionError as error:
        raise InputError("JSON is nested too deeply") from error
    except ValueError as error:
        raise InputError(f"not valid JSON: {error}") from error


def _open_text(text: str) -> Opened:
    if not text.strip():
        raise InputError("is empty")
    if text.lstrip()[0] in "{[":
        lines = _json_lines(text)
        return Opened(JSON, load_json(text)) if lines is None else Opened(JSON_LINES, lines)
    refuse_text(text)
    return Opened(TABLE, split_table(text))


def _json_lines(text: str) -> list[Any] | None:
    """The values of a file with a JSON object, or a list, on each line; None for a file that is one JSON value."""
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    if len(lines) < 2 or (lines[0][0] + lines[0][-1]) not in ("{}", "[]") or lines[1][0] not in "{[":
        return None
    found = []
    for number, line in enumerate(lines, start=1):
        try:
            found.append(load_json(line))
        except InputError as error:
            raise InputError(f"JSON lines: line {number}: {error}") from error
    return found


def _unknown_folder(folder: Folder, hints: Sequence[str]) -> InputError:
    shown = _shown({file.name for file in folder.files})
    if shown == "none":
        inner = _shown({path.name for path in folder.path.iterdir() if path.is_dir()})
        give = "" if inner == "none" else f"; its folders are {inner}: give one of them"
        return InputError(f"a folder without files, wanted {' or '.join(hints)}{give}")
    return InputError(
        f"a folder of no known kind, wanted {' or '.join(hints)}; its files are {shown}; "
        "to lift each of them, use `olift archive`"
    )


def _unknown_json_lines(content: Sequence[Any], hints: Sequence[str]) -> InputError:
    what = f"objects with keys {_shown(set(content[0]))}" if isinstance(content[0], Mapping) else "lists"
    return InputError(f"JSON lines of no known format, holding {what}")


def _unknown_hdf5(file: h5py.File, hints: Sequence[str]) -> InputError:
    keys = ", ".join(file) or "nothing"
    return InputError(f"an HDF5 file of no known format, holding {keys}; known: {', '.join(hints)}")


def _unknown_json(content: Any, hints: Sequence[str]) -> InputError:
    if isinstance(content, Mapping):
        return InputError(f"a JSON object of no known format, with keys {_shown(set(content))}")
    if not content:
        return InputError("holds no tracks: the list is empty")
    first = content[0]
    if isinstance(first, Mapping):
        return InputError(f"a JSON list of no known format, its items have keys {_shown(set(first))}")
    kind = {list: f"lists of {len(first)}" if isinstance(first, list) else "", str: "strings", bool: "true or false"}
    items = kind.get(type(first), "nothing (null)" if first is None else "numbers")
    return InputError(f"a JSON list of no known format: it holds {items}, wanted objects (results, frames or pictures)")


def _unknown_table(table: Table, hints: Sequence[str]) -> InputError:
    axes = {re.split(r"[_.]", cell.casefold())[-1] for cell in table.rows(0, 1)[0]}
    if {"x", "y", "z"} <= axes:
        return refuse_3d()
    wanted = " or ".join(hints)
    return InputError(f"no header row of a known format: wanted {wanted}; the first line is {table.lines[0]!r:.60}")


def _shown(keys: set[Any]) -> str:
    names = sorted(map(str, keys))
    return (", ".join(names[:6]) + (", …" if len(names) > 6 else ""))[:120] or "none"


FOLDER = Container("folder", _unknown_folder, "is a folder, wanted a {} file")
ARRAY = Container("NumPy array", None)
ARCHIVE = Container("NumPy archive", None)
HDF5 = Container("HDF5 file", _unknown_hdf5)
MATLAB = Container("MATLAB 5 file", None)
NETCDF = Container("classic netCDF file", None)
PARQUET = Container("Parquet table", None)
JSON_LINES = Container("file of JSON lines", _unknown_json_lines, "a file of JSON lines, not {}")
JSON = Container("JSON file", _unknown_json, "a JSON file, not {}")
TABLE = Container("text table", _unknown_table, "a text table, not {}")
