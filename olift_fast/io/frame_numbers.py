"""Frame numbers of rows that are marked by a number, a time, or the name of a picture."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from olift_fast.errors import InputError
from olift_fast.io.parsed import fill_gaps, int64

#: The endings of videos. A digit in an ending (.mp4) is not a frame number.
VIDEO = r"\.(?:mp4|avi|mov|mkv|m4v|wmv|webm|mpe?g|h26[45])"
#: A name in three parts: what comes before its last number, that number, and the rest.
NUMBERED = re.compile(r"(.*?)(\d{1,18})(\D*)", re.DOTALL)
_DATE = r"\d{1,4}[./-]\d{1,2}[./-]\d{1,4}"
# Times with a colon, but not the names of files with one: these have an ending.
_LIKE_A_TIME = re.compile(r".*?\d:\d\d(?!.*\.[a-z]\w{1,4}$)", re.IGNORECASE)
#: Times of more seconds than this (three years) are those of a clock, which may count from 1970. Frames then count from
#: the first time, and not from 0.
LONGEST_VIDEO = 1e8


class RowFrames(NamedTuple):
    """The frames that the rows of a table belong to.

    Args:
        numbers: (T) frame numbers in any order; None if the rows are simply counted.
        fps: frames a second, if the rows are marked by times.
        pictures: whether the numbers are from the names of pictures; then no frames are added between them.
        recordings: (T) the recording of each row, if the names of the pictures are those of several; else empty.
        notes: how the marks were read.
        warnings: what could not be read.
    """

    numbers: npt.NDArray[np.int64] | None
    fps: float | None = None
    pictures: bool = False
    recordings: Sequence[str] = ()
    notes: Sequence[str] = ()
    warnings: Sequence[str] = ()

    def places(self, joints: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The numbers of all frames in their order, and (T) the place of each row among them.

        `numbers` must not be None.

        Args:
            joints: J, for the size of the array that will hold all frames.

        Raises:
            InputError: so many are missing that these can't be frame numbers.
        """
        assert self.numbers is not None
        numbers, inverse = np.unique(self.numbers, return_inverse=True)
        frames, spread = (numbers, np.arange(len(numbers))) if self.pictures else fill_gaps(numbers, joints)
        return frames, spread[inverse.reshape(-1)]


def frames_of_rows(cells: Sequence[str], unit: float | None = None, named: str = "") -> RowFrames:
    """Frame numbers from the cells that mark the rows: numbers, times, or the names of pictures.

    Whole numbers ("7", "7.0") are frame numbers. Other numbers, clocks ("00:00:01.5") and dates are times. Where rows
    are marked by dates, frames count from the earliest.

    Args:
        cells: (T) one cell a row.
        unit: the length of one unit in seconds, if the cells are known to be times; None if their form has to tell.
        named: "frame" or "time" if the column's name says that it holds such; else "".

    Raises:
        InputError: a row without a frame number or a time among rows that have one, or a number beyond 64 bits.
    """
    given = [cell for cell in cells if cell]
    if not given:
        return RowFrames(None)
    if named == "frame" and all(re.fullmatch(r"\d{1,3}|[1-9]\d{0,2}(?:,\d{3})+", cell) for cell in given):
        given = [cell.replace(",", "") for cell in given]
    numbers = whole_numbers(given) if unit is None else None
    times = seconds_in(given) if numbers is None else None
    if numbers is None and times is None:
        return _frames_of_names(cells, named == "time")
    if len(given) < len(cells):
        row = next(row for row, cell in enumerate(cells, start=1) if not cell)
        raise InputError(f"row {row} of {len(cells)} has no frame number or time, but the others do")
    if numbers is not None or times is None:
        return RowFrames(numbers)
    plain = re.fullmatch(r"[-+\d.,eE]+", given[0]) is not None
    if unit is None and plain and (times == np.rint(times)).all() and (np.abs(times) < 2**53).all():
        return RowFrames(times.astype(np.int64))
    if re.match(rf"{_DATE}(?!\d)|.*[ap]\.?m\.?$", given[0], re.IGNORECASE):
        times = times - times.min()
    read = frames_of_seconds(times * (unit or 1))
    if read is not None and unit is None and plain and read[1] < 1:
        # A frame every 33.333 units: a video's times are in milliseconds then.
        read = frames_of_seconds(times / 1000)
    if read is None:
        return RowFrames(
            None, warnings=["rows are marked by times without a steady rate: they count as frames 0, 1, …"]
        )
    frames, fps = read
    note = f"rows are marked by times: frames {frames.min()} to {frames.max()} at {fps:.6g} frames a second"
    return RowFrames(frames, fps, notes=[note])


def _frames_of_names(cells: Sequence[str], times: bool) -> RowFrames:
    """`frames_of_rows` for cells that are not all numbers or times.

    Args:
        times: whether the column's name says that they are times.

    Raises:
        InputError: half of them or more are numbers or times.
    """
    other = [row for row, cell in enumerate(cells) if not _is_mark(cell)]
    odd = next((row for row in other if cells[row]), other[0])
    if 2 * len(other) <= len(cells):
        wanted = "wanted a frame number or a time, as in the other rows"
        raise InputError(f"row {odd + 1} of {len(cells)} is marked by {cells[odd]!r:.40}, {wanted}")
    if times or all(_LIKE_A_TIME.match(cells[row][:100]) for row in other):
        unread = f"rows are marked by times that can't be read, such as {cells[odd]!r:.40}"
        return RowFrames(None, warnings=[f"{unread}: they count as frames 0, 1, …"])
    return _frames_of_pictures(cells)


def _frames_of_pictures(cells: Sequence[str]) -> RowFrames:
    """Frame numbers from the names of pictures: the last number of each. The rest of the name tells the recording."""
    found = [NUMBERED.fullmatch(re.sub(rf"{VIDEO}$", "", cell, flags=re.IGNORECASE)) for cell in cells]
    parts = [part for part in found if part is not None and re.search(r"\d", _file_name(part[0]))]
    counted = "they count as frames 0, 1, …"
    if len(parts) < len(cells):
        return RowFrames(None, notes=[f"rows are marked by names without a number: {counted}"])
    numbers = np.array([int(part[2]) for part in parts], dtype=np.int64)
    kinds = [part[1] + part[3] for part in parts]
    groups: dict[str, list[int]] = {}
    for kind, number in zip(kinds, numbers.tolist(), strict=True):
        groups.setdefault(kind, []).append(number)
    distinct = all(len(set(group)) == len(group) for group in groups.values())
    if distinct and (len(groups) == 1 or ((np.diff(numbers) > 0).all() and min(map(len, groups.values())) < 2)):
        return RowFrames(numbers, pictures=True)
    if distinct and min(map(len, groups.values())) > 1:
        labels = _labels(list(groups))
        note = f"{len(groups)} recordings by the names of the pictures, side by side"
        return RowFrames(numbers, pictures=True, recordings=[labels[kind] for kind in kinds], notes=[note])
    why = "come twice" if len(groups) == 1 else f"are of several kinds ({cells[0]:.30}, {cells[-1]:.30})"
    return RowFrames(None, warnings=[f"the names of the pictures {why}: {counted}, in the order of the file"])


def _labels(kinds: Sequence[str]) -> dict[str, str]:
    """A short name for each recording: its folder's, if these differ, else what its pictures' names have in common."""
    folders = [re.split(r"[\\/]", kind)[-2] if re.search(r"[\\/]", kind) else "" for kind in kinds]
    names = [kind.rsplit(".", 1)[0].strip("_-. /\\") for kind in kinds]
    for labels in (folders, names):
        if all(labels) and len(set(labels)) == len(labels):
            return dict(zip(kinds, labels, strict=True))
    return {kind: kind for kind in kinds}


def same_times(cells: Sequence[str], owner: npt.NDArray[np.int64]) -> Sequence[str]:
    """The cells with one text for each frame: times of different tracks that lie closer than half a frame are one.

    Args:
        cells: (rows) times.
        owner: (rows) the track of each row.

    Returns:
        (rows) cells; unchanged if they are not times, or if no two of them are of one frame.
    """
    distinct = list(dict.fromkeys(cells))
    seconds = seconds_in(distinct) if all(distinct) else None
    alone = len(np.unique(owner)) == 1
    if seconds is None or not np.isfinite(seconds).all() or (alone and len(np.unique(seconds)) == len(distinct)):
        return cells
    known = dict(zip(distinct, seconds.tolist(), strict=True))
    times = np.array([known[cell] for cell in cells])
    order = np.argsort(owner, kind="stable")
    of_tracks = np.split(times[order], np.flatnonzero(np.diff(owner[order])) + 1)
    period = min(filter(None, map(_period_of, of_tracks)), default=0.0)
    pairs = list(zip(times.tolist(), owner.tolist(), strict=True))
    written: dict[tuple[float, int], str] = {}
    for pair, cell in zip(pairs, cells, strict=True):
        written.setdefault(pair, cell)
    start, first, there = -np.inf, "", set[int]()
    chosen: dict[tuple[float, int], str] = {}
    for pair in sorted(written):
        time, track = pair
        if time != start and (time - start >= 0.45 * period or track in there):
            start, first, there = time, written[pair], set()
        there.add(track)
        chosen[pair] = first
    return [chosen[pair] for pair in pairs]


def _period_of(times: npt.NDArray[np.float64]) -> float | None:
    """The time between frames of one track; None if it has none."""
    steps = np.diff(np.unique(times))
    return _period(steps) if len(steps) else None


def last_number(name: str) -> int | None:
    """The last number in a file's name without its suffix; None if there is none."""
    stem = _file_name(name).rsplit(".", 1)[0]
    found = re.findall(r"\d+", stem)
    return int(found[-1]) if found else None


class PictureOrder(NamedTuple):
    """The order of labeled pictures by the numbers in their names.

    Args:
        places: (T) the place in the file of each picture, in this order; the file's order without numbers.
        numbers: (T) their frame numbers, increasing; None if the pictures are simply counted.
        notes: why they are counted.
        warnings: the same, if the order may be wrong.
    """

    places: npt.NDArray[np.int64]
    numbers: npt.NDArray[np.int64] | None
    notes: Sequence[str] = ()
    warnings: Sequence[str] = ()


def picture_order(paths: Sequence[str]) -> PictureOrder:
    """The order of labeled pictures by the last number in each name, its ending included.

    Names without a number, and numbers that come twice, tell no order: the pictures are counted as they come.
    """
    found = [re.findall(r"\d+", _file_name(path)) for path in paths]
    given = np.arange(len(paths))
    if not all(found) or any(len(digits[-1]) > 18 for digits in found):
        return PictureOrder(given, None, notes=["pictures have names without a number: they count as frames 0, 1, …"])
    numbers = np.array([int(digits[-1]) for digits in found], dtype=np.int64)
    places = np.argsort(numbers, kind="stable")
    if (np.diff(numbers[places]) == 0).any():
        twice = int(numbers[places][1:][np.diff(numbers[places]) == 0][0])
        told = f"several pictures have the number {twice}: they count as frames 0, 1, …, in the order of the file"
        return PictureOrder(given, None, warnings=[told])
    return PictureOrder(places, numbers[places])


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

    Times are written "0.033", "0,033", "0.033 s", "33 ms", "00:00:00.033", "10:00:00.033 AM", "0 days 00:00:00.033",
    or as date and time. Of dates only the form 2024-12-31 is read. Another form is left out if all cells have the same
    date.
    """
    dated = [re.fullmatch(rf"({_DATE})[ T,]{{1,3}}(.*:.*)", cell) for cell in cells]
    days = {date and date[1] for date in dated}
    if len(days) == 1 and None not in days:
        cells = [date[2] for date in dated if date is not None and not re.match(r"\d{4}-", date[1])] or cells
    try:
        return np.array([_seconds(cell) for cell in cells], dtype=np.float64)
    except ValueError:
        return None


def frames_of_seconds(seconds: npt.ArrayLike) -> tuple[npt.NDArray[np.int64], float] | None:
    """The frame of each time, and the frames a second; gaps between the times become gaps between the frames.

    The time between frames is the step that most neighboring times are apart. If all times are whole numbers of frames
    after time 0, frames count from time 0: the times may be a cut from a longer video. Otherwise frames count from the
    earliest time: the times may be those of a camera's clock, or count from 1970.

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
    on_grid = np.abs(times[order] * rate - (passed + start)).max() < 0.1 and abs(times[order[0]]) < LONGEST_VIDEO
    frames = np.empty(len(times), np.int64)
    frames[order] = (passed + (start if on_grid else 0)).astype(np.int64)
    return frames, rate


def _period(steps: npt.NDArray[np.float64]) -> float | None:
    """The time between frames, of which most steps are multiples; None if there is none."""
    for share, off in ((0.5, 0.25), (0.25, 0.15), (0.0, 0.15)):
        guess = np.quantile(steps, share, method="lower")
        # If the times are rounded, the mean of the single steps is more exact than any of them.
        period = float(steps[np.abs(steps - guess) < 0.6 * guess].mean())
        with np.errstate(over="ignore", invalid="ignore"):
            counts = steps / period
            if np.median(np.abs(counts - np.maximum(np.rint(counts), 1))) < off:
                return period
    return None


def _usual_rate(rate: float, tolerance: float) -> float:
    """A usual rate that differs from `rate` by at most this share: whole, NTSC (29.97) or of 2 digits; else `rate`."""
    for usual in (float(round(rate)), round(rate * 1.001) / 1.001, round(rate, 2)):
        if usual > 0 and abs(usual - rate) <= tolerance * rate:
            return usual
    return rate


_CLOCK = re.compile(r"(?:(\d+) days?,? )?(?:(\d+):)?(\d+):(\d+(?:[.,]\d*)?)(?:\s*([ap])\.?m\.?)?", re.IGNORECASE)
_WITH_UNIT = re.compile(r"([-+]?[\d.,]+)\s*(ms|msec|s|secs?|seconds?)", re.IGNORECASE)


def _seconds(cell: str) -> float:
    clock = _CLOCK.fullmatch(cell)
    if clock is not None:
        days, hours, minutes, rest = (float((part or "0").replace(",", ".")) for part in clock.groups()[:4])
        if clock[5] is not None:
            hours = hours % 12 + 12 * (clock[5] in "pP")
        return ((days * 24 + hours) * 60 + minutes) * 60 + rest
    if re.fullmatch(r"\d{4}-\d\d-\d\d[ T].*", cell):
        date = datetime.fromisoformat(cell)
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    unit = _WITH_UNIT.fullmatch(cell)
    if unit is not None:
        return float(unit[1].replace(",", ".")) * (1e-3 if unit[2].casefold().startswith("ms") else 1)
    seconds = float(cell.replace(",", "."))
    if np.isnan(seconds):
        raise ValueError(cell)
    return seconds


def _is_mark(cell: str) -> bool:
    """Whether a cell is a frame number or a time."""
    try:
        _seconds(cell)
    except ValueError:
        return False
    return True


def _file_name(path: str) -> str:
    return re.split(r"[\\/]", path)[-1]
