"""New poses out of recorded ones: a part of the body moves as in another clip."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from olift_fast.tracks.skeleton import Skeleton

Floats = NDArray[np.float32]


def recombine(clips: Floats, skeleton: Skeleton, rng: np.random.Generator, share: float) -> Floats:
    """Clips in which, for a share of them, the joints beyond a random bone come from another clip of the batch.

    The part is turned about the vertical so that the rest of the other body faces as this one does, and hung on this
    body's end of the bone: all bones keep their lengths but the one that was cut. Bones that lie in a loop can't be
    cut; a skeleton that is all loops, or has no edges, is left as it is.

    Args:
        clips: (B, T, J, 3) world, Z up; NaN where a joint is not known. A part that hangs on one is not known either.
        skeleton: of all clips.
        share: of the clips.
    """
    parts = parts_of(skeleton)
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


@lru_cache(maxsize=64)
def parts_of(skeleton: Skeleton) -> tuple[tuple[int, NDArray[np.bool_]], ...]:
    """For each bone that parts the skeleton in two: the joint that stays, and (J) the joints of the smaller part."""
    joints = skeleton.num_joints
    found = []
    for a, b in skeleton.edges:
        beyond = reached_without(skeleton, a, b)
        if beyond[a]:
            continue
        small, pivot = (beyond, a) if 2 * beyond.sum() <= joints else (~beyond, b)
        found.append((pivot, small))
    return tuple(found)


def reached_without(skeleton: Skeleton, a: int, b: int) -> NDArray[np.bool_]:
    """(J) the joints that b reaches when the bone between a and b is cut: a as well, where the bone lies in a loop."""
    edges = tuple(edge for edge in skeleton.edges if set(edge) != {a, b})
    distances = Skeleton(skeleton.names, edges, skeleton.sides).hop_distances()
    return np.asarray(distances[b] < skeleton.num_joints)
