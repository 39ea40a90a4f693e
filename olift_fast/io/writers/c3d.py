"""Writes C3D, the format of motion-capture laboratories: points with Z up. ezc3d writes the file."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from olift_fast.errors import InputError
from olift_fast.io.extra import require
from olift_fast.io.format import OutputFormat
from olift_fast.io.writers.axes import z_up
from olift_fast.io.writers.deeplabcut_h5 import reserve_space
from olift_fast.io.writers.provenance import provenance
from olift_fast.io.writers.timing import Timeline, timeline
from olift_fast.tracks.containers import KeypointTracks, LiftedTracks

# The header counts frames with 16 bits. Of more frames, readers lose some, or read them wrongly.
_MOST_FRAMES = 65535
_UNITS = {"meters": "m", "pixels": "px", "model units": "unit"}
# A parameter's string has at most this many bytes.
_MOST_BYTES = 255
# All parameters together have 130 kB, and hundreds of labels need a part of it.
_MOST_JSON = 20_000
# A residual is a whole number up to this one, times the absolute value of the parameter POINT:SCALE.
_STEPS = 127


def write_c3d(result: LiftedTracks, path: Path) -> None:
    """Writes the joints as points. Points of several tracks are called "track:joint", as Vicon names subjects' markers.

    The residual of a point is the larger one of its two standard deviations (`uncertainty`, `uncertainty_xy`), in steps
    of a 127th of the largest in the file. It is 0 if the result has none, and -1 if the joint is not known. Camera 1
    saw the joints that were visible.

    Raises:
        MissingExtraError: the extra `io` is not installed.
    """
    library = require("ezc3d", "writing C3D files")
    times = timeline(result)
    names = result.skeleton.names
    labels = [f"{track}:{name}" for track in result.tracks for name in names] if result.num_tracks > 1 else list(names)
    file = library.c3d()
    points = file["parameters"]["POINT"]
    for name, value in (("RATE", [times.rate]), ("LABELS", labels), ("UNITS", [_UNITS[result.units]])):
        points[name]["value"] = value
    for name, value in (("X_SCREEN", ["+X"]), ("Y_SCREEN", ["+Z"])):
        file.add_parameter("POINT", name, value)
    _tell(file, result, times)
    points["SCALE"]["value"] = [-_fill(file["data"], result, times)]
    reserve_space(result, path)
    # ezc3d adds the ending .c3d to other names, and raises no error if the disk is full.
    ending = path.with_name(f"{path.name}.c3d")
    try:
        file.write(str(ending))
        if ending.stat().st_size < times.length * len(labels) * 16:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        ending.replace(path)
    finally:
        ending.unlink(missing_ok=True)


def _check(tracks: KeypointTracks | LiftedTracks) -> None:
    """Raises InputError for frames that are far apart, and for more than 65,535 frames."""
    if (count := timeline(tracks).length) > _MOST_FRAMES:
        raise InputError(f"C3D holds {_MOST_FRAMES:,} frames at most, got {count:,}; write .trc, .npz or .nc")


def _fill(data: Any, result: LiftedTracks, times: Timeline) -> float:
    """Fills in the points (4, points, frames), their residuals and the cameras that saw them.

    Returns:
        the step of the residuals.
    """
    count = result.num_tracks * result.skeleton.num_joints
    joints = times.spread(z_up(result.joints, result.frame).transpose(1, 0, 2, 3)).reshape(times.length, count, 3)
    points = np.ones((4, count, times.length))
    points[:3] = joints.transpose(2, 1, 0)
    deviations = np.zeros(result.visible.shape, np.float32)
    if result.uncertainty is not None and result.uncertainty_xy is not None:
        deviations = np.fmax(result.uncertainty, result.uncertainty_xy)

    def over_time(values: np.ndarray) -> np.ndarray:
        return times.spread(values.transpose(1, 0, 2).astype(np.float32)).reshape(times.length, count).T

    step = float(np.nanmax(deviations, initial=0)) / _STEPS or 1.0
    # A quarter more, because ezc3d rounds down.
    steps = np.rint(np.nan_to_num(over_time(deviations)) / step) + 0.25
    residuals = np.where(np.isfinite(joints).all(axis=-1).T, steps * step, -1)
    seen = np.zeros((7, count, times.length), np.bool_)
    seen[0] = over_time(result.visible) > 0
    data["points"] = points
    data["meta_points"] = {"residuals": residuals[np.newaxis], "camera_masks": seen}
    return step


def _tell(file: Any, result: LiftedTracks, times: Timeline) -> None:
    """Writes the number of the first frame, the subjects, and in the group OLIFT how the result was lifted."""
    if times.step == 1 and 0 <= times.first <= _MOST_FRAMES - times.length:
        file["header"]["points"]["first_frame"] = times.first
    if result.num_tracks > 1:
        file.add_parameter("SUBJECTS", "NAMES", list(result.tracks))
        file.add_parameter("SUBJECTS", "USES_PREFIXES", [1])
    text = json.dumps(provenance(result))
    if len(text) <= _MOST_JSON:
        for number, start in enumerate(range(0, len(text), _MOST_BYTES)):
            file.add_parameter("OLIFT", f"JSON{number:02d}", [text[start : start + _MOST_BYTES]])
    file.add_parameter("OLIFT", "FRAME", [result.frame])
    file.add_parameter("OLIFT", "MODEL", [f"{result.model} {result.version}"])
    file.add_parameter("OLIFT", "FIRST_FRAME", [str(times.first)])
    file.add_parameter("OLIFT", "FRAME_STEP", [str(times.step)])


OUTPUT = OutputFormat(
    name="c3d",
    suffix=".c3d",
    extra="io",
    description="motion capture; Z up; several tracks as subjects",
    holds="joints, float32 exactly; fps, units, the first frame's number; uncertainty as residuals, in 127 steps, -1 "
    "where a joint is not known; visibility as camera 1; the rest as JSON in the "
    "parameters `OLIFT`",
    drops="confidence, the 2D input, contacts",
    write=write_c3d,
    module="ezc3d",
    title="C3D",
    wants=("fps",),
    check=_check,
)
