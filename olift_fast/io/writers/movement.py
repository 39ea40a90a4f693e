"""What movement writes: netCDF and NWB, by way of its xarray data set."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from olift_fast.errors import InputError, printable
from olift_fast.io.extra import quiet, require
from olift_fast.io.format import OutputFormat
from olift_fast.io.writers.deeplabcut_h5 import reserve_space
from olift_fast.tracks.containers import LiftedTracks


def write_netcdf(result: LiftedTracks, path: Path) -> None:
    """Writes movement's data set.

    Raises:
        MissingExtraError: the extra `io` is not installed.
    """
    with _movement(result, path, "writing netCDF files") as (_, dataset):
        dataset.to_netcdf(path)


def write_nwb(result: LiftedTracks, path: Path) -> None:
    """Writes the poses of one track.

    Raises:
        InputError: several tracks, or a name that NWB can't hold: an empty one, or one with a slash or a colon.
        MissingExtraError: the extra `io` is not installed.
    """
    with _movement(result, path, "writing NWB files") as (save, dataset):
        if result.num_tracks > 1:
            count = f"{result.num_tracks} tracks"
            raise InputError(f"NWB holds one animal a file, got {count}; write .npz, .csv, .h5 or .nc")
        pynwb = require("pynwb", "writing NWB files")
        try:
            with pynwb.NWBHDF5IO(str(path), mode="w") as file:
                file.write(save.to_nwb_file(dataset))
        except ValueError as error:
            cause = " ".join(str(error).split())
            raise InputError(f"NWB can't hold these names of the track and its joints: {cause:.200}") from error


def to_dataset(result: LiftedTracks, what: str = "an xarray data set") -> Any:
    """A lifted result as movement's data set in 3D; its attributes say how it was lifted."""
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
    for name in ("uncertainty", "uncertainty_xy"):
        if (values := getattr(result, name)) is not None:
            dataset[name] = dataset.confidence.copy(data=np.ascontiguousarray(values.transpose(1, 2, 0)))
    attributes = {
        "model": f"{result.model} {result.version}",
        "frame": result.frame,
        "units": result.units,
        "scale": result.scale.astype(np.float64),
        "rotation": result.rotation.astype(np.float64).ravel(),
        "edges": np.array(result.skeleton.edges, dtype=np.int64).ravel(),
    }
    if result.skeleton.inferred:
        attributes["inferred"] = np.array(result.skeleton.inferred, dtype=np.int8)
    dataset.attrs.update(attributes)
    # The name of a file may be no text.
    source = None if result.source is None else printable(result.source)
    for name, value in (("source_file", source), ("pitch", result.pitch)):
        if value is not None:
            dataset.attrs[name] = value
    return dataset


@contextmanager
def _movement(result: LiftedTracks, path: Path, what: str) -> Iterator[tuple[Any, Any]]:
    """movement's module of writers, and the result as its data set; `what` is attempted with them."""
    reserve_space(result, path)
    with quiet():
        yield require("movement.io.save_poses", what), to_dataset(result, what)


NETCDF = OutputFormat(
    name="netcdf",
    suffix=".nc",
    extra="io",
    description="movement's data set in 3D",
    holds="joints, confidence, uncertainty, fps; scale, rotation, pitch, edges, inferred, model as attributes",
    write=write_netcdf,
)
NWB = OutputFormat(
    name="nwb",
    suffix=".nwb",
    extra="io",
    description="ndx-pose, one track only",
    holds="joints, confidence",
    write=write_nwb,
)
