"""Training batches: clips of several skeletons, normalised, padded to one number of joints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from olift_fast.data.clips import ClipBatch
from olift_fast.model.normalization import Normalization

LARGEST_RADIUS = 4.0
"""RMS distance of a clip's joints from their centre, in model units, beyond which the clip is not learned from."""


@dataclass(frozen=True)
class Batch:
    """What a training step takes; B clips of T frames, padded to J joints.

    keypoints ``(B, T, J, 2)`` normalised; visible, labelled bool ``(B, T, J)``; joints ``(B, T, J, 3)`` target in the
    same units; graph bool ``(B, J, J)``; sides ``(B, J)``; joint_mask bool ``(B, J)``.
    """

    keypoints: Tensor
    visible: Tensor
    joints: Tensor
    labelled: Tensor
    graph: Tensor
    sides: Tensor
    joint_mask: Tensor

    def to(self, device: torch.device) -> Batch:
        """The batch on a device."""
        return Batch(**{f.name: getattr(self, f.name).to(device, non_blocking=True) for f in fields(self)})


def collate(groups: Sequence[ClipBatch], hops: int, sides: Sequence[bool] | None = None) -> Batch:
    """One batch of groups of clips of equal length, each group of one skeleton.

    Args:
        groups: at least one.
        hops: how far along the skeleton the local heads see.
        sides: for each group, whether the model is told the joints' sides; True by default.
    """
    clips = sum(len(group) for group in groups)
    frames = groups[0].visible.shape[1]
    joints = max(group.skeleton.num_joints for group in groups)
    keypoints = np.zeros((clips, frames, joints, 2), np.float32)
    target = np.zeros((clips, frames, joints, 3), np.float32)
    visible = np.zeros((clips, frames, joints), np.bool_)
    labelled = np.zeros((clips, frames, joints), np.bool_)
    graph = np.zeros((clips, joints, joints), np.bool_)
    side = np.zeros((clips, joints), np.float32)
    mask = np.zeros((clips, joints), np.bool_)
    start = 0
    for index, group in enumerate(groups):
        rows, count = slice(start, start + len(group)), group.skeleton.num_joints
        start += len(group)
        keypoints[rows, :, :count], scale = normalise(group)
        target[rows, :, :count] = group.joints / scale[:, None, None, None]
        visible[rows, :, :count] = group.visible
        kept = _fathomable(target[rows, :, :count], group.labelled)
        labelled[rows, :, :count] = group.labelled & kept[:, None, None]
        graph[rows, :count, :count] = group.skeleton.graph(hops)
        mask[rows, :count] = True
        if sides is None or sides[index]:
            side[rows, :count] = group.skeleton.sides
    arrays = (keypoints, visible, target, labelled, graph, side, mask)
    return Batch(*(torch.from_numpy(array) for array in arrays))


def normalise(clips: ClipBatch) -> tuple[np.ndarray, np.ndarray]:
    """The clips' keypoints ``(B, T, J, 2)`` in model units, and the pixels in one unit ``(B,)``."""
    units = [Normalization.fit(k, v) for k, v in zip(clips.keypoints, clips.visible, strict=True)]
    scale = np.array([unit.scale for unit in units], np.float32)
    normalised, _ = Normalization(1.0).apply(clips.keypoints, clips.visible)
    return normalised / scale[:, None, None, None], scale


def _fathomable(target: np.ndarray, labelled: np.ndarray) -> np.ndarray:
    """``(B,)`` False for clips whose keypoints say little of their size, so that their loss would drown all others.

    That is where only a few neighbouring joints are visible: their spread is no measure of the animal.
    """
    squares = np.square(target).sum(axis=-1)
    mean = squares.sum(axis=(1, 2), where=labelled) / np.maximum(labelled.sum(axis=(1, 2)), 1)
    return np.asarray(mean < LARGEST_RADIUS**2)


def by_size(groups: Sequence[ClipBatch], take: int, rng: np.random.Generator) -> list[list[ClipBatch]]:
    """All groups in lists of `take`, each of similar numbers of joints, so that little is padded; in random order."""
    ordered = sorted(groups, key=lambda group: group.skeleton.num_joints)
    lists = [ordered[start : start + take] for start in range(0, len(ordered), take)]
    return [lists[index] for index in rng.permutation(len(lists))]
