"""Turns, scales and moves the model's joints onto the keypoints in the picture."""

from __future__ import annotations

from typing import get_args

import numpy as np
import numpy.typing as npt

from olift_fast.errors import InputError
from olift_fast.runtime.alignment import orthographic_fit
from olift_fast.tracks.containers import CoordinateFrame

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Moments = npt.NDArray[np.float64]

_FRAMES = 4096


def check_frame(frame: str) -> None:
    """Raises InputError unless `frame` is "camera" or "object"."""
    if frame not in get_args(CoordinateFrame):
        raise InputError(f"frame must be 'camera' or 'object', got {frame!r}")


def moments(joints: Array, normalized: Array, visible: Mask) -> Moments:
    """``(5, 5)``: for each pair of joint x, y, z and keypoint x, y the sum of their products over all visible joints.

    Joints are taken relative to the mean of the frame's visible joints. These sums are all that orthographic Procrustes
    needs of a recording, and the sums of its parts add up to those of the whole.
    """
    points = np.concatenate([joints - _visible_mean(joints, visible), normalized], axis=-1)[visible].astype(np.float64)
    return np.asarray(points.T @ points)


def frame_moments(joints: Array, normalized: Array, visible: Mask) -> Moments:
    """``(T, 5, 5)``: the `moments` of each frame by itself."""
    points = np.concatenate([joints - _visible_mean(joints, visible), normalized], axis=-1)
    points = np.where(visible[..., None], points, 0).astype(np.float64)
    return np.asarray(points.swapaxes(1, 2) @ points)


def track_moments(joints: Array, normalized: Array, visible: Mask) -> Moments:
    """The moments of a whole track, summed over parts of it in a fixed order."""
    parts = (slice(start, start + _FRAMES) for start in range(0, len(joints), _FRAMES))
    return sum_moments([moments(joints[part], normalized[part], visible[part]) for part in parts])


def sum_moments(parts: list[Moments]) -> Moments:
    """The moments of all parts together."""
    return np.asarray(np.sum(parts, axis=0))


def fit_camera(total: Moments) -> tuple[Array, float]:
    """The rotation ``(3, 3)`` and the scale that bring joints with these moments nearest to their keypoints.

    The scale is 1 where the moments don't determine one: a track with one keypoint at a time, or a line seen end on.
    """
    rotation, stretch = fit_cameras(total[None])
    return rotation[0], float(stretch[0])


def fit_cameras(totals: Moments) -> tuple[Array, Moments]:
    """`fit_camera` for each of ``(N, 5, 5)`` moments: rotations ``(N, 3, 3)`` and scales ``(N,)``.

    Orthographic Procrustes fits one rotation and one scale to a whole track.
    """
    rotation, stretch = orthographic_fit(totals[:, :3, :3], totals[:, :3, 3:])
    return rotation.astype(np.float32), np.where(stretch > 0, stretch, 1.0)


def camera_offsets(joints: Array, visible: Mask, centers: Array, rotation: Array, scale: np.float32) -> Array:
    """``(T, 2)`` pixels that move each frame's visible joints onto its keypoints' center; NaN if none is visible."""
    mean = _visible_mean(joints, visible)
    return np.asarray(centers - scale * (mean @ rotation.T)[:, 0, :2], dtype=np.float32)


def carried(offsets: Array) -> Array:
    """``(T, 2)`` with NaN filled in: linearly, at the ends with the nearest known frame. One frame must be known."""
    time = np.arange(len(offsets))
    known = np.isfinite(offsets).all(axis=-1)
    columns = [np.interp(time, time[known], offsets[known, axis]) for axis in range(offsets.shape[1])]
    return np.stack(columns, axis=-1).astype(np.float32)


def placed(joints: Array, rotation: Array, scale: np.float32, offsets: Array) -> Array:
    """Joints ``(T, J, 3)`` turned, scaled, and moved by ``(T, 2)``."""
    turned = scale * (joints @ rotation.T)
    turned[..., :2] += offsets[:, None, :]
    return turned


def _visible_mean(joints: Array, visible: Mask) -> Array:
    """``(T, 1, 3)``; 0 where nothing is visible."""
    count = np.maximum(visible.sum(axis=-1), 1)[:, None, None]
    return np.asarray(np.where(visible[..., None], joints, 0).sum(axis=1, keepdims=True) / count, dtype=np.float32)
