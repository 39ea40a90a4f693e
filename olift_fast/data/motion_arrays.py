"""Reads and checks the arrays of a recording's .npz.

Each function takes the file's path, for error messages, and the arrays. All raise InputError if an array is wrong.
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
"""Directions that `up_axis` may name. It may also be "", for an unknown direction."""


def read_arrays(path: Path, required: Sequence[str]) -> Arrays:
    """All arrays of an .npz, which must have the required ones. Nothing is unpickled."""
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
    """The file's positions ``(T, J, 3)``."""
    positions = np.asarray(content["positions"], dtype=np.float32)
    joints = len(content["joint_names"])
    if positions.ndim != 3 or positions.shape[1:] != (joints, 3) or not len(positions):
        raise InputError(f"{path}: positions must be (frames, {joints}, 3), got {positions.shape}")
    return positions


def known_positions(path: Path, content: Arrays) -> Floats:
    """Positions ``(T, J, 3)``, not all unknown. A joint with one NaN coordinate is NaN in all three."""
    positions = positions_of(path, content)
    infinite = int(np.isinf(positions).sum())
    if infinite:
        raise InputError(f"{path}: positions must be finite, or NaN where not known, got {infinite} infinite values")
    positions = np.where(np.isnan(positions).any(axis=-1, keepdims=True), np.float32(np.nan), positions)
    if np.isnan(positions).all():
        raise InputError(f"{path}: positions must be known somewhere, got NaN in all {len(positions)} frames")
    return positions


def skeleton_of(path: Path, content: Arrays) -> Skeleton:
    """The skeleton: joints, bones, and the sides that the joints' names tell."""
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
    """First and one-past-last frame of each take; a file without `clip_starts` is one take."""
    starts = [int(start) for start in np.atleast_1d(content.get("clip_starts", np.zeros(1)))]
    bounds = tuple(zip(starts, [*starts[1:], frames], strict=True))
    if not starts or starts[0] != 0 or any(start >= stop for start, stop in bounds):
        raise InputError(f"{path}: clip_starts must begin with 0 and increase to less than {frames}, got {starts}")
    return bounds


def values_of_takes(
    path: Path, content: Arrays, key: str, what: str, clips: int, absent: Sequence[Any]
) -> Sequence[Any]:
    """The values of an array with one value for each take; `absent` if the file does not have the array."""
    if key not in content:
        return absent
    values = np.asarray(content[key])
    if values.shape != (clips,):
        raise InputError(f"{path}: {key} must have {clips} {what}, got {values.size}")
    if what != "names" and values.dtype.kind not in "biuf":
        raise InputError(f"{path}: {key} must have {clips} {what}, got {values.tolist()}")
    return values.tolist()


def rates_of_takes(path: Path, content: Arrays, clips: int, fps: float) -> tuple[float, ...]:
    """Frames a second of each take: `fps` for all if the file has no `clip_fps`."""
    rates = tuple(map(float, values_of_takes(path, content, "clip_fps", "rates", clips, [fps] * clips)))
    if not all(fps / 100 <= rate <= fps * 100 for rate in rates):
        raise InputError(f"{path}: clip_fps must be from a hundredth to a hundred times fps = {fps:g}, got {rates}")
    return rates


def up_axis_of(path: Path, content: Arrays) -> str | None:
    """A key of `UP_AXES`; "" if up is unknown, None if the file has no `up_axis`."""
    if "up_axis" not in content:
        return None
    axis = str(content["up_axis"])
    if axis and axis not in UP_AXES:
        raise InputError(f"{path}: up_axis must be one of {', '.join(UP_AXES)}, or empty, got {axis!r}")
    return axis


def partners_of(path: Path, content: Arrays, joints: int) -> npt.NDArray[np.int64] | None:
    """Left-right partners ``(J,)``: a joint itself on the midline, -1 for none; None if the file has no `mirror`."""
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
