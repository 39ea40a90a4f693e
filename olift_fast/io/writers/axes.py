"""Turns results to the axes that other tools expect. Axes only change places and signs, so every number stays exact."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from olift_fast.tracks.containers import LiftedTracks, ResultFrame

# The column that each new axis is taken from, and its sign.
_Y_UP = {"camera": ((0, 1, 2), (1, -1, -1)), "world": ((0, 2, 1), (1, 1, -1)), "object": ((0, 1, 2), (1, 1, 1))}
_Z_UP = {"camera": ((0, 2, 1), (1, 1, -1)), "world": ((0, 1, 2), (1, 1, 1)), "object": ((0, 1, 2), (1, 1, 1))}


def y_up(joints: npt.NDArray[np.floating], frame: ResultFrame) -> npt.NDArray[np.floating]:
    """(..., 3) joints with x to the right, y up and z toward the camera; those of the object frame stay as they are.

    Up is against gravity in the world frame, and up in the picture in the camera frame.
    """
    return _taken(joints, *_Y_UP[frame])


def z_up(joints: npt.NDArray[np.floating], frame: ResultFrame) -> npt.NDArray[np.floating]:
    """(..., 3) joints with x to the right, y away from the camera and z up; those of the object frame stay as they
    are."""
    return _taken(joints, *_Z_UP[frame])


def units_in_meter(result: LiftedTracks) -> float:
    """How many of a result's units animation files show as one meter. For pixels: the median of the tracks' scales, so
    that a unit of the model becomes a meter; else 1."""
    known = result.scale[np.isfinite(result.scale) & (result.scale > 0)]
    return float(np.median(known)) if result.units == "pixels" and len(known) else 1.0


def _taken(
    joints: npt.NDArray[np.floating], columns: tuple[int, ...], signs: tuple[int, ...]
) -> npt.NDArray[np.floating]:
    return joints[..., list(columns)] * np.array(signs, joints.dtype)
