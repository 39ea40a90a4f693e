"""AlphaTracker: hand labels of pictures, in one JSON list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from olift_fast.errors import InputError
from olift_fast.io.format import Format
from olift_fast.io.frame_numbers import picture_order
from olift_fast.io.json_fields import item_keys
from olift_fast.io.open_container import JSON
from olift_fast.io.parsed import Parsed


def read_alphatracker(content: Sequence[Mapping[str, Any]]) -> Parsed:
    """Hand labels of pictures: each animal is a box of class "Face" and the points after it. The n-th box of a picture
    is track n. Frames are in the order of the numbers in the pictures' names.

    Raises:
        InputError: no animal, a point before the first box, or animals that differ in their number of points.
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
    order = picture_order([str(picture.get("filename", "")) for picture in content])
    return Parsed(
        keypoints[:, order.places],
        None,
        None,
        tracks=[f"animal_{track}" for track in range(tracks)],
        frames=order.numbers,
        notes=order.notes,
        warnings=order.warnings,
    )


FORMAT = Format(
    name="alphatracker",
    extensions=(".json",),
    example="labels.json",
    extra=None,
    description="AlphaTracker labels",
    containers=(JSON,),
    matches=lambda content: {"annotations", "filename"} <= item_keys(content),
    read=read_alphatracker,
    recognized_by="JSON list of pictures with `annotations`",
    takes='the points after each box of class "Face"',
)
