"""New motion from recorded motion: with parts of other clips, with other joint angles, with other bone lengths."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from olift_fast.data.generator.kinematics import rotation_matrices
from olift_fast.tracks.skeleton import Skeleton

Floats = NDArray[np.float32]

LENGTH = 0.15
"""Standard deviation of the logarithm of a bone's factor, at proportions 1."""

ANGLE = np.radians(15.0)
"""Standard deviation of the angle, about each axis, by which a bent part is turned."""


def recombine(clips: Floats, skeleton: Skeleton, rng: np.random.Generator, share: float) -> Floats:
    """In a share of the clips, the joints beyond a random bone are taken from another clip of the batch.

    That part is turned about the vertical, by the angle by which the two bodies face differently, and attached to this
    body's end of the bone. All bones keep their lengths, except the one that was cut. Bones in a loop can't be cut; a
    skeleton of loops alone, or without edges, is unchanged.

    Args:
        clips: ``(B, T, J, 3)`` in a world with Z up; NaN where a joint is not known. If the joint that a part is
            attached to is not known, neither is the part.
        skeleton: of all clips.
        share: of the clips that are changed.
    """
    parts = _parts(skeleton)
    if not parts:
        return clips
    mixed = clips.copy()
    for index in np.flatnonzero(rng.random(len(clips)) < share):
        pivot, far = parts[int(rng.integers(len(parts)))]
        own, other = clips[index], clips[int(rng.integers(len(clips)))]
        at_pivot, from_pivot = own - own[:, pivot, None], other - other[:, pivot, None]
        a, b = (x[:, ~far, :2].reshape(-1, 2).astype(np.float64) for x in (at_pivot, from_pivot))
        angle = np.arctan2(np.nansum(b[:, 0] * a[:, 1] - b[:, 1] * a[:, 0]), np.nansum(a * b))
        cos, sin = np.cos(angle), np.sin(angle)
        turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]], dtype=np.float32)
        mixed[index][:, far] = own[:, pivot, None] + from_pivot[:, far] @ turn.T
    return mixed


def bend_joints(clips: Floats, skeleton: Skeleton, rng: np.random.Generator, share: float) -> Floats:
    """In a share of the clips, one, two or three joints are held at other angles.

    At such a joint, all that lies beyond one of its bones is rotated, by the same rotation in all frames: a normal
    angle of standard deviation `ANGLE` about each axis. Bones keep their lengths.

    Args:
        clips: ``(B, T, J, 3)``; NaN where a joint is not known. If the joint that a part is turned about is not known,
            neither is the part.
        skeleton: of all clips.
        share: of the clips that are changed.
    """
    parts = _parts(skeleton)
    if not parts or share == 0:
        return clips
    bent = clips.copy()
    for index in np.flatnonzero(rng.random(len(clips)) < share):
        clip = bent[index]
        for _ in range(int(rng.integers(1, 4))):
            pivot, far = parts[int(rng.integers(len(parts)))]
            turn = rotation_matrices(rng.normal(0, ANGLE, (3, 1)).astype(np.float32))[:, :, 0]
            at = clip[:, pivot, None]
            clip[:, far] = at + (clip[:, far] - at) @ turn.T
    return bent


def rescale_bones(clips: Floats, skeleton: Skeleton, rng: np.random.Generator, proportions: float) -> Floats:
    """In every clip, each bone gets longer or shorter by a factor of its own, the same in all frames.

    The factors are log-normal about 1, and the same on the left and the right. Bones keep their directions. Bones in a
    loop keep their lengths.

    Args:
        clips: ``(B, T, J, 3)``; NaN where a joint is not known, and in the result, too.
        skeleton: of all clips.
        proportions: how much the lengths vary: their logarithms' standard deviation is `LENGTH` times this.
    """
    bones, loops = _tree(skeleton)
    if not bones or proportions == 0:
        return clips
    twins = skeleton.mirror()
    of_bone = {frozenset(bone): number for number, bone in enumerate(bones)}
    alike = [min(n, of_bone.get(frozenset((int(twins[a]), int(twins[b]))), n)) for n, (a, b) in enumerate(bones)]
    factors = np.exp(rng.normal(0, LENGTH * proportions, (len(clips), len(bones))))[:, alike]
    factors[:, loops] = 1
    moved = np.zeros_like(clips)
    for number, (near, far) in enumerate(bones):
        bone = _held(clips[:, :, far] - clips[:, :, near])
        moved[:, :, far] = moved[:, :, near] + (factors[:, number, None, None] - 1).astype(np.float32) * bone
    return clips + moved


@lru_cache(maxsize=512)
def _parts(skeleton: Skeleton) -> tuple[tuple[int, NDArray[np.bool_]], ...]:
    """For each bone whose cut divides the skeleton: its end in the larger part, and bool ``(J,)``, the smaller part."""
    joints = skeleton.num_joints
    found = []
    for a, b in skeleton.edges:
        beyond = _reached_without(skeleton, a, b)
        if beyond[a]:
            continue
        small, pivot = (beyond, a) if 2 * beyond.sum() <= joints else (~beyond, b)
        found.append((pivot, small))
    return tuple(found)


def _reached_without(skeleton: Skeleton, a: int, b: int) -> NDArray[np.bool_]:
    """Bool ``(J,)``: the joints that are connected with b without the bone (a, b); a, too, if the bone is in a loop."""
    edges = tuple(edge for edge in skeleton.edges if set(edge) != {a, b})
    distances = Skeleton(skeleton.names, edges, skeleton.sides).hop_distances()
    return np.asarray(distances[b] < skeleton.num_joints)


@lru_cache(maxsize=512)
def _tree(skeleton: Skeleton) -> tuple[tuple[tuple[int, int], ...], NDArray[np.bool_]]:
    """Bones outward from a root of each connected part, nearer joint first; and which of the bones are in a loop."""
    neighbors: list[list[int]] = [[] for _ in skeleton.names]
    for a, b in skeleton.edges:
        neighbors[a].append(b)
        neighbors[b].append(a)
    bones: list[tuple[int, int]] = []
    reached: set[int] = set()
    for root in range(skeleton.num_joints):
        if root in reached:
            continue
        reached.add(root)
        front = [root]
        for near in front:
            for far in neighbors[near]:
                if far not in reached:
                    reached.add(far)
                    front.append(far)
                    bones.append((near, far))
    loops = [bool(_reached_without(skeleton, near, far)[near]) for near, far in bones]
    return tuple(bones), np.array(loops, dtype=bool)


def _held(vectors: Floats) -> Floats:
    """Vectors ``(B, T, 3)``; an unknown one becomes the last known before it, else the first known after it, else 0."""
    known = np.isfinite(vectors).all(axis=-1)
    if known.all():
        return vectors
    last = np.maximum.accumulate(np.where(known, np.arange(known.shape[1]), -1), axis=1)
    source = np.where(last < 0, known.argmax(axis=1)[:, None], last)
    return np.nan_to_num(np.take_along_axis(vectors, source[..., None], axis=1))
