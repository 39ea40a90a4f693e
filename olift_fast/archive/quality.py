"""Figures by which the bad ones among many results are found, without looking at them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from olift_fast.bodies.bones import WINDOW, window_drifts
from olift_fast.bodies.signs import jumping
from olift_fast.tracks.containers import LiftedTracks

_FRAMES = 100 * WINDOW


def quality_of(result: LiftedTracks, index: int, absent: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """The figures of one track (`records.QUALITY`); None where one can't be told.

    Drift and jumps are those of the line of trust (`bodies.trust`); in longer recordings a joint's usual step is that
    of each 4,800 frames. The animal's size is the RMS distance of its keypoints from their mean, over all frames
    (`LiftedTracks.scale`).

    Args:
        result: of a file.
        index: the track's.
        absent: ``(J,)`` joints that the track never has.
    """
    there = np.flatnonzero(~absent)
    size = 1.0 if result.frame == "object" else float(result.scale[index])
    drifts: list[float] = []
    jumped, deviations, count = 0, 0.0, 0
    for start in range(0, result.num_frames, _FRAMES):
        frames = slice(start, start + _FRAMES)
        # With the first frame of the next stretch, to which there is a step, too.
        joints = np.asarray(result.joints[index, start : start + _FRAMES + 1])
        if start == 0 or start + WINDOW <= result.num_frames:  # a rest that fills no window is left out
            drifts += window_drifts(joints[:_FRAMES], result.skeleton.edges)
        jumped += int(jumping(joints).sum())
        if result.uncertainty is not None:
            known = np.asarray(result.uncertainty[index, frames], dtype=np.float64)
            known = known[np.isfinite(known)]
            deviations, count = deviations + float(known.sum()), count + known.size
    visible = result.visible[index][:, there]
    return {
        "hidden_share": _rounded(1 - float(visible.mean())) if visible.size else None,
        "bone_drift": _rounded(float(np.mean(drifts))) if drifts else None,
        "uncertainty": _rounded(deviations / count / size) if count else None,
        "jump_share": _rounded(jumped / (result.num_frames - 1)) if result.num_frames > 2 else None,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(f"{value:.6g}")
