"""DeepLabCut's tables in HDF5, opened by pandas and PyTables, which unpickle what such a file holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import h5py
import numpy as np

from olift_fast.errors import InputError
from olift_fast.io.extra import released, require
from olift_fast.io.format import Format
from olift_fast.io.frame_numbers import picture_numbers
from olift_fast.io.open_container import HDF5
from olift_fast.io.parsed import Parsed
from olift_fast.io.readers.deeplabcut import from_columns


def read_deeplabcut_h5(file: h5py.File) -> Parsed:
    """The table, read by the same rules as a csv: several animals, unique body parts, hand labels.

    Raises:
        InputError: not a table of DeepLabCut's, or 3D points.
        MissingExtraError: the extra `io` is not installed.
    """
    path = released(file)
    pandas = require("pandas", "reading DeepLabCut .h5 files")
    require("tables", "reading DeepLabCut .h5 files")
    frame = pandas.read_hdf(path)
    levels = list(frame.columns.names)
    if frame.columns.nlevels not in (3, 4) or "bodyparts" not in levels or "coords" not in levels:
        raise InputError(f"columns must be scorer, [individuals,] bodyparts, coords, got {levels}")

    def level(column: Sequence[Any], name: str) -> str:
        return str(column[levels.index(name)]) if name in levels else "track_0"

    columns = [
        (level(column, "individuals"), level(column, "bodyparts"), level(column, "coords").casefold())
        for column in frame.columns
    ]
    index = frame.index
    values = frame.to_numpy(dtype=np.float32)
    if index.nlevels == 1 and np.issubdtype(index.dtype, np.integer):
        return from_columns(columns, values, index.to_numpy(dtype=np.int64))
    paths = [str(key[-1] if isinstance(key, tuple) else key) for key in index]
    return replace(from_columns(columns, values, None), frames=picture_numbers(paths))


FORMAT = Format(
    name="deeplabcut-h5",
    extensions=(".h5",),
    extra="io",
    description="DeepLabCut's pandas tables",
    containers=(HDF5,),
    matches=lambda file: any("pandas_type" in group.attrs for group in file.values()),
    read=read_deeplabcut_h5,
    recognized_by="a pandas table in HDF5",
    takes="as `deeplabcut`",
    hint="DeepLabCut",
)
