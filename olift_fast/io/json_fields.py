"""What the readers of JSON share: the keys of objects, by which formats are recognized, and numbers as arrays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Set
from typing import Any

import numpy as np
import numpy.typing as npt

from olift_fast.errors import InputError
from olift_fast.io.parsed import int64, refuse_3d

#: The names under which tools write the number of a frame.
FRAME_KEYS = ("frame", "frame_number", "frame_idx", "frame_index", "frame_id", "frameNumber", "frameIndex")


def frame_number(item: Any) -> int | None:
    """The frame number of a JSON object, under one of `FRAME_KEYS`; None if it has none.

    Raises:
        InputError: a number that is not whole, or beyond 64 bits.
    """
    given = next((item[key] for key in FRAME_KEYS if key in item), None) if isinstance(item, Mapping) else None
    return int64(given, "frame number") if isinstance(given, int | float) and not isinstance(given, bool) else None


def whole_number(item: Mapping[str, Any], key: str) -> int | None:
    """The whole number that a JSON object has under this key; None if it has none there, or null.

    Raises:
        InputError: another value.
    """
    given = item.get(key)
    return None if given is None else int64(given, key)


def numbered(given: Iterable[int | None]) -> list[int]:
    """The number of each frame in a list: the given ones, or the places 0, 1, … in the list if a frame has none.

    Raises:
        InputError: a number that comes twice.
    """
    numbers = list(given)
    known = [number for number in numbers if number is not None]
    if len(known) < len(numbers):
        return list(range(len(numbers)))
    refuse_repeated_frames(known)
    return known


def refuse_repeated_frames(numbers: Iterable[int]) -> None:
    """Raises InputError if a frame number comes twice: in a list of frames, each has a number of its own."""
    twice = next((number for number, count in Counter(numbers).items() if count > 1), None)
    if twice is not None:
        raise InputError(f"frame {twice} comes twice")


def object_keys(content: Any) -> Set[Any]:
    """The keys of a JSON object; none for a list."""
    return content.keys() if isinstance(content, Mapping) else frozenset()


def item_keys(content: Any) -> Set[Any]:
    """The keys of the first object in a JSON list; none for anything else."""
    return object_keys(first_item(content))


def first_item(content: Any) -> Any:
    """The first item of a JSON list that holds something; None if none does. Frames without poses are null or empty."""
    return next((item for item in content if item not in (None, [], {})), None) if isinstance(content, list) else None


def triplets(values: Any, what: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Points (J, 2) and third values (J) of a flat list x0, y0, c0, x1, y1, c1, … or of rows of three.

    Raises:
        InputError: a length that is not a multiple of three, or values that are not numbers.
    """
    flat = numbers(values, what)
    if flat.ndim == 2 and flat.shape[1] == 3:
        flat = flat.reshape(-1)
    if flat.ndim != 1 or len(flat) % 3:
        raise InputError(f"{what} must be a flat list of x, y, confidence, got {flat.shape} values")
    rows = flat.reshape(-1, 3)
    return rows[:, :2], rows[:, 2]


def points2d(values: Any, what: str) -> npt.NDArray[np.float64]:
    """Points (J, 2) of a list of pairs.

    Raises:
        InputError: a list of triples, which are 3D points, or something other than a list of pairs.
    """
    points = numbers(values, what)
    if points.ndim == 2 and points.shape[1] == 3:
        raise refuse_3d()
    if points.ndim != 2 or points.shape[1] != 2:
        raise InputError(f"{what} must be a list of (x, y), got shape {points.shape}")
    return points


def numbers(values: Any, what: str) -> npt.NDArray[np.float64]:
    """`values`, lists of numbers, as an array; null is NaN.

    Raises:
        InputError: lists of different lengths, or values that are not numbers.
    """
    try:
        return np.array(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{what} must hold numbers in rows of one length: {' '.join(str(error).split())}") from error
