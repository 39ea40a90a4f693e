"""Lens distortion of calibrated cameras and its inverse: OpenCV's pinhole and fisheye models in numpy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from olift_fast.tracks.containers import KeypointTracks, LiftedTracks
from olift_fast.tracks.world_frame import Calibration

Floats = npt.NDArray[np.float64]

_STEPS = 20
_NOTICEABLE = 1.0  # pixels
_WITHIN = 0.01
"""In pixels: if distorting an undistorted point does not lead back this near, it could not be undistorted."""


def undistorted(tracks: KeypointTracks, calibration: Calibration) -> KeypointTracks:
    """The keypoints without lens distortion, with the same camera matrix.

    Points for which the lens model has no answer, far outside of the picture, become NaN with confidence 0. A note says
    how far the others moved.

    Args:
        tracks: keypoints as the camera shows them, pixels.
        calibration: the camera.
    """
    if not calibration.distortion.any():
        return replace(tracks, image_size=tracks.image_size or calibration.image_size)
    straight = undistort(tracks.keypoints, calibration)
    lost = np.isfinite(tracks.keypoints).all(axis=-1) & ~np.isfinite(straight).all(axis=-1)
    moved = np.linalg.norm(straight - tracks.keypoints, axis=-1)
    farthest = float(np.nanmax(moved)) if np.isfinite(moved).any() else 0.0
    note = f"lens distortion of {calibration.name} was taken out: keypoints moved by up to {farthest:.1f} pixels"
    warning = f"{int(lost.sum())} keypoints are beyond what the lens of {calibration.name} can show, and left out"
    return replace(
        tracks,
        keypoints=straight.astype(np.float32),
        confidence=np.where(lost, np.float32(0), tracks.confidence),
        image_size=tracks.image_size or calibration.image_size,
        notes=(*tracks.notes, note),
        warnings=(*tracks.warnings, warning) if lost.any() else tracks.warnings,
    )


def lens_warning(result: LiftedTracks, calibration: Calibration | None) -> str | None:
    """A warning for a calibration given after lifting: the keypoints were lifted with the lens distortion."""
    if calibration is None or not calibration.distortion.any():
        return None
    moved = np.linalg.norm(undistort(result.keypoints, calibration) - result.keypoints, axis=-1)[result.visible]
    farthest = float(np.nanmax(moved)) if np.isfinite(moved).any() else 0.0
    if farthest < _NOTICEABLE:
        return None
    return (
        f"the keypoints were lifted with the distortion of {calibration.name}, which moves them by up to "
        f"{farthest:.1f} pixels: lift again with --calibration"
    )


def undistort(points: npt.NDArray[np.floating], calibration: Calibration) -> Floats:
    """(..., 2) pixels without the lens's distortion; NaN where the lens model has no answer, or the point is NaN."""
    seen = _normalized(points, calibration)
    with np.errstate(all="ignore"):
        straight = _straight_fisheye(seen, calibration) if calibration.fisheye else _straight(seen, calibration)
        again = distort(_pixels(straight, calibration), calibration)
        right = np.linalg.norm(again - points, axis=-1) < _WITHIN
    return np.where(right[..., None], _pixels(straight, calibration), np.nan)


def distort(points: npt.NDArray[np.floating], calibration: Calibration) -> Floats:
    """(..., 2) pixels with lens distortion, from pixels without it."""
    straight = _normalized(points, calibration)
    if calibration.fisheye:
        bent = straight * (_bent_angle(straight, calibration) / np.maximum(_radius(straight), 1e-12))
    else:
        scale, shift = _bent(straight, calibration)
        bent = straight * scale + shift
    return _pixels(bent, calibration)


def project(points: npt.NDArray[np.floating], matrix: Floats) -> Floats:
    """(..., 3) in the camera's axes → (..., 2) pixels, without lens distortion; NaN behind the camera."""
    points = np.asarray(points, dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        normalized = points[..., :2] / np.where(points[..., 2:] > 0, points[..., 2:], np.nan)
    return normalized @ matrix[:2, :2].T + matrix[:2, 2]


def _normalized(points: npt.NDArray[np.floating], calibration: Calibration) -> Floats:
    matrix = calibration.matrix
    return (np.asarray(points, np.float64) - matrix[:2, 2]) @ np.linalg.inv(matrix[:2, :2]).T


def _pixels(normalized: Floats, calibration: Calibration) -> Floats:
    return np.asarray(normalized @ calibration.matrix[:2, :2].T + calibration.matrix[:2, 2])


def _terms(calibration: Calibration) -> Floats:
    """k1 k2 p1 p2 k3 k4 k5 k6, 0 where the calibration has none."""
    return np.pad(calibration.distortion[:8], (0, max(8 - len(calibration.distortion), 0)))


def _bent(points: Floats, calibration: Calibration) -> tuple[Floats, Floats]:
    """The factor (..., 1) and the shift (..., 2) of OpenCV's pinhole model: radial and tangential distortion."""
    k1, k2, p1, p2, k3, k4, k5, k6 = _terms(calibration)
    x, y = points[..., :1], points[..., 1:]
    r2 = x * x + y * y
    scale = (1 + r2 * (k1 + r2 * (k2 + r2 * k3))) / (1 + r2 * (k4 + r2 * (k5 + r2 * k6)))
    shift = np.concatenate([2 * p1 * x * y + p2 * (r2 + 2 * x * x), p1 * (r2 + 2 * y * y) + 2 * p2 * x * y], axis=-1)
    return scale, shift


def _straight(seen: Floats, calibration: Calibration) -> Floats:
    """Undoes `_bent` by fixed-point steps, as OpenCV does."""
    points = seen.copy()
    for _ in range(_STEPS):
        scale, shift = _bent(points, calibration)
        points = (seen - shift) / scale
    return points


def _radius(points: Floats) -> Floats:
    return np.linalg.norm(points, axis=-1, keepdims=True)


def _bent_angle(points: Floats, calibration: Calibration) -> Floats:
    """(..., 1) the distance from the axis at which a fisheye lens shows a ray."""
    k1, k2, k3, k4 = _terms(calibration)[:4]
    angle = np.arctan(_radius(points))
    a2 = angle * angle
    return np.asarray(angle * (1 + a2 * (k1 + a2 * (k2 + a2 * (k3 + a2 * k4)))))


def _straight_fisheye(seen: Floats, calibration: Calibration) -> Floats:
    """Undoes `_bent_angle` by Newton steps."""
    k1, k2, k3, k4 = _terms(calibration)[:4]
    bent = _radius(seen)
    angle = bent.copy()
    for _ in range(_STEPS):
        a2 = angle * angle
        value = angle * (1 + a2 * (k1 + a2 * (k2 + a2 * (k3 + a2 * k4)))) - bent
        slope = 1 + a2 * (3 * k1 + a2 * (5 * k2 + a2 * (7 * k3 + a2 * 9 * k4)))
        angle = angle - value / slope
    angle = np.where((angle >= 0) & (angle < np.pi / 2), angle, np.nan)
    return np.asarray(seen * (np.tan(angle) / np.maximum(bent, 1e-12)))
