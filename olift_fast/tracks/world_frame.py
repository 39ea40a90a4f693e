"""How a result got into the world frame, and the calibrated camera of a recording."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from olift_fast.errors import InputError

Floats = npt.NDArray[np.float64]

Gravity = Literal["given", "joints", "calibration", "pitch", "feet", "body", "assumed"]
"""The source of the direction of gravity; `docs/world.md` has a line for each."""

Path = Literal["in-plane", "floor", "size", "size and floor"]
"""The source of the root path's depth; "in-plane": none."""

LENS_TERMS = (0, 4, 5, 8, 12, 14)
"""How many distortion coefficients OpenCV knows: k1 k2 p1 p2 [k3 [k4 k5 k6 [s1 s2 s3 s4 [tx ty]]]]."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Calibration:
    """A calibrated pinhole camera, as OpenCV writes it.

    Args:
        matrix: (3, 3) the camera matrix K, pixels.
        distortion: (D) lens distortion: k1 k2 p1 p2 k3 …, at most 8 of them, or the 4 of a fisheye lens; () for none.
        rotation: (3, 3) from the calibration's world to the camera; None if unknown.
        translation: (3) of the camera, in the calibration's unit: ``x_camera = rotation @ x_world + translation``.
        image_size: width and height in pixels; None if unknown.
        name: the camera's name.
        fisheye: whether `distortion` is of OpenCV's fisheye model.

    Raises:
        InputError: impossible shapes or values. The message begins with the camera's name.
    """

    matrix: Floats
    distortion: Floats = ()  # type: ignore[assignment]
    rotation: Floats | None = None
    translation: Floats | None = None
    image_size: tuple[int, int] | None = None
    name: str = "camera"
    fisheye: bool = False

    def __post_init__(self) -> None:
        _as_array(self, "matrix", (3, 3), f"camera {self.name!r}")
        distortion = np.asarray(self.distortion, dtype=np.float64).reshape(-1)
        object.__setattr__(self, "distortion", np.trim_zeros(distortion, "b") if not distortion.any() else distortion)
        matrix, what = self.matrix, f"camera {self.name!r}"
        if not (matrix[0, 0] > 0 and matrix[1, 1] > 0 and np.allclose(matrix[2], (0, 0, 1)) and not matrix[1, 0]):
            raise InputError(f"{what}: matrix must be [[fx, s, cx], [0, fy, cy], [0, 0, 1]], got {matrix.tolist()}")
        terms = len(self.distortion)
        if terms not in LENS_TERMS or not np.isfinite(self.distortion).all() or (self.fisheye and terms not in (0, 4)):
            wanted = "0 or 4" if self.fisheye else "0, 4, 5 or 8"
            raise InputError(f"{what}: distortion must be {wanted} finite numbers, got {distortion.tolist()}")
        if terms > 8 and self.distortion[8:].any():
            raise InputError(f"{what}: distortion must have at most 8 terms that are not 0, got {distortion.tolist()}")
        if (self.rotation is None) != (self.translation is None):
            raise InputError(f"{what}: rotation and translation must both be given, or neither")
        if self.rotation is not None:
            _as_array(self, "rotation", (3, 3), what)
            _as_array(self, "translation", (3,), what)
            check_rotation(self.rotation, f"{what}: rotation")
        if self.image_size is not None:
            object.__setattr__(self, "image_size", tuple(int(side) for side in self.image_size))
            if len(self.image_size) != 2 or min(self.image_size) < 1:
                raise InputError(f"{what}: image size must be a width and a height, got {self.image_size}")


@dataclass(frozen=True, eq=False, kw_only=True)
class WorldFrame:
    """How the joints of a result got into the world frame; ``world = rotation @ camera + origin``.

    Args:
        rotation: (3, 3) from the camera's axes (x right, y down, z away) to the world's.
        origin: (N, 3) the camera's origin in the world of each track, in the unit of the joints. Without `matrix` it is
            the upper left corner of the picture at the animal's depth.
        gravity: the source of the direction of gravity.
        gravity_error: the error of that direction in degrees: in about two of three cases it is smaller.
        floor: (N) the height of the floor under each track, in the unit of the joints: 0, except in a calibrated world;
            NaN if no floor was found. None if no floor was looked for.
        path: the source of the root path's depth. "in-plane": there is none, and the tracks move in the picture's
            plane.
        path_error: (N) the standard deviation of the root's depth, in the unit of the joints; NaN if unknown.
        matrix: (3, 3) the camera matrix that `path` was computed with; None for a camera that is far away.
        size_spread: (N) the standard deviation of the frames' sizes about their median, as a share of the median; None
            if no length is known.
        calibrated: whether the axes and the origin are those of the calibration's world.

    Raises:
        InputError: impossible shapes or values.
    """

    rotation: Floats
    origin: Floats
    gravity: Gravity
    gravity_error: float
    path: Path
    path_error: Floats
    floor: Floats | None = None
    matrix: Floats | None = None
    size_spread: Floats | None = None
    calibrated: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "origin", np.asarray(self.origin, dtype=np.float64))
        tracks = len(self.origin)
        _as_array(self, "rotation", (3, 3), "world")
        check_rotation(self.rotation, "world: rotation")
        _as_array(self, "origin", (tracks, 3), "world")
        _as_array(self, "path_error", (tracks,), "world", finite=False)
        if self.matrix is not None:
            _as_array(self, "matrix", (3, 3), "world")
        for name in ("floor", "size_spread"):
            if getattr(self, name) is not None:
                _as_array(self, name, (tracks,), "world", finite=False)
        if self.gravity not in get_args(Gravity):
            raise InputError(f"world: gravity must be one of {', '.join(get_args(Gravity))}, got {self.gravity!r}")
        if self.path not in get_args(Path):
            raise InputError(f"world: path must be one of {', '.join(get_args(Path))}, got {self.path!r}")
        object.__setattr__(self, "gravity_error", float(self.gravity_error))
        if not 0 <= self.gravity_error <= 180:
            raise InputError(f"world: gravity_error must be from 0 to 180 degrees, got {self.gravity_error:g}")

    @property
    def up(self) -> Floats:
        """(3) the world's z in the camera's axes."""
        return np.asarray(self.rotation[2])

    def of_tracks(self, places: Sequence[int]) -> WorldFrame:
        """The world frame of the tracks at these places, in this order."""
        own = {name: getattr(self, name) for name in ("origin", "path_error", "floor", "size_spread")}
        return replace(self, **{name: values[list(places)] for name, values in own.items() if values is not None})


def check_rotation(rotation: Floats, name: str) -> None:
    """Raises InputError, which begins with `name`, unless the (3, 3) matrix is a rotation."""
    if not (np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-4) and np.linalg.det(rotation) > 0):
        raise InputError(f"{name} must be a rotation (orthonormal, right-handed), got {np.round(rotation, 4).tolist()}")


def _as_array(instance: Any, name: str, shape: tuple[int, ...], what: str, finite: bool = True) -> None:
    try:
        value = np.asarray(getattr(instance, name), dtype=np.float64)
    except (TypeError, ValueError):
        value = np.empty(0)
    if value.shape != shape or (finite and not np.isfinite(value).all()):
        seen = f"shape {value.shape}" if value.shape != shape else str(value.tolist())
        raise InputError(f"{what}: {name} must be {shape} finite numbers, got {seen}")
    object.__setattr__(instance, name, value)
