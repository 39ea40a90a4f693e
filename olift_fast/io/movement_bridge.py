"""What needs the extra `io`: DeepLabCut's h5, NWB and netCDF in; h5, netCDF and NWB out; xarray data sets of movement.

`movement` called its dimensions "keypoints" and "individuals" up to 0.15 and "keypoint" and "individual" since.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from olift_fast.errors import InputError, MissingExtraError
from olift_fast.io.deeplabcut import from_columns, picture_numbers
from olift_fast.io.parsed import Parsed, refuse_3d
from olift_fast.tracks.containers import LiftedTracks

if TYPE_CHECKING:
    from collections.abc import Iterator


def from_dataset(dataset: Any, format: str = "movement") -> Parsed:
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
        format,
        points,
        confidence,
        _labels(position, joint),
        tracks=_labels(position, track),
        frames=frames,
        fps=None if fps is None else float(fps),
    )


def read_deeplabcut_h5(path: Path) -> Parsed:
    """A DeepLabCut h5 through pandas, with the rules of the csv: several animals, unique body parts, hand labels.

    Raises:
        InputError: not a table of DeepLabCut's, or 3D points.
        MissingExtraError: the extra `io` is not installed.
    """
    pandas = _require("pandas", "reading DeepLabCut .h5 files")
    _require("tables", "reading DeepLabCut .h5 files")
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
        return from_columns("deeplabcut-h5", columns, values, index.to_numpy(dtype=np.int64))
    parsed = from_columns("deeplabcut-h5", columns, values, None)
    paths = [str(key[-1] if isinstance(key, tuple) else key) for key in index]
    return Parsed(
        parsed.format,
        parsed.keypoints,
        parsed.confidence,
        parsed.names,
        tracks=parsed.tracks,
        frames=picture_numbers(paths),
    )


def read_netcdf(path: Path) -> Parsed:
    """A netCDF file of movement's data set."""
    xarray = _require("xarray", "reading netCDF files")
    with _quiet(), xarray.open_dataset(path) as dataset:
        return from_dataset(dataset.load(), "netcdf")


def read_nwb(path: Path) -> Parsed:
    """The poses of an NWB file (ndx-pose)."""
    with _quiet():
        load = _require("movement.io.load_poses", "reading NWB files")
        pynwb = _require("pynwb", "reading NWB files")
        # Opened here and not by movement, which goes by the file's suffix.
        with pynwb.NWBHDF5IO(str(path), mode="r") as file:
            return from_dataset(load.from_nwb_file(file.read()), "nwb")


def write_dataset(result: LiftedTracks, path: Path, format: str) -> None:
    """Writes a lifted result as "h5" (DeepLabCut's table), "netcdf" or "nwb".

    Raises:
        MissingExtraError: the extra `io` is not installed.
    """
    what = {"h5": "writing DeepLabCut .h5 files", "netcdf": "writing netCDF files", "nwb": "writing NWB files"}[format]
    with _quiet():
        save = _require("movement.io.save_poses", what)
        dataset = to_dataset(result, what)
        if format == "h5":
            save.to_dlc_file(dataset, path, split_individuals=False)
        elif format == "netcdf":
            dataset.to_netcdf(path)
        else:
            _write_nwb(save, dataset, result, path)


def to_dataset(result: LiftedTracks, what: str = "an xarray data set") -> Any:
    """A lifted result as movement's data set in 3D; the lifting is told in its attributes."""
    load = _require("movement.io.load_poses", what)
    dataset = load.from_numpy(
        position_array=np.ascontiguousarray(result.joints.transpose(1, 3, 2, 0)),
        confidence_array=np.ascontiguousarray(result.confidence.transpose(1, 2, 0)),
        individual_names=list(result.tracks),
        keypoint_names=list(result.skeleton.names),
        fps=result.fps,
        source_software="olift-fast",
    )
    if result.frames is not None:
        time = result.frames if result.fps is None else result.frames / result.fps
        dataset = dataset.assign_coords(time=time)
    attributes = {
        "model": f"{result.model} {result.version}",
        "frame": result.frame,
        "units": result.units,
        "scale": result.scale.astype(np.float64),
        "rotation": result.rotation.astype(np.float64).ravel(),
        "edges": np.array(result.skeleton.edges, dtype=np.int64).ravel(),
    }
    dataset.attrs.update(attributes)
    if result.source is not None:
        dataset.attrs["source_file"] = result.source
    return dataset


def _write_nwb(save: Any, dataset: Any, result: LiftedTracks, path: Path) -> None:
    if result.num_tracks > 1:
        raise InputError(f"NWB holds one animal a file, got {result.num_tracks} tracks; write .npz, .csv, .h5 or .nc")
    pynwb = _require("pynwb", "writing NWB files")
    with pynwb.NWBHDF5IO(str(path), mode="w") as file:
        file.write(save.to_nwb_file(dataset))


def _dimension(array: Any, name: str) -> str:
    for candidate in (name, f"{name}s"):
        if candidate in array.dims:
            return candidate
    raise InputError(f"wanted a dimension {name!r} or '{name}s', got {', '.join(map(str, array.dims))}")


def _labels(array: Any, dimension: str) -> list[str]:
    if dimension in array.coords:
        return [str(label) for label in array.coords[dimension].values]
    return [f"{dimension}_{index}" for index in range(array.sizes[dimension])]


def _require(module: str, what: str) -> Any:
    """The module, or MissingExtraError."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(what, "io") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """No log lines or warnings of the libraries below: the command line prints its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            # movement logs through loguru, to stderr.
            logger = importlib.import_module("loguru").logger
        except ImportError:
            yield
            return
        logger.disable("movement")
        try:
            yield
        finally:
            logger.enable("movement")
