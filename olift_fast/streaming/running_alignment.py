"""Fits the rotation and the scale that bring a stream's joints onto its keypoints to the frames so far."""

from __future__ import annotations

import numpy as np

from olift_fast.model.alignment import frame_moments
from olift_fast.streaming.rings import Indices
from olift_fast.streaming.steps import Array, Mask

_DAMPING = 0.02
"""A share of the joints' spread that damps the fit: a rotation that the frames so far don't determine stays."""
_SPREAD = 1e-12
"""In squared model units: joints with a smaller spread are ignored."""


class RunningAlignment:
    """Follows, for each track, the fit that `olift_fast.model.alignment.fit_camera` makes to a whole recording.

    It keeps sums over the frames so far, from which the fit follows; a frame weighs ``(1 - 1 / frames) ** age``.
    Each frame moves the fit by one step of `olift_fast.reference.orthographic_procrustes`: complete the keypoints by
    the depth of the present fit, then fit the joints to them. So the joints move little from frame to frame, and the
    cost is the same for every frame.

    Args:
        tracks: the number of tracks.
        frames: about how many of the last frames count.
    """

    def __init__(self, tracks: int, frames: int) -> None:
        self._kept = 1 - 1 / frames
        self._moments = np.zeros((tracks, 5, 5))
        self._rotations = np.zeros((tracks, 3, 3))
        self._stretches = np.zeros(tracks)
        self.start(np.arange(tracks))

    def start(self, tracks: Indices) -> None:
        """Begins tracks, with the joints as the model turns and scales them."""
        self._moments[tracks] = 0
        self._rotations[tracks] = np.eye(3)
        self._stretches[tracks] = 1

    def step(self, tracks: Indices, joints: Array, keypoints: Array, visible: Mask) -> tuple[Array, Array]:
        """Adds a frame of each track.

        Args:
            tracks: ``(N,)``, each once.
            joints: ``(N, J, 3)`` model units.
            keypoints: ``(N, J, 2)`` model units, relative to the center of the frame; hidden ones may have any value.
            visible: ``(N, J)``; a frame with fewer than two visible keypoints changes nothing.

        Returns:
            rotations ``(N, 3, 3)`` and scales ``(N,)``: ``scale * rotation @ joint`` overlays its keypoint in x and y.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            new = frame_moments(joints, keypoints, visible)
        says = (visible.sum(axis=-1) > 1) & np.isfinite(new).all(axis=(1, 2))
        own = tracks[says]
        self._moments[own] = self._kept * self._moments[own] + new[says]
        self._improve(own)
        return self._rotations[tracks].astype(np.float32), self._stretches[tracks].astype(np.float32)

    def _improve(self, own: Indices) -> None:
        """One step of the fit for each of these tracks whose joints are not all at one point."""
        size = np.trace(self._moments[own, :3, :3], axis1=1, axis2=2)
        own, size = own[size > _SPREAD], size[size > _SPREAD]
        spread, cross = self._moments[own, :3, :3], self._moments[own, :3, 3:]
        rotation, stretch = self._rotations[own], self._stretches[own]
        depth = stretch[:, None, None] * (spread @ rotation[:, 2, :, None])
        wanted = np.concatenate([cross, depth], axis=2).swapaxes(1, 2)
        left, _, right = np.linalg.svd(wanted + (_DAMPING * stretch * size)[:, None, None] * rotation)
        left[:, :, 2] *= np.sign(np.linalg.det(left @ right))[:, None]
        self._rotations[own] = left @ right
        fitted = (self._rotations[own] * wanted).sum(axis=(1, 2)) / size
        self._stretches[own] = np.where(fitted > 0, fitted, stretch)
