"""MARS and the CalMS21 data set: poses of two mice in JSON, all x of an animal before all y."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from olift_fast.errors import InputError
from olift_fast.io.format import Format
from olift_fast.io.json_fields import numbers, object_keys
from olift_fast.io.open_container import ARRAY, JSON
from olift_fast.io.parsed import Parsed, check_size

_NAMES = ("nose", "left_ear", "right_ear", "neck", "left_hip", "right_hip", "tail_base")
_EDGES = ((0, 1), (0, 2), (1, 3), (2, 3), (3, 4), (3, 5), (4, 6), (5, 6))


def read_mars(content: Any) -> Parsed:
    """`keypoints` (frames, animals, 2, joints), all x before all y, and `scores` (frames, animals, joints).

    A file of MARS holds one recording. A file of CalMS21 holds many, by group and name. Each gets tracks of its own,
    named sequence/animal, which are padded with hidden frames at their end.

    Raises:
        InputError: arrays of another shape, or sequences that differ in their joints.
    """
    sequences = _sequences(content.item() if isinstance(content, np.ndarray) else content)
    found = {name: _sequence(name, sequence) for name, sequence in sequences.items()}
    joints = sorted({points.shape[2] for points, _ in found.values()})
    if len(joints) != 1:
        raise InputError(f"sequences must have the same joints, got {joints}")
    tracks = [
        (f"{name}/{animal}" if len(found) > 1 else animal, points[index], scores[index])
        for name, (points, scores) in found.items()
        for index, animal in enumerate(_animals(len(points)))
    ]
    longest = max(len(points) for _, points, _ in tracks)
    check_size(len(tracks), longest, joints[0])
    keypoints = np.full((len(tracks), longest, joints[0], 2), np.nan, np.float32)
    confidence = np.zeros(keypoints.shape[:3], np.float32)
    for track, (_, points, scores) in enumerate(tracks):
        keypoints[track, : len(points)] = points
        confidence[track, : len(points)] = scores
    mouse = joints[0] == len(_NAMES)
    return Parsed(
        keypoints,
        confidence,
        _NAMES if mouse else None,
        _EDGES if mouse else (),
        tracks=[name for name, _, _ in tracks],
        notes=[f"{len(found)} sequences, side by side"] if len(found) > 1 else [],
    )


def _sequences(content: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The recordings by their names: one named "" if the file is a recording itself, else those in its groups."""
    if _is_sequence(content):
        return {"": content}
    found = {}
    for group, value in content.items():
        inner = {str(group): value} if _is_sequence(value) else value
        for name, sequence in inner.items():
            found[name if name not in found else f"{group}/{name}"] = sequence
    return found


def _sequence(name: str, sequence: Mapping[str, Any]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Points (animals, frames, joints, 2) and scores (animals, frames, joints)."""
    where = f"{name}: " if name else ""
    points = numbers(sequence["keypoints"], f"{where}keypoints")
    if points.ndim != 4 or points.shape[2] != 2:
        raise InputError(f"{where}keypoints must be (frames, animals, 2, joints), got {points.shape}")
    points = points.transpose(1, 0, 3, 2)
    scores = np.ones(points.shape[:3])
    if sequence.get("scores") is not None:
        given = numbers(sequence["scores"], f"{where}scores")
        if given.shape != (points.shape[1], points.shape[0], points.shape[2]):
            raise InputError(f"{where}scores must be (frames, animals, joints) of the keypoints, got {given.shape}")
        scores = given.swapaxes(0, 1)
    return points, scores


def _animals(count: int) -> list[str]:
    return ["resident", "intruder"] if count == 2 else [f"animal_{index}" for index in range(count)]


def _is_sequence(value: Any) -> bool:
    keys = object_keys(value)
    return "keypoints" in keys and bool({"scores", "bbox", "bscores", "annotations"} & keys)


def _is_mars(content: Any) -> bool:
    if isinstance(content, np.ndarray):
        # CalMS21's .npy files hold the dictionary of its JSON, pickled.
        content = content.item() if content.dtype == object and content.ndim == 0 else None
    if not isinstance(content, Mapping) or not content:
        return False
    if _is_sequence(content):
        keypoints = content["keypoints"]
        return isinstance(keypoints, list | np.ndarray) and np.ndim(keypoints[0] if len(keypoints) else 0) == 3
    values = [one for value in content.values() for one in (value.values() if isinstance(value, Mapping) else [None])]
    return bool(values) and (all(map(_is_sequence, content.values())) or all(map(_is_sequence, values)))


FORMAT = Format(
    name="mars",
    extensions=(".json", ".npy"),
    example="calms21_task1_test.json",
    extra=None,
    description="MARS and CalMS21 poses",
    containers=(JSON, ARRAY),
    matches=_is_mars,
    read=read_mars,
    recognized_by="JSON with `keypoints` and `scores`, alone or by group and sequence",
    takes="x, y, scores; 7 joints have the names of the mouse; of two animals the first is the resident; each sequence "
    "with tracks of its own. CalMS21's .npy is pickled: refused unless `allow_pickle=True`",
)
