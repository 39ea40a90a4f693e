"""Pinhole cameras, random ones around a clip or calibrated ones; and the projection to keypoints and target joints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from olift_fast.errors import check_shares

Floats = NDArray[np.float32]

VIEWS: dict[str, tuple[float, float]] = {"level": (0.0, 40.0), "top": (40.0, 90.0), "below": (-90.0, -20.0)}
"""Range of the degrees by which a camera of each view looks down; "below" looks up through a glass floor."""


@dataclass(frozen=True)
class CameraRange:
    """Ranges that random cameras are drawn from, one camera for each clip, at random azimuth.

    Args:
        elevation: degrees by which a camera looks down; negative cameras look up.
        roll: degrees of rotation about the viewing axis.
        focal: focal length in units of 35/36 of the image's longer side, drawn log-uniformly.
        fill: share of half the image that the clip may fill.
        offset: how far the clip may be from the image center, in RMS radii of the clip.
        image_size: width and height in pixels; None draws both from 320 … 1920.
        weak: share of clips seen from very far away (weak perspective).
        follow: share of clips whose camera moves along with the body.
        pan: share of clips whose camera turns slowly about the vertical. All others are static.
        views: how often each of `VIEWS` is drawn; if given, `elevation` is not used.
        end_on: share of clips seen along the body's longest level axis, from either end, with a standard deviation of
            15 degrees.
        close: share of clips seen by a wide lens from nearby, with a focal length of 0.4 … 0.7.

    Raises:
        InputError: a view has another name, or no share is above 0.
    """

    elevation: tuple[float, float] = (0.0, 40.0)
    roll: tuple[float, float] = (0.0, 0.0)
    focal: tuple[float, float] = (0.8, 2.5)
    fill: tuple[float, float] = (0.45, 0.95)
    offset: float = 0.3
    image_size: tuple[int, int] | None = (1080, 1080)
    weak: float = 0.1
    follow: float = 0.15
    pan: float = 0.1
    views: Mapping[str, float] | None = None
    end_on: float = 0.0
    close: float = 0.0

    def __post_init__(self) -> None:
        if self.views is not None:
            check_shares("views", self.views, VIEWS)


@dataclass(frozen=True)
class Cameras:
    """One pinhole camera a clip: ``x_camera = rotation (x_world - position)``, ``pixel = focal x_camera / z + center``.

    Args:
        rotation: ``(B, F, 3, 3)``, world to camera (x right, y down, z ahead). F is 1 for static cameras, else T.
        position: ``(B, F, 3)`` in world units.
        focal, center: ``(B, 2)`` in pixels.
        image_size: ``(B, 2)``, width and height in pixels.
    """

    rotation: Floats
    position: Floats
    focal: Floats
    center: Floats
    image_size: Floats

    @property
    def pitch(self) -> Floats:
        """Degrees ``(B,)`` by which each camera looks down, averaged over time, for a world with Z up."""
        x, y, z = np.moveaxis(self.rotation[:, :, 2], -1, 0)
        return np.degrees(np.arctan2(-z, np.hypot(x, y))).mean(axis=1)

    @staticmethod
    def from_calibration(
        intrinsics: NDArray[np.floating],
        rotation: NDArray[np.floating],
        translation: NDArray[np.floating],
        image_size: tuple[int, int] | NDArray[np.integer],
    ) -> Cameras:
        """Static cameras from a calibration: ``x_camera = rotation x_world + translation``.

        Args:
            intrinsics: K ``(B, 3, 3)`` in pixels.
            rotation: ``(B, 3, 3)``.
            translation: ``(B, 3)`` in world units.
            image_size: width and height in pixels: of all cameras, or ``(B, 2)``.
        """
        position = -np.einsum("bji,bj->bi", rotation, translation)
        count = len(intrinsics)
        return Cameras(
            np.asarray(rotation, np.float32)[:, None],
            position.astype(np.float32)[:, None],
            np.stack([intrinsics[:, 0, 0], intrinsics[:, 1, 1]], axis=-1).astype(np.float32),
            np.asarray(intrinsics[:, :2, 2], np.float32),
            np.broadcast_to(np.array(image_size, np.float32), (count, 2)),
        )


def project(
    positions: NDArray[np.floating], cameras: Cameras, labelled: NDArray[np.bool_] | None = None
) -> tuple[Floats, Floats]:
    """The keypoints that the cameras see, and the joints that are the target of lifting them.

    Args:
        positions: ``(B, T, J, 3)`` in the world.
        cameras: B cameras.
        labelled: bool ``(B, T, J)``, False where a position is unknown; it is not read. By default all are known.

    Returns:
        Keypoints ``(B, T, J, 2)`` in pixels, and joints ``(B, T, J, 3)`` in camera axes. The joints are relative to the
        mean of the frame's labeled joints, and scaled by focal / depth of that mean. So their x and y fit the
        keypoints, except for perspective (AnimalSyn3D's "camera space scaled to pixels", arXiv 2412.01166). Both are 0
        where not labeled.
    """
    positions = np.asarray(positions)
    if labelled is not None:
        positions = np.where(labelled[..., None], positions, 0)
        count = np.maximum(labelled.sum(axis=-1, dtype=np.float32), 1)[..., None, None]
    # The center is subtracted before the rotation. After adding a far camera's distance, float32 would have few digits
    # left for the body.
    center = positions.sum(axis=-2, keepdims=True)
    center = center / (positions.shape[-2] if labelled is None else count)
    turn = np.swapaxes(cameras.rotation, -1, -2)
    joints = np.matmul(positions - center, turn).astype(np.float32)
    middle = np.matmul(center - cameras.position[:, :, None], turn).astype(np.float32)
    focal = cameras.focal[:, None, None]
    in_camera = joints + middle
    keypoints = in_camera[..., :2] / np.maximum(in_camera[..., 2:], np.float32(1e-6))
    keypoints *= focal
    keypoints += cameras.center[:, None, None]
    scale = np.concatenate([focal, focal.mean(axis=-1, keepdims=True)], axis=-1) / middle[..., 2:]
    joints *= scale
    if labelled is not None:
        keypoints = np.where(labelled[..., None], keypoints, np.float32(0))
        joints = np.where(labelled[..., None], joints, np.float32(0))
    return keypoints, joints


def random_cameras(
    rng: np.random.Generator,
    positions: Floats,
    ranges: CameraRange | None = None,
    labelled: NDArray[np.bool_] | None = None,
) -> Cameras:
    """Random cameras around each clip, moved back until every labeled joint of the clip is in view.

    Args:
        rng: draws them.
        positions: ``(B, T, J, 3)`` in a world with Z up.
        ranges: `CameraRange()` by default.
        labelled: bool ``(B, T, J)``, False where a position is unknown. By default all are known.
    """
    ranges = ranges or CameraRange()
    count, frames = len(positions), positions.shape[1]
    if labelled is not None:
        positions = _filled(positions, labelled)
    azimuth = rng.uniform(0, 2 * np.pi, count)
    if ranges.end_on > 0:
        along = _long_axis(positions) + rng.choice((0, np.pi), count) + np.radians(rng.normal(0, 15, count))
        azimuth = np.where(rng.random(count) < ranges.end_on, along, azimuth)
    elevation = np.radians(_elevations(rng, ranges, count))
    roll = np.radians(rng.uniform(*ranges.roll, size=count))
    rotation = upright_rotation(azimuth, elevation, roll)[:, None]
    size = _image_sizes(rng, ranges, count)
    focal = size.max(axis=-1) * (35 / 36) * np.exp(rng.uniform(np.log(ranges.focal[0]), np.log(ranges.focal[1]), count))
    if ranges.close > 0:
        wide = size.max(axis=-1) * (35 / 36) * rng.uniform(0.4, 0.7, count)
        focal = np.where(rng.random(count) < ranges.close, wide, focal)
    focal = np.where(rng.random(count) < ranges.weak, focal * 30, focal)
    fill = rng.uniform(*ranges.fill, size=count)
    kind = rng.random(count)
    middle = positions.mean(axis=2)
    path = np.broadcast_to(0.5 * (middle.min(1, keepdims=True) + middle.max(1, keepdims=True)), middle.shape)
    if ranges.follow > 0:
        path = np.where((kind < ranges.follow)[:, None, None], middle, path)
    if ranges.pan > 0:
        panning = (kind > 1 - ranges.pan).astype(float)[:, None]
        # The pan is less than the filled half-width. With a larger one the clip would leave the view at any distance.
        reach = np.arctan(0.5 * fill * size.min(axis=-1) / focal)[:, None]
        swing = rng.uniform(-0.6, 0.6, (count, 1)) * reach * panning
        rotation = _yawed(rotation, swing * np.linspace(-1, 1, frames))
    aim = ranges.offset * rng.uniform(-1, 1, (count, 1, 3)) * [1, 1, 0]
    turn = np.swapaxes(rotation, -1, -2).astype(np.float32)
    seen = np.matmul(positions - path.astype(np.float32)[:, :, None], turn)
    radius = np.sqrt(np.einsum("btjk,btjk->b", seen, seen) / seen[0, ..., 0].size)[:, None, None]
    path = path - np.matmul((aim * radius)[:, :, None], rotation)[:, :, 0]
    seen = np.moveaxis(seen, -1, 0) + np.moveaxis(aim * radius, -1, 0)[..., None].astype(np.float32)
    ahead = rotation.mean(1)[:, None, 2]
    ahead = ahead / np.linalg.norm(ahead, axis=-1, keepdims=True)
    distance = _distance(seen, np.matmul(rotation, ahead[..., None])[..., 0], focal, fill, size)
    return Cameras(
        rotation.astype(np.float32),
        (path - distance[:, None, None] * ahead).astype(np.float32),
        np.repeat(focal[:, None], 2, axis=1).astype(np.float32),
        (0.5 * size).astype(np.float32),
        size.astype(np.float32),
    )


def upright_rotation(
    azimuth: NDArray[np.floating], elevation: NDArray[np.floating], roll: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Rotations ``(B, 3, 3)`` from a world with Z up to cameras that look along `azimuth` and down by `elevation`.

    All angles are ``(B,)`` in radians; `roll` is about the viewing axis.
    """
    ahead = np.stack(
        [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), -np.sin(elevation)], axis=-1
    )
    right = np.stack([np.sin(azimuth), -np.cos(azimuth), np.zeros_like(azimuth)], axis=-1)
    down = np.cross(ahead, right)
    cos, sin = np.cos(roll)[:, None], np.sin(roll)[:, None]
    return np.stack([cos * right + sin * down, cos * down - sin * right, ahead], axis=1)


def _elevations(rng: np.random.Generator, ranges: CameraRange, count: int) -> NDArray[np.float64]:
    """Degrees ``(B,)`` by which the cameras look down."""
    if ranges.views is None:
        return rng.uniform(*ranges.elevation, size=count)
    shares = np.array(list(ranges.views.values()), np.float64)
    drawn = rng.choice(len(shares), count, p=shares / shares.sum())
    low, high = np.array([VIEWS[view] for view in ranges.views])[drawn].T
    return rng.uniform(low, high)


def _long_axis(positions: Floats) -> NDArray[np.floating]:
    """Azimuth ``(B,)`` of the level axis along which each clip's joints ``(B, T, J, 3)`` spread most."""
    level = positions[..., :2] - positions[..., :2].mean(axis=2, keepdims=True)
    xx, xy, yy = (np.einsum("btj,btj->b", level[..., a], level[..., b]) for a, b in ((0, 0), (0, 1), (1, 1)))
    return np.asarray(0.5 * np.arctan2(2 * xy, xx - yy))


def _filled(positions: Floats, labelled: NDArray[np.bool_]) -> Floats:
    """Positions with each unknown one replaced by a known one of its clip, so that it doesn't move the camera."""
    flat = labelled.reshape(len(labelled), -1)
    first = positions.reshape(len(positions), -1, 3)[np.arange(len(flat)), flat.argmax(axis=1)]
    return np.where(labelled[..., None], positions, np.nan_to_num(first)[:, None, None])


def _image_sizes(rng: np.random.Generator, ranges: CameraRange, count: int) -> NDArray[np.float64]:
    if ranges.image_size is not None:
        return np.broadcast_to(np.array(ranges.image_size, np.float64), (count, 2))
    return np.exp(rng.uniform(np.log(320), np.log(1920), (count, 2))).round()


def _yawed(rotation: NDArray[np.float64], angle: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rotations ``(B, T, 3, 3)`` of cameras ``(B, 1, 3, 3)`` turned about the world's vertical by angles ``(B, T)``."""
    cos, sin, zero, one = np.cos(angle), np.sin(angle), np.zeros_like(angle), np.ones_like(angle)
    turn = np.stack([cos, sin, zero, -sin, cos, zero, zero, zero, one], axis=-1).reshape(*angle.shape, 3, 3)
    return np.matmul(rotation, turn)


def _distance(
    seen: NDArray[np.floating],
    forward: NDArray[np.floating],
    focal: NDArray[np.float64],
    fill: NDArray[np.float64],
    size: NDArray[np.float64],
) -> NDArray[np.float64]:
    """The least distance ``(B,)`` from which every joint is in view.

    In camera axes the joints are at seen ``(3, B, T, J)`` + distance · forward ``(B, F, 3)``.
    """
    slope = fill[:, None] * 0.5 * size / focal[:, None]
    seen = seen.reshape(*seen.shape[:3], -1)
    ahead = seen[2].min(axis=(1, 2))
    least = 0.35 * np.sqrt((seen[0] ** 2 + seen[1] ** 2 + seen[2] ** 2).max(axis=(1, 2))) - ahead
    depth = forward[..., 2]
    for axis in (0, 1):
        k = slope[:, axis, None, None].astype(np.float32)
        for sign in (1.0, -1.0):
            need = (np.float32(sign) * seen[axis] - k * seen[2]).max(axis=2)
            room = k[..., 0] * depth - sign * forward[..., axis]
            least = np.maximum(least, (need / np.maximum(room, 1e-3)).max(axis=1))
    # A clip that is a single point fits at any distance.
    return np.where(least > 0, least, 1.0)
