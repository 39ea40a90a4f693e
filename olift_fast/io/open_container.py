"""Opens a file once, whatever its format: a folder, NumPy's two, HDF5, MATLAB's, netCDF, JSON, or a text table.

Many formats share one container (an HDF5 file may come from DeepLabCut, SLEAP or movement), so the file is opened and
parsed here, and its content is then shown to each format in turn.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from olift_fast.errors import InputError
from olift_fast.io.csv_table import Table, split_table
from olift_fast.io.parsed import UNUSABLE, refuse_3d


class Container(NamedTuple):
    """A kind of file.

    Args:
        name: tells containers apart.
        unknown: the error for content of no known format, given the content and the `hint` of each format that it could
            have been. If None, one of the container's formats matches whatever the others leave.
        wrong_format: If set, a format asked for by name is read without asking its `matches`, because its reader
            explains best what is missing; a format that this container can't hold raises this message, with its name
            for `{}`. If None, the content must match the format asked for.
    """

    name: str
    unknown: Callable[[Any, Sequence[str]], InputError] | None
    wrong_format: str | None = None


class Opened(NamedTuple):
    """An opened file.

    Args:
        container: the kind of file.
        content: an array, an archive of arrays, an open h5py.File, a JSON list or object, or a `Table`. Folders, and
            files that only a library of the extra `io` opens, stay a Path.
    """

    container: Container
    content: Any


@contextmanager
def open_container(path: Path, allow_pickle: bool) -> Iterator[Opened]:
    """Opens a file by its first bytes, and closes it afterwards.

    Raises:
        InputError: no such file, an empty one, or one that cannot be opened as what its first bytes say.
    """
    if not path.exists():
        raise InputError("no such file or folder")
    if path.is_dir():
        yield Opened(FOLDER, path)
        return
    with path.open("rb") as file:
        head = file.read(520)
    if not head:
        raise InputError("is empty")
    if head.startswith((b"PK", b"\x93NUMPY")):
        content = open_numpy(path, allow_pickle)
        if isinstance(content, np.ndarray):
            yield Opened(ARRAY, content)
            return
        with content:
            yield Opened(ARCHIVE, content)
    elif head.startswith(_HDF5_MAGIC) or head[512:].startswith(_HDF5_MAGIC):
        with _open_hdf5(path) as content:
            yield Opened(HDF5, content)
    elif head.startswith(b"MATLAB 5.0"):
        yield Opened(MATLAB, path)
    elif head.startswith((b"CDF\x01", b"CDF\x02", b"CDF\x05")):
        yield Opened(NETCDF, path)
    else:
        yield _open_text(read_text(path))


def open_numpy(path: Path, allow_pickle: bool) -> Any:
    """The array of an .npy file, or the archive of an .npz file, which reads each array when it is asked for.

    Raises:
        InputError: not a readable NumPy file.
    """
    try:
        return np.load(path, allow_pickle=allow_pickle)
    except UNUSABLE as error:
        raise InputError(f"not a readable NumPy file (cut short?): {' '.join(str(error).split())}") from error


def read_text(path: Path) -> str:
    """A file's text.

    Raises:
        InputError: not UTF-8, or binary.
    """
    data = path.read_bytes()
    if b"\0" in data:
        raise InputError("binary data in no format that is known here")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"not UTF-8 text: byte 0x{data[error.start]:02x} at {error.start}") from error


def load_json(text: str) -> Any:
    """The value that JSON text holds.

    Raises:
        InputError: not JSON, or nested too deeply.
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


def _open_hdf5(path: Path) -> h5py.File:
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise InputError(f"not a readable HDF5 file (cut short?): {error}") from error


def _open_text(text: str) -> Opened:
    if not text.strip():
        raise InputError("is empty")
    if text.lstrip()[0] in "{[":
        return Opened(JSON, load_json(text))
    return Opened(TABLE, split_table(text))


def _unknown_hdf5(file: h5py.File, hints: Sequence[str]) -> InputError:
    keys = ", ".join(file) or "nothing"
    return InputError(f"an HDF5 file of no known format, holding {keys}; known: {', '.join(hints)}")


def _unknown_json(content: Any, hints: Sequence[str]) -> InputError:
    if isinstance(content, Mapping):
        return InputError(f"a JSON object of no known format, with keys {_shown(set(content))}")
    if not content:
        return InputError("holds no tracks: the list is empty")
    keys = set(content[0]) if isinstance(content[0], Mapping) else set()
    return InputError(f"a JSON list of no known format, its items have keys {_shown(keys)}")


def _unknown_table(table: Table, hints: Sequence[str]) -> InputError:
    axes = {re.split(r"[_.]", cell.casefold())[-1] for cell in table.rows(0, 1)[0]}
    if {"x", "y", "z"} <= axes:
        return refuse_3d()
    wanted = " or ".join(hints)
    return InputError(f"no header row of a known format: wanted {wanted}; the first line is {table.lines[0]!r:.60}")


def _shown(keys: set[Any]) -> str:
    names = sorted(map(str, keys))
    return (", ".join(names[:6]) + (", …" if len(names) > 6 else ""))[:120] or "none"


_HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"

FOLDER = Container("folder", None, "is a folder, wanted a {} file")
ARRAY = Container("NumPy array", None)
ARCHIVE = Container("NumPy archive", None)
HDF5 = Container("HDF5 file", _unknown_hdf5)
MATLAB = Container("MATLAB 5 file", None)
NETCDF = Container("classic netCDF file", None)
JSON = Container("JSON file", _unknown_json, "a JSON file, not {}")
TABLE = Container("text table", _unknown_table, "a text table, not {}")
