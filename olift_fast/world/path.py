"""The animals' paths in front of the camera: the root's place in the picture, and its depth from the bones' size."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from olift_fast.tracks.containers import LiftedTracks
from olift_fast.tracks.rates import rate_of
from olift_fast.world.averages import mean_of, median_of

Floats = npt.NDArray[np.float64]

SMOOTHED_SECONDS = 0.3
"""Standard deviation of the kernel that smooths slow changes: of sizes, and of the floor under an animal."""
SYSTEMATIC = 0.03
"""Share of the distance by which sizes of lifted animals drift with their pose, besides single frames' scatter."""
OF_LENGTH = 0.06
"""Share of the distance by which one known length is wrong, because a bone may be lifted too long or too short."""


class Placed(NamedTuple):
    """Joints (N, T, J, 3) in the camera's axes, and (N) the standard deviation of their depth; NaN where unknown."""

    joints: Floats
    depth_error: Floats


def in_plane(result: LiftedTracks, meters: Floats) -> Placed:
    """The joints in the picture's plane, with `meters` (N) in a pixel; the root's depth is unknown."""
    joints = result.joints.astype(np.float64) * meters[:, None, None, None]
    return Placed(joints, np.full(result.num_tracks, np.nan))


def along_rays(result: LiftedTracks, matrix: Floats) -> Floats:
    """(N, T, J, 3) the joints in pixels and the camera's axes, each frame turned to its ray.

    A model lifts an animal as if it were in the middle of the picture. At the picture's edge, an animal that looks the
    same is turned by the angle between its ray and the camera's axis.
    """
    turns = turns_to(rays_of(_centers(result), matrix))
    return np.einsum("ntij,ntkj->ntki", turns, result.joints.astype(np.float64))


def by_size(
    result: LiftedTracks, turned: Floats, matrix: Floats, meters: Floats, relative: Floats, scatter: Floats
) -> Placed:
    """The joints at the depth that follows from the apparent size of their bones.

    ``depth = focal length · meters in a pixel / relative size``. Then the place across the view is fitted to all
    visible keypoints, by least squares of the reprojection.

    Args:
        result: in the camera frame.
        turned: (N, T, J, 3) the joints as `along_rays` turns them.
        matrix: (3, 3) the camera matrix.
        meters: (N) in a pixel at the track's median size.
        relative: (N, T) each frame's size divided by the track's median size, smoothed.
        scatter: (N) the scatter of single frames about it, as a share.
    """
    focal = 0.5 * (matrix[0, 0] + matrix[1, 1])
    middle = mean_of(turned, axis=2, keepdims=True)
    size = (meters[:, None] / relative)[..., None, None]
    bodies = (turned - middle) * size
    depth = focal * size[..., 0]
    points, weights = _seen(result)
    rays = _normalized(points, matrix)
    away = bodies[..., 2] + depth
    missing = np.where(weights[..., None], rays * away[..., None] - bodies[..., :2], 0)
    across = missing.sum(axis=2) / np.maximum(weights.sum(axis=2), 1)[..., None]
    joints = bodies + np.concatenate([across, depth], axis=-1)[:, :, None]
    share = np.sqrt(np.square(SYSTEMATIC) + np.square(scatter) / smoothed_frames(rate_of(result)))
    return Placed(joints, median_of(depth[..., 0], axis=1) * share)


def smoothed(values: Floats, fps: float | None) -> Floats:
    """(N, T) smoothed over time by local lines; gaps are filled, at the ends with the nearest value.

    The kernel is Gaussian, of `SMOOTHED_SECONDS`; before, outliers are removed by a median of five frames. Rows without
    any value stay NaN.
    """
    deviation = SMOOTHED_SECONDS * (fps or 30.0)
    reach = max(min(round(3 * deviation), values.shape[1] - 1), 0)
    lags = np.arange(-reach, reach + 1)
    kernel = np.exp(-0.5 * np.square(lags / deviation))
    found = np.full(values.shape, np.nan)
    for row, track in enumerate(values):
        known = np.isfinite(track)
        if known.any():
            filled = np.interp(np.arange(len(track)), np.flatnonzero(known), track[known])
            found[row] = _local_lines(_median_of_five(filled), known, kernel, lags)
    return found


def smoothed_frames(fps: float | None) -> float:
    """The number of frames that a smoothed value is computed from."""
    return max(2 * np.sqrt(np.pi) * SMOOTHED_SECONDS * (fps or 30.0), 1.0)


def _local_lines(values: Floats, known: npt.NDArray[np.bool_], kernel: Floats, lags: npt.NDArray[np.int64]) -> Floats:
    """At each frame, the value of a line fitted to the frames around it, weighted by the kernel."""
    weights = np.where(known, 1.0, 1e-3)  # frames in gaps count for nearly nothing, so that no sum is 0

    def moment(power: int, factor: Floats) -> Floats:
        # `convolve` runs the kernel backward in time.
        return np.convolve(factor, (kernel * lags**power)[::-1], mode="full")[len(lags) // 2 :][: len(values)]

    s0, s1, s2 = (moment(power, weights) for power in range(3))
    t0, t1 = (moment(power, weights * values) for power in range(2))
    spread = s0 * s2 - s1 * s1
    lines = (s2 * t0 - s1 * t1) / np.where(spread > 1e-9, spread, 1)
    return np.where(spread > 1e-9, lines, t0 / s0)


def _median_of_five(values: Floats) -> Floats:
    padded = np.pad(values, 2, mode="edge")
    return np.asarray(np.median(np.lib.stride_tricks.sliding_window_view(padded, 5), axis=1))


def _seen(result: LiftedTracks) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """(N, T, J, 2) the points in the picture that place an animal, and which of them count: the visible keypoints, or,
    in frames without any, where the joints are drawn."""
    visible = result.visible
    some = visible.any(axis=2, keepdims=True)
    drawn = result.joints[..., :2].astype(np.float64)
    points = np.where(visible[..., None], result.keypoints, drawn)
    return points, np.asarray(np.where(some, visible, np.isfinite(drawn).all(axis=-1)), dtype=np.bool_)


def _centers(result: LiftedTracks) -> Floats:
    """(N, T, 2) pixels: the middle of the points that place an animal."""
    points, counts = _seen(result)
    return mean_of(np.where(counts[..., None], points, np.nan), axis=2)


def _normalized(points: Floats, matrix: Floats) -> Floats:
    return np.asarray((points - matrix[:2, 2]) @ np.linalg.inv(matrix[:2, :2]).T)


def rays_of(points: Floats, matrix: Floats) -> Floats:
    """(..., 3) unit vectors along which pixels are seen."""
    rays = np.concatenate([_normalized(points, matrix), np.ones((*points.shape[:-1], 1))], axis=-1)
    return np.asarray(rays / np.linalg.norm(rays, axis=-1, keepdims=True))


def turns_to(rays: Floats) -> Floats:
    """(..., 3, 3) the least rotations that turn the camera's axis (0, 0, 1) to the rays."""
    x, y, z = np.moveaxis(rays, -1, 0)
    share = 1 / (1 + z)
    rows = [[1 - x * x * share, -x * y * share, x], [-x * y * share, 1 - y * y * share, y], [-x, -y, z]]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)
