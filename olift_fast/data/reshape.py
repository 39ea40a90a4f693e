"""New bodies out of recorded ones: other bone lengths, and joints held at other angles."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from olift_fast.data.generator.kinematics import rotation_matrices
from olift_fast.data.recombine import parts_of, reached_without
from olift_fast.tracks.skeleton import Skeleton

Floats = NDArray[np.float32]

LENGTH = 0.15
"""Standard deviation of the logarithm of a bone's factor, at proportions 1."""

ANGLE = np.radians(15.0)
"""Standard deviation of the angle, about each axis, by which a bent part is turned."""


def rescale_bones(clips: Floats, skeleton: Skeleton, rng: np.random.Generator, proportions: float) -> Floats:
    """Clips in which every bone is longer or shorter by a factor of its own, which it keeps over the clip.

    The factors are log-normal about 1 and alike on the left and the right; the directions of all bones stay. Bones that
    lie in a loop keep their lengths.

    Args:
        clips: (B, T, J, 3); NaN where a joint is not known, which then still isn't.
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


def _held(vectors: Floats) -> Floats:
    """Vectors (B, T, 3), where not known the last known before, or the first one after; 0 where none is."""
    known = np.isfinite(vectors).all(axis=-1)
    if known.all():
        return vectors
    last = np.maximum.accumulate(np.where(known, np.arange(known.shape[1]), -1), axis=1)
    source = np.where(last < 0, known.argmax(axis=1)[:, None], last)
    return np.nan_to_num(np.take_along_axis(vectors, source[..., None], axis=1))


@lru_cache(maxsize=64)
def _tree(skeleton: Skeleton) -> tuple[tuple[tuple[int, int], ...], NDArray[np.bool_]]:
    """Bones from a root of each connected part outwards, nearer joint first; and which of them lie in a loop."""
    neighbours: list[list[int]] = [[] for _ in skeleton.names]
    for a, b in skeleton.edges:
        neighbours[a].append(b)
        neighbours[b].append(a)
    bones: list[tuple[int, int]] = []
    reached: set[int] = set()
    for root in range(skeleton.num_joints):
        if root in reached:
            continue
        reached.add(root)
        front = [root]
        for near in front:
            for far in neighbours[near]:
                if far not in reached:
                    reached.add(far)
                    front.append(far)
                    bones.append((near, far))
    loops = [bool(reached_without(skeleton, near, far)[near]) for near, far in bones]
    return tuple(bones), np.array(loops, dtype=bool)


def bend_joints(clips: Floats, skeleton: Skeleton, rng: np.random.Generator, share: float) -> Floats:
    """Clips in which, for a share of them, some joints are held at other angles than they were.

    What lies beyond a random bone is turned about the bone's start by an angle that stays over the clip, of `ANGLE`
    about each axis; once, twice or three times. Bones keep their lengths.

    Args:
        clips: (B, T, J, 3); NaN where a joint is not known. A part that hangs on one is not known either.
        skeleton: of all clips.
        share: of the clips.
    """
    parts = parts_of(skeleton)
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
