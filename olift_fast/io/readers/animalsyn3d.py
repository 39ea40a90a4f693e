"""AnimalSyn3D: animations of animals, one JSON file for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from olift_fast.errors import InputError
from olift_fast.io.format import Format
from olift_fast.io.json_fields import numbers, object_keys
from olift_fast.io.open_container import JSON
from olift_fast.io.parsed import Parsed, refuse_3d
from olift_fast.tracks.animalsyn3d import y_is_up
from olift_fast.tracks.rigs import rig


def read_animalsyn3d(content: Mapping[str, Any]) -> Parsed:
    """One animation: `points.2d` (T, J, 2) pixels, `connections`, the image's size, names from the model's rig.

    The y axis of the data set's cameras, and of its pixels, points up. If `camera.extrinsic` says so, y is turned down:
    otherwise the animal would be upside down, with left and right exchanged.

    Raises:
        InputError: points of another shape, or 3D points.
    """
    points = numbers(content["points"]["2d"], "points.2d")
    if points.ndim == 3 and points.shape[-1] == 3:
        raise refuse_3d()
    if points.ndim != 3 or points.shape[-1] != 2:
        raise InputError(f"points.2d must be (frames, joints, 2), got {points.shape}")
    names = _model_names(str(content.get("model", "")), points.shape[1])
    camera = content.get("camera") or {}
    size = (int(camera["width"]), int(camera["height"])) if "width" in camera and "height" in camera else None
    if _camera_is_upright(camera.get("extrinsic")):
        points = points * [1, -1] + [0, size[1] if size else 0]
    track = f"{content['model']}/{content['animation']}" if {"model", "animation"} <= set(content) else "track_0"
    return Parsed(points[None], None, names, content["connections"], tracks=(track,), image_size=size)


def _camera_is_upright(extrinsic: Any) -> bool:
    """Whether the camera's y axis points up; False where the file does not tell."""
    try:
        matrix = numbers(extrinsic or [], "camera.extrinsic")
    except InputError:
        return False
    return matrix.shape in ((3, 4), (4, 4)) and y_is_up(matrix[:3, :3])


def _model_names(model: str, joints: int) -> Sequence[str] | None:
    try:
        names = rig(model).names
    except InputError:
        # Not one of the data set's models: the file does not name the joints.
        return None
    return names if len(names) == joints else None


FORMAT = Format(
    name="animalsyn3d",
    extensions=(".json",),
    example="foxZED_walk.json",
    extra=None,
    description="AnimalSyn3D animations",
    containers=(JSON,),
    matches=lambda content: {"points", "connections"} <= object_keys(content),
    read=read_animalsyn3d,
    recognized_by="JSON with `points`, `connections`",
    takes="`points.2d` (turned from y up to y down where `camera.extrinsic` is the data set's), connections, "
    "image size, names of the model's rig",
)
