"""DeepLabCut's tables in HDF5, as pandas writes them; read by h5py alone."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from olift_fast.errors import InputError
from olift_fast.io.format import Format
from olift_fast.io.frame_numbers import frames_of_rows
from olift_fast.io.open_container import HDF5
from olift_fast.io.pandas_tables import PandasTable, holds_tables, read_table
from olift_fast.io.parsed import Parsed
from olift_fast.io.readers.deeplabcut import from_columns

_LEVELS = {3: ("scorer", "bodyparts", "coords"), 4: ("scorer", "individuals", "bodyparts", "coords")}


def read_deeplabcut_h5(file: h5py.File) -> Parsed:
    """The table, read by the same rules as a csv: several animals, unique body parts, hand labels.

    Raises:
        InputError: not a table of DeepLabCut's, or 3D points.
    """
    table = read_table(file)
    return from_columns(_columns(table), table.values, frames_of_rows(*_cells(table.index)))


def _cells(index: npt.NDArray[Any]) -> tuple[list[str], float | None]:
    """The index as a csv would have it, and the seconds of one unit where it is known to hold times."""
    if index.dtype.kind not in "mM":
        return [str(mark) for mark in index.tolist()], None
    nanoseconds = index.astype(f"{index.dtype.kind}8[ns]").astype(np.int64)
    if index.dtype.kind == "M" and len(index):
        # A double has too few digits for seconds since 1970.
        nanoseconds = nanoseconds - nanoseconds[0]
    return [str(mark) for mark in (nanoseconds / 1e9).tolist()], 1.0


def _columns(table: PandasTable) -> list[tuple[str, str, str]]:
    """The individual, the body part and the coordinate of each column."""
    depth = len(table.columns[0]) if table.columns else 0
    levels = _LEVELS.get(depth, ()) if table.levels is None else table.levels
    if depth not in _LEVELS or "bodyparts" not in levels or "coords" not in levels or len(levels) != depth:
        raise InputError(f"columns must be scorer, [individuals,] bodyparts, coords, got {', '.join(levels) or depth}")
    parts, coords = levels.index("bodyparts"), levels.index("coords")
    who = levels.index("individuals") if "individuals" in levels else None
    return [
        ("track_0" if who is None else label[who], label[parts], label[coords].casefold()) for label in table.columns
    ]


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
    takes="as `deeplabcut`; both of pandas' layouts (`table`, `fixed`), uncompressed or with zlib; of several tables, "
    "`df_with_missing`, or the only one of body parts",
    hint="DeepLabCut",
)
