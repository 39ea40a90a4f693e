"""Lengths of bones over time: their drift, and one steady length for each bone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from olift_fast.tracks.skeleton import Skeleton

Array = npt.NDArray[np.floating]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

WINDOW = 48
"""The number of frames of a window for the drift of bone lengths, as in the clips that models are scored on."""
_DEVIATION = 1.4826  # the standard deviation of normally distributed values over their median distance from the median


def bone_lengths(joints: Array, edges: Sequence[tuple[int, int]]) -> Floats:
    """(..., E) ``|joint a - joint b|`` of each bone, of joints (..., J, 3); NaN where an end is NaN."""
    starts, ends = _ends(edges)
    return np.asarray(np.linalg.norm(joints[..., starts, :].astype(np.float64) - joints[..., ends, :], axis=-1))


def length_drift(joints: Array, edges: Sequence[tuple[int, int]], window: int | None = WINDOW) -> float:
    """The drift: the mean over bones of std(ℓ) / mean(ℓ) within windows of frames; 0 for steady bones.

    Args:
        joints: (T, J, 3) of one track, NaN where unknown.
        edges: (E).
        window: frames of a window; the mean over windows is returned. None takes all frames as one window, and so does
            a recording that is shorter than a window.

    Returns:
        the drift, without a unit, as `olift_fast.train.bone_length_drift`; NaN if no bone is seen twice in a window.
    """
    known = window_drifts(joints, edges, window)
    return float(np.mean(known)) if known else float("nan")


def window_drifts(joints: Array, edges: Sequence[tuple[int, int]], window: int | None = WINDOW) -> list[float]:
    """The drift of each window, of which `length_drift` is the mean; windows without a drift are left out."""
    lengths = bone_lengths(joints, edges)
    starts = range(0, max(len(lengths) - (window or 0) + 1, 1), window or max(len(lengths), 1))
    drifts = [_drift(lengths[start : start + window] if window else lengths) for start in starts]
    return [drift for drift in drifts if np.isfinite(drift)]


def _drift(lengths: Floats) -> float:
    known = np.isfinite(lengths)
    count = known.sum(axis=0)
    often = count > 1
    if not often.any():
        return float("nan")
    found, weight = np.where(known, lengths, 0)[:, often], known[:, often]
    mean = found.sum(axis=0) / count[often]
    deviation = np.sqrt((np.where(weight, found - mean, 0) ** 2).sum(axis=0) / count[often])
    return float(np.mean(deviation / np.where(mean == 0, 1, mean)))


def twin_bones(skeleton: Skeleton) -> npt.NDArray[np.intp]:
    """(E) each bone's twin on the other side of the body; the bone itself if there is none or sides are not known."""
    twins, sides = skeleton.mirror(), skeleton.sides
    opposite = [int(twin) if sides[joint] == -sides[int(twin)] else joint for joint, twin in enumerate(twins)]
    place = {frozenset(edge): bone for bone, edge in enumerate(skeleton.edges)}
    own = range(len(skeleton.edges))
    found = [
        place.get(frozenset((opposite[a], opposite[b])), bone) for bone, (a, b) in zip(own, skeleton.edges, strict=True)
    ]
    return np.array(found, dtype=np.intp)


def steady_lengths(joints: Array, skeleton: Skeleton, visible: Mask | None = None) -> Floats:
    """(E) one length for each bone: the median over frames, of left and right bones together.

    If the medians of left and right differ by more than the scatter of the frames explains, each bone keeps a part of
    the difference.

    Args:
        joints: (T, J, 3) of one track, NaN where unknown.
        skeleton: the bones; a bone and its twin get one length (`twin_bones`), unless they clearly differ.
        visible: (T, J) True for joints that were seen. If ten or more frames show both ends of a bone, only they count.

    Returns:
        in the unit of `joints`; NaN for a bone that is in no frame.
    """
    lengths = bone_lengths(joints, skeleton.edges)
    if visible is not None:
        starts, ends = _ends(skeleton.edges)
        seen = visible[:, starts] & visible[:, ends] & np.isfinite(lengths)
        lengths = np.where(seen | (seen.sum(axis=0) < 10), lengths, np.nan)
    there = np.isfinite(lengths).any(axis=0)
    median, spread = np.full((2, len(skeleton.edges)), np.nan)
    median[there] = np.nanmedian(lengths[:, there], axis=0)
    spread[there] = _DEVIATION * np.nanmedian(np.abs(lengths[:, there] - median[there]), axis=0)
    twins = twin_bones(skeleton)
    twin = median[twins]
    half, common = 0.5 * (median - twin), 0.5 * (np.square(spread) + np.square(spread[twins]))
    # The part of the sides' difference that the frames' spread explains is noise (James and Stein 1961, positive part).
    own = np.maximum(1 - common / np.where(half == 0, 1, np.square(half)), 0) * half
    return np.asarray(np.where(np.isfinite(twin), np.where(there, 0.5 * (median + twin) + own, np.nan), median))


def body_radius(joints: Array) -> float:
    """The RMS distance of the joints (T, J, 3) of one track from the mean of their frame; 0 if none is known."""
    there = np.asarray(np.isfinite(joints).all(axis=-1))
    if not there.any():
        return 0.0
    own = np.where(there[..., None], joints, 0).astype(np.float64)
    mean = own.sum(axis=1, keepdims=True) / np.maximum(there.sum(axis=1), 1)[:, None, None]
    return float(np.sqrt(np.square(own - mean).sum(axis=-1)[there].mean()))


def _ends(edges: Sequence[tuple[int, int]]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    pairs = np.array(edges, dtype=np.intp).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]
