"""Clips of one skeleton: 2D keypoints with the 3D joints they came from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from olift_fast.tracks.skeleton import Skeleton


@dataclass(frozen=True)
class ClipBatch:
    """B clips of T frames of one skeleton with J joints.

    keypoints (B, T, J, 2): float32 pixels; 0 where not visible.
    visible (B, T, J): bool, False where the keypoint is missing.
    joints (B, T, J, 3): float32 target, camera axes (x right, y down, z away), relative to the frame's mean over the
        labeled joints, in pixels at that mean's depth; 0 where not labeled.
    labelled (B, T, J): bool, False where the target is unknown.
    family: what kind of body or data set the clips show.
    pitch (B,): float32 degrees by which each clip's camera looks down below the horizon: 90 straight down, negative up
        from below, NaN where unknown; by default it is unknown everywhere.
    """

    keypoints: NDArray[np.float32]
    visible: NDArray[np.bool_]
    joints: NDArray[np.float32]
    labelled: NDArray[np.bool_]
    skeleton: Skeleton
    family: str
    pitch: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))

    def __post_init__(self) -> None:
        shape = self.visible.shape
        if not self.pitch.size:
            object.__setattr__(self, "pitch", np.full(len(self), np.nan, np.float32))
        wanted = {"keypoints": (*shape, 2), "joints": (*shape, 3), "labelled": shape, "pitch": shape[:1]}
        for name, size in wanted.items():
            if getattr(self, name).shape != size:
                raise ValueError(f"{name} must be {size} to match visible {shape}, got {getattr(self, name).shape}")
        if len(shape) != 3 or shape[2] != self.skeleton.num_joints:
            raise ValueError(f"visible must be (B, T, {self.skeleton.num_joints}) for this skeleton, got {shape}")

    def __len__(self) -> int:
        return len(self.visible)

    def take(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> ClipBatch:
        """Some of the clips, by a mask ``(B,)`` or by their numbers."""
        return replace(
            self,
            keypoints=self.keypoints[rows],
            visible=self.visible[rows],
            joints=self.joints[rows],
            labelled=self.labelled[rows],
            pitch=self.pitch[rows],
        )


def mirror(batch: ClipBatch) -> ClipBatch:
    """The clips seen in a mirror: x -> -x in 2D and 3D, left and right sides swapped; joints keep their order.

    The 2D is reflected about x = 0, so that pixel coordinates become negative. Lifters center each clip, so it does no
    harm.
    """
    keypoints, joints = batch.keypoints.copy(), batch.joints.copy()
    keypoints[..., 0] *= -1
    joints[..., 0] *= -1
    skeleton = replace(batch.skeleton, sides=tuple(-side for side in batch.skeleton.sides))
    return replace(batch, keypoints=keypoints, joints=joints, skeleton=skeleton)


def concatenate(batches: Sequence[ClipBatch]) -> ClipBatch:
    """One batch of all clips; raises ValueError where skeletons or lengths differ, or there are none."""
    if not batches:
        raise ValueError("concatenate needs at least one batch, got none")
    first = batches[0]
    for batch in batches[1:]:
        if batch.skeleton != first.skeleton or batch.visible.shape[1] != first.visible.shape[1]:
            raise ValueError(
                "batches must share one skeleton and length, got "
                f"{first.skeleton.num_joints} joints x {first.visible.shape[1]} frames and "
                f"{batch.skeleton.num_joints} joints x {batch.visible.shape[1]} frames"
            )
    return replace(
        first,
        keypoints=np.concatenate([batch.keypoints for batch in batches]),
        visible=np.concatenate([batch.visible for batch in batches]),
        joints=np.concatenate([batch.joints for batch in batches]),
        labelled=np.concatenate([batch.labelled for batch in batches]),
        pitch=np.concatenate([batch.pitch for batch in batches]),
    )
