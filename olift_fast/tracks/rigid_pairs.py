"""Bones from motion alone: pairs of joints that stay close, keep their distance and move together.

In 2D, a bone's projected length has a short upper envelope, its length and direction change slowly, and no third joint
is between its ends. Each pair of joints gets a score from such facts. The bones are the spanning tree with the highest
total score.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from olift_fast.errors import InputError

Edges = tuple[tuple[int, int], ...]
Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

MIN_FRAMES = 20
"""The fewest frames with two or more visible joints from which bones are guessed."""

# Weights of the columns of `Evidence.facts`. `python -m benchmarks.skeletons fit` finds them on generated animals.
FACTS = ("length", "envelope", "turning", "fast", "slow", "far", "residual", "speed", "together", "between", "detour")
WEIGHTS = np.array([-0.324, -0.506, -0.685, -0.500, -0.590, -0.436, -0.575, -0.196, 0.935, -0.585, 3.116])

# The odds of a bone against the pairs that could replace it become CALIBRATION[0] x odds ** CALIBRATION[1].
CALIBRATION = (1.45, 0.86)

_MOST_FRAMES = 2000
_MOST_DISTANCES = 12_000_000
_MIN_TOGETHER = 8
_FLOOR = np.float32(0.01)


def edges_by_motion(
    keypoints: npt.NDArray[np.floating], visible: Bools, *, start: Iterable[tuple[int, int]] = ()
) -> tuple[Edges, tuple[float, ...]]:
    """Bones that join the joints to a tree, and the chance of each, from 2D motion alone.

    Joints that are seen together in at least 8 frames, directly or through others, become one tree. A joint that is
    never seen gets no bone. The tree is the maximum spanning tree (Prim 1957) of a linear score of pairs. Its few
    weights were fitted on generated animals, so that a true bone wins against all pairs that could replace it.

    Args:
        keypoints: (T, J, 2), or (N, T, J, 2) tracks of one skeleton, in any unit; not read where not visible.
        visible: (T, J) or (N, T, J) False where a keypoint is missing.
        start: pairs of joints that are known to be bones. They are kept, come first, and are completed.

    Returns:
        The bones, and for each the chance that it is true: its share of exp(score) among the pairs that could replace
        it. On generated animals, nine in ten bones with a chance of 0.9 are true. The chance is 1 for bones of `start`.
        If fewer than 20 frames have two visible joints, or all joints are at one point, only the bones of `start` are
        returned, and () without `start`.

    Raises:
        InputError: shapes that disagree, a visible keypoint that is not finite, or a pair in `start` that is not two
            different joints.
    """
    keypoints, visible = _checked(keypoints, visible)
    joints = visible.shape[-1]
    known = _checked_start(start, joints)
    evidence = pair_evidence(keypoints, visible)
    if evidence is None:
        return known, (1.0,) * len(known)
    score = np.full((joints, joints), -np.inf)
    score[evidence.first, evidence.second] = evidence.facts @ WEIGHTS
    score = np.maximum(score, score.T)
    order, parent = _spanning_tree(score, known)
    sure = _confidence(score, order, parent)
    given = {frozenset(edge) for edge in known}
    found = sorted(
        (min(joint, other), max(joint, other), sure[joint])
        for joint, other in enumerate(parent.tolist())
        if other >= 0 and frozenset((joint, other)) not in given
    )
    edges = (*known, *((a, b) for a, b, _ in found))
    return edges, (*(1.0 for _ in known), *(float(chance) for _, _, chance in found))


class Evidence(NamedTuple):
    """Facts about pairs of joints from 2D motion; pairs that were hardly ever seen together are left out.

    first, second: (P) the pairs' joints, first < second. facts: (P, 11) see `FACTS`; each but "together", "between" and
    "detour" is the logarithm of a length in units of the body's 2D radius.
    """

    first: npt.NDArray[np.int64]
    second: npt.NDArray[np.int64]
    facts: npt.NDArray[np.float64]


def pair_evidence(keypoints: npt.NDArray[np.floating], visible: Bools) -> Evidence | None:
    """The facts of all pairs, pooled over the tracks; None if there are too few to guess from.

    keypoints (N, T, J, 2), visible (N, T, J).
    """
    joints = visible.shape[-1]
    if int((visible.sum(axis=-1) >= 2).sum()) < MIN_FRAMES:
        return None
    tracks = [
        track for points, seen in zip(keypoints, visible, strict=True) if (track := _smooth(points, seen)) is not None
    ]
    if not tracks:
        return None
    pairs = max(joints * (joints - 1) // 2, 1)
    frames = int(np.clip(_MOST_DISTANCES // (pairs * len(tracks)), 60, max(_MOST_FRAMES // len(tracks), 60)))
    distances = _distance_facts(tracks, frames)
    enough: Bools = np.asarray(np.isfinite(distances).all(axis=0))
    first, second = np.nonzero(np.triu(enough, 1))
    if not first.size:
        return None
    rows = np.concatenate([distances, _shared_motion(tracks), _between(distances[1])])
    return Evidence(first, second, rows[:, first, second].T.astype(np.float64))


class _Track(NamedTuple):
    """Positions (J, T, 2) relative to the frame's middle in units of the body's radius, smooth, gaps filled."""

    positions: Floats
    visible: Bools


def _smooth(keypoints: npt.NDArray[np.floating], visible: Bools) -> _Track | None:
    """One track without outliers, translation and zoom; None if its keypoints are all at one point."""
    there = visible.any(axis=1)
    visible = visible[np.flatnonzero(there)[0] : np.flatnonzero(there)[-1] + 1] if there.any() else visible[:0]
    if len(visible) < 2:
        return None
    keypoints = keypoints[there.argmax() : there.argmax() + len(visible)]
    times = np.arange(len(visible))
    filled = np.zeros((visible.shape[1], len(visible), 2))
    for joint, seen in enumerate(visible.T):
        if seen.any():
            for axis in (0, 1):
                filled[joint, :, axis] = np.interp(times, times[seen], keypoints[seen, joint, axis])
    padded = np.pad(filled, ((0, 0), (2, 2), (0, 0)), mode="edge")
    filled = np.median([padded[:, shift : shift + len(times)] for shift in range(5)], axis=0)
    moving: Bools = np.asarray(visible.any(axis=0))
    filled -= np.median(filled[moving], axis=0)
    radius = np.sqrt(np.median(np.square(filled[moving]).sum(axis=-1), axis=0))
    if not radius.max() > 0:
        return None
    # Slow changes of size come from the camera and are removed; quick ones come from the pose and stay.
    size = np.log(np.maximum(radius, 1e-3 * radius.max()))
    window = np.hanning(63)[1:-1] / np.hanning(63).sum()
    size = np.convolve(np.pad(size, 30, mode="edge"), window, mode="valid")
    filled = np.where(moving[:, None, None], filled / np.exp(size)[:, None], 0)
    return _Track(filled.astype(np.float32), np.ascontiguousarray(visible.T))


def _distance_facts(tracks: list[_Track], frames: int) -> npt.NDArray[np.float64]:
    """(6, J, J) a pair's length, and the changes of its length and direction; NaN if hardly ever seen together."""
    joints = len(tracks[0].positions)
    facts = np.full((6, joints, joints), np.nan)
    samples = []
    for positions, visible in tracks:
        count = positions.shape[1]
        now = np.unique(np.linspace(0, count - 1, min(frames, count)).round().astype(np.int64))
        soon, later = (np.minimum(now + lag, count - 1) for lag in (2, 8))
        samples.append([(positions[:, at], visible[:, at]) for at in (now, soon, later)])
    for joint in range(joints - 1):
        length, turning, soon_change, later_change = [], [], [], []
        for sample in samples:
            distance = []
            for points, seen in sample:
                offset = points[joint + 1 :] - points[joint]
                unseen = ~(seen[joint + 1 :] & seen[joint])
                offset[unseen] = np.nan
                distance.append(np.hypot(offset[..., 0], offset[..., 1]))
                if len(distance) == 1:
                    middle = _quantiles(offset.swapaxes(1, 2), (0.5,))[0]
                    turning.append(np.hypot(*np.moveaxis(offset - middle[:, None], -1, 0)))
            length.append(distance[0])
            soon_change.append(np.abs(distance[1] - distance[0]))
            later_change.append(np.abs(distance[2] - distance[0]))
        row = [
            *_quantiles(np.concatenate(length, axis=1), (0.95, 0.99)),
            *_quantiles(np.concatenate(turning, axis=1), (0.9,)),
            *_quantiles(np.concatenate(soon_change, axis=1), (0.5,)),
            *_quantiles(np.concatenate(later_change, axis=1), (0.5, 0.9)),
        ]
        facts[:, joint, joint + 1 :] = facts[:, joint + 1 :, joint] = np.log(np.array(row) + _FLOOR)
    return facts


def _quantiles(values: Floats, shares: tuple[float, ...]) -> list[Floats]:
    """Quantiles over the last axis of the values that are not NaN; NaN where there are fewer than 8."""
    ordered = np.sort(values, axis=-1)
    count = values.shape[-1] - np.isnan(values).sum(axis=-1)
    return [
        np.where(
            count >= _MIN_TOGETHER,
            np.take_along_axis(ordered, np.maximum(np.rint(share * (count - 1)), 0).astype(int)[..., None], -1)[..., 0],
            np.float32(np.nan),
        )
        for share in shares
    ]


def _shared_motion(tracks: list[_Track]) -> npt.NDArray[np.float64]:
    """(3, J, J) differences in motion of two joints: without the body's main motion, in velocity, as a correlation."""
    joints = len(tracks[0].positions)
    residual, speed, frames = np.zeros((joints, joints)), np.zeros((joints, joints)), 0
    for positions, _ in tracks:
        flat = positions.astype(np.float64).reshape(joints, -1)
        # Four shapes, with the mean, span all views of a rigid body; the rest is the joints' own motion.
        _, vectors = np.linalg.eigh(flat @ flat.T)
        own = flat - vectors[:, -4:] @ (vectors[:, -4:].T @ flat)
        lag = min(4, positions.shape[1] - 1)
        velocity = positions[:, lag:].astype(np.float64) - positions[:, :-lag]
        velocity -= np.median(velocity, axis=0)
        velocity = velocity.reshape(joints, -1)
        velocity -= velocity.mean(axis=1, keepdims=True)
        count = positions.shape[1]
        residual += own @ own.T
        speed += velocity @ velocity.T * (count / max(count - lag, 1))
        frames += count
    residual, speed = residual / frames, speed / frames + 1e-4 * np.eye(joints)
    deviation = np.sqrt(np.diag(speed))
    together = speed / np.outer(deviation, deviation)
    apart = [np.add.outer(np.diag(c), np.diag(c)) - 2 * c for c in (residual, speed)]
    return np.stack([*(0.5 * np.log(np.maximum(square, 0) + 1e-5) for square in apart), together])


def _between(length: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(2, J, J) the log number of joints nearer to both ends than these are to each other, and how much nearer."""
    length = np.where(np.isnan(length), np.inf, length)
    count, nearest = np.zeros_like(length), np.zeros_like(length)
    for joint, row in enumerate(length):
        farther = np.maximum(row[:, None], length)
        count[joint] = (farther < row).sum(axis=0)
        finite = np.isfinite(row)
        nearest[joint, finite] = np.minimum(farther.min(axis=0)[finite] - row[finite], 0)
    return np.stack([np.log1p(count), nearest])


def _spanning_tree(score: npt.NDArray[np.float64], known: Edges) -> tuple[list[int], npt.NDArray[np.int64]]:
    """Prim's maximum spanning tree with the known bones: joints in the order in which they joined, and their parents.

    A joint without a parent (-1) begins a new tree, because no pair with a score leads to it.
    """
    score = score.copy()
    for a, b in known:
        score[a, b] = score[b, a] = np.inf
    joints = len(score)
    outside = np.ones(joints, dtype=bool)
    best, parent = np.full(joints, -np.inf), np.full(joints, -1)
    order: list[int] = []
    for _ in range(joints):
        joint = int(np.where(outside, best, -np.inf).argmax())
        if not outside[joint] or best[joint] == -np.inf:
            joint = int(outside.argmax())
        order.append(joint)
        outside[joint] = False
        nearer = outside & (score[joint] > best)
        best[nearer], parent[nearer] = score[joint, nearer], joint
    return order, parent


def _confidence(
    score: npt.NDArray[np.float64], order: list[int], parent: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """(J) the chance that the bone to each joint's parent is right, among all pairs that could replace it."""
    joints = len(score)
    below = np.eye(joints, dtype=bool)
    for joint in reversed(order):
        if parent[joint] >= 0:
            below[parent[joint]] |= below[joint]
    chance = np.zeros(joints)
    for joint in order:
        if parent[joint] >= 0 and np.isfinite(score[joint, parent[joint]]):
            rivals = np.exp(score[below[joint]][:, ~below[joint]] - score[joint, parent[joint]])
            odds = 1 / max(float(rivals.sum()) - 1, 1e-9)
            chance[joint] = 1 / (1 + 1 / (CALIBRATION[0] * odds ** CALIBRATION[1]))
    return chance


def _checked(keypoints: npt.NDArray[np.floating], visible: Bools) -> tuple[npt.NDArray[np.floating], Bools]:
    """Both with an axis for tracks."""
    keypoints, visible = np.asarray(keypoints), np.asarray(visible, dtype=bool)
    if visible.ndim not in (2, 3) or keypoints.shape != (*visible.shape, 2):
        raise InputError(
            "keypoints must be (T, J, 2) or (N, T, J, 2) and visible the same without the last axis, "
            f"got {keypoints.shape} and {visible.shape}"
        )
    wrong = int((visible & ~np.isfinite(keypoints).all(axis=-1)).sum())
    if wrong:
        raise InputError(f"visible keypoints must be finite, got {wrong} that are not")
    joints = visible.shape[-1]
    return keypoints.reshape(-1, *keypoints.shape[-3:]), visible.reshape(-1, visible.shape[-2], joints)


def _checked_start(start: Iterable[tuple[int, int]], joints: int) -> Edges:
    edges = tuple((int(a), int(b)) for a, b in start)
    for a, b in edges:
        if a == b or not (0 <= a < joints and 0 <= b < joints):
            raise InputError(f"start must be pairs of different joints 0 … {joints - 1}, got ({a}, {b})")
    return edges
