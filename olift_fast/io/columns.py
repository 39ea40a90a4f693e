"""Tables with one row of column names: which columns are joints, frames, times and tracks, as labs name them."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from olift_fast.errors import InputError
from olift_fast.io.csv_table import Table
from olift_fast.io.frame_numbers import frames_of_rows, frames_of_seconds, seconds_in
from olift_fast.io.parsed import check_size, fill_gaps
from olift_fast.tracks.skeleton import plain

_SCORES = "likelihood|confidence|conf|score|probability|prob|visibility|visible|vis|p|c|v"
_PART = f"(?P<part>x|y|z|{_SCORES})"
# Possessive (++): a name of nothing but signs would be tried in very many ways.
_BETWEEN = r"[\s_.:/#-]++"

# Longer names are nobody's, and no table of keypoints has more columns: looking through them would take long.
_MAX_NAME, _MAX_COLUMNS = 100, 20_000

# The ways to name the columns of a joint. Each joint of a table is named in the same way.
_SCHEMES = tuple(
    re.compile(pattern, flags)
    for pattern, flags in (
        (rf"(?P<joint>.+?)(?:{_BETWEEN}[(\[]?|[(\[]){_PART}[)\]]?", re.IGNORECASE),  # nose_x, nose.x, nose (x)
        (rf"{_PART}{_BETWEEN}(?P<joint>.+)", re.IGNORECASE),  # x_nose
        (r"(?P<joint>.*[a-z\d])(?P<part>[XYZP]|Likelihood|Confidence|Score)", 0),  # noseX
        (r"(?P<part>[xyzp]|likelihood|confidence|score)(?P<joint>[A-Z].*)", 0),  # xNose
        (rf"(?P<joint>.*?){_PART}(?P<number>\d+)", re.IGNORECASE),  # x0, poseX0
    )
)
_PIXELS = re.compile(r"[\s_]*[(\[]?(?:px|pix|pixels?)[)\]]?$", re.IGNORECASE)
_NO_JOINT = {"bbox", "box", "boundingbox", "velocity", "speed", "acceleration", "roi", "imagesize"}

# The names of other columns, without case, spaces and signs.
_COUNT = "(?:s|id|ids|idx|index|no|nr|num|number|name|count)?"
_FRAME = rf"(?:video)?frame{_COUNT}|fnum"
_PICTURE = "(?:image|img|picture|file)(?:s|id|name|path|file)?|path"
_MILLISECONDS = "(?:time|timestamp)?(?:in)?(?:ms|msecs?|milliseconds?)"
_SECONDS = "(?:time|timestamp)?(?:in)?(?:s|secs?|seconds)"
_TIME = rf"(?:trial|recording|video|elapsed)?(?:time|timestamp)(?:us|ns)?|t|ts|{_MILLISECONDS}|{_SECONDS}"
_TRACK = (
    rf"(?:track|individual|animal|subject|instance|person|object|obj|mouse|fish|hand){_COUNT}|ids?|identity|handedness"
)
# What pandas leaves over the index: nothing, a name of its own, or the name of the columns.
_ROW = "index|unnamed0|level0|bodyparts|keypoints|coords|scorer"
KEYPOINT = rf"(?:keypoint|kpt?|bodypart|part|node|joint|landmark|marker|point){_COUNT}|name|label"


class Joint(NamedTuple):
    """The places of a joint's columns; None where it has none."""

    x: int
    y: int
    z: int | None
    score: int | None


@dataclass(frozen=True)
class Grid:
    """A table with one row of column names.

    Args:
        header: the name of each column; "" for none.
        column: gives the text of the cells of a column, by its place.
        values: gives (rows, columns) float32 of some columns, by their places.
        padding: (rows) the number of rows without any cell before each row; None if there are none.
    """

    header: Sequence[str]
    column: Callable[[int], Sequence[str]]
    values: Callable[[Sequence[int]], npt.NDArray[np.float32]]
    padding: npt.NDArray[np.int64] | None = None

    def find(self, pattern: str) -> int | None:
        """The place of the first column whose name without case, spaces and signs is of this pattern."""
        matches = re.compile(pattern).fullmatch
        return next((place for place, name in enumerate(_plain_names(tuple(self.header))) if matches(name)), None)


@lru_cache(maxsize=4)
def _plain_names(header: tuple[str, ...]) -> list[str]:
    return [plain(name) if len(name) <= _MAX_NAME else "" for name in header]


def grid_of(table: Table, skip: int = 0) -> Grid:
    """The table under its first row of names, once `skip` lines are left out."""
    header = table.rows(skip, skip + 1)[0][:_MAX_COLUMNS] if len(table.lines) > skip else []
    while header and not header[-1]:
        header.pop()
    if skip and header:
        # With rows above it, the first cell names the rows of the header, and not a column.
        header[0] = ""
    first = table.data_start(skip + 1, 1)
    before = np.searchsorted(table.padding, table.numbers[first:]) if table.padding else np.zeros(0, np.int64)
    return Grid(
        header,
        lambda place: table.column(first, place),
        lambda places: table.values(first, places, len(header)),
        before - before[0] if len(before) and before[-1] > before[0] else None,
    )


def imported_rows(table: Table) -> int:
    """The number of rows above the names that SimBA fills with IMPORTED_POSE: 2, or 0 in other tables."""
    return 2 if [set(row[1:]) - {""} for row in table.rows(0, 2)] == [{"IMPORTED_POSE"}] * 2 else 0


def joint_columns(header: Sequence[str]) -> dict[str, Joint]:
    """The joints that the columns name, in their order; nothing if no joint has an x and a y.

    Raises:
        InputError: a joint with x but without y, or the other way round, or two columns for one value.
    """
    return dict(_joint_columns(tuple(header)))


@lru_cache(maxsize=4)
def _joint_columns(header: tuple[str, ...]) -> dict[str, Joint]:
    names = [_PIXELS.sub("", name) if len(name) <= _MAX_NAME else "" for name in header]
    readings = [_parts_of_joints(scheme, names) for scheme in _SCHEMES]
    best = max(readings, key=lambda joints: sum({"x", "y"} <= set(parts) for parts in joints.values()))
    joints = {joint: parts for joint, parts in best.items() if "x" in parts or "y" in parts}
    if not any({"x", "y"} <= set(parts) for parts in joints.values()):
        return {}
    for joint, parts in joints.items():
        for axis in "xy":
            if axis not in parts:
                raise InputError(f"{joint!r} has no column {axis!r}")
            if len(parts[axis]) > 1:
                raise InputError(f"column {header[parts[axis][1]]!r} comes twice")
    return {
        joint: Joint(parts["x"][0], parts["y"][0], *(parts.get(part, [None])[0] for part in ("z", "score")))
        for joint, parts in joints.items()
    }


def _parts_of_joints(scheme: re.Pattern[str], names: Sequence[str]) -> dict[str, dict[str, list[int]]]:
    """The places of the columns x, y, z and score of each joint, as a scheme reads the names."""
    joints: dict[str, dict[str, list[int]]] = {}
    for place, name in enumerate(names):
        match = scheme.fullmatch(name)
        if match is None or plain(match["joint"]) in _NO_JOINT:
            continue
        joint = match["joint"].rstrip("_. ") + (match.groupdict().get("number") or "")
        part = match["part"].casefold()
        joints.setdefault(joint, {}).setdefault(part if part in "xyz" else "score", []).append(place)
    return joints


class RowPlaces(NamedTuple):
    """Where the rows of a table belong in the result.

    Args:
        tracks: the names of the tracks.
        frames: the frame numbers, without gaps; None where frames are simply counted.
        num_frames: T.
        track: (rows) the index of each row's track.
        frame: (rows) the index of each row's frame.
        fps: frames a second, if the table tells.
        columns: the places of the columns that were used.
        notes, warnings: how they were read.
    """

    tracks: Sequence[str]
    frames: npt.NDArray[np.int64] | None
    num_frames: int
    track: npt.NDArray[np.int64]
    frame: npt.NDArray[np.int64]
    fps: float | None
    columns: Collection[int]
    notes: Sequence[str]
    warnings: Sequence[str]


def row_places(grid: Grid, rows: int, joints: int, used: Collection[int]) -> RowPlaces:
    """Tracks and frames of the rows, by columns such as `frame`, `time`, `image`, `track`, `individual`.

    Args:
        rows: the number of rows.
        joints: J, for the size of the array that will hold all frames.
        used: columns that are something else.

    Raises:
        InputError: frame numbers that cannot be.
    """
    free = replace(grid, header=["" if place in used else name for place, name in enumerate(grid.header)])
    frame, time, picture, track = (free.find(pattern) for pattern in (_FRAME, _TIME, _PICTURE, _TRACK))
    row_index = 0 if not grid.header[0] else free.find(_ROW)
    mark = next((place for place in (frame, time, picture, row_index) if place is not None), None)
    columns = {place for place in (frame, time, track, mark, row_index) if place is not None}
    names, track_of = _tracks(grid.column(track) if track is not None else [""] * rows)
    if mark is None and 1 < len(names) == rows:
        # A number for each row is not an animal's.
        names, track_of = _tracks([""] * rows)
    if mark is None:
        if len(names) > 1:
            raise InputError(f"has {len(names)} tracks but no column of frames, wanted one named frame or time")
        return _counted(grid, rows, columns, names, track_of)
    cells = grid.column(mark)
    distinct = list(dict.fromkeys(cells))
    try:
        marks = frames_of_rows(distinct, _unit(grid.header[mark], distinct) if mark == time else None)
    except InputError as error:
        if "" not in cells:
            raise
        row = cells.index("") + 1
        raise InputError(f"row {row} of {rows} has no frame number or time, but the others do") from error
    fps = marks.fps
    if frame is not None and time is not None:
        fps = _rate(grid.header[time], dict(zip(cells, grid.column(time), strict=True)))
    if marks.numbers is None and mark == row_index:
        distinct, cells = list(map(str, range(rows))), list(map(str, range(rows)))
    order = {cell: index for index, cell in enumerate(distinct)}
    place = np.array([order[cell] for cell in cells], dtype=np.int64)
    frames, num_frames = None, len(distinct)
    if marks.numbers is not None and len(distinct):
        numbers, inverse = np.unique(marks.numbers, return_inverse=True)
        frames, spread = (numbers, np.arange(len(numbers))) if marks.pictures else fill_gaps(numbers, joints)
        place, num_frames = spread[inverse.reshape(-1)][place], len(frames)
    if 1 < len(names) == rows == len(np.unique(place)):
        names, track_of = _tracks([""] * rows)
    check_size(len(names), num_frames, joints)
    return RowPlaces(names, frames, num_frames, track_of, place, fps, columns, marks.notes, marks.warnings)


def _counted(
    grid: Grid, rows: int, columns: Collection[int], names: Sequence[str], track_of: npt.NDArray[np.int64]
) -> RowPlaces:
    """Rows without a mark: each is the next frame, those without any cell too."""
    if grid.padding is None:
        return RowPlaces(names, None, rows, track_of, np.arange(rows), None, columns, (), ())
    frame = np.arange(rows) + grid.padding
    note = f"rows without any cell: {grid.padding[-1]}; they are frames in which everything is hidden"
    return RowPlaces(names, None, int(frame[-1]) + 1, track_of, frame, None, columns, (note,), ())


def refuse_repeated(places: RowPlaces, key: npt.NDArray[np.int64], names: Sequence[str] | None = None) -> None:
    """Raises InputError where two rows have the same key, which tells track, frame and, with `names`, joint apart."""
    order = np.argsort(key, kind="stable")
    twice = order[1:][np.diff(key[order]) == 0]
    if len(twice) == 0:
        return
    row = int(twice[0])
    frame = int(places.frame[row]) if places.frames is None else int(places.frames[places.frame[row]])
    joint = f" of {names[row]!r}" if names is not None else ""
    several = "" if len(places.tracks) > 1 else "; several animals need a column 'track' or 'individual'"
    raise InputError(f"frame {frame}{joint} comes twice{several}")


def _tracks(cells: Sequence[str]) -> tuple[list[str], npt.NDArray[np.int64]]:
    """The names of the tracks, and the index of each row's."""
    distinct = {cell: index for index, cell in enumerate(dict.fromkeys(cells or [""]))}
    names = []
    for cell in distinct:
        number = re.fullmatch(r"(-?\d+)(?:\.0*)?", cell or "0")
        names.append(f"track_{number[1]}" if number is not None else cell)
    return names, np.array([distinct[cell] for cell in cells], dtype=np.int64)


def _unit(name: str, cells: Sequence[str]) -> float | None:
    """The seconds of one unit of a column of times; None for seconds or frame numbers, to be told by the cells."""
    if re.fullmatch(_MILLISECONDS, plain(name)):
        return 1e-3
    times = seconds_in([cell for cell in cells if cell])
    if times is None or len(times) < 2 or not np.isfinite(times).all() or (times != np.rint(times)).any():
        return None
    if re.fullmatch(_SECONDS, plain(name)) and "." in "".join(cells[:3]):
        return 1.0
    step = float(np.median(np.diff(np.sort(times))))
    # Whole numbers: of the units, the one that gives a camera's frame rate.
    return next((unit for unit, least in ((1e-9, 1e6), (1e-6, 1e3), (1e-3, 2)) if step >= least), None)


def _rate(name: str, time_of_frame: Mapping[str, str]) -> float | None:
    """Frames a second, where the column of times tells a steady rate beside the frame numbers."""
    cells = list(time_of_frame.values())
    times = seconds_in(cells)
    read = frames_of_seconds(times * (_unit(name, cells) or 1)) if times is not None else None
    return read[1] if read is not None and 1 <= read[1] <= 10_000 else None
