"""Reads NumPy's .npy and .npz files, so that a broken or hostile one can neither fill the memory nor run code.

`numpy.load` allocates the memory that a file's header announces before it checks that the file is that long. Here the
header is compared with the file's size first, and nothing is unpickled unless the caller allows it.
"""

from __future__ import annotations

import math
import os
import pickle
import struct
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy_format

from olift_fast.errors import InputError, PickledError
from olift_fast.io.limits import FREE_VALUES, MAX_EXPANSION, most_unpacked

_SUFFIX = ".npy"


class Archive(Mapping[str, npt.NDArray[Any]]):
    """The arrays of an .npz file by name, each read when it is asked for.

    Args:
        path: the file.
        allow_pickle: whether arrays of Python objects may be unpickled, which can run any code.

    Raises:
        InputError: not a zip archive; on reading an array, one that claims more bytes than its packed ones can hold.
        PickledError: on reading an array of objects without `allow_pickle`.
    """

    def __init__(self, path: Path, allow_pickle: bool = False) -> None:
        self.allow_pickle = allow_pickle
        try:
            self._size = path.stat().st_size
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise InputError(f"not a readable NumPy file (cut short?): {' '.join(str(error).split())}") from error
        self._members = {
            info.filename.removesuffix(_SUFFIX): info
            for info in self._zip.infolist()
            if info.filename.endswith(_SUFFIX)
        }

    def __enter__(self) -> Archive:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._zip.close()

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, name: object) -> bool:
        return name in self._members

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        info = self._members[name]
        packed = min(info.compress_size, self._size)
        # The limit follows from the whole archive's size: confidence that is 1 throughout packs as far as deflate can.
        if info.file_size > min(most_unpacked(self._size), MAX_EXPANSION * packed):
            raise InputError(
                f"array {name!r} claims {info.file_size:,} bytes from {packed:,}: too many; "
                "if that is right, save it with numpy.savez, without compression"
            )
        with self._zip.open(info) as file:
            return _read(file, info.file_size, f"array {name!r}", self.allow_pickle)


def read_npy(path: Path, allow_pickle: bool = False) -> npt.NDArray[Any]:
    """The array of an .npy file.

    Raises:
        InputError: not such a file, or one that is shorter than its header says.
        PickledError: an array of objects without `allow_pickle`.
    """
    with path.open("rb") as file:
        return _read(file, os.fstat(file.fileno()).st_size, "the array", allow_pickle)


def _read(file: IO[bytes], size: int, what: str, allow_pickle: bool) -> npt.NDArray[Any]:
    """The array in an open file of `size` bytes."""
    try:
        version = npy_format.read_magic(file)
        if version not in ((1, 0), (2, 0), (3, 0)):
            raise InputError(f"{what} has version {version} of NumPy's format, which is not known")
        if version != (1, 0):
            # The header's length, four bytes here, is allocated before it is read.
            (length,) = struct.unpack("<I", file.read(4))
            if length > size:
                raise InputError(f"not a readable NumPy file (cut short?): a header of {length:,} bytes, of {size:,}")
            file.seek(-4, os.SEEK_CUR)
        # Version 3 differs from version 2 only in the encoding of names.
        read_header = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
        shape, fortran, dtype = read_header(file)
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"not a readable NumPy file (cut short?): {' '.join(str(error).split()):.200}") from error
    if dtype.hasobject:
        if not allow_pickle:
            raise PickledError(what)
        return np.asarray(pickle.load(file)).reshape(shape)
    count = math.prod(shape)
    # Items of no bytes, such as "<U0", count as one byte, because any number of them would fit in any file. So would an
    # empty array with a very long axis, which takes memory as soon as somebody loops over it.
    endless = max(shape, default=0) > max(size, FREE_VALUES)
    if count < 0 or endless or count * max(dtype.itemsize, 1) > size:
        announced = f"shape {shape} of {dtype}, {count * dtype.itemsize:,} bytes"
        raise InputError(f"not a readable NumPy file (cut short?): {what} announces {announced}, but has {size:,}")
    data = bytearray(count * dtype.itemsize)
    rest = memoryview(data)
    while len(rest) and (got := file.readinto(rest)):  # type: ignore[attr-defined]
        rest = rest[got:]
    if len(rest):
        raise InputError(f"not a readable NumPy file (cut short?): {what} lacks {len(rest):,} bytes")
    array = np.frombuffer(data, dtype=dtype, count=count) if data else np.zeros(count, dtype)
    return array.reshape(shape[::-1]).T if fortran else array.reshape(shape)
