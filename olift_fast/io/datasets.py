"""Annotations of animal data sets: AnimalSyn3D, BADJA, and AlphaTracker's labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from olift_fast.data.animalsyn3d import y_is_up
from olift_fast.errors import InputError
from olift_fast.io.deeplabcut import picture_numbers
from olift_fast.io.fields import numbers
from olift_fast.io.parsed import Parsed, refuse_3d
from olift_fast.tracks.rigs import rig

# The annotated joints of BADJA by their index in its list of 37 (the numbering of the SMAL model).
BADJA_JOINTS = {
    8: "right_front_leg_top",
    9: "right_front_leg_middle",
    10: "right_front_paw",
    12: "left_front_leg_top",
    13: "left_front_leg_middle",
    14: "left_front_paw",
    15: "neck",
    18: "right_back_leg_top",
    19: "right_back_leg_middle",
    20: "right_back_paw",
    22: "left_back_leg_top",
    23: "left_back_leg_middle",
    24: "left_back_paw",
    25: "tail_base",
    28: "tail_middle",
    31: "tail_tip",
    32: "jaw",
    33: "nose",
    34: "chin",
    35: "right_ear",
    36: "left_ear",
}
BADJA_BONES = (
    *((15, 8), (8, 9), (9, 10), (15, 12), (12, 13), (13, 14), (15, 25), (25, 18), (18, 19), (19, 20)),
    *((25, 22), (22, 23), (23, 24), (25, 28), (28, 31), (15, 32), (32, 33), (32, 34), (15, 35), (15, 36)),
)


def read_animalsyn3d(content: Mapping[str, Any]) -> Parsed:
    """One animation: `points.2d` (T, J, 2) pixels, `connections`, the image's size, names from the model's rig.

    The data set's camera has its y axis up, and so have its pixels: where `camera.extrinsic` says so, they are turned
    down. Taken as they are they would show the animal upside down, and its left side as the right one.

    Raises:
        InputError: points of another shape.
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
    return Parsed("animalsyn3d", points[None], None, names, content["connections"], tracks=(track,), image_size=size)


def read_badja(content: Sequence[Mapping[str, Any]]) -> Parsed:
    """One animal in the annotated frames of a video: `joints` (37, 2) as (row, column), `visibility` (37).

    The 21 joints that are ever annotated are taken. Frames are those that were annotated, about every fifth; their
    numbers are kept.

    Raises:
        InputError: no frame, or frames of another shape.
    """
    joints = numbers([frame["joints"] for frame in content], "joints")
    visible = numbers([frame["visibility"] for frame in content], "visibility") > 0
    if joints.ndim != 3 or joints.shape[1:] != (37, 2) or visible.shape != joints.shape[:2]:
        raise InputError(f"joints and visibility must hold 37 joints a frame, got {joints.shape} and {visible.shape}")
    order = list(BADJA_JOINTS)
    return Parsed(
        "badja",
        joints[None, :, order, ::-1],
        visible[None, :, order].astype(np.float32),
        list(BADJA_JOINTS.values()),
        [(order.index(a), order.index(b)) for a, b in BADJA_BONES],
        frames=picture_numbers([str(frame.get("image_path", "")) for frame in content]),
    )


def read_alphatracker(content: Sequence[Mapping[str, Any]]) -> Parsed:
    """Labels of pictures: each animal is a box of class "Face" followed by its points; the n-th box is track n.

    Raises:
        InputError: a point before the first box, animals that differ in their number of points.
    """
    pictures: list[list[list[tuple[float, float]]]] = []
    for picture in content:
        animals: list[list[tuple[float, float]]] = []
        for mark in picture["annotations"]:
            if mark["class"] == "Face":
                animals.append([])
            elif not animals:
                raise InputError(f"{picture.get('filename')}: a point comes before the first box of class 'Face'")
            else:
                animals[-1].append((float(mark["x"]), float(mark["y"])))
        pictures.append(animals)
    counts = {len(animal) for animals in pictures for animal in animals}
    if len(counts) != 1:
        raise InputError(f"animals must have the same number of points, got {sorted(counts) or 'no animal'}")
    tracks = max(len(animals) for animals in pictures)
    keypoints = np.full((tracks, len(pictures), counts.pop(), 2), np.nan)
    for frame, animals in enumerate(pictures):
        for track, animal in enumerate(animals):
            keypoints[track, frame] = np.array(animal).reshape(-1, 2)
    return Parsed(
        "alphatracker",
        keypoints,
        None,
        None,
        tracks=[f"animal_{track}" for track in range(tracks)],
        frames=picture_numbers([str(picture.get("filename", "")) for picture in content]),
    )


def _camera_is_upright(extrinsic: Any) -> bool:
    """Whether the file says so; the 2D of a file whose camera can't be read is taken as it is."""
    try:
        matrix = numbers(extrinsic or [], "camera.extrinsic")
    except InputError:
        return False
    return matrix.shape in ((3, 4), (4, 4)) and y_is_up(matrix[:3, :3])


def _model_names(model: str, joints: int) -> Sequence[str] | None:
    try:
        names = rig(model).names
    except InputError:
        # A model of the user's own: its joints have no names in the file.
        return None
    return names if len(names) == joints else None
