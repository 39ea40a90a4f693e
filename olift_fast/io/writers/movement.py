"""Writes movement's xarray data set as netCDF."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from olift_fast.errors import printable
from olift_fast.io.extra import quiet, require
from olift_fast.io.format import OutputFormat
from olift_fast.io.writers.deeplabcut_h5 import reserve_space
from olift_fast.io.writers.provenance import record_facts
from olift_fast.tracks.containers import LiftedTracks


def write_netcdf(result: LiftedTracks, path: Path) -> None:
    """Writes movement's data set.

    Raises:
        MissingExtraError: the extra `io` is not installed.
    """
    reserve_space(result, path)
    with quiet():
        to_dataset(result, "writing netCDF files").to_netcdf(path)


def to_dataset(result: LiftedTracks, what: str = "an xarray data set") -> Any:
    """A lifted result as movement's data set in 3D; its attributes say how it was lifted.

    Args:
        result: the result.
        what: what needs movement, for the error: "writing netCDF files".

    Raises:
        MissingExtraError: the extra `io` is not installed.
    """
    load = require("movement.io.load_poses", what)
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
    dataset.position.attrs.update(units=result.units, axes=result.axes)
    for name in ("visible", "uncertainty", "uncertainty_xy", "contacts"):
        if (values := getattr(result, name)) is not None:
            dataset[name] = dataset.confidence.copy(data=np.ascontiguousarray(values.transpose(1, 2, 0)))
    attributes = {
        "model": f"{result.model} {result.version}",
        "frame": result.frame,
        "axes": result.axes,
        "units": result.units,
        "scale": result.scale.astype(np.float64),
        "rotation": result.rotation.astype(np.float64).ravel(),
        "edges": np.array(result.skeleton.edges, dtype=np.int64).ravel(),
        "sides": np.array(result.skeleton.sides, dtype=np.int8),
    }
    if result.skeleton.inferred:
        attributes["inferred"] = np.array(result.skeleton.inferred, dtype=np.int8)
    dataset.attrs.update(attributes)
    # A file's name may have characters that are not valid text.
    source = None if result.source is None else printable(result.source)
    optional = {
        "source_file": source,
        "pitch": result.pitch,
        "skeleton": result.skeleton.name,
        "image_size": result.image_size,
        "meters_per_pixel": result.meters_per_pixel,
    }
    for name, value in optional.items():
        if value is not None:
            dataset.attrs[name] = value
    for name, record in (("world", result.world), ("calibration", result.calibration)):
        if record is not None:
            dataset.attrs[name] = json.dumps(record_facts(record), ensure_ascii=False)
    return dataset


NETCDF = OutputFormat(
    name="netcdf",
    suffix=".nc",
    extra="io",
    description="movement's data set in 3D",
    holds="joints, exactly; confidence, visibility, uncertainty, contacts, times, fps; axes, units, edges, sides, "
    "scale, rotation, pitch, image size, model as attributes, the world frame and the calibration as JSON",
    drops="the 2D input",
    write=write_netcdf,
    module="movement",
)
