"""The axes and the size that other tools expect. Axes change places and signs only: every number stays exact."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from olift_fast.tracks.containers import LiftedTracks, ResultFrame

# The column that each new axis is taken from, and its sign.
_Y_UP = {"camera": ((0, 1, 2), (1, -1, -1)), "world": ((0, 2, 1), (1, 1, -1)), "object": ((0, 1, 2), (1, 1, 1))}
_Z_UP = {"camera": ((0, 2, 1), (1, 1, -1)), "world": ((0, 1, 2), (1, 1, 1)), "object": ((0, 1, 2), (1, 1, 1))}


def y_up(joints: npt.NDArray[np.floating], frame: ResultFrame) -> npt.NDArray[np.floating]:
    """(..., 3) joints with x to the right, y up and z toward the camera; the object's frame stays as it is.

    Up is against gravity in the world's frame, and up in the picture in the camera's.
    """
    return _taken(joints, *_Y_UP[frame])


def z_up(joints: npt.NDArray[np.floating], frame: ResultFrame) -> npt.NDArray[np.floating]:
    """(..., 3) joints with x to the right, y away from the camera and z up; the object's frame stays as it is."""
    return _taken(joints, *_Z_UP[frame])


def units_in_meter(result: LiftedTracks) -> float:
    """How many of a result's units animation files show as one meter: pixels are shown in the model's unit."""
    known = result.scale[np.isfinite(result.scale) & (result.scale > 0)]
    return float(np.median(known)) if result.units == "pixels" and len(known) else 1.0


def _taken(
    joints: npt.NDArray[np.floating], columns: tuple[int, ...], signs: tuple[int, ...]
) -> npt.NDArray[np.floating]:
    return joints[..., list(columns)] * np.array(signs, joints.dtype)
