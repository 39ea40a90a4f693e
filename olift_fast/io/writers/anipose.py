"""Writes a result in the forms of Anipose's and sleap-anipose's triangulated points."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from olift_fast.io.format import OutputFormat
from olift_fast.io.writers.csv_tables import cells, open_text, quoted
from olift_fast.io.writers.deeplabcut_h5 import reserve_space
from olift_fast.io.writers.provenance import provenance_json
from olift_fast.io.writers.timing import frame_numbers
from olift_fast.tracks.containers import LiftedTracks

# Anipose can turn points by a matrix M and move them by a center, to axes of the user's choice. Here neither happens.
_AXES = {f"M_{row}{column}": int(row == column) for row in range(3) for column in range(3)}
_AXES |= {f"center_{axis}": 0 for axis in range(3)}
_PARTS = ("x", "y", "z", "error", "ncams", "score")


def write_anipose_csv(result: LiftedTracks, path: Path) -> None:
    """Writes Anipose's table of one track: a row for each frame, six columns for each joint.

    The columns are x, y, z; error, the distance in pixels from the keypoint to x, y (only if the result is in pixels in
    the camera frame, else empty); ncams, 1 if the keypoint was visible, else 0; and score, the confidence.
    """
    columns = [quoted(f"{name}_{part}") for name in result.skeleton.names for part in _PARTS]
    errors = np.full(result.visible.shape[1:], np.nan, np.float32)
    if result.frame == "camera" and result.units == "pixels":
        errors = np.linalg.norm(result.joints[0, ..., :2] - result.keypoints[0], axis=-1)
    rest = [result.visible[0], result.confidence[0]]
    values = np.concatenate([result.joints[0], np.stack([errors, *rest], axis=-1)], axis=-1)
    tail = ",".join(map(str, _AXES.values()))
    with open_text(path) as text:
        text.write(",".join([*columns, *_AXES, "fnum"]) + "\n")
        for frame, row in zip(frame_numbers(result).tolist(), values.reshape(result.num_frames, -1), strict=True):
            text.write(f"{cells(row.tolist())},{tail},{frame}\n")


def write_points3d(result: LiftedTracks, path: Path) -> None:
    """Writes sleap-anipose's `tracks` (T, N, J, 3), and beside it the result's names, edges, confidence, visibility and
    uncertainty."""
    reserve_space(result, path)
    numbers, packed = frame_numbers(result), {"compression": "gzip", "compression_opts": 1}
    with h5py.File(path, "w") as file:
        tracks = file.create_dataset("tracks", data=result.joints.transpose(1, 0, 2, 3), **packed)
        tracks.attrs["Description"] = "Shape: (n_frames, n_tracks, n_nodes, 3). In calibration camera order: []."
        tracks.attrs["units"] = result.units
        if result.num_frames and (np.diff(numbers) == 1).all():
            frames = file.create_dataset("frames", data=[numbers[0], numbers[-1] + 1])
            frames.attrs["Description"] = "Range, inclusive to exclusive, of frames triangulated over."
        file.create_dataset("frame_numbers", data=numbers)
        file.create_dataset("point_scores", data=result.confidence.transpose(1, 0, 2), **packed)
        file.create_dataset("visible", data=result.visible.transpose(1, 0, 2), **packed)
        for name in ("uncertainty", "uncertainty_xy"):
            if (values := getattr(result, name)) is not None:
                file.create_dataset(name, data=values.transpose(1, 0, 2), **packed)
        for name, texts in (("node_names", result.skeleton.names), ("track_names", result.tracks)):
            file.create_dataset(name, data=list(texts), dtype=h5py.string_dtype())
        file.create_dataset("edge_inds", data=np.array(result.skeleton.edges, np.int64).reshape(-1, 2))
        file.attrs["olift_fast"] = provenance_json(result)


CSV = OutputFormat(
    name="anipose",
    suffix=".anipose.csv",
    extra=None,
    description="Anipose's table of points in 3D; one track",
    holds="joints, float32 exactly; the input's confidence as score, visibility as number of cameras, frame numbers",
    drops="fps, edges, units, uncertainty, how it was lifted",
    write=write_anipose_csv,
    title="Anipose csv",
    wants=("one track",),
)
POINTS3D = OutputFormat(
    name="points3d",
    suffix=".points3d.h5",
    extra=None,
    description="sleap-anipose's `tracks` (frames, tracks, nodes, 3)",
    holds="joints, exactly; confidence, visibility, uncertainty, names, edges, frame numbers; the rest as JSON in the "
    "attribute `olift_fast`",
    drops="the 2D input, contacts",
    write=write_points3d,
    title="points3d.h5",
)
