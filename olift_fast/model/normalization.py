"""Pixels to model units: each frame is centered on its visible keypoints, and a whole clip has one scale."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Normalization:
    """Normalizes keypoints to model units: ``(keypoint - center of the frame) / scale``.

    Args:
        scale: pixels in one model unit, the RMS distance of visible keypoints from their frame's center. It is fitted
            once for a clip or a stream and then constant: chunks and streams have the same results as the whole clip.
    """

    scale: float

    @classmethod
    def fit(cls, keypoints: Array, visible: Mask) -> Normalization:
        """From keypoints ``(T, J, 2)`` and visible ``(T, J)``. The scale is 1 if no frame has a spread."""
        return cls.of_spread(*spread(keypoints, visible))

    @classmethod
    def of_spread(cls, squares: float, count: int) -> Normalization:
        """From the `spread` of a clip, or the sum of the spreads of its parts."""
        scale = math.sqrt(squares / count) if count else 0.0
        return cls(scale if math.isfinite(scale) and scale > 0 else 1.0)

    def apply(self, keypoints: Array, visible: Mask) -> tuple[Array, Array]:
        """Model units ``(..., T, J, 2)``, 0 where hidden, and the `frame_centers` ``(..., T, 2)`` in pixels."""
        return normalize_frames(keypoints, visible, np.float32(self.scale))


def normalize_frames(keypoints: Array, visible: Mask, scale: Array | np.float32) -> tuple[Array, Array]:
    """`Normalization.apply` with the scale of each frame, ``(..., T)`` or anything that broadcasts to it."""
    centers = frame_centers(keypoints, visible)
    scale = np.asarray(scale)[..., None, None]
    normalized = np.where(visible[..., None], (keypoints - centers[..., None, :]) / scale, 0)
    return normalized.astype(np.float32), centers


def spread(keypoints: Array, visible: Mask) -> tuple[float, int]:
    """The sum of visible keypoints' squared distances from their frame's center, and the number of these keypoints.

    A frame with one visible keypoint has no spread and is left out.
    """
    counted = visible & (visible.sum(axis=-1, keepdims=True) > 1)
    offsets = (keypoints - frame_centers(keypoints, visible)[..., None, :])[counted].astype(np.float64)
    return float(np.square(offsets).sum()), len(offsets)


def frame_centers(keypoints: Array, visible: Mask) -> Array:
    """Mean of each frame's visible keypoints, ``(..., J, 2)`` → ``(..., 2)``; NaN in a frame without any."""
    kept = np.where(visible[..., None], keypoints, 0).astype(np.float64)
    count = visible.sum(axis=-1)[..., None]
    total = kept.sum(axis=-2)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)
