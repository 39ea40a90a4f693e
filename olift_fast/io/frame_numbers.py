"""Frame numbers of rows that are marked by a number, a time, the name of a picture or of a file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

import numpy as np
import numpy.typing as npt

from olift_fast.io.parsed import int64


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


def whole_numbers(cells: Sequence[str]) -> npt.NDArray[np.int64] | None:
    """The frame numbers in a column of text ("7", "7.0"); None if a cell is anything else.

    Raises:
        InputError: a number beyond 64 bits.
    """
    numbers = []
    for cell in cells:
        if not re.fullmatch(r"[+-]?\d+([.,]0*)?", cell):
            return None
        numbers.append(int64(re.split("[.,]", cell)[0], "frame number"))
    return np.array(numbers, dtype=np.int64)


def seconds_in(cells: Sequence[str]) -> npt.NDArray[np.float64] | None:
    """The times in a column of text in seconds: "0.033", "0,033", "00:00:00.033", "0 days 00:00:00.033", a date and time.

    None if a cell is anything else.
    """
    try:
        return np.array([_seconds(cell) for cell in cells], dtype=np.float64)
    except ValueError:
        return None


def frames_of_seconds(seconds: npt.ArrayLike) -> tuple[npt.NDArray[np.int64], float] | None:
    """The frame of each time, and the frames a second; gaps between the times become gaps between the frames.

    The frame rate is the one that most neighbors in time are apart. Frames count from time 0 where all times are whole
    numbers of frames after it, as in a cut from a longer video; otherwise from the earliest time, as for a camera's
    clock.

    Args:
        seconds: (T) times in seconds, in any order.

    Returns:
        (T) frame numbers, in the order of `seconds`, and frames a second. None if the times tell no frame rate: fewer
        than two, not finite, two alike, or irregular.
    """
    times = np.asarray(seconds, dtype=np.float64)
    if times.ndim != 1 or len(times) < 2 or not np.isfinite(times).all():
        return None
    order = np.argsort(times, kind="stable")
    steps = np.diff(times[order])
    if steps.min() <= 0:
        return None
    # The mean of the single steps is finer than their median where the times are rounded.
    median = float(np.median(steps))
    single = steps[steps < 1.5 * median]
    period = float(single.mean())
    counts = np.maximum(np.rint(steps / period), 1)
    if np.median(np.abs(steps / period - counts)) > 0.3 or not counts.sum() < 2**53:
        return None
    passed = np.concatenate([[0], np.cumsum(counts)])
    elapsed = times[order] - times[order[0]]
    period = float((elapsed @ passed) / (passed @ passed))
    off = float(np.abs(elapsed - passed * period).max()) / float(elapsed[-1])
    rate = _usual_rate(1 / period, max(2 * off, 1e-6))
    since_zero = times[order[0]] * rate
    start = np.rint(since_zero)
    on_grid = np.abs(times[order] * rate - (passed + start)).max() < 0.1 and abs(start) < 2**53
    frames = np.empty(len(times), np.int64)
    frames[order] = (passed + (start if on_grid else 0)).astype(np.int64)
    return frames, rate


def _usual_rate(rate: float, tolerance: float) -> float:
    """The whole, NTSC (29.97) or 2-digit rate that lies within this share of `rate`; else `rate` itself."""
    for usual in (float(round(rate)), round(rate * 1.001) / 1.001, round(rate, 2)):
        if usual > 0 and abs(usual - rate) <= tolerance * rate:
            return usual
    return rate


_CLOCK = re.compile(r"(?:(\d+) days?,? )?(?:(\d+):)?(\d+):(\d+(?:[.,]\d*)?)")


def _seconds(cell: str) -> float:
    clock = _CLOCK.fullmatch(cell)
    if clock is not None:
        days, hours, minutes, rest = (float((part or "0").replace(",", ".")) for part in clock.groups())
        return ((days * 24 + hours) * 60 + minutes) * 60 + rest
    if re.fullmatch(r"\d{4}-\d\d-\d\d[ T].*", cell):
        return datetime.fromisoformat(cell).timestamp()
    return float(cell.replace(",", "."))


def _file_name(path: str) -> str:
    return re.split(r"[\\/]", path)[-1]
