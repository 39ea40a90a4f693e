"""Reads untrusted safetensors files: nothing is allocated before the header has been compared with the file's size.

The format is 8 bytes with the header's length, the header in JSON, and the tensors' bytes
(https://github.com/huggingface/safetensors). The safetensors library maps a file into memory: if the file is cut while
it is read, the process ends. Here the bytes are read from the file that was opened and checked.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from olift_fast.errors import InputError
from olift_fast.model.foreign import naming, open_regular, parse_json, shown, some, unreadable
from olift_fast.runtime.arrays import BFLOAT16, Array, Elements, widened

MAX_HEADER = 2 * 2**20
"""The most bytes of a header. The largest model within the limits needs half as many."""
MAX_DIMENSIONS = 8

DTYPES: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": BFLOAT16,
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "U8": np.dtype("u1"),
}
"""NumPy's dtype for each dtype of the format. NumPy has no bfloat16; its bits are read as integers."""
FLOATING = ("F64", "F32", "F16", "BF16")


class Stored(NamedTuple):
    """A tensor by the header: dtype (the format's name), shape, its first byte, and the byte after its last."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True)
class TensorFile:
    """An open safetensors file.

    Args:
        path: the file's path.
        tensors: its tensors by name, in the order of their bytes.
        metadata: strings by name, added by the file's writer.
        file, start: the open file, and the byte at which the tensors begin.
    """

    path: Path
    tensors: Mapping[str, Stored]
    metadata: Mapping[str, str]
    file: BufferedReader
    start: int

    def read(self, name: str) -> Elements:
        """A tensor in its own dtype (`DTYPES`).

        Raises:
            InputError: the file has become shorter, or the disk failed.
        """
        stored = self.tensors[name]
        flat: Any = np.empty(math.prod(stored.shape), dtype=DTYPES[stored.dtype])
        try:
            self.file.seek(self.start + stored.begin)
            count = self.file.readinto(memoryview(flat.view(np.uint8)))
        except OSError as error:
            raise unreadable(self.path, error) from error
        if count != stored.end - stored.begin:
            raise InputError(f"{self.path}: can't be read as safetensors: it was cut while it was read")
        return flat.reshape(stored.shape)

    def read_float32(self, name: str) -> Array:
        """A floating-point tensor as float32; numbers that are too large for it become infinite."""
        array = self.read(name)
        if self.tensors[name].dtype == "BF16":
            return widened(array)
        with np.errstate(over="ignore"):
            return array.astype(np.float32, copy=False)


@contextmanager
def open_tensors(path: Path, most: int = MAX_HEADER) -> Iterator[TensorFile]:
    """Opens a file and checks that its header has at most `most` bytes and fits the file's size.

    Raises:
        InputError: it is not a regular file, not in this format, or has tensors of other dtypes than `DTYPES`.
    """
    with open_regular(path) as file:
        try:
            with naming(f"{path}: can't be read as safetensors"):
                header, start, size = _header(file, most)
                metadata, tensors = _parsed(header, size)
        except OSError as error:
            raise unreadable(path, error) from error
        yield TensorFile(path, tensors, metadata, file, start)


def check_shapes(
    held: Mapping[str, Stored], wanted: Mapping[str, tuple[int, ...]], dtypes: Sequence[str] = FLOATING
) -> None:
    """Raises InputError, without the file's name, unless the tensors have the wanted names, shapes and dtypes."""
    if missing := wanted.keys() - held.keys():
        raise InputError(f"must hold {some(sorted(missing))}, got no such tensors")
    if others := held.keys() - wanted.keys():
        raise InputError(f"must hold no other tensors than the model has, got {some(sorted(others))}")
    for name, shape in wanted.items():
        stored = held[name]
        if stored.shape != shape:
            raise InputError(f"{shown(name)} must be of shape {shape}, got {shown(stored.shape)}")
        if stored.dtype not in dtypes:
            raise InputError(f"{shown(name)} must be of dtype {', '.join(dtypes)}, got {stored.dtype}")


def check_finite(path: Path, name: str, array: Elements) -> None:
    """Raises InputError if the array has NaN or infinite numbers."""
    if array.size:
        # The minimum and the maximum of values with a NaN are NaN.
        for value in map(float, (array.min(), array.max())):
            if not math.isfinite(value):
                raise InputError(f"{path}: {shown(name)} must hold finite numbers, got {value}")


def _header(file: BufferedReader, most: int) -> tuple[dict[str, Any], int, int]:
    """The header, the byte where it ends in the file, and the number of bytes after it."""
    whole = file.seek(0, 2)
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    if whole < 8 or length > whole - 8:
        raise InputError(f"its header must end within its {whole:,} bytes, got a header of {length:,}")
    if length > most:
        raise InputError(f"its header must have at most {most:,} bytes, got {length:,}")
    with naming("its header"):
        content = parse_json(file.read(length))
    if not isinstance(content, dict):
        raise InputError(f"its header must be an object, got {shown(content)}")
    return content, 8 + length, whole - 8 - length


def _parsed(header: dict[str, Any], size: int) -> tuple[dict[str, str], dict[str, Stored]]:
    """Metadata and tensors of a header that is followed by `size` bytes of tensors."""
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise InputError(f"__metadata__ must be strings by name, got {shown(metadata)}")
    held = sorted(((name, _stored(name, entry)) for name, entry in header.items()), key=lambda item: item[1][2:])
    end = 0
    for name, stored in held:
        if stored.begin != end:
            raise InputError(
                f"{shown(name)} must begin at byte {end:,}, where the one before ends, got {stored.begin:,}"
            )
        end = stored.end
    if end != size:
        raise InputError(f"its tensors must fill the {size:,} bytes after the header, got {end:,}")
    return metadata, dict(held)


def _stored(name: str, entry: Any) -> Stored:
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise InputError(f"{shown(name)} must have dtype, shape and data_offsets, got {shown(entry)}")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise InputError(f"{shown(name)} must be of dtype {', '.join(DTYPES)}, got {shown(dtype)}")
    if not _counts(shape) or len(shape) > MAX_DIMENSIONS:
        raise InputError(
            f"{shown(name)} must have a shape of at most {MAX_DIMENSIONS} numbers >= 0, got {shown(shape)}"
        )
    if not _counts(offsets) or len(offsets) != 2:
        raise InputError(f"{shown(name)} must have two data_offsets >= 0, got {shown(offsets)}")
    size = math.prod(shape) * DTYPES[dtype].itemsize
    if offsets[1] - offsets[0] != size:
        raise InputError(f"{shown(name)} must have {size:,} bytes by its shape, got {offsets[1] - offsets[0]:,}")
    return Stored(dtype, tuple(shape), *offsets)


def _counts(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 2**63 for value in values)
