"""The arrays of a recording's .npz, and whether they fit together.

Each function takes the file's path, for its errors, and the arrays. All raise InputError for what is no recording.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from olift_fast.errors import InputError
from olift_fast.odd_files import check_file
from olift_fast.tracks.skeleton import Skeleton

Arrays = dict[str, npt.NDArray[Any]]
Floats = npt.NDArray[np.float32]

UP_AXES = {sign + axis: float(sign + "1") * np.eye(3)[place] for place, axis in enumerate("xyz") for sign in "+-"}
"""Directions that `up_axis` may name. "" is for a direction that nobody knows."""


def read_arrays(path: Path, required: Sequence[str]) -> Arrays:
    """All arrays of an .npz that has at least the required ones; nothing in it is unpickled."""
    check_file(path)
    if not zipfile.is_zipfile(path):
        raise InputError(f"{path}: not a readable .npz: it is no zip archive")
    try:
        with np.load(path, allow_pickle=False) as archive:
            content = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path}: not a readable .npz: {str(error).splitlines()[0]}") from error
    missing = [name for name in required if name not in content]
    if missing:
        raise InputError(f"{path}: has no array {', '.join(missing)}; it has {', '.join(content) or 'none'}")
    return content


def positions_of(path: Path, content: Arrays) -> Floats:
    """(T, J, 3) as the file has them."""
    positions = np.asarray(content["positions"], dtype=np.float32)
    joints = len(content["joint_names"])
    if positions.ndim != 3 or positions.shape[1:] != (joints, 3) or not len(positions):
        raise InputError(f"{path}: positions must be (frames, {joints}, 3), got {positions.shape}")
    return positions


def known_positions(path: Path, content: Arrays) -> Floats:
    """(T, J, 3), of which some are known; a joint that is NaN in one coordinate is NaN in all."""
    positions = positions_of(path, content)
    infinite = int(np.isinf(positions).sum())
    if infinite:
        raise InputError(f"{path}: positions must be finite, or NaN where not known, got {infinite} infinite values")
    positions = np.where(np.isnan(positions).any(axis=-1, keepdims=True), np.float32(np.nan), positions)
    if np.isnan(positions).all():
        raise InputError(f"{path}: positions must be known somewhere, got NaN in all {len(positions)} frames")
    return positions


def skeleton_of(path: Path, content: Arrays) -> Skeleton:
    """Joints, bones, and the sides that the names tell."""
    edges = np.asarray(content["edges"]).reshape(-1, 2)
    try:
        return Skeleton(
            tuple(map(str, content["joint_names"])), tuple((int(a), int(b)) for a, b in edges), name=path.stem
        )
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def fps_of(path: Path, content: Arrays) -> float:
    """Frames a second."""
    fps = float(content["fps"])
    if not 0 < fps < float("inf"):
        raise InputError(f"{path}: fps must be a positive number, got {fps}")
    return fps


def bounds_of_takes(path: Path, content: Arrays, frames: int) -> tuple[tuple[int, int], ...]:
    """First and one-past-last frame of each take; one take of all frames where the file tells none."""
    starts = [int(start) for start in np.atleast_1d(content.get("clip_starts", np.zeros(1)))]
    bounds = tuple(zip(starts, [*starts[1:], frames], strict=True))
    if not starts or starts[0] != 0 or any(start >= stop for start, stop in bounds):
        raise InputError(f"{path}: clip_starts must begin with 0 and increase to less than {frames}, got {starts}")
    return bounds


def values_of_takes(
    path: Path, content: Arrays, key: str, what: str, clips: int, absent: Sequence[Any]
) -> Sequence[Any]:
    """The values of an array that has one for each take, or `absent` where the file doesn't have it."""
    if key not in content:
        return absent
    values = np.asarray(content[key])
    if values.shape != (clips,):
        raise InputError(f"{path}: {key} must have {clips} {what}, got {values.size}")
    if what != "names" and values.dtype.kind not in "biuf":
        raise InputError(f"{path}: {key} must have {clips} {what}, got {values.tolist()}")
    return values.tolist()


def rates_of_takes(path: Path, content: Arrays, clips: int, fps: float) -> tuple[float, ...]:
    """Frames a second of each take: `fps` where the file has one rate for all."""
    rates = tuple(map(float, values_of_takes(path, content, "clip_fps", "rates", clips, [fps] * clips)))
    if not all(fps / 100 <= rate <= fps * 100 for rate in rates):
        raise InputError(f"{path}: clip_fps must be from a hundredth to a hundred times fps = {fps:g}, got {rates}")
    return rates


def up_axis_of(path: Path, content: Arrays) -> str | None:
    """A key of `UP_AXES`; "" where nobody knows, None where the file has no `up_axis`."""
    if "up_axis" not in content:
        return None
    axis = str(content["up_axis"])
    if axis and axis not in UP_AXES:
        raise InputError(f"{path}: up_axis must be one of {', '.join(UP_AXES)}, or empty, got {axis!r}")
    return axis


def partners_of(path: Path, content: Arrays, joints: int) -> npt.NDArray[np.int64] | None:
    """(J) each joint's left-right partner, itself on the midline, -1 where it has none; None if the file has none."""
    if "mirror" not in content:
        return None
    partners = np.asarray(content["mirror"])
    if (
        partners.shape != (joints,)
        or partners.dtype.kind not in "iu"
        or not ((partners >= -1) & (partners < joints)).all()
    ):
        raise InputError(f"{path}: mirror must be {joints} indices of joints, or -1, got {partners.tolist()}")
    return partners.astype(np.int64)
