"""Labelme, and X-AnyLabeling in the same form: points labeled by hand, one JSON file for each picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from olift_fast.errors import InputError
from olift_fast.io.detections import identity
from olift_fast.io.format import Format
from olift_fast.io.json_fields import object_keys, points2d
from olift_fast.io.open_container import FOLDER, JSON, Folder
from olift_fast.io.parsed import Parsed
from olift_fast.io.pictures import Pose, frame_files, tracks_of_pictures


def read_labelme(content: Folder | Mapping[str, Any]) -> Parsed:
    """The points of a folder's pictures, or of a single one: `shapes` with `shape_type` "point".

    A point's label is the joint's name, its `group_id` tells the animal. Other shapes (boxes, polygons) are left out.
    The number in the file's name is the frame; pictures that are not numbered like a video's are stills. If every tenth
    frame of a video is labeled, for example, these frames follow each other, without hidden ones between them.

    Raises:
        InputError: no point in any picture, two points of one animal with the same label, or a shape "point" that is
            not one point.
    """
    files, notes = frame_files(content.json, _is_labelme) if isinstance(content, Folder) else ({"0.json": content}, [])
    names: dict[str, int] = {}
    animals: list[tuple[int, str | None, dict[str, tuple[float, float]]]] = []
    sizes = set()
    for place, (name, picture) in enumerate(files.items()):
        groups: dict[str | None, dict[str, tuple[float, float]]] = {}
        for shape in _shapes(name, picture):
            points = groups.setdefault(identity(shape.get("group_id")), {})
            label = str(shape["label"])
            if label in points:
                raise InputError(f"{name}: {label!r:.40} comes twice for one animal: give each animal a group_id")
            place_in_picture = points2d(shape["points"], f"{name}: the points of {label!r:.40}")
            if len(place_in_picture) != 1:
                raise InputError(f"{name}: {label!r:.40} must be one point (x, y), got {len(place_in_picture)}")
            points[label] = (float(place_in_picture[0, 0]), float(place_in_picture[0, 1]))
            names.setdefault(label, len(names))
        animals.extend((place, group, points) for group, points in groups.items())
        sizes.add((int(picture.get("imageWidth") or 0), int(picture.get("imageHeight") or 0)))
    if not names:
        raise InputError(f"none of {len(files)} pictures has a point, wanted shapes with shape_type 'point'")
    poses = []
    for place, group, points in animals:
        array = np.full((len(names), 2), np.nan)
        for label, point in points.items():
            array[names[label]] = point
        track = None if group is None else f"animal_{group}"
        poses.append(Pose(place, track, array, np.isfinite(array[:, 0]).astype(np.float64)))
    parsed = tracks_of_pictures(list(files), poses, prefix="animal", labeled=True)
    return replace(
        parsed,
        names=list(names),
        image_size=sizes.pop() if len(sizes) == 1 else None,
        notes=[*parsed.notes, *notes],
    )


def _shapes(name: str, picture: Any) -> list[Mapping[str, Any]]:
    if not _is_labelme(picture):
        raise InputError(f"{name}: not a Labelme file, wanted `shapes`")
    return [shape for shape in picture["shapes"] if shape.get("shape_type") == "point"]


def _is_labelme(content: Any) -> bool:
    return {"shapes", "imagePath"} <= object_keys(content)


FORMAT = Format(
    name="labelme",
    extensions=(".json", "folder"),
    example="frames/",
    extra=None,
    description="Labelme and X-AnyLabeling points",
    containers=(FOLDER, JSON),
    matches=lambda content: (
        any(map(_is_labelme, content.json.values())) if isinstance(content, Folder) else _is_labelme(content)
    ),
    read=read_labelme,
    recognized_by="a folder of JSON files with `shapes`, `imagePath`, or one of them",
    takes="points with their labels as names, animals by `group_id`; the frame is the number in the file name",
    hint="Labelme's one JSON for each picture",
)
