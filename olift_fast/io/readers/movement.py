"""Data sets of movement: xarray's in memory, and netCDF files of them.

`movement` called its dimensions "keypoints" and "individuals" up to 0.15 and "keypoint" and "individual" since.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from olift_fast.errors import InputError
from olift_fast.io.extra import quiet, released, require
from olift_fast.io.format import Format
from olift_fast.io.open_container import HDF5, NETCDF
from olift_fast.io.parsed import Parsed, refuse_3d


def from_dataset(dataset: Any) -> Parsed:
    """Tracks of an xarray data set of movement's schema: position (time, space, keypoint, individual), confidence.

    Raises:
        InputError: not that schema, or 3D points.
    """
    if "position" not in dataset:
        raise InputError(f"wanted a movement data set with 'position', got {', '.join(map(str, dataset)) or 'nothing'}")
    position = dataset["position"]
    joint, track = _dimension(position, "keypoint"), _dimension(position, "individual")
    if position.sizes["space"] == 3:
        raise refuse_3d()
    space = [str(axis) for axis in position.coords["space"].values] if "space" in position.coords else ["x", "y"]
    if sorted(space) != ["x", "y"]:
        raise InputError(f"space must be x and y, got {', '.join(space)}")
    points = position.transpose(track, "time", joint, "space").values[..., [space.index("x"), space.index("y")]]
    confidence = None
    if "confidence" in dataset:
        confidence = dataset["confidence"].transpose(track, "time", joint).values
    fps = dataset.attrs.get("fps")
    time = np.asarray(position.coords["time"].values) if "time" in position.coords else None
    frames = None
    if time is not None and len(time) and np.issubdtype(time.dtype, np.number):
        counted = time if fps is None else time * float(fps)
        frames = np.round(counted).astype(np.int64)
        if (np.diff(frames) <= 0).any():
            frames = None
    return Parsed(
        points,
        confidence,
        _labels(position, joint),
        tracks=_labels(position, track),
        frames=frames,
        fps=None if fps is None else float(fps),
    )


def read_netcdf(content: h5py.File | Path) -> Parsed:
    """A netCDF file of movement's data set: version 4 is HDF5, older ones are of netCDF's own form.

    Raises:
        InputError: not movement's schema, or 3D points.
        MissingExtraError: the extra `io` is not installed.
    """
    path = content if isinstance(content, Path) else released(content)
    xarray = require("xarray", "reading netCDF files")
    with quiet(), xarray.open_dataset(path) as dataset:
        return from_dataset(dataset.load())


def _is_netcdf(content: h5py.File | Path) -> bool:
    if isinstance(content, Path):
        return True
    marked = "_NCProperties" in content.attrs or "ds_type" in content.attrs or "space" in content
    return "position" in content and marked


def _dimension(array: Any, name: str) -> str:
    for candidate in (name, f"{name}s"):
        if candidate in array.dims:
            return candidate
    raise InputError(f"wanted a dimension {name!r} or '{name}s', got {', '.join(map(str, array.dims))}")


def _labels(array: Any, dimension: str) -> list[str]:
    if dimension in array.coords:
        return [str(label) for label in array.coords[dimension].values]
    return [f"{dimension}_{index}" for index in range(array.sizes[dimension])]


FORMAT = Format(
    name="netcdf",
    extensions=(".nc",),
    extra="io",
    description="movement's data sets",
    containers=(HDF5, NETCDF),
    matches=_is_netcdf,
    read=read_netcdf,
    recognized_by="netCDF with `position`",
    takes="movement's data set",
    hint="netCDF",
)
