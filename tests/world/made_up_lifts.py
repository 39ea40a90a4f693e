"""Lifted results that the tests of the world frame make up."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from olift_fast.tracks.containers import LiftedTracks
from olift_fast.tracks.skeleton import Skeleton

TABLE = Skeleton(
    ("left_front_paw", "right_front_paw", "left_hind_paw", "right_hind_paw", "left_shoulder", "right_shoulder",
     "left_hip", "right_hip", "nose"),
    ((0, 4), (1, 5), (2, 6), (3, 7), (4, 5), (6, 7), (4, 6), (5, 7), (4, 8)),
)  # fmt: skip
"""A body with four legs."""


def lifted(joints: npt.ArrayLike, skeleton: Skeleton = TABLE, **changed: Any) -> LiftedTracks:
    """A result in the camera frame of joints (N, T, J, 3), all of them visible where they are finite."""
    joints = np.asarray(joints, dtype=np.float64)
    visible = np.isfinite(joints).all(axis=-1)
    arguments = {
        "joints": joints,
        "keypoints": joints[..., :2],
        "confidence": visible.astype(np.float32),
        "visible": visible,
        "skeleton": skeleton,
        "tracks": tuple(f"track_{index}" for index in range(len(joints))),
        "fps": 30.0,
        "image_size": (640, 480),
        "scale": np.full(len(joints), 50.0),
        "centers": np.zeros((*joints.shape[:2], 2)),
        "rotation": np.tile(np.eye(3), (len(joints), 1, 1)),
        "model": "made up",
        "version": "0",
    }
    return LiftedTracks(**(arguments | changed))


def standing(frames: int = 40) -> npt.NDArray[np.float64]:
    """(T, J, 3) the body of `TABLE` in the world, z up, units of its length: it stands at the origin, and nods."""
    x, y = 0.5, 0.2
    feet = [(x, y, 0), (x, -y, 0), (-x, y, 0), (-x, -y, 0)]
    body = np.array([*feet, *((a, b, 0.6) for a, b, _ in feet), (0.9, 0, 0.8)])
    joints = np.tile(body, (frames, 1, 1))
    joints[:, -1, 2] += 0.1 * np.sin(np.arange(frames) / 5)
    return joints


def seen_from(
    joints: npt.NDArray[np.float64], rotation: npt.NDArray[np.float64], size: float = 100.0
) -> npt.NDArray[np.float64]:
    """Joints (T, J, 3) in the axes of a far camera, in pixels; their middle is at (320, 240, 0)."""
    turned = size * (joints - joints.mean(axis=1, keepdims=True)) @ rotation.T
    return turned + np.array([320, 240, 0.0])
