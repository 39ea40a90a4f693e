"""The data sets of movement: xarray data sets in memory, and netCDF files.

movement's dimensions were called "keypoints" and "individuals" up to version 0.15, and are called "keypoint" and
"individual" since. netCDF 4 files are HDF5 and need no extra. Older netCDF files have a form of their own, and SciPy
opens them (the extra `io`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import numpy.typing as npt

from olift_fast.errors import InputError
from olift_fast.io.extra import quiet, require
from olift_fast.io.format import Format
from olift_fast.io.frame_gaps import with_hidden_frames
from olift_fast.io.frame_numbers import frames_of_seconds
from olift_fast.io.hdf5 import array, read_in_child, text
from olift_fast.io.open_container import HDF5, NETCDF
from olift_fast.io.parsed import Parsed, known_rate, refuse_3d
from olift_fast.io.time_axis import seconds_of


class _Variable(NamedTuple):
    values: npt.NDArray[Any]
    dims: tuple[str, ...]
    units: str = ""


def from_dataset(dataset: Any) -> Parsed:
    """Tracks from an xarray data set in movement's form: position (time, space, keypoint, individual), confidence.

    Raises:
        InputError: the data set has another form, or 3D points.
    """
    _check_names(map(str, dataset))
    position = dataset["position"]
    # If the user has selected one animal, its name is a coordinate without a dimension.
    coordinates = dict.fromkeys([*map(str, position.dims), "individual", "individuals"])
    names = [*("position", "confidence"), *(name for name in coordinates if name in position.coords)]
    variables = {}
    for name in names:
        if name in position.coords:
            values, given = np.asarray(position.coords[name].values), getattr(position.coords[name], "attrs", {})
            variables[name] = _Variable(values, (name,) if values.ndim else (), text(given.get("units", "")))
        elif name in dataset:
            variables[name] = _Variable(np.asarray(dataset[name].values), tuple(map(str, dataset[name].dims)))
    return _from_variables(variables, dataset.attrs)


def read_netcdf(content: h5py.File | Path) -> Parsed:
    """A netCDF file of movement's data set: version 4, which is HDF5, or an older one.

    Raises:
        InputError: the data set has another form, or 3D points.
        MissingExtraError: the file's version is below 4, and the extra `io` is not installed.
    """
    if isinstance(content, Path):
        require("scipy.io", "reading classic netCDF files")
        return read_in_child("netCDF", _read_classic, content)
    _check_names(content)
    variables = {}
    for name, member in content.items():
        if isinstance(member, h5py.Dataset) and member.shape is not None:
            values, units = _unpacked(array(content, name), member.attrs), text(member.attrs.get("units", ""))
            variables[name] = _Variable(values, _dimensions(member), units)
    return _from_variables(variables, dict(content.attrs))


def _read_classic(path: Path) -> Parsed:
    netcdf_file: Any = require("scipy.io", "reading classic netCDF files").netcdf_file

    class File(netcdf_file):  # type: ignore[misc, valid-type]
        """A file whose attributes may have any name. SciPy's class sets them on itself, so that one called "fp" would
        replace the file's handle."""

        def _read_gatt_array(self) -> None:
            self._attributes.update(self._read_att_array())

    with quiet(), File(path, mmap=False) as file:
        _check_names(file.variables)
        variables = {}
        for name, variable in file.variables.items():
            values, dims = _unpacked(np.asarray(variable.data), variable._attributes), tuple(variable.dimensions)
            if values.dtype == "S1" and values.ndim and dims[-1] != name:
                # A text is stored as an array of letters, along a dimension of its own.
                values, dims = np.ascontiguousarray(values).view(f"S{values.shape[-1]}")[..., 0], dims[:-1]
            variables[name] = _Variable(values, dims, text(variable._attributes.get("units", "")))
        return _from_variables(variables, file._attributes)


def _from_variables(variables: Mapping[str, _Variable], attributes: Mapping[str, Any]) -> Parsed:
    position = _with_individual(variables["position"])
    joint, track = _dimension(position.dims, "keypoint"), _dimension(position.dims, "individual")
    order = (track, "time", joint, "space")
    if sorted(position.dims) != sorted(order):
        raise InputError(f"position must have the dimensions {', '.join(order)}, got {', '.join(position.dims)}")
    points = position.values.transpose([position.dims.index(name) for name in order])
    if points.shape[-1] == 3:
        raise refuse_3d()
    space = [text(axis) for axis in variables["space"].values] if "space" in variables else ["x", "y"]
    if sorted(space) != ["x", "y"]:
        raise InputError(f"space must be x and y, got {', '.join(space)}")
    confidence = None
    if "confidence" in variables:
        given = _with_individual(variables["confidence"])
        if sorted(given.dims) != sorted(order[:3]):
            raise InputError(f"confidence must have the dimensions {', '.join(order[:3])}, got {', '.join(given.dims)}")
        confidence = given.values.transpose([given.dims.index(name) for name in order[:3]])
    fps = known_rate(_number(attributes.get("fps")))
    frames = None
    warnings: tuple[str, ...] = ()
    if "time" in variables:
        frames, fps, warnings = _frames(variables["time"], text(attributes.get("time_unit", "")), fps)
    return with_hidden_frames(
        Parsed(
            points[..., [space.index("x"), space.index("y")]],
            confidence,
            _labels(variables, joint, points.shape[2]),
            tracks=_labels(variables, track, points.shape[0]),
            frames=frames,
            fps=fps,
            warnings=warnings,
        )
    )


def _with_individual(variable: _Variable) -> _Variable:
    """The variable with a dimension for animals, which it lacks if the user has selected one animal."""
    for name in ("individual", "individuals"):
        if name in variable.dims:
            return variable
    name = "individuals" if "keypoints" in variable.dims else "individual"
    return _Variable(variable.values[None], (name, *variable.dims))


def _frames(
    time: _Variable, unit: str, fps: float | None
) -> tuple[npt.NDArray[np.int64] | None, float | None, tuple[str, ...]]:
    """The frame of each time, or None if they do not increase; frames a second; and warnings.

    Args:
        time: (T) frame numbers or times. xarray writes dates and times as numbers in the variable's unit.
        unit: the unit that the data set names; "" if it names none. Some data sets say "frames", and hold seconds.
        fps: frames a second, if the data set has it.
    """
    if len(time.values) == 0:
        return None, fps, ()
    values, known = _seconds(time, unit)
    if values is None:
        what = time.units or unit or str(time.values.dtype)
        return None, fps, (f"the unit of time {what!r:.40} is not known: frames are counted from 0",)
    if not np.isfinite(values).all():
        return None, fps, ("some times are not finite numbers: frames are counted from 0",)
    counted = not known and (unit or ("frames" if fps is None else "seconds")) == "frames"
    if counted or fps is None:
        # Some data sets that say frames hold seconds.
        whole = not known and bool((values == np.rint(values)).all())
        read = None if whole else frames_of_seconds(values)
    else:
        values, whole = values * fps, True
        beside = float(np.abs(values - np.rint(values)).max())
        read = frames_of_seconds(values / fps) if beside > 0.3 else None
    warnings: tuple[str, ...] = ()
    if read is not None:
        frames, found = read
        if fps is not None and abs(found - fps) > 0.01 * fps:
            warnings = (f"the times are those of {found:.6g} frames a second, but fps is {fps:.6g}: the times count",)
        fps = found if fps is None or warnings else fps
    elif whole and np.abs(values).max() < 2**53:
        frames = np.rint(values).astype(np.int64)
    else:
        return None, fps, ("the times tell no frame rate: frames are counted from 0",) * (len(values) > 1)
    if (np.diff(frames) <= 0).any():
        return None, fps, (*warnings, "the times do not increase frame by frame: frames are counted from 0")
    return frames, fps, warnings


def _seconds(time: _Variable, unit: str) -> tuple[npt.NDArray[np.float64] | None, bool]:
    """The times in seconds, and whether it is known that they are seconds; None if their unit is not known.

    Without a unit, the times are returned as they are. Dates count from the earliest.
    """
    values = time.values
    if values.dtype.kind in "mM":
        missing = np.isnat(values)
        if values.dtype.kind == "M" and not missing.all():
            values = values - values[~missing].min()
        seconds = values.astype("timedelta64[ns]").astype(np.int64) / 1e9
        return np.where(missing, np.nan, seconds), True
    if values.dtype.kind not in "iuf":
        return None, False
    numbers = values.astype(np.float64)
    if values.dtype.kind == "i":
        # xarray writes a missing date as the smallest integer.
        numbers[values == np.iinfo(values.dtype).min] = np.nan
    scale = seconds_of(time.units)
    if scale is not None:
        first = np.nanmin(numbers) if "since" in time.units.split() and not np.isnan(numbers).all() else 0.0
        return (numbers - first) * scale, True
    scale = seconds_of(unit)
    if scale is not None:
        # Without a frame rate, movement may say "seconds" and count frames.
        return numbers * scale, scale != 1
    known = "frame" in f"{time.units or unit}".casefold() or not (time.units or unit)
    return (numbers if known else None), False


def _is_netcdf(content: h5py.File | Path) -> bool:
    if isinstance(content, Path):
        return True
    marked = "_NCProperties" in content.attrs or "ds_type" in content.attrs or "space" in content
    return marked and "position" in content


def _check_names(names: Iterable[str]) -> None:
    found = list(names)
    if "position" not in found:
        raise InputError(f"wanted a movement data set with 'position', got {', '.join(found) or 'nothing'}")
    if "shape" in found:
        raise InputError("a movement data set of boxes (position, shape), not of keypoints: there is nothing to lift")


def _unpacked(values: npt.NDArray[Any], attributes: Mapping[str, Any]) -> npt.NDArray[Any]:
    """The values of a variable, unpacked by netCDF's conventions: times `scale_factor`, plus `add_offset`."""
    factor, offset = _number(attributes.get("scale_factor")), _number(attributes.get("add_offset"))
    if factor is None and offset is None:
        return values
    missing = values == attributes["_FillValue"] if "_FillValue" in attributes else np.zeros(values.shape, bool)
    numbers = values.astype(np.float64) * (1.0 if factor is None else factor) + (offset or 0.0)
    numbers[missing] = np.nan
    return numbers


def _dimensions(variable: h5py.Dataset) -> tuple[str, ...]:
    """The names of a variable's dimensions: those of the scales attached to it. A scale has its own name."""
    name = variable.name.rsplit("/")[-1]
    if "DIMENSION_LIST" not in variable.attrs:
        return (name,) if variable.ndim == 1 else tuple(f"dimension_{axis}" for axis in range(variable.ndim))
    return tuple(scales[0].name.rsplit("/")[-1] if len(scales) else "" for scales in variable.dims)


def _dimension(dims: Sequence[str], name: str) -> str:
    for candidate in (name, f"{name}s"):
        if candidate in dims:
            return candidate
    raise InputError(f"wanted a dimension {name!r} or '{name}s', got {', '.join(map(str, dims))}")


def _labels(variables: Mapping[str, _Variable], dimension: str, count: int) -> list[str]:
    if dimension in variables:
        return [text(label) for label in variables[dimension].values.ravel()]
    return [f"{dimension}_{index}" for index in range(count)]


def _number(value: Any) -> float | None:
    """An attribute that is a number or an array of one; None if it is missing, empty or a text."""
    if value is None or isinstance(value, str | bytes | h5py.Empty):
        return None
    return float(np.asarray(value).ravel()[0])


FORMAT = Format(
    name="netcdf",
    extensions=(".nc",),
    example="poses.nc",
    extra=None,
    description="movement's data sets; classic netCDF (version 3) needs the extra `io`",
    containers=(HDF5, NETCDF),
    matches=_is_netcdf,
    read=read_netcdf,
    recognized_by="netCDF with `position`",
    takes="position, confidence, names; frames a second, and times, whose gaps become hidden frames",
    hint="netCDF",
)
