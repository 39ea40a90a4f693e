"""Reads HDF5 files, so that a broken or hostile one can neither end the process, nor fill the memory, nor run code.

The HDF5 library can crash or hang on a broken file, so a child process reads it (`read_safely`). Before an array is
read, the size that the file announces is compared with the bytes that it stores. Nothing outside of the file is opened:
no link to another file, no external storage, no virtual data set, and no filter that the library does not bring.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import h5py
import numpy as np
import numpy.typing as npt

from olift_fast.errors import InputError
from olift_fast.io.in_child import ChildDiedError, in_child
from olift_fast.io.limits import MAX_BYTES, MAX_EXPANSION

T = TypeVar("T")

_MAGIC = b"\x89HDF\r\n\x1a\n"

#: The filters that every HDF5 library has: deflate, shuffle, Fletcher's checksum, szip, n-bit, scale-offset; and lzf,
#: which h5py brings.
_FILTERS = {1, 2, 3, 4, 5, 6, 32000}
_FOREIGN_FILTERS = {
    305: "LZO",
    307: "bzip2",
    32001: "Blosc",
    32004: "LZ4",
    32008: "bitshuffle",
    32013: "ZFP",
    32015: "Zstandard",
    32026: "Blosc2",
}
#: An array of up to this many bytes is read even if the file stores less: parts that were never written are 0 or NaN.
_UNWRITTEN = 2**26
#: The memory in bytes that reading a small file may take.
_MEMORY = 800_000_000


def is_hdf5(path: Path) -> bool:
    """Whether a file is HDF5, by the signature at its beginning, or after MATLAB's 512 bytes."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return begins_hdf5(file.read(520))


def begins_hdf5(head: bytes) -> bool:
    """Whether these first 520 bytes of a file hold HDF5's signature."""
    return head.startswith(_MAGIC) or head[512:].startswith(_MAGIC)


def read_safely(function: Callable[..., T], path: Path, *arguments: Any) -> T:
    """``function(path, *arguments)``, which reads a file; a child process runs it if the file is HDF5.

    Raises:
        InputError: as `read_in_child`, and all that `function` raises.
    """
    if is_hdf5(path):
        return read_in_child("HDF5", function, path, *arguments)
    return function(path, *arguments)


def read_in_child(kind: str, function: Callable[..., T], path: Path, *arguments: Any) -> T:
    """``function(path, *arguments)``, called in a child process.

    The child may compute for 1 s, and 1 s more for each MB of the file: ten times what it needs. It may take 0.8 GB of
    memory, and 100 times the file's size.

    Args:
        kind: the kind of file, for messages.
        function: a function at the top of a module. Its result can be pickled.

    Raises:
        InputError: reading the file crashed the library, or took too long or too much memory; and all that `function`
            raises.
    """
    size = path.stat().st_size
    seconds = math.ceil(0.9 + size / 1e6)
    try:
        return in_child(_read, function, path, *arguments, seconds=seconds, memory=_MEMORY + 100 * size)
    except ChildDiedError as error:
        what = f"reading it crashed the {kind} library, or took more than {seconds} s"
        raise InputError(f"a broken {kind} file: {what}") from error


def _read(function: Callable[..., T], path: Path, *arguments: Any) -> T:
    try:
        return function(path, *arguments)
    except (OSError, RuntimeError, ValueError) as error:
        # HDF5 has no error of its own for a lack of memory: only the words tell.
        if "memory allocation failed" in str(error):
            raise MemoryError(str(error)) from error
        raise


def open_hdf5(path: Path) -> h5py.File:
    """An open HDF5 file without links that lead out of it.

    Raises:
        InputError: not readable, or with such a link.
    """
    try:
        file = h5py.File(path, "r")
    except (OSError, RuntimeError) as error:
        raise InputError(f"not a readable HDF5 file (cut short?): {error}") from error
    try:
        # Visiting links looks at each one without following it.
        outside = file.id.links.visit(_leads_outside, info=True)
    except RuntimeError as error:
        file.close()
        raise InputError(f"not a readable HDF5 file (cut short?): {error}") from error
    if outside is not None:
        file.close()
        raise InputError(
            f"{outside.decode(errors='replace')!r} links to another file, and such links are not followed: save a copy "
            "that holds the data itself"
        )
    return file


def array(group: h5py.Group, name: str) -> npt.NDArray[Any]:
    """The array of this name. The size that the file announces is compared with the stored bytes before it is read.

    Raises:
        InputError: there is no such array, or it is stored in another file, is compressed in a way that the library
            does not know, claims more bytes than its stored ones can hold, has complex numbers, or is damaged.
    """
    dataset = group.get(name)
    what = f"{group.name.rstrip('/')}/{name}"
    if not isinstance(dataset, h5py.Dataset):
        raise InputError(f"no array {what}")
    if dataset.shape is None:
        raise InputError(f"{what} is empty")
    if dataset.is_virtual or dataset.external:
        raise InputError(
            f"{what} is stored in other files, which are not opened: save a copy that holds the data itself"
        )
    if dataset.dtype.kind == "c":
        raise InputError(f"{what} must be real numbers, got dtype {dataset.dtype}")
    _check_filters(dataset, what)
    announced = dataset.size * dataset.dtype.itemsize
    stored = dataset.id.get_storage_size()
    if announced > MAX_BYTES or announced > max(_UNWRITTEN, MAX_EXPANSION * stored):
        raise InputError(f"{what} claims {announced:,} bytes from {stored:,}: too many")
    try:
        return np.asarray(dataset[()])
    except (OSError, RuntimeError) as error:
        raise InputError(f"{what} is not readable (cut short?): {error}") from error


def strings(group: h5py.Group, name: str) -> list[str]:
    """The texts of an array of strings.

    Raises:
        InputError: as `array`.
    """
    return [text(value) for value in array(group, name).ravel()]


def text(value: Any) -> str:
    """A string as text: HDF5 gives it in bytes, as text, or as an array of one."""
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.ravel()[0]
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def _leads_outside(name: bytes, link: Any) -> bytes | None:
    """The link's name if it leads out of the file: hard and soft links do not."""
    return None if link.type in (h5py.h5l.TYPE_HARD, h5py.h5l.TYPE_SOFT) else name


def _check_filters(dataset: h5py.Dataset, what: str) -> None:
    settings = dataset.id.get_create_plist()
    for place in range(settings.get_nfilters()):
        number = settings.get_filter(place)[0]
        if number not in _FILTERS:
            known = _FOREIGN_FILTERS.get(number, f"filter {number}")
            raise InputError(
                f"{what} is compressed with {known}, which h5py lacks: save it anew with zlib, for example "
                "ptrepack --complib=zlib --complevel=1 OLD.h5:/ NEW.h5:/"
            )
