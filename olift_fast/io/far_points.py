"""Finds keypoints far outside of all others. A few of them spoil a result, because they set the recording's scale."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from olift_fast.errors import plural

#: A point is far if its distance from the middle is this many times that of nearly all others.
_TIMES = 100.0
#: The share of the points that count as nearly all.
_BULK = 0.95
#: A point is also far if it lies this many widths or heights of the picture outside of the picture.
_PICTURES = 1.0
#: By default the model sees the keypoints with this confidence or more.
_SEEN = 0.3
#: The middle and the reach are found from this many keypoints, evenly chosen. If fewer than `_FEW` of these are seen,
#: all keypoints are used.
_SAMPLE, _FEW = 100_000, 1000


def warning_of_far_points(
    points: npt.NDArray[np.float32],
    confidence: npt.NDArray[np.float32],
    tracks: Sequence[str],
    joints: Sequence[str],
    image_size: tuple[int, int] | None,
) -> str | None:
    """A warning of keypoints far outside of the others or of the picture; None if there are none.

    If more than one keypoint in twenty is far outside, there is no warning: then these are not strays.

    Args:
        points: (N, T, J, 2) pixels, NaN for hidden ones.
        confidence: (N, T, J); points with less than 0.3 do not count.
        tracks: (N) names.
        joints: (J) names.
        image_size: width and height in pixels, if known.
    """
    flat, scores = points.reshape(-1, 2), confidence.reshape(-1)
    low, high = _box(flat, scores, image_size)
    outside = np.logical_or(*((flat[:, axis] < low[axis]) | (flat[:, axis] > high[axis]) for axis in (0, 1)))
    outside &= scores >= _SEEN
    count = int(outside.sum())
    if not 0 < count <= (1 - _BULK) * float(((scores >= _SEEN) & np.isfinite(flat[:, 0])).sum()):
        return None
    places = np.flatnonzero(outside)
    far = flat[places]
    worst = np.abs(far - (low + high) / 2).max(axis=-1).argmax()
    track, frame, joint = np.unravel_index(places[worst], confidence.shape)
    x, y = far[worst].tolist()
    which = f"{joints[joint]!r} of track {tracks[track]!r} in frame {frame} (the first is 0)"
    return (
        f"{plural(count, 'keypoint')} far outside of all others, the farthest {which} at ({x:.6g}, {y:.6g}): "
        "such points spoil the scale of the result; remove them, or give them a low confidence"
    )


def _box(
    flat: npt.NDArray[np.float32], scores: npt.NDArray[np.float32], image_size: tuple[int, int] | None
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """The smallest and the largest x, y (2) that are not far outside; without points, the whole plane.

    Args:
        flat: (P, 2) the points.
        scores: (P) their confidence.
        image_size: of the picture.
    """
    step = -(-len(flat) // _SAMPLE)
    kept = np.flatnonzero(scores[::step] >= _SEEN) * step
    if len(kept) < _FEW:
        kept = np.flatnonzero(scores >= _SEEN)
    sample = flat[kept[np.isfinite(flat[kept, 0])]].astype(np.float64)
    if not len(sample):
        return np.full(2, -np.inf, np.float32), np.full(2, np.inf, np.float32)
    middle = np.median(sample, axis=0)
    reach = _TIMES * float(np.quantile(np.abs(sample - middle).max(axis=-1), _BULK, method="lower")) or np.inf
    low, high = middle - reach, middle + reach
    if image_size is not None:
        size = np.array(image_size)
        low, high = np.maximum(low, -_PICTURES * size), np.minimum(high, (1 + _PICTURES) * size)
    return low.astype(np.float32), high.astype(np.float32)
