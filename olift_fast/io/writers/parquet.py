"""Writes a Parquet table with a row for each joint, for R, pandas, polars and DuckDB."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from olift_fast.io.extra import require
from olift_fast.io.format import OutputFormat
from olift_fast.io.writers.provenance import provenance_json
from olift_fast.io.writers.timing import frame_numbers
from olift_fast.tracks.containers import LiftedTracks


def write_parquet(result: LiftedTracks, path: Path) -> None:
    """Writes the columns of the long csv, with a group of rows for each track.

    Values that are not known are null. How the result was lifted is JSON in the table's metadata, under the key
    `olift_fast`.

    Raises:
        MissingExtraError: the extra `io` is not installed.
    """
    arrow = require("pyarrow", "writing Parquet files")
    parquet = require("pyarrow.parquet", "writing Parquet files")
    label = arrow.dictionary(arrow.int32(), arrow.string())
    columns = [("track", label), ("frame", arrow.int64()), ("time", arrow.float64()), ("joint", label)]
    columns += [(name, arrow.float32()) for name in ("x", "y", "z", "confidence")]
    columns += [("visible", arrow.bool_())]
    if result.uncertainty is not None:
        columns += [(name, arrow.float32()) for name in ("uncertainty", "uncertainty_xy")]
    if result.contacts is not None:
        columns += [("contact", arrow.bool_())]
    schema = arrow.schema(columns, metadata={"olift_fast": provenance_json(result)})
    with path.open("wb") as file, parquet.ParquetWriter(file, schema) as writer:
        for track in range(result.num_tracks):
            arrays = _columns(arrow, result, track)
            writer.write_table(arrow.table([arrays[name] for name, _ in columns], schema=schema))


def _columns(arrow: Any, result: LiftedTracks, track: int) -> dict[str, Any]:
    """The columns of one track's rows, frame by frame."""
    frames, joints = result.num_frames, result.skeleton.num_joints

    def labels(places: np.ndarray, names: tuple[str, ...]) -> Any:
        return arrow.DictionaryArray.from_arrays(places.astype(np.int32), arrow.array(names, arrow.string()))

    def known(values: np.ndarray) -> Any:
        return arrow.array(values.ravel(), from_pandas=True)

    numbers = np.repeat(frame_numbers(result), joints)
    times = np.full(len(numbers), np.nan) if result.fps is None else numbers / result.fps
    found = {
        "track": labels(np.full(frames * joints, track), result.tracks),
        "frame": arrow.array(numbers),
        "time": known(times),
        "joint": labels(np.tile(np.arange(joints), frames), result.skeleton.names),
        **{axis: known(result.joints[track, ..., place]) for place, axis in enumerate("xyz")},
        "confidence": known(result.confidence[track]),
        "visible": arrow.array(result.visible[track].ravel()),
    }
    for name, values in (("uncertainty", result.uncertainty), ("uncertainty_xy", result.uncertainty_xy)):
        if values is not None:
            found[name] = known(values[track])
    if result.contacts is not None:
        found["contact"] = arrow.array(result.contacts[track].ravel())
    return found


OUTPUT = OutputFormat(
    name="parquet",
    suffix=".parquet",
    extra="io",
    description="the table of `.long.csv` in Parquet, for R, pandas, polars and DuckDB",
    holds="joints, exactly; confidence, visibility, uncertainty, contacts, frame numbers, times; the rest as JSON in "
    "the metadata `olift_fast`",
    drops="the 2D input",
    write=write_parquet,
    module="pyarrow",
    title="Parquet",
)
