"""DeepLabCut's tables in HDF5, as pandas writes them; read by h5py alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from olift_fast.errors import InputError
from olift_fast.io.columns import Grid, joint_columns
from olift_fast.io.csv_table import left_out
from olift_fast.io.format import Format
from olift_fast.io.frame_numbers import frames_of_rows
from olift_fast.io.open_container import HDF5
from olift_fast.io.pandas_tables import PandasTable, holds_tables, read_table
from olift_fast.io.parsed import Parsed
from olift_fast.io.readers.deeplabcut import from_columns
from olift_fast.io.readers.flat_csv import read_grid

#: What a column of frame numbers is called.
_INDEX = {"index", "frame", "frames", "time", "level_0"}
_LEVELS = ("scorer", "individuals", "bodyparts", "coords")


def read_deeplabcut_h5(file: h5py.File) -> Parsed:
    """The table, read by the same rules as a csv: several animals, unique body parts, hand labels.

    A table whose columns have one name each, such as nose_x, is read like a csv of such names.

    Raises:
        InputError: no table of keypoints, several tables, 3D points, and as `from_columns`.
    """
    table = read_table(file)
    if table.columns and len(table.columns[0]) == 1:
        return _read_flat(table)
    columns, notes = _columns(table)
    index, made = table.index, 0
    if columns and not columns[0][2] and table.columns[0][0].casefold() in _INDEX:
        # The table's index has become its first column.
        index, made = table.values[:, 0], 1
    values = table.values
    others = [max(label, key=len) for label, (*_, axis) in zip(table.columns, columns, strict=True) if not axis]
    if others:
        places = [place for place, (*_, axis) in enumerate(columns) if axis]
        columns, values = [columns[place] for place in places], values[:, places]
    parsed = from_columns(columns, values, frames_of_rows(*_cells(index)))
    return replace(parsed, notes=(*parsed.notes, *left_out(others[made:]), *notes))


def _read_flat(table: PandasTable) -> Parsed:
    """A table with one row of column names; its index is a column before them."""
    names = [name for (name,) in table.columns]
    if not joint_columns(names):
        raise InputError(
            "columns must be scorer, [individuals,] bodyparts, coords, or named as nose_x and nose_y, got "
            f"{', '.join(names):.80}"
        )
    marks, unit = _cells(table.index)
    header = ["" if unit is None else "seconds", *names]

    def column(place: int) -> list[str]:
        if place == 0:
            return marks
        return ["" if value != value else f"{value:.17g}" for value in table.values[:, place - 1].tolist()]

    return read_grid(Grid(header, column, lambda places: table.values[:, np.array(places) - 1].astype(np.float32)))


def _cells(index: npt.NDArray[Any]) -> tuple[list[str], float | None]:
    """The index as a csv has it, and the length of its unit in seconds if it is known to hold times."""
    if index.dtype.kind not in "mM":
        return [str(mark) for mark in index.tolist()], None
    nanoseconds = index.astype(f"{index.dtype.kind}8[ns]").astype(np.int64)
    if index.dtype.kind == "M" and len(index):
        # float64 has too few digits for seconds since 1970.
        nanoseconds = nanoseconds - nanoseconds[0]
    return [str(mark) for mark in (nanoseconds / 1e9).tolist()], 1.0


def _columns(table: PandasTable) -> tuple[list[tuple[str, str, str]], list[str]]:
    """The individual, the body part and the coordinate of each column, and notes.

    Levels without names are recognized by their labels: coords has x and y, and scorer has only one label.
    """
    depth = len(table.columns[0]) if table.columns else 0
    named = tuple(table.levels or [""] * depth)
    levels, notes = list(named), []
    if 1 < depth <= len(_LEVELS) and len(named) == depth and "" in named:
        told = _told_by_labels(table.columns)
        if told and all(name in ("", guess) for name, guess in zip(named, told, strict=True)):
            levels, notes = told, [f"levels of the columns have no names: they are taken as {', '.join(told)}"]
    if "bodyparts" not in levels or "coords" not in levels or len(levels) != depth:
        got = ", ".join(name or "one without a name" for name in table.levels or ()) or f"{depth} levels"
        raise InputError(f"columns must be scorer, [individuals,] bodyparts, coords, got {got}")
    parts, coords = levels.index("bodyparts"), levels.index("coords")
    who = levels.index("individuals") if "individuals" in levels else None
    return [
        ("track_0" if who is None else label[who], label[parts], label[coords].casefold()) for label in table.columns
    ], notes


def _told_by_labels(columns: Sequence[tuple[str, ...]]) -> list[str]:
    """The names of the levels in DeepLabCut's order if the labels fit them; else nothing."""
    labels = [dict.fromkeys(level) for level in zip(*columns, strict=True)]
    if not {"x", "y"} <= {label.casefold() for label in labels[-1]}:
        return []
    # A table without the scorer has individuals first.
    single = len(labels) == 3 and len({label for label in labels[0] if label}) > 1
    if single or len(labels) == 2:
        return [*_LEVELS[1:][-len(labels) :]]
    return ["scorer", *_LEVELS[1:][1 - len(labels) :]]


FORMAT = Format(
    name="deeplabcut-h5",
    extensions=(".h5",),
    example="mouseDLC_resnet50.h5",
    extra=None,
    description="DeepLabCut's pandas tables",
    containers=(HDF5,),
    matches=holds_tables,
    read=read_deeplabcut_h5,
    recognized_by="a pandas table in HDF5",
    takes="as `deeplabcut`, or as `flat-csv` by the names of the columns; both of pandas' layouts (`table`, `fixed`), "
    "uncompressed or with zlib; of several tables the one called `df_with_missing`, or the only one of body parts",
    hint="DeepLabCut",
)
