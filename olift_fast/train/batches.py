"""Training batches: clips of several skeletons, normalized, padded to one number of joints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from olift_fast.data.clips import ClipBatch
from olift_fast.model.config import LifterConfig
from olift_fast.model.normalization import Normalization
from olift_fast.tracks.skeleton import Skeleton

LARGEST_RADIUS = 4.0
"""In model units: a clip whose joints are farther than this from their center (RMS) is not trained on."""


@dataclass(frozen=True)
class Batch:
    """The tensors of a training step: B clips of T frames, padded to J joints.

    keypoints ``(B, T, J, 2)`` normalized; visible, labelled bool ``(B, T, J)``; joints ``(B, T, J, 3)`` target in the
    same units; graph bool ``(B, J, J)``; sides ``(B, J)``; joint_mask bool ``(B, J)``; pitch ``(B,)`` of the
    cameras in degrees, NaN where unknown or hidden from the model; kinds int64 ``(B, J)`` of the joints
    (`olift_fast.tracks.kinds.KINDS`), 0 where unknown, hidden or padding; bones int64 ``(B, E, 2)``, pairs of joints
    that the skeleton connects, padded with -1: the loss reads them, the lifter does not.
    """

    keypoints: Tensor
    visible: Tensor
    joints: Tensor
    labelled: Tensor
    graph: Tensor
    sides: Tensor
    joint_mask: Tensor
    pitch: Tensor
    kinds: Tensor
    bones: Tensor

    def to(self, device: torch.device) -> Batch:
        """The batch on a device."""
        return Batch(**{f.name: getattr(self, f.name).to(device, non_blocking=True) for f in fields(self)})

    def told(self, config: LifterConfig) -> dict[str, Tensor]:
        """The inputs of a lifter with this config beside the keypoints, as arguments of its `forward`."""
        told = {"graph": self.graph, "sides": self.sides}
        if config.pitch:
            told["pitch"] = self.pitch
        if config.kinds:
            told["kinds"] = self.kinds
        return told

    def split(self, clips: int) -> Iterator[Batch]:
        """The batch in parts of `clips` clips; the last part may have fewer."""
        parts = (getattr(self, f.name).split(clips) for f in fields(self))
        return (Batch(*tensors) for tensors in zip(*parts, strict=True))


def collate(
    groups: Sequence[ClipBatch],
    hops: int,
    sides: Sequence[bool] | None = None,
    told: Sequence[Skeleton] | None = None,
) -> Batch:
    """One batch of groups of clips of equal length, each group of one skeleton.

    Args:
        groups: at least one.
        hops: how far along the skeleton the local heads see.
        sides: for each group, whether the model gets the joints' sides; by default True.
        told: for each group, the skeleton whose graph, sides and kinds of joints the model gets
            (`olift_fast.data.told`); by default its own.
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
    pitch = np.concatenate([group.pitch for group in groups])
    kinds = np.zeros((clips, joints), np.int64)
    bones = np.full((clips, max(len(group.skeleton.edges) for group in groups), 2), -1, np.int64)
    start = 0
    for index, group in enumerate(groups):
        rows, count = slice(start, start + len(group)), group.skeleton.num_joints
        start += len(group)
        keypoints[rows, :, :count], scale = normalize_clips(group)
        target[rows, :, :count] = group.joints / scale[:, None, None, None]
        visible[rows, :, :count] = group.visible
        kept = of_plausible_size(target[rows, :, :count], group.labelled)
        labelled[rows, :, :count] = group.labelled & kept[:, None, None]
        skeleton = group.skeleton if told is None else told[index]
        graph[rows, :count, :count] = skeleton.graph(hops)
        mask[rows, :count] = True
        kinds[rows, :count] = skeleton.kinds
        bones[rows, : len(group.skeleton.edges)] = np.reshape(group.skeleton.edges, (-1, 2))
        if sides is None or sides[index]:
            side[rows, :count] = skeleton.sides
    arrays = (keypoints, visible, target, labelled, graph, side, mask, pitch, kinds, bones)
    return Batch(*(torch.from_numpy(array) for array in arrays))


def normalize_clips(clips: ClipBatch) -> tuple[np.ndarray, np.ndarray]:
    """The clips' keypoints ``(B, T, J, 2)`` in model units, and the pixels in one unit ``(B,)``."""
    units = [Normalization.fit(k, v) for k, v in zip(clips.keypoints, clips.visible, strict=True)]
    scale = np.array([unit.scale for unit in units], np.float32)
    normalized, _ = Normalization(1.0).apply(clips.keypoints, clips.visible)
    return normalized / scale[:, None, None, None], scale


def of_plausible_size(target: np.ndarray, labelled: np.ndarray) -> np.ndarray:
    """``(B,)`` False for clips whose target is so large in model units that their loss would dominate all others.

    This happens if only a few neighboring joints are visible: the unit is then their spread, and not the animal's size.
    """
    squares = np.square(target).sum(axis=-1)
    mean = squares.sum(axis=(1, 2), where=labelled) / np.maximum(labelled.sum(axis=(1, 2)), 1)
    return np.asarray(mean < LARGEST_RADIUS**2)


def by_size(groups: Sequence[ClipBatch], take: int, rng: np.random.Generator) -> list[list[ClipBatch]]:
    """The groups in lists of `take`, each of similar numbers of joints, so that little is padded; in random order."""
    ordered = sorted(groups, key=lambda group: group.skeleton.num_joints)
    lists = [ordered[start : start + take] for start in range(0, len(ordered), take)]
    return [lists[index] for index in rng.permutation(len(lists))]
