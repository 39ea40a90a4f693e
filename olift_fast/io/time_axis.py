"""Gives several series with times of their own, such as the joints of an NWB file, common frames; and units of time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from olift_fast.errors import InputError
from olift_fast.io.frame_numbers import LONGEST_VIDEO, frames_of_seconds

_Times = npt.NDArray[np.float64]
_Frames = npt.NDArray[np.int64]

#: Times that are at most this many seconds apart are one time, if nothing tells the time between frames.
_SAME = 2e-6

#: The length of a unit in seconds, by the ways to write the unit.
_UNITS = {
    "nanoseconds?|nsecs?|ns": 1e-9,
    "microseconds?|usecs?|us|µs": 1e-6,
    "milliseconds?|millisecs?|msecs?|ms": 1e-3,
    "seconds?|secs?|s": 1.0,
    "minutes?|mins?": 60.0,
    "hours?|hrs?|hr?": 3600.0,
    "days?|d": 86400.0,
}


class TimeAxis(NamedTuple):
    """The frames of several series.

    Args:
        frames: for each series, (t) the frame of each of its times; increasing.
        fps: frames a second; None if the times have no steady rate, and frames are counted from 0.
        warnings: what is wrong with the times.
    """

    frames: list[_Frames]
    fps: float | None
    warnings: tuple[str, ...] = ()


def one_axis(series: Sequence[_Times], rate: float | None = None) -> TimeAxis:
    """The frames of several series on one axis.

    Times of different series that are closer than half a frame belong to the same frame. The series with the most
    frames a second sets the axis; a time of another series goes to the nearest of its frames. If the series take turns,
    so that only all times together are regular, the axis has a frame for each time of any series.

    Args:
        series: for each series, (t) times in seconds, increasing.
        rate: frames a second, if the file has it; used for series of one frame.

    Raises:
        InputError: the series do not fit one axis: two times of one series would be the same frame.
    """
    distinct = {one.tobytes(): one for one in series if len(one)}
    found = _frames_of(list(distinct.values()), rate)
    of_times = dict(zip(distinct, found.frames, strict=True))
    frames = [of_times[one.tobytes()] if len(one) else np.zeros(0, np.int64) for one in series]
    return found._replace(frames=frames)


def seconds_of(unit: str) -> float | None:
    """The length in seconds of a unit of time: "ms", "seconds", "days since 2024-01-01"; None if it is no such unit."""
    name = re.split(r"\s+since\b", unit.strip().casefold())[0]
    return next((seconds for pattern, seconds in _UNITS.items() if re.fullmatch(pattern, name)), None)


def _frames_of(series: Sequence[_Times], rate: float | None) -> TimeAxis:
    """`one_axis` for series of which each has times, and no two have the same ones."""
    readings = [(one, *read) for one in series if (read := frames_of_seconds(one)) is not None]
    # A rate from two times alone is uncertain.
    readings = [reading for reading in readings if len(reading[0]) > 2] or readings
    together, place = _together(series)
    read = frames_of_seconds(together)
    if not readings and rate is not None and len(series) > 1:
        readings = [(series[0], np.arange(len(series[0])), rate)]
    if not readings:
        if read is not None:
            return TimeAxis([read[0][at] for at in place], read[1])
        if _alike(series):
            place = [np.arange(len(one)) for one in series]
        irregular = ("timestamps are irregular: frames are counted from 0",) if len(together) > 1 else ()
        return TimeAxis(place, None, irregular)
    most = max(fps for _, _, fps in readings)
    times, numbers, fps = max((one for one in readings if one[2] > 0.9 * most), key=lambda reading: len(reading[0]))
    fitted = [_nearest(_frame_at(one, times, numbers, fps), one, fps) for one in series]
    worst = max(off for _, off in fitted)
    if worst > 0.45 and read is not None and len(together) >= 0.6 * (np.ptp(read[0]) + 1):
        turns = f"the series take turns: each time of any of them is a frame, {read[1]:.6g} a second"
        return TimeAxis([read[0][at] for at in place], read[1], (turns,))
    frames = [one for one, _ in fitted]
    first, start = min(int(one[0]) for one in frames), min(float(one[0]) for one in series)
    if first < 0 <= start or start > LONGEST_VIDEO:
        frames = [one - first for one in frames]
    apart = (
        f"times of some series are up to {worst:.2g} frames off from those of others: each goes to the nearest frame"
    )
    return TimeAxis(frames, fps, (apart,) if worst > 0.25 else ())


def _together(series: Sequence[_Times]) -> tuple[_Times, list[_Frames]]:
    """The times of all series, with near ones as one, and the places of each series' times among them."""
    steps = [float(np.diff(one).min()) for one in series if len(one) > 1]
    tolerance = 0.1 * min(steps) if steps else _SAME
    times = np.unique(np.concatenate(series)) if series else np.zeros(0)
    cluster = np.concatenate([[0], np.cumsum(np.diff(times) > tolerance)])[: len(times)]
    place = [cluster[np.searchsorted(times, one)] for one in series]
    if any((np.diff(at) <= 0).any() for at in place):
        # Chains of near times would put two times of one series in one place.
        cluster = np.arange(len(times))
        place = [np.searchsorted(times, one) for one in series]
    counts = np.bincount(cluster)
    return np.bincount(cluster, times) / counts, place


def _alike(series: Sequence[_Times]) -> bool:
    """Whether all series have equally many times, each less than a step from its counterpart in the first series, and
    most of them less than half a step."""
    if len({len(one) for one in series}) != 1 or len(series[0]) < 2:
        return False
    step = float(np.median(np.diff(series[0])))
    apart = [np.abs(one - series[0]) for one in series]
    return all(off.max() < step and np.median(off) < step / 2 for off in apart)


def _frame_at(times: _Times, known: _Times, frames: _Frames, fps: float) -> _Times:
    """The frame, with a fraction, at each time, interpolated between the `known` times and their `frames`."""
    found = np.interp(times, known, frames.astype(np.float64))
    before, after = times < known[0], times > known[-1]
    found[before] = frames[0] + (times[before] - known[0]) * fps
    found[after] = frames[-1] + (times[after] - known[-1]) * fps
    return found


def _nearest(found: _Times, times: _Times, fps: float) -> tuple[_Frames, float]:
    """Whole frames for frames with fractions, and how far off they are: at most a half.

    A series that is off by the same part of a frame throughout is moved as a whole.
    """
    if not np.abs(found).max() < 2**53:
        raise InputError("timestamps of different series are too far apart for frames of one recording")
    # The circular mean of the fractions: 0.99 and 0.01 are close.
    mean = np.exp(2j * np.pi * found).mean()
    beside = float(np.angle(mean)) / (2 * np.pi)
    steady = abs(mean) > 0.7
    frames = np.rint(found - beside if steady else found).astype(np.int64)
    if (np.diff(frames) <= 0).any():
        counted = frames_of_seconds(times)
        if counted is None or abs(counted[1] - fps) > 0.1 * fps:
            rate = f"{counted[1]:.6g}" if counted is not None else "no steady number of"
            raise InputError(
                f"timestamps do not fit one axis of frames: some series have {fps:.6g} frames a second, others {rate}; "
                "save each in a file of its own"
            )
        frames = counted[0] + round(float(np.median(found - counted[0])))
        return frames, min(0.5, float(np.median(np.abs(found - frames))))
    return frames, abs(beside) if steady else 0.5
