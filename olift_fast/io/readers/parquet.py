"""Parquet tables of keypoints, such as the International Brain Lab's; opened by pyarrow."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from olift_fast.errors import InputError
from olift_fast.io.columns import Grid, joint_columns, untupled
from olift_fast.io.extra import require
from olift_fast.io.format import Format
from olift_fast.io.open_container import PARQUET
from olift_fast.io.parsed import Parsed, check_size
from olift_fast.io.readers import flat_csv, long_csv, mediapipe_csv


def read_parquet(path: Path) -> Parsed:
    """The keypoints of a table whose columns are named as in a csv: nose_x, nose_y, … or frame, keypoint, x, y.

    The International Brain Lab's _ibl_leftCamera.dlc.pqt and _ibl_leftCamera.lightningPose.pqt are of the first kind.

    Raises:
        InputError: the file is not readable or too large, has no keypoints, 3D points, or cells that are not numbers.
        MissingExtraError: the extra `io` is not installed.
    """
    grid = _open(path)
    if mediapipe_csv.is_mediapipe(grid):
        return mediapipe_csv.read_grid(grid)
    rows = long_csv.long_columns(grid)
    if rows is not None:
        return long_csv.read_grid(grid, rows)
    if not joint_columns(grid.header):
        raise InputError("a Parquet table without columns such as nose_x, nose_y, wanted one of keypoints")
    return flat_csv.read_grid(grid)


def _open(path: Path) -> Grid:
    parquet = require("pyarrow.parquet", "reading Parquet tables")
    compute = require("pyarrow.compute", "reading Parquet tables")
    try:
        announced = parquet.read_metadata(path)
        check_size(1, announced.num_rows, announced.num_columns)
        content = parquet.read_table(path)
    except (OSError, ValueError, NotImplementedError) as error:
        raise InputError(f"not a readable Parquet file (cut short?): {error}") from error

    def column(place: int) -> list[str]:
        return ["" if value is None else str(value) for value in content.column(place).to_pylist()]

    def values(places: Sequence[int]) -> npt.NDArray[np.float32]:
        columns = [compute.cast(content.column(place), "float32", safe=False) for place in places]
        return np.stack([column.to_numpy() for column in columns], axis=-1).astype(np.float32)

    # pandas gives this name to the column of an index without a name.
    names = untupled(["index" if re.fullmatch(r"__index_level_\d+__", name) else name for name in content.column_names])
    rows = _range_index(content.schema.pandas_metadata, content.num_rows)
    if rows is not None and "index" not in names and joint_columns(names):
        numbers, place = [str(row) for row in rows], len(names)
        return Grid([*names, "index"], lambda index: numbers if index == place else column(index), values)
    return Grid(names, column, values)


def _range_index(metadata: Mapping[str, Any] | None, rows: int) -> range | None:
    """The numbers of the rows, which pandas keeps beside the columns; None if they just count from 0."""
    given = (metadata or {}).get("index_columns") or [None]
    if not isinstance(given[0], dict) or given[0].get("kind") != "range":
        return None
    found = range(*(int(given[0][key]) for key in ("start", "stop", "step")))
    return found if len(found) == rows and found != range(rows) else None


FORMAT = Format(
    name="parquet",
    extensions=(".pqt", ".parquet"),
    example="_ibl_leftCamera.lightningPose.pqt",
    extra="io",
    description="Parquet tables, such as the International Brain Lab's",
    containers=(PARQUET,),
    matches=lambda path: True,
    read=read_parquet,
    recognized_by="Parquet",
    takes="as `flat-csv`, `long-csv` or `mediapipe-csv`, by the names of the columns",
)
