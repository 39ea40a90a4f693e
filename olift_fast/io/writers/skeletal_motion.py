"""Turns positions of joints into a motion of bones: a rest pose, and each joint's rotation from it in each frame."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from olift_fast.io.writers.bone_tree import BoneTree, bone_tree
from olift_fast.io.writers.rotations import Array, about_y, proper, swing, turning
from olift_fast.tracks.skeleton import Skeleton

# The rest pose is found from at most this many frames, evenly spaced.
_SAMPLES = 2000
# A mean of unit vectors that is shorter than this has no direction.
_SURE = 0.3
# The weight of the frame before in the rotation of the whole body, beside 1 for its bones: it lags by a frame or two.
_STEADY = 1.0
# The length of a bone whose joints are always in one place, as a share of a typical bone's length.
_SHORTEST = 0.01


class SkeletalMotion(NamedTuple):
    """One animal's motion; T frames, J joints.

    Args:
        tree: its bones; joints that the track never has are in no tree.
        joints: (T, J, 3) positions, with y up; where a joint is not known, it moves in a straight line.
        rest: (J, 3) the rest pose; the offset from parent to child is the bone's direction and length.
        rotations: (T, J, 3, 3) each joint's rotation from the rest pose, in the axes of `joints`.
        length: a typical bone's length.
    """

    tree: BoneTree
    joints: Array
    rest: Array
    rotations: Array
    length: float

    def offsets(self, joint: int, other: int) -> Array:
        """(T, 3) the offset from a joint to another, in the first joint's turned axes."""
        way = self.joints[:, other] - self.joints[:, joint]
        return np.einsum("tji,tj->ti", self.rotations[:, joint], way)

    def turned(self, joint: int, child: int) -> Array:
        """(T, 3, 3) the smallest rotation, in a joint's turned axes, that brings the bone to a child from its rest to
        its direction in each frame."""
        rest, way = self.rest[child] - self.rest[joint], self.offsets(joint, child)
        length = np.linalg.norm(way, axis=-1, keepdims=True)
        rest = rest / np.linalg.norm(rest)
        return swing(np.broadcast_to(rest, way.shape), np.where(length > 0, way / np.maximum(length, 1e-300), rest))

    def local(self, joint: int) -> Array:
        """(T, 3, 3) a joint's rotation relative to its parent, or a root's in the scene."""
        parent = self.tree.parents[joint]
        own = self.rotations[:, joint]
        return own if parent is None else np.swapaxes(self.rotations[:, parent], -1, -2) @ own


def skeletal_motion(joints: npt.NDArray[np.floating], skeleton: Skeleton) -> SkeletalMotion:
    """The motion of one track. From the root on, each joint is turned so that its first bone has its direction.

    A joint with one bone turns no more than it must, so it does not twist. A joint with several bones twists about the
    first so that the others fit best. One rotation can't fit them all: `turned` gives the rest for each.

    The rest pose has each bone's median length. Its directions are means over time, in axes that turn with the body. It
    is as upright as the body is on average, and faces +z if the skeleton has left and right.

    Args:
        joints: (T, J, 3) with y up; NaN where not known. At least one joint is known in one frame.
    """
    known = np.isfinite(joints).all(axis=-1)
    tree = bone_tree(skeleton, known.any(axis=0))
    filled = _bridged(joints.astype(np.float64), known)
    bones = np.array(tree.bones, np.int64).reshape(-1, 2)
    ways = filled[:, bones[:, 1]] - filled[:, bones[:, 0]]
    lengths = _lengths(ways, known[:, bones].all(axis=-1))
    typical = float(np.median(lengths)) if len(lengths) else 1.0
    directions = _directions(ways)
    rest_ways, body = _rest_directions(directions, lengths)
    turned = _facing(rest_ways * lengths[:, np.newaxis], bones, skeleton, filled.shape[1])
    rest_ways, body = rest_ways @ turned.T, body @ turned.T
    rest = np.zeros(filled.shape[1:])
    for (parent, joint), way, length in zip(bones.tolist(), rest_ways, lengths, strict=True):
        rest[joint] = rest[parent] + way * length
    rotations = np.broadcast_to(np.eye(3), (*filled.shape, 3)).copy()
    _turn(rotations, tree, rest_ways, directions, body)
    return SkeletalMotion(tree, filled, rest, rotations, typical)


def _turn(rotations: Array, tree: BoneTree, rest: Array, directions: Array, body: Array) -> None:
    """Fills in the rotations (T, J, 3, 3) of the tree's joints, for bones that point to `rest` at rest."""
    place = {joint: index for index, (_, joint) in enumerate(tree.bones)}
    for joint in tree.order:
        above = tree.parents[joint]
        base = body if above is None else rotations[:, above]
        at = [place[child] for child in tree.children[joint]]
        if len(at) == 1:
            rotations[:, joint] = swing(base @ rest[at[0]], directions[:, at[0]]) @ base
        else:
            rotations[:, joint] = turning(rest[at], directions[:, at], base) if at else base


def _bridged(joints: Array, known: npt.NDArray[np.bool_]) -> Array:
    """The joints, interpolated linearly between the frames that have them, and constant before and after these."""
    filled = joints.copy()
    frames = np.arange(len(joints))
    for joint in np.flatnonzero(known.any(axis=0) & ~known.all(axis=0)):
        there = known[:, joint]
        for axis in range(3):
            filled[~there, joint, axis] = np.interp(frames[~there], frames[there], joints[there, joint, axis])
    return filled


def _lengths(ways: Array, known: npt.NDArray[np.bool_]) -> Array:
    """(B) the median length of each bone over the frames that have both joints, never 0."""
    lengths = np.linalg.norm(ways, axis=-1)
    medians = np.array(
        [np.median(own[seen] if seen.any() else own) for own, seen in zip(lengths.T, known.T, strict=True)]
    )
    longer = medians[medians > 0]
    typical = float(np.median(longer)) if len(longer) else 1.0
    return np.maximum(medians, _SHORTEST * typical)


def _directions(ways: Array) -> Array:
    """(T, B, 3) the bones' directions, of unit length. Where a bone has no length, it has the direction of the last
    frame before that has one, else of the first."""
    lengths = np.linalg.norm(ways, axis=-1)
    frames, bones = lengths.shape
    there = lengths > 0
    latest = np.maximum.accumulate(np.where(there, np.arange(frames)[:, np.newaxis], -1), axis=0)
    source = np.where(latest < 0, there.argmax(axis=0), latest)
    taken = ways[source, np.arange(bones)]
    taken[:, ~there.any(axis=0)] = (0.0, 1.0, 0.0)
    return taken / np.linalg.norm(taken, axis=-1, keepdims=True)


def _rest_directions(directions: Array, lengths: Array) -> tuple[Array, Array]:
    """(B, 3) each bone's direction at rest, and (T, 3, 3) how the body as a whole is turned from there."""
    weights = lengths[:, np.newaxis] / max(lengths.sum(), 1e-300)
    step = -(-len(directions) // _SAMPLES)
    some = directions[::step]
    mean, own = some[0], some
    for _ in range(3):
        turns = _body(some, mean, weights)
        own = np.einsum("tji,tbj->tbi", turns, some)
        mean = _unit(own.mean(axis=0), some[0])
    # A bone without a mean direction is at rest as in the frame that is nearest to the mean pose.
    nearest = own[np.sum(weights * (own - mean) ** 2, axis=(1, 2)).argmin()] if own.size else mean
    mean = _unit(own.mean(axis=0), nearest)
    upward = _body(some, mean, weights)[:, 1].mean(axis=0)
    if np.linalg.norm(upward) > _SURE:
        mean = mean @ swing(upward / np.linalg.norm(upward), np.array([0.0, 1.0, 0.0])).T
    return mean, _body(directions, mean, weights)


def _body(directions: Array, rest: Array, weights: Array) -> Array:
    """(T, 3, 3) the rotations of the whole body from rest that fit all bones best, each near that of the frame before.

    Otherwise a body in nearly one line would roll over whenever it bends to the other side.
    """
    turns = np.einsum("tbi,bj->tij", directions, rest * weights)
    before = np.eye(3)
    for frame, matrix in enumerate(turns):
        before = turns[frame] = proper(matrix + (_STEADY if frame else 1e-9) * before)
    return turns


def _unit(vectors: Array, otherwise: Array) -> Array:
    """Vectors (B, 3) at unit length; for those that are too short to have a direction, the rows of `otherwise`."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.where(lengths > _SURE, vectors / np.maximum(lengths, _SURE), otherwise)


def _facing(ways: Array, bones: npt.NDArray[np.int64], skeleton: Skeleton, joints: int) -> Array:
    """(3, 3) the rotation about y that brings the left of the rest pose to +x, so that it faces +z."""
    rest = np.full((joints, 3), np.nan)
    for (parent, joint), way in zip(bones.tolist(), ways, strict=True):
        rest[joint] = np.nan_to_num(rest[parent]) + way
        rest[parent] = np.nan_to_num(rest[parent])
    left = np.array([side == 1 for side in skeleton.sides])
    across = np.nansum((rest - rest[skeleton.mirror()])[left], axis=0)
    if np.hypot(across[0], across[2]) == 0:
        return np.eye(3)
    return about_y(float(np.arctan2(across[2], across[0])))
