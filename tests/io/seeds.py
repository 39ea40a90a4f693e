"""One small valid file, at least, of every format that is read: what `fuzz.py` damages, and what `test_fuzz.py` reads.

To add a seed, write a function in a module `seeds_of_…` that takes an empty folder, writes the file or the folder
there, and returns its path; `@seed("name of the format")` lists it. The same bytes must come out each time: no dates,
no random identifiers.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from olift_fast.io import formats

Content = bytes | dict[str, bytes]
"""A file's bytes, or the files of a folder by name."""


class Seed(NamedTuple):
    """A valid small file of a format.

    Args:
        format: the format's name in `formats()`.
        name: the name of the function that writes it.
        file: the file's name.
        content: what it holds.
        pickled: it is read with `allow_pickle` alone.
    """

    format: str
    name: str
    file: str
    content: Content
    pickled: bool


_WRITERS: list[tuple[str, bool, Callable[[Path], Path]]] = []


def seed(format: str, pickled: bool = False) -> Callable[[Callable[[Path], Path]], Callable[[Path], Path]]:
    """Lists a function that writes a file of a format."""

    def listed(write: Callable[[Path], Path]) -> Callable[[Path], Path]:
        _WRITERS.append((format, pickled, write))
        return write

    return listed


def write_seeds(folder: Path) -> dict[str, list[Seed]]:
    """The seeds of each format of `formats()`, in that order; `folder` is empty, and holds them afterwards."""
    # The modules list their seeds when they are imported.
    for kind in ("tables", "json", "arrays"):
        importlib.import_module(f"seeds_of_{kind}")
    found: dict[str, list[Seed]] = {known.name: [] for known in formats()}
    for format, pickled, write in _WRITERS:
        if format not in found:
            continue
        own = folder / format / write.__name__
        own.mkdir(parents=True)
        path = write(own)
        found[format].append(Seed(format, write.__name__, path.name, content_of(path), pickled))
    return found


def content_of(path: Path) -> Content:
    """A file's bytes, or those of the files in a folder."""
    if path.is_dir():
        return {file.name: file.read_bytes() for file in sorted(path.iterdir())}
    return path.read_bytes()


def points(*shape: int) -> npt.NDArray[np.float64]:
    """An array of the numbers from 1 on."""
    return np.arange(1, np.prod(shape) + 1, dtype=np.float64).reshape(shape)
