"""Reads calibrated cameras: TOML of Anipose and Pose2Sim, and JSON with K, dist, R and t."""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from olift_fast.errors import InputError, named
from olift_fast.odd_files import as_file
from olift_fast.tracks.world_frame import Calibration

Floats = npt.NDArray[np.float64]

MAX_BYTES = 10_000_000
"""The most bytes of a calibration file."""

# Names of a calibration's parts in files; case does not matter.
_MATRIX = ("matrix", "k", "camera_matrix", "cameramatrix", "intrinsic_matrix", "intrinsics", "mtx", "intrinsicmatrix")
_DISTORTION = ("distortions", "distortion", "dist", "dist_coeffs", "distcoeffs", "distortion_coefficients", "d")
_ROTATION = ("rotation", "r", "rvec", "rotation_matrix", "rot", "rvecs")
_TRANSLATION = ("translation", "t", "tvec", "translation_vector", "trans", "tvecs")
_SIZE = ("size", "image_size", "imagesize", "resolution", "img_size")


def read_calibration(path: str | Path, camera: str | None = None) -> Calibration:
    """Read one calibrated camera from a file.

    Anipose and Pose2Sim write TOML with a table for each camera: `matrix`, `distortions`, `rotation` (a rotation
    vector), `translation`, `size`. JSON has the same, or `K`, `dist`, `R` (a matrix or a vector) and `t`; one camera, a
    list of them, or an object of them by name, at its top or as `cameras`. OpenCV's matrices, `{"rows": 3, "cols": 3,
    "data": [...]}`, are read as well.

    Args:
        path: the file or a pipe.
        camera: the camera's name; needed if the file has several.

    Raises:
        InputError: the file is missing or of another format, has no camera of this name, or has impossible values.
    """
    cameras = read_calibrations(path)
    if camera is None:
        if len(cameras) > 1:
            raise InputError(f"{path}: has {len(cameras)} cameras: name one of {', '.join(cameras)} with --camera")
        return next(iter(cameras.values()))
    wanted = [name for name in cameras if name == camera] or [
        name for name in cameras if name.casefold() == camera.casefold()
    ]
    if len(wanted) != 1:
        close = difflib.get_close_matches(camera, list(cameras), n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else f"it has {', '.join(cameras)}"
        raise InputError(f"{path}: has no camera {camera!r}; {hint}")
    return cameras[wanted[0]]


def read_calibrations(path: str | Path) -> dict[str, Calibration]:
    """All calibrated cameras of a file, by their names; see `read_calibration`.

    Raises:
        InputError: the file is missing or of another format, or has impossible values.
    """
    path = Path(path)
    try:
        if not path.exists():
            raise InputError("no such file")
        with as_file(path) as file:
            size = file.stat().st_size
            if size > MAX_BYTES:
                raise InputError(f"has {size:,} bytes, wanted a calibration of at most {MAX_BYTES:,}")
            text = file.read_text(encoding="utf-8-sig")
        found = {name: _camera(name, content) for name, content in _tables(_parsed(text))}
    except InputError as error:
        raise InputError(named(path, error)) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is no text, wanted a calibration in TOML or JSON") from error
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    if not found:
        raise InputError(f"{path}: has no camera: wanted a table with a camera matrix (matrix or K) for each")
    return found


def _parsed(text: str) -> Any:
    try:
        if text.lstrip().startswith(("{", "[{")):
            return json.loads(text)
        return tomllib.loads(text)
    except (json.JSONDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(f"neither TOML nor JSON of a calibration: {' '.join(str(error).split()):.100}") from error


def _tables(content: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The tables of cameras, wherever they are in the file, with their names."""
    if isinstance(content, Mapping):
        if _get(content, _MATRIX) is not None:
            yield str(content.get("name", "camera")), content
            return
        for key, value in content.items():
            if isinstance(value, Mapping) and _get(value, _MATRIX) is not None:
                name = value.get("name", key)
                yield str(name), value
            elif str(key).casefold() in ("cameras", "camera", "calibration", "calibrations"):
                yield from _tables(value)
    elif isinstance(content, list):
        for place, value in enumerate(content):
            if isinstance(value, Mapping) and _get(value, _MATRIX) is not None:
                yield str(value.get("name", value.get("id", f"camera{place + 1}"))), value


def _camera(name: str, content: Mapping[str, Any]) -> Calibration:
    matrix = _numbers(name, "matrix", _get(content, _MATRIX), (9, 4))
    if matrix.shape == (2, 2):
        raise InputError(f"camera {name!r}: matrix must have 9 numbers or be fx, fy, cx, cy, got 2 rows of 2")
    if matrix.size == 4:
        fx, fy, cx, cy = matrix.ravel()
        matrix = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]])
    rotation = _get(content, _ROTATION)
    translation = _get(content, _TRANSLATION)
    turned = None if rotation is None else _numbers(name, "rotation", rotation, (3, 9))
    size = _get(content, _SIZE)
    distortion = _get(content, _DISTORTION)
    return Calibration(
        matrix=matrix.reshape(3, 3),
        distortion=np.zeros(0)
        if distortion is None
        else _numbers(name, "distortion", distortion, (0, 1, 2, 4, 5, 8, 12, 14)),
        rotation=None if turned is None else rotation_of(turned),
        translation=None if translation is None else _numbers(name, "translation", translation, (3,)).ravel(),
        image_size=None if size is None else _size(name, size),
        name=name,
        fisheye=bool(content.get("fisheye", False)),
    )


def rotation_of(turned: Floats) -> Floats:
    """(3, 3) from a rotation matrix, or from a rotation vector (3) by Rodrigues' formula."""
    if turned.size == 9:
        return turned.reshape(3, 3)
    vector = turned.reshape(3)
    angle = float(np.linalg.norm(vector))
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = vector / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross))


def _get(content: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    lower = {str(key).casefold(): value for key, value in content.items()}
    return next((lower[name] for name in names if name in lower), None)


def _numbers(name: str, what: str, value: Any, sizes: tuple[int, ...]) -> Floats:
    """The numbers of a part, which may be in a matrix of OpenCV's; raises InputError for another count of them."""
    if isinstance(value, Mapping):
        value = value.get("data")
    try:
        numbers = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"camera {name!r}: {what} must be numbers, got {value!r:.60}") from error
    if numbers.size not in sizes:
        wanted = " or ".join(str(size) for size in sizes if size)
        raise InputError(f"camera {name!r}: {what} must have {wanted} numbers, got {numbers.size}")
    if what == "distortion" and numbers.size in (1, 2):
        # Some tools write only the radial terms.
        numbers = np.pad(numbers.ravel(), (0, 4 - numbers.size))
    return numbers


def _size(name: str, value: Any) -> tuple[int, int]:
    width, height = _numbers(name, "size", value, (2,)).ravel()
    if not (1 <= width <= 1e6 and 1 <= height <= 1e6):
        raise InputError(f"camera {name!r}: size must be a width and a height in pixels, got {width:g} {height:g}")
    return int(width), int(height)
