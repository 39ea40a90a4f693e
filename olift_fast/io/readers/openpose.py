"""OpenPose: a folder with one JSON for each frame, or a single one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from olift_fast.errors import InputError
from olift_fast.io.detections import Detections, as_tracks
from olift_fast.io.format import Format
from olift_fast.io.frame_numbers import last_number
from olift_fast.io.json_fields import object_keys, triplets
from olift_fast.io.open_container import FOLDER, JSON, Folder
from olift_fast.io.parsed import Parsed
from olift_fast.tracks.rigs import rig

#: Built-in rigs by their number of points. Of two with as many, the one with the shorter bones in the file is taken.
RIGS = {15: ("openpose_mpi_15",), 18: ("openpose_coco_18",), 25: ("openpose_body_25", "openpose_body_25b")}


def read_openpose(content: Folder | Mapping[str, Any]) -> Parsed:
    """The people of a folder's frames, in the order of the numbers in the file names, or of a single frame.

    A number that is missing in a folder is a frame without people. People are told apart by `person_id` where it is
    set, else by nearness. Points (0, 0, 0) are hidden. Only the body is read: no face, no hands.

    Raises:
        InputError: no JSON file, a file that is not OpenPose's, two files of one frame number.
    """
    return _read(_frames(content) if isinstance(content, Folder) else {0: _checked(content)})


def _frames(folder: Folder) -> dict[int, Mapping[str, Any]]:
    frames: dict[int, Mapping[str, Any]] = {}
    for name, content in folder.json.items():
        number = _frame_number(name)
        if number is None or not -(2**63) < number < 2**63:
            raise InputError(f"{name} has no frame number in its name")
        if number in frames:
            raise InputError(f"{name}: frame {number} comes twice")
        try:
            frames[number] = _checked(content)
        except InputError as error:
            raise InputError(f"{name}: {error}") from error
    return frames


def _read(frames: Mapping[int, Mapping[str, Any]]) -> Parsed:
    found: Detections | None = None
    for frame, content in sorted(frames.items()):
        for person in content["people"]:
            points, score = triplets(person["pose_keypoints_2d"], "pose_keypoints_2d")
            if len(points) == 0:
                continue
            found = found or Detections(len(points))
            identity = person.get("person_id") or [-1]
            number = identity[0] if isinstance(identity, list) else identity
            found.add(frame, f"person_{number}" if isinstance(number, int) and number >= 0 else None, points, score)
    if found is None:
        raise InputError(f"holds no tracks: none of {len(frames)} frames has a person")
    tracked = as_tracks(found, prefix="person", all_frames=list(frames))
    return replace(tracked, rig_name=_rig_name(tracked.keypoints), zero_is_hidden=True)


def _checked(content: Any) -> Mapping[str, Any]:
    people = content.get("people") if isinstance(content, Mapping) else None
    if not isinstance(people, list) or not all(
        isinstance(person, Mapping) and "pose_keypoints_2d" in person for person in people
    ):
        raise InputError("not an OpenPose frame: wanted {'people': [{'pose_keypoints_2d': […]}, …]}")
    return content


def _frame_number(name: str) -> int | None:
    """The number before "_keypoints" in VIDEO_000000000012_keypoints.json, or else the last number."""
    return last_number(name.replace("_keypoints", ""))


def _rig_name(keypoints: npt.NDArray[np.float32]) -> str | None:
    names: Sequence[str] = RIGS.get(keypoints.shape[2], ())
    if len(names) < 2:
        return names[0] if names else None
    return min(names, key=lambda name: _bone_length(keypoints, name))


def _bone_length(keypoints: npt.NDArray[np.float32], name: str) -> float:
    """The mean over bones of the median length in the file; a bone that is never seen does not count."""
    edges = np.array(rig(name).edges)
    lengths = np.linalg.norm(keypoints[:, :, edges[:, 0]] - keypoints[:, :, edges[:, 1]], axis=-1)
    lengths = lengths.reshape(-1, len(edges))
    seen = [float(np.median(column[np.isfinite(column)])) for column in lengths.T if np.isfinite(column).any()]
    return float(np.mean(seen)) if seen else np.inf


def _is_openpose(content: Any) -> bool:
    frames = content.json.values() if isinstance(content, Folder) else [content]
    return any("people" in object_keys(frame) for frame in frames)


FORMAT = Format(
    name="openpose",
    extensions=(".json", "folder"),
    extra=None,
    description="OpenPose, one JSON for each frame",
    containers=(FOLDER, JSON),
    matches=_is_openpose,
    read=read_openpose,
    recognized_by="a folder of JSON files with `people`, or one of them",
    takes="15, 18 or 25 points of the body (no face, no hands); the frame is the number in the file name; (0, 0, 0) is "
    "hidden; of BODY_25 and BODY_25B the one with the shorter bones in the file",
    hint="OpenPose's one JSON for each frame",
)
