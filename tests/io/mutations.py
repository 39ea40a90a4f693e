"""Damaged inputs: each is a pure function of the run's seed, the format and a number, so any one can be made again.

Some know nothing of the content (bytes are flipped, cut, doubled), others know its container: cells and lines of text,
the tree of JSON, the objects of HDF5, the headers and members of NumPy's files, the names in a folder, the lines of a
live stream.
"""

from __future__ import annotations

import gzip
import random
import re
import zlib
from collections.abc import Sequence
from typing import NamedTuple

from mutations_of_arrays import damage_pickled, flip_metadata, hdf5_objects, npy_header, zip_members
from mutations_of_lines import damage_lines
from mutations_of_text import BYTES, TEXT, Change, json_tree
from seeds import Seed
from seeds_of_lines import STREAMS


class Input(NamedTuple):
    """A damaged file or folder, and the options to read it with.

    Args:
        file: its name.
        content: what it holds; None for a file of a folder makes a folder of it.
        asked: the format to ask for, or None.
        image_size: the option of this name.
        allow_pickle: the option of this name; only for pickles that are made here.
        how: the mutations, for messages.
    """

    file: str
    content: bytes | dict[str, bytes | None]
    asked: str | None
    image_size: tuple[int, int] | None
    allow_pickle: bool
    how: str


def make_input(run: int, format: str, number: int, seeds: dict[str, list[Seed]]) -> Input:
    """Input `number` of a format in the run of this seed."""
    draw = random.Random(f"{run}/{format}/{number}")
    seed = draw.choice(seeds[format])
    content, allow_pickle, how = _damaged(draw, seed, seeds)
    asked = format if draw.random() < 0.15 else None
    size = (640, 480) if draw.random() < 0.1 else None
    return Input(seed.file, content, asked, size, allow_pickle, f"{seed.name}: {how}")


def _damaged(
    draw: random.Random, seed: Seed, seeds: dict[str, list[Seed]]
) -> tuple[bytes | dict[str, bytes | None], bool, str]:
    if seed.format in STREAMS and isinstance(seed.content, bytes):
        lines, how = damage_lines(draw, seed.content)
        return lines, False, how
    if isinstance(seed.content, dict):
        content, how = _damage_folder(draw, seed.content)
        return content, False, how
    if seed.pickled and draw.random() < 0.5:
        return damage_pickled(draw, seed.content), True, "tree of pickled values"
    if draw.random() < 0.03:
        return *_spliced(draw, seed.content, seeds), "splice"
    data, how = _damage_file(draw, seed.content)
    return data, False, how


def _spliced(draw: random.Random, data: bytes, seeds: dict[str, list[Seed]]) -> tuple[bytes, bool]:
    """The begin of a file, and the end of another one of the same kind."""
    groups = [group for format, group in seeds.items() if format not in STREAMS]
    files = [seed.content for group in groups for seed in group if isinstance(seed.content, bytes)]
    other = draw.choice([file for file in files if file[:1] == data[:1]])
    return data[: draw.randrange(len(data))] + other[draw.randrange(len(other)) :], False


def _damage_file(draw: random.Random, data: bytes) -> tuple[bytes, str]:
    """One file, damaged once or a few times by what fits its container."""
    if data.startswith(b"\x1f\x8b") and draw.random() < 0.5:
        inner, how = _damage_file(draw, _unpacked(data))
        return gzip.compress(inner, 1, mtime=0), f"gzip of {how}"
    # What rewrites a file through a library comes first, on a file that the library can trust.
    changes = [draw.choice(_ways(data)) for _ in range(draw.choice((1, 1, 1, 2, 3)))]
    changes.sort(key=lambda change: change not in _REWRITES)
    for change in changes:
        data = change(draw, data)[:_LARGEST] if data else data
    return data, ", ".join(change.__name__.strip("_") for change in changes)


def _unpacked(data: bytes) -> bytes:
    try:
        return gzip.decompress(data) or b"\n"
    except (OSError, EOFError, zlib.error):
        # Damaged already, as a file of a folder may be.
        return data


#: The most bytes of a damaged file.
_LARGEST = 10**6
_REWRITES = (hdf5_objects, zip_members, json_tree)


def _ways(data: bytes) -> Sequence[Change]:
    if data.startswith(b"\x89HDF"):
        return (*BYTES, flip_metadata, *[hdf5_objects] * 8)
    if data.startswith(b"PK"):
        return (*BYTES, *[zip_members] * 5)
    if data.startswith(b"\x93NUMPY"):
        return (*BYTES, *[npy_header] * 3)
    if data.lstrip()[:1] in (b"{", b"["):
        return (*BYTES, *TEXT, *[json_tree] * 12)
    return (*BYTES, *TEXT) if _is_text(data) else BYTES


def _is_text(data: bytes) -> bool:
    return b"\0" not in data and b"\x1f\x8b" not in data[:2]


def _damage_folder(draw: random.Random, files: dict[str, bytes]) -> tuple[dict[str, bytes | None], str]:
    changed: dict[str, bytes | None] = dict(files)
    chosen = []
    for _ in range(draw.choice((1, 1, 2, 3))):
        if not changed:
            break
        name = draw.choice(list(changed))
        content = changed[name] or b"x"
        kind = draw.randrange(9)
        if kind == 0:
            del changed[name]
            how = "file removed"
        elif kind == 1:
            number = draw.choice(
                ("", "1", "000000000003", "9" * 19, "9" * 400, "-5", "1000000", "٣", "²", "x\ny", "\x1b[1m")
            )
            changed[re.sub(r"\d+", number, name, count=1)[-200:] or "x"] = changed.pop(name)
            how = "file renamed"
        elif kind == 2:
            changed[draw.choice(("._" + name, "notes.txt", "meta.json", "Thumbs.db", "x.npy"))] = draw.choice(
                (b"", b"{}", content)
            )
            how = "file added"
        elif kind == 3:
            changed[name] = draw.choice((None, b"", b"[]", b"null", b"\xff"))
            how = "file replaced"
        else:
            changed[name], how = _damage_file(draw, content)
        chosen.append(how)
    return changed, ", ".join(chosen)
