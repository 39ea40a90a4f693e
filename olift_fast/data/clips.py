"""Clips of one skeleton: 2D keypoints and the 3D joints that they are projections of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from olift_fast.tracks.skeleton import Skeleton


@dataclass(frozen=True)
class ClipBatch:
    """B clips of T frames of one skeleton with J joints.

    Args:
        keypoints: float32 ``(B, T, J, 2)`` pixels; 0 where not visible.
        visible: bool ``(B, T, J)``, False where the keypoint is missing.
        joints: float32 ``(B, T, J, 3)``, the target in camera axes (x right, y down, z away), relative to the mean of
            the frame's labeled joints, in pixels at that mean's depth; 0 where not labeled.
        labelled: bool ``(B, T, J)``, False where the target is unknown.
        skeleton: of all clips.
        family: the kind of body, or the data set.
        pitch: float32 ``(B,)``, degrees by which each clip's camera looks down: 90 straight down, negative up; NaN
            where unknown. By default it is unknown for all.

    Raises:
        ValueError: the shapes do not fit each other or the skeleton.
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
        """Some of the clips, by a mask ``(B,)`` or by their indices."""
        return replace(
            self,
            keypoints=self.keypoints[rows],
            visible=self.visible[rows],
            joints=self.joints[rows],
            labelled=self.labelled[rows],
            pitch=self.pitch[rows],
        )


def mirror(batch: ClipBatch) -> ClipBatch:
    """The clips seen in a mirror: x becomes -x in 2D and 3D, left becomes right; joints keep their order.

    The 2D is reflected about x = 0, so pixel coordinates become negative. That does no harm, because clips are centered
    before lifting.
    """
    keypoints, joints = batch.keypoints.copy(), batch.joints.copy()
    keypoints[..., 0] *= -1
    joints[..., 0] *= -1
    skeleton = replace(batch.skeleton, sides=tuple(-side for side in batch.skeleton.sides))
    return replace(batch, keypoints=keypoints, joints=joints, skeleton=skeleton)


def concatenate(batches: Sequence[ClipBatch]) -> ClipBatch:
    """One batch of all clips.

    Raises:
        ValueError: skeletons or numbers of frames differ, or there are no batches.
    """
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
