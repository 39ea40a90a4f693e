"""Frame numbers of rows that are marked by a number, a time, the name of a picture or of a file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from olift_fast.errors import InputError
from olift_fast.io.parsed import int64


class RowFrames(NamedTuple):
    """The frames that the rows of a table belong to.

    Args:
        numbers: (T) frame numbers in any order; None where the rows are simply counted.
        fps: frames a second, where the rows are marked by times.
        pictures: the numbers are those in the names of pictures, and increase.
        notes: how the marks were read.
        warnings: what could not be read from them.
    """

    numbers: npt.NDArray[np.int64] | None
    fps: float | None = None
    pictures: bool = False
    notes: Sequence[str] = ()
    warnings: Sequence[str] = ()


def frames_of_rows(cells: Sequence[str], unit: float | None = None) -> RowFrames:
    """Frame numbers from the cells that mark the rows: numbers, times, or pictures.

    Whole numbers ("7", "7.0") are frame numbers. Other numbers, clocks ("00:00:01.5") and dates are times.

    Args:
        cells: (T) one cell a row.
        unit: the seconds of one unit, where the cells are known to be times; None tells times by their look.

    Raises:
        InputError: a row without a frame number among rows that have one, or a number beyond 64 bits.
    """
    given = [cell for cell in cells if cell]
    if not given:
        return RowFrames(None)
    numbers = whole_numbers(given) if unit is None else None
    times = seconds_in(given) if numbers is None else None
    if numbers is None and times is None:
        found = picture_numbers(cells)
        return RowFrames(found, pictures=True)
    if len(given) < len(cells):
        row = next(row for row, cell in enumerate(cells, start=1) if not cell)
        raise InputError(f"row {row} of {len(cells)} has no frame number or time, but the others do")
    if numbers is not None or times is None:
        return RowFrames(numbers)
    if unit is None and (times == np.rint(times)).all() and (np.abs(times) < 2**53).all() and ":" not in given[0]:
        return RowFrames(times.astype(np.int64))
    read = frames_of_seconds(times * (unit or 1))
    if read is not None and unit is None and read[1] < 1:
        # A frame every 33.333 units: a video's times are in milliseconds then.
        read = frames_of_seconds(times / 1000)
    if read is None:
        return RowFrames(
            None, warnings=["rows are marked by times without a steady rate: they count as frames 0, 1, …"]
        )
    frames, fps = read
    note = f"rows are marked by times: frames {frames.min()} to {frames.max()} at {fps:.6g} frames a second"
    return RowFrames(frames, fps, notes=[note])


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
    if re.fullmatch(r"(?:\d{1,18}\n)+", "\n".join((*cells, ""))):
        return np.array(list(map(int, cells)), dtype=np.int64)
    numbers = []
    for cell in cells:
        if not re.fullmatch(r"[+-]?\d+([.,]0*)?", cell):
            return None
        numbers.append(int64(re.split("[.,]", cell)[0], "frame number"))
    return np.array(numbers, dtype=np.int64)


def seconds_in(cells: Sequence[str]) -> npt.NDArray[np.float64] | None:
    """The times in a column of text, in seconds; None if a cell is anything else.

    Times are written "0.033", "0,033", "00:00:00.033", "0 days 00:00:00.033", or as date and time.
    """
    try:
        return np.array([_seconds(cell) for cell in cells], dtype=np.float64)
    except ValueError:
        return None


def frames_of_seconds(seconds: npt.ArrayLike) -> tuple[npt.NDArray[np.int64], float] | None:
    """The frame of each time, and the frames a second; gaps between the times become gaps between the frames.

    The time between frames is the one that most neighbors are apart. Frames count from time 0 where all times are whole
    numbers of frames after it, as in a cut from a longer video. Otherwise they count from the earliest time, as for a
    camera's clock; so they do for dates.

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
    period = _period(steps)
    if period is None:
        return None
    counts = np.maximum(np.rint(steps / period), 1)
    if not counts.sum() < 2**53:
        return None
    passed = np.concatenate([[0], np.cumsum(counts)])
    elapsed = times[order] - times[order[0]]
    period = float((elapsed @ passed) / (passed @ passed))
    off = float(np.abs(elapsed - passed * period).max()) / float(elapsed[-1])
    rate = _usual_rate(1 / period, max(2 * off, 1e-6))
    since_zero = times[order[0]] * rate
    start = np.rint(since_zero)
    on_grid = np.abs(times[order] * rate - (passed + start)).max() < 0.1 and abs(times[order[0]]) < _LONGEST
    frames = np.empty(len(times), np.int64)
    frames[order] = (passed + (start if on_grid else 0)).astype(np.int64)
    return frames, rate


#: A video has been running for fewer seconds than this (three years); a clock counts from 1970.
_LONGEST = 1e8


def _period(steps: npt.NDArray[np.float64]) -> float | None:
    """The time between frames, of which most steps are multiples; None if there is none."""
    for share, off in ((0.5, 0.25), (0.25, 0.15), (0.0, 0.15)):
        guess = np.quantile(steps, share, method="lower")
        # The mean of the single steps is finer than any of them where the times are rounded.
        period = float(steps[np.abs(steps - guess) < 0.6 * guess].mean())
        with np.errstate(over="ignore", invalid="ignore"):
            counts = steps / period
            if np.median(np.abs(counts - np.maximum(np.rint(counts), 1))) < off:
                return period
    return None


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
        moment = datetime.fromisoformat(cell)
        # Not this machine's time zone, whose clocks may have been changed during the recording.
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return float(cell.replace(",", "."))


def _file_name(path: str) -> str:
    return re.split(r"[\\/]", path)[-1]
