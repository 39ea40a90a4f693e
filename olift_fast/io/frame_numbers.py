"""Frame numbers that stand in the names of pictures and of files."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def last_number(name: str) -> int | None:
    """The last number in a file's name without its suffix; None if there is none."""
    stem = _file_name(name).rsplit(".", 1)[0]
    found = re.findall(r"\d+", stem)
    return int(found[-1]) if found else None


def picture_numbers(paths: Sequence[str]) -> npt.NDArray[np.int64] | None:
    """The last number in the name of each picture, suffix included: the frames that labeled pictures were taken from.

    None if a name has no number, or if the numbers do not increase.
    """
    found = [re.findall(r"\d+", _file_name(path)) for path in paths]
    if not all(found) or any(len(digits[-1]) > 18 for digits in found):
        return None
    numbers = np.array([int(digits[-1]) for digits in found], dtype=np.int64)
    return numbers if (np.diff(numbers) > 0).all() else None


def _file_name(path: str) -> str:
    return re.split(r"[\\/]", path)[-1]
