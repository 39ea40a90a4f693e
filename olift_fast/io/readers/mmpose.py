"""MMPose predictions: one JSON of frames with instances, with or without the data set's meta information."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from olift_fast.errors import InputError
from olift_fast.io.detections import Detections, as_tracks
from olift_fast.io.format import Format
from olift_fast.io.json_fields import item_keys, numbers, object_keys, points2d
from olift_fast.io.open_container import JSON
from olift_fast.io.parsed import Parsed, int64


def read_mmpose(content: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> Parsed:
    """Tracks of predictions: {"instance_info": […], "meta_info": {…}}, the list alone, or one picture's instances.

    Names and edges are those of `meta_info`. Animals are told apart by `track_id` (or `instance_id`), else by nearness.

    Raises:
        InputError: 3D predictions, poses that differ in their number of keypoints.
    """
    meta: Mapping[str, Any] = {}
    items: Any = content
    if isinstance(content, Mapping):
        items, meta = content["instance_info"], content.get("meta_info") or {}
    if items and "instances" not in items[0]:
        items = [{"frame_id": 0, "instances": items}]
    frames, found = [], None
    for place, item in enumerate(items):
        frames.append(int64(item.get("frame_id", place), "frame_id"))
        for instance in item["instances"]:
            points = points2d(instance["keypoints"], "keypoints")
            score = numbers(instance.get("keypoint_scores", [1.0] * len(points)), "keypoint_scores")
            if score.shape != (len(points),):
                raise InputError(f"keypoint_scores must have {len(points)} values, got shape {score.shape}")
            found = found or Detections(len(points))
            identity = instance.get("track_id", instance.get("instance_id"))
            known = identity is not None and identity != -1
            found.add(frames[-1], f"track_{identity}" if known else None, points, np.nan_to_num(score))
    if found is None:
        raise InputError(f"holds no tracks: none of {len(frames)} frames has an instance")
    names = _names(meta, found.num_joints)
    return replace(as_tracks(found, all_frames=frames), names=names, edges=_edges(meta, names))


def _is_mmpose(content: Any) -> bool:
    items = item_keys(content)
    return "instance_info" in object_keys(content) or "instances" in items or {"keypoints", "keypoint_scores"} <= items


def _names(meta: Mapping[str, Any], joints: int) -> list[str] | None:
    by_id = meta.get("keypoint_id2name")
    if not by_id:
        return None
    by_number = {int(number): str(name) for number, name in by_id.items()}
    if sorted(by_number) != list(range(joints)):
        raise InputError(f"meta_info names {len(by_number)} keypoints, wanted {joints}")
    return [by_number[number] for number in range(joints)]


def _edges(meta: Mapping[str, Any], names: Sequence[str] | None) -> list[tuple[int, int]]:
    links = meta.get("skeleton_links") or ()
    if isinstance(links, Mapping):
        links = links["__ndarray__"]
    place = {name: index for index, name in enumerate(names or ())}
    return [(int(place.get(a, a)), int(place.get(b, b))) for a, b in links]


FORMAT = Format(
    name="mmpose",
    extensions=(".json",),
    extra=None,
    description="MMPose predictions",
    containers=(JSON,),
    matches=_is_mmpose,
    read=read_mmpose,
    recognized_by="JSON with `instance_info`, or a list of `instances`",
    takes="scores, names and links of `meta_info`, `track_id` or `instance_id`",
)
