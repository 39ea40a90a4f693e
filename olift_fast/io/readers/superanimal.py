"""DeepLabCut's SuperAnimal models: predictions of a video, or of pictures, in JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from olift_fast.errors import InputError
from olift_fast.io.format import Format
from olift_fast.io.json_fields import item_keys, numbers, object_keys
from olift_fast.io.open_container import JSON
from olift_fast.io.parsed import Parsed, check_size
from olift_fast.io.pictures import Pose, tracks_of_pictures

#: The built-in rig of a model, by its number of body parts.
_RIGS = {39: "superanimal_quadruped", 27: "superanimal_topviewmouse"}


def read_superanimal(content: Sequence[Mapping[str, Any]] | Mapping[str, Mapping[str, Any]]) -> Parsed:
    """Frames in a list: {"bodyparts": [animal][part][x, y, likelihood], …}; or such objects by the names of pictures.

    In a list, animals are told apart by their place in each frame. A part at (-1, -1) is missing. The file has no
    names: 39 parts are the quadruped's, 27 the top view mouse's.

    Raises:
        InputError: frames that differ in their body parts, or no animal in any frame.
    """
    frames = list(content.values()) if isinstance(content, Mapping) else list(content)
    poses = [_animals(frame) for frame in frames]
    counts = sorted({array.shape[1] for array in poses if len(array)})
    if len(counts) != 1:
        raise InputError(f"frames must have the same body parts, got {counts or 'no animal in any frame'}")
    joints = counts[0]
    if isinstance(content, Mapping):
        found = [
            Pose(place, None, animal[:, :2], animal[:, 2]) for place, array in enumerate(poses) for animal in array
        ]
        return replace(tracks_of_pictures(list(content), found, prefix="animal"), rig_name=_RIGS.get(joints))
    tracks = max(map(len, poses))
    check_size(tracks, len(poses), joints)
    points = np.full((tracks, len(poses), joints, 3), np.nan, np.float32)
    for frame, array in enumerate(poses):
        if len(array):
            points[: len(array), frame] = array
    there = np.isfinite(points[..., :2]).all(axis=-1) & ~(points[..., 2] <= 0)
    seen = np.asarray(there.any(axis=(1, 2)))
    names = [f"animal_{track}" for track in range(tracks) if seen[track]]
    never = tracks - len(names)
    notes = [f"{never} of {tracks} animals are never seen, and are left out"] if never and names else []
    return Parsed(points[seen, ..., :2], points[seen, ..., 2], None, tracks=names, notes=notes,
                  rig_name=_RIGS.get(joints))  # fmt: skip


def _animals(frame: Mapping[str, Any]) -> npt.NDArray[np.float64]:
    """(animals, parts, 3) x, y, likelihood; the likelihood is 0 for a missing part."""
    array = numbers(frame["bodyparts"] or [], "bodyparts")
    if array.size == 0:
        return np.zeros((0, 0, 3))
    if array.ndim != 3 or array.shape[2] < 3:
        raise InputError(f"bodyparts must be (animals, body parts, 3), got {array.shape}")
    array = array[..., :3].copy()
    array[(array[..., :2] == -1).all(axis=-1), 2] = 0
    return array


def _is_superanimal(content: Any) -> bool:
    if isinstance(content, Mapping):
        return bool(content) and all({"bodyparts"} <= object_keys(frame) for frame in content.values())
    return {"bodyparts"} <= item_keys(content)


FORMAT = Format(
    name="superanimal",
    extensions=(".json",),
    example="dog_superanimal_quadruped.json",
    extra=None,
    description="DeepLabCut's SuperAnimal predictions",
    containers=(JSON,),
    matches=_is_superanimal,
    read=read_superanimal,
    recognized_by="JSON list of frames with `bodyparts`, or such frames by the names of pictures",
    takes="x, y, likelihood; animals by their place in each frame; -1 is hidden; 39 body parts are the quadruped's, 27 "
    "the top view mouse's",
)
