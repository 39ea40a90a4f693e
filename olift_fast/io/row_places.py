"""Finds the frame and the track of each row of a table, by columns such as `frame`, `time`, `image` and `track`."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from olift_fast.errors import InputError
from olift_fast.io.columns import COUNT, Grid
from olift_fast.io.csv_table import is_missing, left_out
from olift_fast.io.frame_numbers import VIDEO, RowFrames, frames_of_rows, frames_of_seconds, same_times, seconds_in
from olift_fast.io.parsed import Parsed, check_size
from olift_fast.io.pictures import name_kind
from olift_fast.tracks.skeleton import plain

# The names of columns, without case, spaces and signs.
_FRAME = rf"(?:video)?frame{COUNT}|fnum"
_PICTURE = "(?:image|img|picture|file)(?:s|id|name|path|file)?|path"
_MILLISECONDS = "(?:time|timestamp)?(?:in)?(?:ms|msecs?|milliseconds?)"
_SECONDS = "(?:time|timestamp)?(?:in)?(?:s|secs?|seconds)"
_TIME = rf"(?:trial|recording|video|elapsed)?(?:time|timestamp)(?:us|ns)?|t|ts|{_MILLISECONDS}|{_SECONDS}"
_WHICH = COUNT.replace("|count", "")  # A count of animals does not tell which one.
_TRACK = rf"(?:track|individual|animal|subject|instance|person|object|obj|mouse|fish|hand){_WHICH}|identity|handedness"
_ID = "ids?"
_VIDEO = (
    "(?:source|src)?(?:video|recording|camera|cam|view)(?:s|id|idx|index|no|nr|num|number|name|file|filename|path)?"
)
# These columns tell recordings apart only if each recording's frames are numbered anew.
_TRIAL = "(?:trial|session|clip|sequence)(?:id|idx|index|no|nr|num|number|name)?"
# What pandas may write above the index: nothing, a name of its own, or the name of the columns' labels.
_ROW = "index|unnamed0|level0|bodyparts|keypoints|coords|scorer"


class RowPlaces(NamedTuple):
    """Where the rows of a table belong in the result.

    Args:
        tracks: the names of the tracks.
        frames: the frame numbers, without gaps; None if frames are simply counted.
        num_frames: T.
        track: (rows) the index of each row's track.
        frame: (rows) the index of each row's frame.
        fps: frames a second, if the table tells.
        columns: the places of the columns that were used.
        notes: how these columns were read.
        warnings: what could not be read from them.
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


def row_places(grid: Grid, rows: int, joints: int, used: Collection[int], each: int = 1) -> RowPlaces:
    """Tracks and frames of the rows, by columns such as `frame`, `time`, `image`, `track`, `individual`, `video`.

    Args:
        rows: the number of rows.
        joints: J, for the size of the array that will hold all frames.
        used: the places of columns that hold something else.
        each: how many rows one track has in a frame, at most.

    Raises:
        InputError: several tracks without a column of frames, a row without a frame number among rows that have one,
            or numbers that are too far apart to be frame numbers.
    """
    columns, cells, recordings = _columns_of(grid, rows, used, each)
    own = grid.column(columns.track) if columns.track is not None else [""] * rows
    names, track_of = _tracks(own, cells, recordings)
    if cells is None:
        if 1 < len(names) == rows and not recordings:
            # A column with another value in each row numbers the rows, not the animals.
            names, track_of = _tracks([""] * rows)
        if len(names) > 1:
            raise InputError(f"has {len(names)} tracks but no column of frames, wanted one named frame or time")
        return _counted(grid, rows, columns.read, names, track_of)
    cells, marks = _marks(grid, columns, cells, track_of, len(names))
    distinct = list(dict.fromkeys(cells))
    fps = marks.fps
    if columns.frame is not None and columns.time is not None:
        times = dict(zip(cells, grid.column(columns.time), strict=True))
        fps = _rate(grid.header[columns.time], times)
    if marks.recordings:
        of_cell = dict(zip(distinct, marks.recordings, strict=True))
        names, track_of = _side_by_side(names, track_of, [of_cell[cell] for cell in cells])
    notes = list(marks.notes)
    if recordings:
        name = grid.header[columns.recording or 0]
        notes.append(f"{len(set(recordings))} recordings by the column {name!r}, side by side")
    if marks.numbers is None and columns.mark == columns.row_index:
        distinct, cells = list(map(str, range(rows))), list(map(str, range(rows)))
    order = {cell: index for index, cell in enumerate(distinct)}
    place = np.array([order[cell] for cell in cells], dtype=np.int64)
    frames, num_frames = None, len(distinct)
    if marks.numbers is not None and len(distinct):
        frames, places = marks.places(joints)
        place, num_frames = places[place], len(frames)
    if 1 < len(names) == rows == len(np.unique(place)) and not recordings and not marks.recordings:
        names, track_of = _tracks([""] * rows)
    check_size(len(names), num_frames, joints)
    return RowPlaces(names, frames, num_frames, track_of, place, fps, columns.read, notes, marks.warnings)


class _Columns(NamedTuple):
    """The places of the columns that tell where a row belongs; None for a column that the table does not have.

    `mark` is the column that tells the frame of a row: the one of frame numbers, of times, of pictures, or the index.
    """

    frame: int | None
    time: int | None
    row_index: int | None
    mark: int | None
    track: int | None
    recording: int | None

    @property
    def read(self) -> set[int]:
        """The places of all of them."""
        return {place for place in self if place is not None}


def _columns_of(
    grid: Grid, rows: int, used: Collection[int], each: int
) -> tuple[_Columns, Sequence[str] | None, Sequence[str]]:
    """The columns that are not `used`, the cells that mark the rows' frames, and the recording of each row.

    The cells are None without such a column. The recordings are empty if there is only one.
    """
    free = replace(grid, header=["" if place in used else name for place, name in enumerate(grid.header)])
    frame, time, picture = (free.find(pattern) for pattern in (_FRAME, _TIME, _PICTURE))
    animal = free.find(f"{_TRACK}|{_ID}")
    animals = len(set(grid.column(animal))) if animal is not None else 1
    if picture is not None and _names_no_frame(grid.column(picture), each * animals):
        picture = None
    row_index = 0 if not grid.header[0] else free.find(_ROW)
    mark = next((place for place in (frame, time, picture, row_index) if place is not None), None)
    cells = grid.column(mark) if mark is not None else None
    track = _track_column(free, cells, rows, each)
    recording, recordings = _recordings(free, cells, track, frame is not None or time is not None)
    return _Columns(frame, time, row_index, mark, track, recording), cells, recordings


def _marks(
    grid: Grid, columns: _Columns, cells: Sequence[str], track_of: npt.NDArray[np.int64], tracks: int
) -> tuple[Sequence[str], RowFrames]:
    """The cells that mark the rows' frames, with one text for each frame, and the frame numbers that they give.

    Raises:
        InputError: as `frames_of_rows`.
    """
    mark, unit = columns.mark, None
    assert mark is not None
    if mark == columns.time:
        most = int(np.bincount(track_of).argmax()) if len(cells) else 0
        unit = unit_of(grid.header[mark], [cell for cell, track in zip(cells, track_of, strict=True) if track == most])
    if mark == columns.time or (mark == columns.row_index and tracks > 1):
        cells = same_times(cells, track_of)
    kind = "time" if mark == columns.time else "frame" if mark == columns.frame else ""
    try:
        return cells, frames_of_rows(list(dict.fromkeys(cells)), unit, kind)
    except InputError as error:
        if "" not in cells:
            raise
        row = cells.index("") + 1
        raise InputError(f"row {row} of {len(cells)} has no frame number or time, but the others do") from error


def _names_no_frame(cells: Sequence[str], most: int) -> bool:
    """Whether a column of files names no frame: it names the video, or one file in more rows than a frame has."""
    return (len(set(cells)) == 1 and len(cells) > most) or _all_videos(cells)


def _track_column(free: Grid, marks: Sequence[str] | None, rows: int, each: int) -> int | None:
    """The place of the column that tells the animal; None if there is none, or only one that numbers the rows."""
    several = marks is None or len(set(marks)) > 1 or each > 1
    for pattern in (_TRACK, _ID):
        place = free.find(pattern)
        if place is None:
            continue
        numbers_rows = (pattern == _ID or each > 1) and several and rows > 1
        if not (numbers_rows and len(set(free.column(place))) == rows):
            return place
    return None


def _recordings(
    free: Grid, marks: Sequence[str] | None, track: int | None, numbered: bool
) -> tuple[int | None, Sequence[str]]:
    """The column that tells recordings apart, and the recording of each row; None and nothing if there is only one.

    Args:
        marks: (rows) what marks the frame of each row.
        track: the place of the column of tracks.
        numbered: whether the rows have frame numbers or times.
    """
    video, trial, picture = (free.find(pattern) for pattern in (_VIDEO, _TRIAL, _PICTURE))
    for place in (video, picture, trial):
        if place is None:
            continue
        cells = [re.split(r"[\\/]", cell)[-1] if place == video else cell for cell in free.column(place)]
        if len(set(cells)) != len(set(free.column(place))):
            cells = list(free.column(place))
        if place == picture:
            if not numbered:
                continue
            cells = [cell if re.search(rf"{VIDEO}$", cell[-10:], re.IGNORECASE) else name_kind(cell) for cell in cells]
        if len(set(cells)) in (1, len(cells)):
            continue
        if place == video or (place == picture and _all_videos(cells)):
            return place, cells
        keys = list(zip(marks or (), free.column(track) if track is not None else [""] * len(cells), strict=False))
        if len(set(zip(keys, cells, strict=False))) > len(set(keys)):
            return place, cells
    return None, ()


def _all_videos(cells: Sequence[str]) -> bool:
    return all(re.search(rf"{VIDEO}$", cell[-10:], re.IGNORECASE) for cell in set(cells))


def _counted(
    grid: Grid, rows: int, columns: Collection[int], names: Sequence[str], track_of: npt.NDArray[np.int64]
) -> RowPlaces:
    """The places of rows without a mark: each is the next frame. Empty rows of the file count as frames, too."""
    if grid.padding is None:
        return RowPlaces(names, None, rows, track_of, np.arange(rows), None, columns, (), ())
    frame = np.arange(rows) + grid.padding
    note = f"empty rows: {grid.padding[-1]}; they are frames in which everything is hidden"
    return RowPlaces(names, None, int(frame[-1]) + 1, track_of, frame, None, columns, (note,), ())


def placed(parsed: Parsed, places: RowPlaces, grid: Grid, used: Collection[int]) -> Parsed:
    """`parsed` with the tracks, frames and notes of `places`, and a note of the columns that were left out.

    Args:
        used: the places of the columns that were read.
    """
    read = {*used, *places.columns}
    beside = [name for place, name in enumerate(grid.header) if name and place not in read]
    return replace(
        parsed,
        tracks=places.tracks,
        frames=places.frames,
        fps=places.fps,
        notes=(*left_out(beside), *places.notes),
        warnings=places.warnings,
    )


def refuse_repeated(places: RowPlaces, key: npt.NDArray[np.int64], names: Sequence[str] | None = None) -> None:
    """Raises InputError if two rows have the same key.

    Args:
        places: the rows' places.
        key: (rows) a number that differs for each track and frame, and with `names` for each joint.
        names: (rows) the names of the joints, for the message.
    """
    order = np.argsort(key, kind="stable")
    twice = order[1:][np.diff(key[order]) == 0]
    if len(twice) == 0:
        return
    row = int(twice[0])
    frame = int(places.frame[row]) if places.frames is None else int(places.frames[places.frame[row]])
    joint = f" of {names[row]!r}" if names is not None else ""
    several = "" if len(places.tracks) > 1 else "; several animals need a column 'track' or 'individual'"
    raise InputError(f"frame {frame}{joint} comes twice{several}")


def _tracks(
    cells: Sequence[str], marks: Sequence[str] | None = None, recordings: Sequence[str] = ()
) -> tuple[list[str], npt.NDArray[np.int64]]:
    """The names of the tracks, and the index of each row's track.

    A row without a name belongs to the only animal that has no row in its frame. If that is not clear, the row belongs
    to a track "unnamed".

    Args:
        cells: (rows) the names.
        marks: (rows) what marks the frame of each row.
        recordings: (rows) the recording of each row; nothing if there is one.
    """
    labels = [_track_name(cell) for cell in cells] or [""]
    named = [name for name in dict.fromkeys(labels) if name]
    if named and "" in labels and marks is not None:
        labels = _with_lost_names(labels, named, list(zip(recordings or [""] * len(marks), marks, strict=True)))
    nameless = "unnamed" if named else "track_0"
    distinct = {name: index for index, name in enumerate(dict.fromkeys(labels))}
    track_of = np.array([distinct[name] for name in labels[: len(cells)]], dtype=np.int64)
    names = [name or nameless for name in distinct]
    return _side_by_side(names, track_of, recordings) if recordings else (names, track_of)


def _track_name(cell: str) -> str:
    """The name of a track from its cell: track_3 for a number; "" for the marks that tools write for no track."""
    number = re.fullmatch(r"(-?\d+)(?:\.0*)?", cell)
    return f"track_{number[1]}" if number is not None else "" if is_missing(cell) else cell


def _with_lost_names(labels: Sequence[str], named: Sequence[str], frames: Sequence[tuple[str, str]]) -> list[str]:
    """The names, filled in where a row of a frame has none and only one animal is missing in that frame."""
    there: dict[tuple[str, str], set[str]] = {}
    for frame, label in zip(frames, labels, strict=True):
        there.setdefault(frame, set()).add(label)
    lost = {
        frame: next(name for name in named if name not in seen)
        for frame, seen in there.items()
        if "" in seen and len(seen) == len(named)
    }
    return [label or lost.get(frame, "") for frame, label in zip(frames, labels, strict=True)]


def _side_by_side(
    names: Sequence[str], track_of: npt.NDArray[np.int64], recordings: Sequence[str]
) -> tuple[list[str], npt.NDArray[np.int64]]:
    """The tracks of each recording, named recording/track."""
    keys = [f"{recording}/{names[track]}" for recording, track in zip(recordings, track_of.tolist(), strict=True)]
    distinct = {key: index for index, key in enumerate(dict.fromkeys(keys))}
    return list(distinct), np.array([distinct[key] for key in keys], dtype=np.int64)


def kind_of(name: str) -> str:
    """What a column of this name holds: "frame" numbers, "time", or "" for neither."""
    kinds = (("frame", _FRAME), ("time", _TIME))
    return next((kind for kind, pattern in kinds if re.fullmatch(pattern, plain(name[:100]))), "")


def unit_of(name: str, cells: Sequence[str]) -> float | None:
    """The length of one unit of a column of times, in seconds; None if the form of the cells has to tell."""
    if re.fullmatch(_MILLISECONDS, plain(name)):
        return 1e-3
    if any(not re.fullmatch(r"[-+\d.,eE]*", cell) for cell in cells):
        return None  # Clocks, dates, and numbers with a unit.
    times = seconds_in([cell for cell in cells if cell])
    if times is None or len(times) < 2 or not np.isfinite(times).all() or (times != np.rint(times)).any():
        return None
    if re.fullmatch(_SECONDS, plain(name)) and "." in "".join(cells[:3]):
        return 1.0
    step = float(np.median(np.diff(np.unique(times)))) if times.max() > times.min() else 0.0
    # Whole numbers: take the unit by which the times between frames are those of a camera.
    return next((unit for unit, least in ((1e-9, 1e6), (1e-6, 1e3), (1e-3, 2)) if step >= least), None)


def _rate(name: str, time_of_frame: Mapping[str, str]) -> float | None:
    """Frames a second, if a column of times beside the frame numbers has a steady rate; else None."""
    cells = list(time_of_frame.values())
    times = seconds_in(cells)
    read = frames_of_seconds(times * (unit_of(name, cells) or 1)) if times is not None else None
    return read[1] if read is not None and 1 <= read[1] <= 10_000 else None
