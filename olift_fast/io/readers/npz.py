"""NumPy files: archives with our own keys, and bare arrays."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from olift_fast.errors import InputError
from olift_fast.io.format import Format
from olift_fast.io.open_container import ARCHIVE, ARRAY
from olift_fast.io.parsed import Parsed, known_rate, refuse_3d

_KEYS = ("keypoints", "confidence", "names", "edges", "tracks", "fps", "frames", "image_size")


def read_npz(archive: Mapping[str, Any]) -> Parsed:
    """Our own keys: keypoints (N, T, J, 2) or (T, J, 2); optional confidence, names, edges, tracks, fps, frames,
    image_size.

    Raises:
        InputError: no `keypoints`, an array of another shape, frames that are not whole numbers, 3D points.
    """
    keys = sorted(archive)
    if "joints" in keys and "keypoints" in keys:
        raise InputError("is a lifted result: `olift view` shows it, read_lifted reads it; wanted 2D keypoints")
    if "keypoints" not in keys:
        if {"positions", "positions_3d", "joints"} & set(keys):
            raise refuse_3d()
        raise InputError(f"wanted an array 'keypoints' (tracks, frames, joints, 2), got {', '.join(keys) or 'nothing'}")
    content = {key: archive[key] for key in _KEYS if key in archive}
    for key in {"confidence", "edges", "fps", "frames", "image_size"} & set(content):
        if content[key].dtype.kind not in "biuf":
            raise InputError(f"{key} must be numbers, got dtype {content[key].dtype}")
    parsed = from_array(content["keypoints"], content.get("confidence"))
    tracks, frames, joints = parsed.keypoints.shape[:3]
    wanted = {"tracks": (f"{tracks} names", (tracks,)), "names": (f"{joints} names", (joints,))}
    wanted |= {"frames": (f"{frames} whole numbers", (frames,)), "image_size": ("width and height", (2,))}
    for key, (what, shape) in wanted.items():
        if key in content and content[key].shape != shape:
            raise InputError(f"{key} must be {what}, got shape {content[key].shape}")
    if "fps" in content and content["fps"].size != 1:
        raise InputError(f"fps must be one number, got shape {content['fps'].shape}")
    edges = content.get("edges", np.zeros((0, 2), np.int64))
    if edges.size and (edges.ndim != 2 or edges.shape[1] != 2):
        raise InputError(f"edges must be pairs of joints, (E, 2), got shape {edges.shape}")
    numbers = content.get("frames", np.zeros(0))
    odd = numbers[~((numbers == np.rint(numbers)) & (np.abs(numbers.astype(np.float64)) < 2**63))]
    if len(odd):
        raise InputError(f"frames must be {frames} whole numbers below 2^63, got {odd[0]}")
    size = content["image_size"].tolist() if "image_size" in content else []
    if not all(map(math.isfinite, size)):
        raise InputError(f"image_size must be width and height, got {size[0]:g} and {size[1]:g}")
    return Parsed(
        parsed.keypoints,
        parsed.confidence,
        [str(name) for name in content["names"]] if "names" in content else None,
        edges.reshape(-1, 2).tolist(),
        [str(name) for name in content["tracks"]] if "tracks" in content else parsed.tracks,
        numbers.astype(np.int64) if "frames" in content else None,
        fps=known_rate(float(content["fps"].item())) if "fps" in content else None,
        image_size=(int(size[0]), int(size[1])) if size else None,
    )


def read_npy(array: npt.NDArray[Any]) -> Parsed:
    """`from_array`, but also for (frames, tracks, J, 2|3), as most tools for people write it.

    The motion tells which axis is time: from frame to frame, points move less than half as far as from animal to
    animal. (T, 1, J, 2|3) may be frames of one animal, or stills of one animal each; it is taken as frames.

    Raises:
        InputError: as `from_array`.
    """
    if array.ndim != 4 or array.shape[0] <= array.shape[1] or not _frames_first(array):
        return from_array(array)
    note = f"an array {array.shape} is taken as (frames, tracks, joints, values)"
    return replace(from_array(array.swapaxes(0, 1)), notes=[note])


def _frames_first(array: npt.NDArray[Any]) -> bool:
    """Whether the first axis of (A, B, J, 2|3) is time, and not the second: along time, points move little."""
    if array.shape[1] == 1:
        return True
    if array.dtype.kind not in "iuf":
        return False
    points = np.asarray(array[..., :2], dtype=np.float64)
    points = np.where((points == 0).all(axis=-1, keepdims=True), np.nan, points)
    along = []
    for axis in (0, 1):
        steps = np.linalg.norm(np.diff(points, axis=axis), axis=-1)
        steps = steps[np.isfinite(steps)]
        along.append(float(np.median(steps)) if len(steps) else np.inf)
    return along[0] < along[1] / 2


def from_array(points: npt.ArrayLike, confidence: npt.ArrayLike | None = None) -> Parsed:
    """Tracks of an array (T, J, 2|3) or (N, T, J, 2|3); a third value is the confidence.

    Raises:
        InputError: another shape, values that are not real numbers, or a third value that is not a confidence.
    """
    array = np.asarray(points)
    if array.dtype.kind not in "iuf":
        raise InputError(f"keypoints must be numbers, got dtype {array.dtype}")
    if array.ndim == 3:
        array = array[None]
    if array.ndim != 4 or array.shape[-1] not in (2, 3):
        raise InputError(f"keypoints must be ([tracks,] frames, joints, 2 or 3), got {np.shape(points)}")
    given = None if confidence is None else np.asarray(confidence, dtype=np.float32)
    if given is not None and given.ndim == 2:
        given = given[None]
    if array.shape[-1] == 3:
        if given is not None:
            raise InputError("keypoints have 3 values beside their confidence: are these 3D points? Needs 2D (x, y)")
        third = np.asarray(array[..., 2], dtype=np.float32)
        # Confidence lies in [0, 1], which some tools exceed slightly; the depth of a 3D point lies anywhere.
        if np.isfinite(third).any() and (np.nanmin(third) < -0.01 or np.nanmax(third) > 2):
            raise InputError(
                f"the third value must be a confidence in [0, 1], got {np.nanmin(third):.4g} … {np.nanmax(third):.4g}; "
                "are these 3D points? Needs 2D (x, y)"
            )
        given = third
    if given is not None and given.shape != array.shape[:3]:
        raise InputError(f"confidence must be {array.shape[:3]}, got {given.shape}")
    names = tuple(f"track_{track}" for track in range(len(array)))
    return Parsed(array[..., :2], given, None, tracks=names)


NPZ = Format(
    name="npz",
    extensions=(".npz",),
    example="keypoints.npz",
    extra=None,
    description="our own keypoints",
    containers=(ARCHIVE,),
    # The last format of an archive takes every archive that the others leave: its error says which keys are wanted.
    matches=lambda archive: True,
    read=read_npz,
    recognized_by="NumPy archive with `keypoints`",
    takes="our own keys, below",
)
NPY = Format(
    name="npy",
    extensions=(".npy",),
    example="keypoints.npy --skeleton coco_17",
    extra=None,
    description="a bare NumPy array",
    containers=(ARRAY,),
    matches=lambda array: True,
    read=read_npy,
    recognized_by="NumPy array",
    takes="`(T, J, 2 or 3)` or `(N, T, J, 2 or 3)`, confidence third; `(T, N, J, 2 or 3)` is recognized by the motion; "
    "freemocap's (cameras, frames, points, 2) is of the second form, with a track for each camera",
)
