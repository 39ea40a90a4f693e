"""Writes a result in the form of DANNCE's predictions: a MATLAB file with `pred`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from olift_fast.io.extra import require
from olift_fast.io.format import OutputFormat
from olift_fast.io.writers.deeplabcut_h5 import reserve_space
from olift_fast.io.writers.provenance import provenance_json
from olift_fast.io.writers.timing import frame_numbers
from olift_fast.tracks.containers import LiftedTracks


def write_dannce(result: LiftedTracks, path: Path) -> None:
    """Writes `pred`: (T, 3, J) of one track, or (T, N, 3, J) of several as social DANNCE has it.

    Beside it, `p_max` is the confidence and `sampleID` the frame numbers. `joint_names` and `joints_idx` (joints from
    1) are the skeleton, under the names that DANNCE's own skeleton files use.

    Raises:
        MissingExtraError: the extra `io` is not installed.
    """
    savemat = require("scipy.io", "writing .mat files").savemat
    joints, confidence, visible = (
        result.joints.transpose(1, 0, 3, 2),
        *(values.transpose(1, 0, 2) for values in (result.confidence, result.visible)),
    )
    if result.num_tracks == 1:
        joints, confidence, visible = joints[:, 0], confidence[:, 0], visible[:, 0]
    edges = np.array(result.skeleton.edges, np.float64).reshape(-1, 2)
    content: dict[str, Any] = {
        "pred": joints,
        "p_max": confidence,
        "visible": visible,
        "sampleID": frame_numbers(result).astype(np.float64)[np.newaxis],
        "joint_names": np.array(result.skeleton.names, object)[:, np.newaxis],
        "joints_idx": edges + 1,
        "track_names": np.array(result.tracks, object)[:, np.newaxis],
        "units": result.units,
        "olift_fast": provenance_json(result),
    }
    if result.fps is not None:
        content["fps"] = result.fps
    for name in ("uncertainty", "uncertainty_xy"):
        if (values := getattr(result, name)) is not None:
            content[name] = values.transpose(1, 0, 2)
    reserve_space(result, path)
    with path.open("wb") as file:
        savemat(file, content, do_compression=True)


OUTPUT = OutputFormat(
    name="dannce",
    suffix=".mat",
    extra="io",
    description="DANNCE's predictions for MATLAB: `pred`, in the result's units (DANNCE's own are mm)",
    holds="joints, exactly; confidence, visibility, uncertainty, names, edges, frame numbers, fps, units; the rest as "
    "JSON in `olift_fast`",
    drops="the 2D input, contacts",
    write=write_dannce,
    module="scipy",
    title="MATLAB",
)
