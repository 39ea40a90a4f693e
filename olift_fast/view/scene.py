"""The 3D view of a movie: joints with z up, the floor, and the projection by a camera that turns about them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from olift_fast.tracks.containers import LiftedTracks

Array = npt.NDArray[np.float32]

_DISTANCE = 4.0
"""From the camera to its target, in radii of the scene."""
_FILLED = 0.46
"""The share of a picture's side that the scene's radius fills."""


@dataclass(frozen=True)
class Scene:
    """The joints to draw: x right, y away from the camera, z up.

    Args:
        joints: (N, T, J, 3), NaN for no joint.
        centers: (N, T, 3), the mean of each track's joints.
        targets: (T, 3), the points that the camera looks at.
        radius: level distance from the targets that nearly all joints are within.
        height: vertical distance from the targets that nearly all joints are within.
        floor: height of the floor, or of the lowest joint if no floor is known.
    """

    joints: Array
    centers: Array
    targets: Array
    radius: float
    height: float
    floor: float


@dataclass(frozen=True)
class Camera:
    """A camera for one view; its target is in the middle of the view.

    Args:
        box: the view in the picture: left, top, width and height.
        radius, height: of the `Scene`.
        azimuth: radians by which it is turned to the left about its target; at 0 it looks along y.
        elevation: radians by which it looks down.
    """

    box: tuple[int, int, int, int]
    radius: float
    height: float
    azimuth: float
    elevation: float

    def project(self, points: Array, target: Array) -> tuple[Array, Array]:
        """The places of points (..., 3) in the picture, (..., 2) in pixels, and their depths along the view (...)."""
        left, top, width, height = self.box
        sine, cosine = np.sin(self.azimuth), np.cos(self.azimuth)
        down, level = np.sin(self.elevation), np.cos(self.elevation)
        turn = np.array(
            [[cosine, -sine, 0], [-sine * down, -cosine * down, -level], [sine * level, cosine * level, -down]],
            np.float32,
        )
        seen = (points - target) @ turn.T
        reach = max(self.radius, self.height)
        distance = _DISTANCE * reach
        upright = self.height * level + self.radius * down
        zoom = distance * min(_FILLED * width / self.radius, _FILLED * height / upright)
        depth = np.maximum(seen[..., 2] + distance, 0.1 * reach)
        middle = np.array([left + width / 2, top + height / 2], np.float32)
        return (middle + zoom * seen[..., :2] / depth[..., None]).astype(np.float32), depth


def scene_of(result: LiftedTracks, chosen: slice, *, follow: bool, smooth: int) -> Scene:
    """The scene of some frames of a result.

    Args:
        result: of which to take frames.
        chosen: the frames.
        follow: whether the camera looks at the animals wherever they go. If not, it looks at the middle of all frames.
        smooth: number of frames over which the path of a following camera is averaged.
    """
    joints = upright(result)[:, chosen]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # frames without any joint
        centers = np.nanmean(joints, axis=2)
        middle = np.nanmean(centers, axis=0)
    floor = floor_of(result, joints)
    targets = _smoothed(_filled(middle), smooth if follow else 0)
    away = joints - targets[None, :, None]
    level = np.hypot(away[..., 0], away[..., 1])
    low, high = min(floor, _share(joints[..., 2], 0.5)), _share(joints[..., 2], 99.5)
    height, own = (high - low) / 2, _share(np.abs(away[..., 2]), 99.5)
    if follow and height > 3 * own:  # The animal climbs or flies, and the camera follows it up and down.
        height = own
    else:
        targets[:, 2] = (low + high) / 2
    radius = _share(level, 99.5)
    size = max(radius, height) or 1.0
    return Scene(joints, centers.astype(np.float32), targets, max(radius, 0.2 * size), max(height, 0.2 * size), floor)


def upright(result: LiftedTracks) -> Array:
    """The joints (N, T, J, 3) with z up: turned by the camera's pitch. An unknown pitch is taken as 0."""
    if result.frame == "world":
        return result.joints
    x, y, z = np.moveaxis(result.joints, -1, 0)
    pitch = np.deg2rad(result.pitch or 0.0) if result.frame == "camera" else 0.0
    sine, cosine = np.float32(np.sin(pitch)), np.float32(np.cos(pitch))
    return np.stack([x, cosine * z - sine * y, -cosine * y - sine * z], axis=-1)


def floor_lines(scene: Scene, target: Array) -> Array:
    """Lines (L, 2, 3) of the floor's grid around the target. The grid is fixed in the world, so it shows motion."""
    reach = 1.5 * scene.radius
    step = nice_step(scene.radius / 2)
    lines = []
    for axis in (0, 1):
        first, last = np.ceil((target[axis] - reach) / step), np.floor((target[axis] + reach) / step)
        at = step * np.arange(first, last + 1, dtype=np.float64)
        at = at[np.abs(at - target[axis]) < reach]
        half = np.sqrt(reach**2 - (at - target[axis]) ** 2)
        ends = np.empty((len(at), 2, 3), np.float32)
        ends[:, :, axis] = at[:, None]
        ends[:, :, 1 - axis] = target[1 - axis] + half[:, None] * np.array([-1, 1])
        ends[:, :, 2] = scene.floor
        lines.append(ends)
    return np.concatenate(lines)


def nice_step(rough: float) -> float:
    """The nearest number to `rough` of the form 1, 2 or 5 times a power of ten."""
    power = 10.0 ** np.floor(np.log10(rough))
    lead = rough / power
    return float(power * (1 if lead < 1.5 else 2 if lead < 3.5 else 5 if lead < 7.5 else 10))


def known_floor(result: LiftedTracks) -> float | None:
    """The floor's height in the world frame, the median over tracks; None if no floor was found.

    It is 0, except in a calibrated world, whose joints are not moved to the floor.
    """
    if result.frame != "world" or result.contacts is None:
        return None
    if result.world is None or result.world.floor is None:
        return 0.0
    levels = result.world.floor[np.isfinite(result.world.floor)]
    return float(np.median(levels)) if len(levels) else None


def floor_of(result: LiftedTracks, joints: Array) -> float:
    """The height of the floor. If it is unknown, the height that 0.5 % of the joints are below."""
    known = known_floor(result)
    return _share(joints[..., 2], 0.5) if known is None else known


def _share(values: Array, percent: float) -> float:
    finite = values[np.isfinite(values)]
    return float(np.percentile(finite, percent)) if finite.size else 0.0


def _filled(path: Array) -> Array:
    """A path (T, 3) with its gaps filled by straight lines."""
    known = np.isfinite(path).all(axis=1)
    if not known.any():
        return np.zeros_like(path)
    frames = np.arange(len(path))
    columns = [np.interp(frames, frames[known], column[known]) for column in path.T]
    return np.stack(columns, axis=1).astype(np.float32)


def _smoothed(path: Array, frames: int) -> Array:
    """The running mean of a path (T, 3) over so many frames; for 0, the middle of the path in all frames."""
    if frames == 0:
        middle = (path.min(axis=0) + path.max(axis=0)) / 2
        return np.tile(middle, (len(path), 1))
    half = frames // 2
    sums = np.cumsum(np.concatenate([np.zeros((1, 3)), path]), axis=0)
    at = np.arange(len(path))
    first, last = np.maximum(at - half, 0), np.minimum(at + half + 1, len(path))
    return np.asarray((sums[last] - sums[first]) / (last - first)[:, None], np.float32)
