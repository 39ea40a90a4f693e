"""easy_ViTPose: one JSON file with the people of each frame, and y before x."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from olift_fast.errors import InputError
from olift_fast.io.detections import Detections, as_tracks
from olift_fast.io.format import Format
from olift_fast.io.json_fields import first_item, numbers, object_keys
from olift_fast.io.open_container import JSON
from olift_fast.io.parsed import Parsed


def read_vitpose(content: Mapping[str, Any]) -> Parsed:
    """`keypoints`: for each frame {id: [[y, x, score], …]}; `skeleton`: the joints' names by their numbers.

    Raises:
        InputError: no person in any frame, points of another shape, or names for another number of points.
    """
    frames = content["keypoints"]
    found: Detections | None = None
    for number, people in enumerate(frames):
        for person, rows in (people or {}).items():
            if not rows:
                continue
            values = numbers(rows, "keypoints")
            if values.ndim != 2 or values.shape[1] != 3:
                raise InputError(f"keypoints must be a list of (y, x, score), got shape {values.shape}")
            found = found or Detections(len(values))
            found.add(number, f"person_{person}", values[:, 1::-1], values[:, 2])
    if found is None:
        raise InputError(f"holds no tracks: none of {len(frames)} frames has a person")
    skeleton = content["skeleton"]
    by_number = {int(number): str(name) for number, name in skeleton.items()} if object_keys(skeleton) else {}
    if by_number and len(by_number) != found.num_joints:
        raise InputError(f"skeleton names {len(by_number)} keypoints, wanted {found.num_joints}")
    names = [by_number[number] for number in sorted(by_number)] or None
    return replace(as_tracks(found, all_frames=range(len(frames))), names=names)


def _is_vitpose(content: Any) -> bool:
    if not {"keypoints", "skeleton"} <= object_keys(content):
        return False
    people = first_item(content["keypoints"])
    return isinstance(people, Mapping) and all(isinstance(rows, list) for rows in people.values())


FORMAT = Format(
    name="easy-vitpose",
    extensions=(".json",),
    example="walk_result.json",
    extra=None,
    description="easy_ViTPose results",
    containers=(JSON,),
    matches=_is_vitpose,
    read=read_vitpose,
    recognized_by="JSON with `keypoints` (frames of people by id) and `skeleton`",
    takes="y, x, score, turned to x, y; people by id; names of `skeleton`",
)
