"""VideoPose3D's detections of a video, as its inference scripts write them: pickled lists in a NumPy archive."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from olift_fast.errors import InputError
from olift_fast.io.detections import Detections, as_tracks
from olift_fast.io.format import Format
from olift_fast.io.json_fields import numbers
from olift_fast.io.numpy_files import Archive
from olift_fast.io.open_container import ARCHIVE
from olift_fast.io.parsed import Parsed


def read_detectron(archive: Archive) -> Parsed:
    """`keypoints` [frame][class] of (people, 4, 17) x, y, logit, probability; `boxes` with a score; `metadata` w, h.

    People are joined by nearness. The confidence of a keypoint is the score of its person's box: the keypoints' own
    probabilities are shares of a heat map, which are small even for good points. The lists are pickled, and a pickle
    can run any code when it is opened, so the archive must have been opened with `allow_pickle`.

    Raises:
        PickledError: the archive was opened without `allow_pickle`.
        InputError: no person in any frame, keypoints of another shape.
    """
    keypoints, boxes = archive["keypoints"], archive["boxes"]
    metadata = archive["metadata"].item()
    found: Detections | None = None
    for frame, classes in enumerate(keypoints):
        # The first class is the background.
        people = numbers(classes[1] if len(classes) > 1 else [], "keypoints")
        if people.size == 0:
            continue
        if people.ndim != 3 or people.shape[1] not in (3, 4):
            raise InputError(f"keypoints must be (people, 4, joints), got {people.shape} in frame {frame}")
        found = found or Detections(people.shape[2])
        scores = _scores(boxes[frame] if frame < len(boxes) else (), len(people))
        for person, score in zip(people, scores, strict=True):
            found.add(frame, None, person[:2].T, np.full(found.num_joints, score))
    if found is None:
        raise InputError(f"holds no tracks: none of {len(keypoints)} frames has a person")
    size = (int(metadata["w"]), int(metadata["h"])) if {"w", "h"} <= set(metadata) else None
    tracked = as_tracks(found, prefix="person", all_frames=range(len(keypoints)))
    rig_name = "coco_17" if found.num_joints == 17 else None
    notes = ["confidence is the score of the person's box: the keypoints' own values are shares of a heat map"]
    return replace(tracked, rig_name=rig_name, image_size=size, notes=[*tracked.notes, *notes])


def _scores(classes: Any, people: int) -> list[float]:
    """The score of each person's box; 1 where there is none."""
    boxes = numbers(classes[1], "boxes") if len(classes) > 1 else np.zeros(0)
    fits = boxes.ndim == 2 and boxes.shape[0] == people and boxes.shape[1] > 4
    return boxes[:, 4].tolist() if fits else [1.0] * people


FORMAT = Format(
    name="detectron",
    extensions=(".npz",),
    example="walk.mp4.npz --allow-pickle",
    extra=None,
    description="VideoPose3D's detections of a video (pickled)",
    containers=(ARCHIVE,),
    matches=lambda archive: {"boxes", "keypoints", "metadata"} <= set(archive),
    read=read_detectron,
    recognized_by="NumPy archive with `boxes`, `keypoints`, `metadata`",
    takes="the people of each frame, with COCO's 17 keypoints, joined by nearness; the score of a person's box as "
    "confidence; image size. Its lists are pickled: refused unless `allow_pickle=True`",
)
