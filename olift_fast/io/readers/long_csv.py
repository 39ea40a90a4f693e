"""Tables with a row for each keypoint: frame, keypoint, x, y; movement's data frames among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from olift_fast.errors import InputError
from olift_fast.io.columns import KEYPOINT, SCORES, Grid, grid_of, without_marks
from olift_fast.io.csv_table import Table
from olift_fast.io.format import Format
from olift_fast.io.open_container import TABLE
from olift_fast.io.parsed import Parsed, check_size, refuse_3d
from olift_fast.io.row_places import placed, refuse_repeated, row_places

_AXIS = "{0}(?:coords?|coordinate|pos|position|px|pixels?)?|(?:pos|position|coord){0}"
_SCORE = f"{SCORES}|p"
_SPACE, _POSITION = "space|coords?|axis", "position|value"


@dataclass(frozen=True)
class LongColumns:
    """The places of the columns of a table with a row for each keypoint; None for a column that is not there.

    Args:
        keypoint: the keypoint's name or number.
        x, y, z: its coordinates.
        space, position: instead of x and y: the axis, and the coordinate on it.
        score: its confidence.
    """

    keypoint: int
    x: int | None
    y: int | None
    z: int | None
    space: int | None
    position: int | None
    score: int | None

    @property
    def used(self) -> set[int]:
        """The places of the columns that are there."""
        return {place for place in vars(self).values() if place is not None}


def long_columns(grid: Grid) -> LongColumns | None:
    """The columns of a table with a row for each keypoint; None if this is another kind of table."""
    keypoint = grid.find(KEYPOINT)
    x, y, z = (grid.find(_AXIS.format(axis)) for axis in "xyz")
    space, position = grid.find(_SPACE), grid.find(_POSITION)
    if keypoint is None or ((x is None or y is None) and (space is None or position is None)):
        return None
    if x is None or y is None:
        return LongColumns(keypoint, None, None, None, space, position, grid.find(_SCORE))
    return LongColumns(keypoint, x, y, z, None, None, grid.find(_SCORE))


def read_long_csv(table: Table) -> Parsed:
    """The keypoints of a table with a row for each: frame or time, keypoint, x, y, and optionally score and track.

    In a data frame of movement, x and y are in rows of their own, and the column `space` tells which is which.

    Raises:
        InputError: 3D points, no column of frames, a keypoint that comes twice, cells that are not numbers.
    """
    grid = grid_of(table)
    columns = long_columns(grid)
    if columns is None:
        raise InputError(f"header lacks columns keypoint, x and y, got {', '.join(grid.header[:6])}")
    return read_grid(grid, columns)


def read_grid(grid: Grid, columns: LongColumns) -> Parsed:
    """`read_long_csv` for a table that is open already.

    Raises:
        InputError: as `read_long_csv`.
    """
    if columns.z is not None and (np.nan_to_num(grid.values([columns.z])) != 0).any():
        raise refuse_3d()
    return without_marks(read_rows(grid, columns), deep=columns.z is not None)


def read_rows(grid: Grid, columns: LongColumns) -> Parsed:
    """Tracks from the rows of keypoints; z is not read.

    Raises:
        InputError: no column of frames, a row without a keypoint's name, a keypoint that comes twice, cells that are
            not numbers.
    """
    cells = grid.column(columns.keypoint)
    if "" in cells:
        raise InputError(f"row {list(cells).index('') + 1} of {len(cells)} names no keypoint, but has other cells")
    names = list(dict.fromkeys(cells))
    joint_of = {name: joint for joint, name in enumerate(names)}
    joint = np.array([joint_of[cell] for cell in cells], dtype=np.int64)
    each = len(names) * (1 if columns.space is None else 3)
    places = row_places(grid, len(cells), len(names), columns.used, each)
    if places.frames is None and places.num_frames == len(cells) > 1:
        raise InputError("has a row for each keypoint but no column of frames, wanted one named frame or time")
    check_size(len(places.tracks), places.num_frames, len(names))
    keypoints = np.full((len(places.tracks), places.num_frames, len(names), 2), np.nan, np.float32)
    confidence = np.full(keypoints.shape[:3], np.nan, np.float32)
    row = (places.track * places.num_frames + places.frame) * len(names) + joint
    where = places.track, places.frame, joint
    if columns.position is not None and columns.space is not None:
        axis = _axes(grid.column(columns.space))
        refuse_repeated(places, row * 3 + axis, cells)
        values = grid.values([columns.position])[:, 0]
        for number in (0, 1):
            own = axis == number
            keypoints[places.track[own], places.frame[own], joint[own], number] = values[own]
        own = axis == 2
        confidence[places.track[own], places.frame[own], joint[own]] = values[own]
    else:
        assert columns.x is not None and columns.y is not None
        refuse_repeated(places, row, cells)
        keypoints[where] = grid.values([columns.x, columns.y])
    if columns.score is not None:
        confidence[where] = grid.values([columns.score])[:, 0]
    return placed(Parsed(keypoints, confidence, names), places, grid, columns.used)


def _axes(cells: Sequence[str]) -> npt.NDArray[np.int64]:
    """0 for x, 1 for y, and 2 for the score, which may be in rows of its own."""
    number = {"x": 0, "y": 1, **dict.fromkeys(_SCORE.split("|"), 2)}
    found = [cell.casefold() for cell in cells]
    if "z" in found:
        raise refuse_3d()
    other = next((cell for cell in found if cell not in number), None)
    if other is not None:
        raise InputError(f"column of axes must hold x and y, got {other!r:.40}")
    return np.array([number[cell] for cell in found], dtype=np.int64)


FORMAT = Format(
    name="long-csv",
    extensions=(".csv",),
    example="keypoints.csv",
    extra=None,
    description="tables with a row for each keypoint",
    containers=(TABLE,),
    matches=lambda table: long_columns(grid_of(table)) is not None,
    read=read_long_csv,
    recognized_by="a column `keypoint`, `bodypart`, `joint`, … beside `x` and `y`, or beside `space` and `position`",
    takes="x, y, score; `frame`, `time` or `image`; tracks by `track`, `individual`, …; the recordings of a `video` "
    "or `camera` side by side; other columns are left out",
    hint="frame,keypoint,x,y",
)
