"""Results whose motion is known, for the tests of writers: bodies of constant bones that walk and turn."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from olift_fast.io.writers.bone_tree import bone_tree
from olift_fast.tracks.containers import LiftedTracks
from olift_fast.tracks.skeleton import Skeleton

#: What the coordinates of a result can be given in.
FRAMES: dict[str, dict[str, Any]] = {
    "camera, pixels": {"frame": "camera"},
    "camera, meters": {"frame": "camera", "meters_per_pixel": [0.002]},
    "world, pixels": {"frame": "world"},
    "world, meters": {"frame": "world", "meters_per_pixel": [0.002]},
    "object, model units": {"frame": "object"},
}


def swinging(skeleton: Skeleton, frames: int = 40, seed: int = 0, size: float = 100.0) -> npt.NDArray[np.float64]:
    """(T, J, 3) joints whose bones keep their lengths while each swings by itself and the body goes on."""
    rng = np.random.default_rng(seed)
    tree = bone_tree(skeleton, np.ones(skeleton.num_joints, bool))
    time = np.linspace(0, 1, frames)[:, np.newaxis]
    joints = np.zeros((frames, skeleton.num_joints, 3))
    for joint in tree.order:
        parent = tree.parents[joint]
        if parent is None:
            joints[:, joint] = rng.normal(0, 3 * size, 3) + time * rng.normal(0, 3 * size, 3)
            continue
        phase, speed = rng.uniform(0, 6, 3), rng.uniform(2, 9, 3)
        way = rng.normal(0, 1, 3) + 0.7 * np.sin(speed * time + phase)
        length = size * rng.uniform(0.3, 1)
        joints[:, joint] = joints[:, parent] + length * way / np.linalg.norm(way, axis=-1, keepdims=True)
    return joints


def lifted(
    skeleton: Skeleton, joints: npt.NDArray[np.floating], tracks: tuple[str, ...] = ("dog",), **changes: Any
) -> LiftedTracks:
    """A result of these joints (T, J, 3), or (N, T, J, 3) of several tracks."""
    joints = np.asarray(joints, np.float32).reshape(len(tracks), -1, skeleton.num_joints, 3)
    rng = np.random.default_rng(1)
    confidence = rng.uniform(0.3, 1, joints.shape[:3]).astype(np.float32)
    if "meters_per_pixel" in changes:
        changes["meters_per_pixel"] = list(changes["meters_per_pixel"]) * len(tracks)
        joints = joints * np.float32(0.002)
    fields: dict[str, Any] = {
        "joints": joints,
        "keypoints": rng.uniform(0, 500, (*joints.shape[:3], 2)),
        "confidence": confidence,
        "visible": confidence > 0.5,
        "skeleton": skeleton,
        "tracks": tracks,
        "fps": 30.0,
        "source": "clip.csv",
        "format": "deeplabcut",
        "scale": np.full(len(tracks), 80.0),
        "centers": np.zeros((*joints.shape[:2], 2)),
        "rotation": np.broadcast_to(np.eye(3), (len(tracks), 3, 3)),
        "model": "small",
        "version": "1.0",
    }
    return LiftedTracks(**(fields | changes))


def without(result: LiftedTracks, track: int, frames: slice, joint: int) -> LiftedTracks:
    """The result without a joint in some frames."""
    joints = result.joints.copy()
    joints[track, frames, joint] = np.nan
    return replace(result, joints=joints)


def in_meters(result: LiftedTracks) -> float:
    """Meters, or units of the model, in one unit of the result."""
    return 1 / float(np.median(result.scale)) if result.units == "pixels" else 1.0
