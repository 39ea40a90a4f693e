"""Lifted results of bodies whose bones and angles are known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from olift_fast.tracks import LiftedTracks, Skeleton, rig


def lifted(joints: np.ndarray, skeleton: Skeleton, **fields: Any) -> LiftedTracks:
    """A result of joints (T, J, 3), or (N, T, J, 3), in which all keypoints were seen."""
    joints = np.asarray(joints, dtype=np.float32)
    joints = joints if joints.ndim == 4 else joints[None]
    tracks, frames = joints.shape[:2]
    result = LiftedTracks(
        joints=joints,
        keypoints=joints[..., :2],
        confidence=np.ones(joints.shape[:3]),
        visible=np.ones(joints.shape[:3], dtype=bool),
        skeleton=skeleton,
        tracks=tuple(f"animal_{track}" for track in range(tracks)),
        scale=np.ones(tracks),
        centers=np.zeros((tracks, frames, 2)),
        rotation=np.tile(np.eye(3), (tracks, 1, 1)),
        model="none",
        version="0",
    )
    return replace(result, **fields)


def swinging(skeleton: Skeleton, frames: int = 60, seed: int = 0) -> np.ndarray:
    """(T, J, 3) a body whose bones swing about each other and keep lengths of 10 to 30, alike on both sides.

    The skeleton must be a tree. The body walks along x.
    """
    rng = np.random.default_rng(seed)
    twins = skeleton.mirror()
    length = rng.uniform(10, 30, skeleton.num_joints)
    length = np.where(np.arange(len(length)) <= twins, length, length[twins])
    time = np.linspace(0, 4, frames)[:, None]
    joints = np.zeros((frames, skeleton.num_joints, 3))
    joints[:, :, 0] = 40 * time
    neighbors: dict[int, list[int]] = {}
    for a, b in skeleton.edges:
        neighbors.setdefault(a, []).append(b)
        neighbors.setdefault(b, []).append(a)
    done, waiting = {skeleton.edges[0][0]}, [skeleton.edges[0][0]]
    while waiting:
        joint = waiting.pop()
        for end in sorted(set(neighbors[joint]) - done):
            way = rng.normal(size=(1, 3)) + 0.5 * np.sin(time * rng.uniform(1, 3, 3) + rng.uniform(0, 6, 3))
            joints[:, end] = joints[:, joint] + length[end] * way / np.linalg.norm(way, axis=-1, keepdims=True)
            done.add(end)
            waiting.append(end)
    return joints


STANDING = {
    "nose": (0, 0.1, 1.7), "eye": (0.03, 0.08, 1.73), "ear": (0.07, 0, 1.7), "shoulder": (0.2, 0, 1.45),
    "elbow": (0.2, 0, 1.15), "wrist": (0.2, 0, 0.9), "hip": (0.1, 0, 0.95), "knee": (0.1, 0, 0.5),
    "ankle": (0.1, 0, 0.08), "bigtoe": (0.1, 0.2, 0.08), "smalltoe": (0.12, 0.18, 0.08), "heel": (0.1, -0.05, 0.08),
    "head": (0, 0, 1.75), "neck": (0, 0, 1.5),
}  # fmt: skip
"""The joints of a person of 1.75 m: to the person's right (mirrored for the left), forward and up."""


def standing(rig_name: str = "halpe_26", frames: int = 1) -> tuple[np.ndarray, Skeleton]:
    """(T, J, 3) in the world's frame: a person who faces away from the camera, arms hanging, feet forward."""
    skeleton = rig(rig_name)
    joints = np.zeros((frames, skeleton.num_joints, 3))
    for joint, (name, side) in enumerate(zip(skeleton.names, skeleton.sides, strict=True)):
        part = name.lower()
        if side:
            part = part.removeprefix("left_").removeprefix("right_") if "_" in part else part[1:]
        x, y, z = STANDING[part] if side or part != "hip" else (0, 0, 0.95)
        joints[:, joint] = (-side * x, y, z)
    return joints, skeleton
