"""DeepLabCut's tables in HDF5, as pandas writes them; read by h5py alone."""

from __future__ import annotations

from dataclasses import replace

import h5py
import numpy as np
import numpy.typing as npt

from olift_fast.errors import InputError
from olift_fast.io.format import Format
from olift_fast.io.frame_numbers import frames_of_seconds, picture_numbers
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
    columns = _columns(table)
    index = table.index
    if index.dtype.kind in "iu":
        return from_columns(columns, table.values, index.astype(np.int64))
    if index.dtype.kind == "U":
        return replace(from_columns(columns, table.values, None), frames=picture_numbers(index.tolist()))
    seconds = _seconds(index)
    if (seconds == np.rint(seconds)).all() and np.abs(seconds).max(initial=0) < 2**53 and index.dtype.kind == "f":
        return from_columns(columns, table.values, seconds.astype(np.int64))
    found = frames_of_seconds(seconds)
    if found is None:
        warning = "the index holds times without a frame rate: frames are counted from 0"
        return replace(from_columns(columns, table.values, None), warnings=(warning,))
    frames, fps = found
    note = f"the index holds times in seconds: frames are numbered at {fps:g} frames/s"
    return replace(from_columns(columns, table.values, frames), fps=fps, notes=(note,))


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


def _seconds(index: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
    if index.dtype.kind not in "mM":
        return index.astype(np.float64)
    nanoseconds = index.astype(f"{index.dtype.kind}8[ns]").astype(np.int64)
    if index.dtype.kind == "M" and len(index):
        # A double has too few digits for seconds since 1970.
        nanoseconds = nanoseconds - nanoseconds[0]
    return nanoseconds / 1e9


FORMAT = Format(
    name="deeplabcut-h5",
    extensions=(".h5",),
    extra=None,
    description="DeepLabCut's pandas tables",
    containers=(HDF5,),
    matches=holds_tables,
    read=read_deeplabcut_h5,
    recognized_by="a pandas table in HDF5",
    takes="as `deeplabcut`; both of pandas' layouts (`table`, `fixed`), uncompressed or with zlib; of several tables, "
    "`df_with_missing`",
    hint="DeepLabCut",
)
