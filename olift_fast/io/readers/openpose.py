"""OpenPose: a folder with one JSON for each frame, a single one of them, or a list of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from olift_fast.errors import InputError
from olift_fast.io.detections import identity
from olift_fast.io.format import Format
from olift_fast.io.frame_numbers import last_number
from olift_fast.io.json_fields import first_item, frame_number, numbered, object_keys, triplets
from olift_fast.io.open_container import FOLDER, JSON, JSON_LINES, Folder
from olift_fast.io.parsed import Parsed
from olift_fast.io.pictures import Pose, frame_files, frames_of, name_kind, tracks_of_pictures
from olift_fast.io.point_sets import PEOPLE, of_people, shortest_bones

#: Built-in rigs by their number of points. Of two, the one with the shorter bones in the file is taken.
RIGS = {
    15: ("openpose_mpi_15",),
    18: ("openpose_coco_18",),
    25: ("openpose_body_25", "openpose_body_25b"),
    135: ("openpose_body_25b",),
}
#: The keys of a frame's list of people, and of a person's list of points. OpenPose before 1.3 had `pose_keypoints`;
#: AlphaPose's form `cmu` has `bodies` and `joints`; ComfyUI writes an animal (AP-10K's 17 points) as a list of points.
_PEOPLE = ("people", "bodies", "animals")
_POINTS = ("pose_keypoints_2d", "pose_keypoints", "joints")
_WANTED = "not an OpenPose frame: wanted {'people': [{'pose_keypoints_2d': […]}, …]}"


def read_openpose(content: Folder | Mapping[str, Any]) -> Parsed:
    """The people of a folder's frames, in the order of the numbers in the file names, or of a single frame.

    A number that is missing in a folder is a frame without people. People are told apart by `person_id` if it is set,
    else by nearness. Points (0, 0, 0) are hidden. Only the body is read: no face, no hands. Files without people whose
    names are not like those of the frames are left out, and a note names them.

    Raises:
        InputError: no JSON file, no person in any frame, a frame's file that is not OpenPose's, two files with one
            frame number.
    """
    if not isinstance(content, Folder):
        _people(content)
        return from_frames({"0.json": content})
    frames, notes = frame_files(content.json, _is_frame)
    parsed = from_frames(frames)
    return replace(parsed, notes=[*parsed.notes, *notes])


def read_openpose_list(content: Sequence[Mapping[str, Any]]) -> Parsed:
    """A list of frames, or one frame on each line, as ComfyUI and DWPose write them.

    `canvas_width` and `canvas_height` are the picture's size.

    Raises:
        InputError: an item that is not a frame, which the message tells; a frame number that comes twice; no person in
            any frame.
    """
    given = [frame_number(frame) for frame in content]
    # The numbers become the names of files, in which a sign is lost.
    places = numbered(None if number is None or number < 0 else number for number in given)
    return from_frames({str(place): frame for place, frame in zip(places, content, strict=True)})


def from_frames(frames: Mapping[str, Any]) -> Parsed:
    """The people of OpenPose's frames, given by the names of their files, which number them.

    Raises:
        InputError: something that is not a frame, which the message names; two frames with one number; no person in any
            frame.
    """
    names = [name.replace("_keypoints", "") for name in frames]
    poses: list[Pose] = []
    sizes: set[tuple[int, int]] = set()
    animals = False
    for place, (name, frame) in enumerate(frames.items()):
        try:
            found = _people(frame)
        except InputError as error:
            raise InputError(f"{name}: {error}") from error
        animals |= bool(found) and _key(frame) == "animals"
        if isinstance(frame.get("canvas_width"), int | float):
            sizes.add((int(frame["canvas_width"]), int(frame.get("canvas_height") or 0)))
        for person, points, score in found:
            poses.append(Pose(place, None if person is None else f"person_{person}", points, score))
    _check_numbers(names)
    if not poses:
        parts = {key for frame in frames.values() for person in frame[_key(frame)] or [] for key in object_keys(person)
                 if "hand" in key or "face" in key if person[key]}  # fmt: skip
        only = f" with a body, but {', '.join(sorted(parts))}: only bodies are read" if parts else ""
        raise InputError(f"holds no tracks: none of {len(frames)} frames has a person{only}")
    parsed = tracks_of_pictures(names, poses)
    parsed = replace(parsed, zero_is_hidden=True, image_size=sizes.pop() if len(sizes) == 1 else None)
    parsed = replace(parsed, rig_name="ap10k_17") if animals else _with_rig(parsed)
    return _in_shares(parsed, canvas=parsed.image_size is not None)


def _people(frame: Any) -> list[tuple[str | None, npt.NDArray[np.float64], npt.NDArray[np.float64]]]:
    """The id, points and scores of each person that has any."""
    key = _key(frame)
    people = None if key is None else frame[key] or []
    if not isinstance(people, list):
        raise InputError(_WANTED)
    found = []
    for person in people:
        name = next((name for name in _POINTS if name in object_keys(person)), None)
        if name is None and not isinstance(person, list):
            raise InputError(_WANTED)
        flat = person if name is None else person[name]
        if not flat:
            continue
        if isinstance(flat[0], list):
            flat = [value for point in flat for value in point]
        points, score = triplets(flat, name or "keypoints")
        found.append((identity(person.get("person_id")) if name else None, points, score))
    return found


def _key(frame: Any) -> str | None:
    """The key of a frame's list of people: the first one of `_PEOPLE` with a list that is not empty."""
    keys = [key for key in _PEOPLE if key in object_keys(frame)]
    return next((key for key in keys if frame[key]), keys[0] if keys else None)


def _is_frame(frame: Any) -> bool:
    return bool(object_keys(frame) & set(_PEOPLE))


def _check_numbers(names: Sequence[str]) -> None:
    """Raises InputError if two frames of one recording have the same number: one would hide the other."""
    places = frames_of(names)
    if places is not None and len(set(places)) == len(places):
        return
    kinds = Counter(map(name_kind, names))
    if places is None and 2 * max(kinds.values()) <= len(names):
        return
    seen: dict[int, str] = {}
    for name in names:
        number = last_number(name)
        if number is not None and seen.setdefault(number, name) != name:
            raise InputError(f"{name}: frame {number} comes twice")


def _with_rig(parsed: Parsed) -> Parsed:
    total = parsed.keypoints.shape[2]
    if total in PEOPLE:
        # Pose2Sim, Sports2D and rtmlib write other sets than OpenPose's own in its form.
        return of_people(parsed)
    if total == 135:
        note = "135 points are taken as BODY_135: its first 25, the body, are those of BODY_25B"
        body = (parsed.keypoints[:, :, :25], None if parsed.confidence is None else parsed.confidence[:, :, :25])
        return replace(
            parsed, keypoints=body[0], confidence=body[1], rig_name=RIGS[135][0], notes=[*parsed.notes, note]
        )
    names = RIGS.get(total, ())
    return replace(parsed, rig_name=shortest_bones(parsed.keypoints, names) if names else None)


def _in_shares(parsed: Parsed, canvas: bool) -> Parsed:
    """`parsed`, marked as normalized if its coordinates are shares of the picture.

    DWPose gives coordinates from 0 to 1 beside the size of the canvas. OpenPose's `--keypoint_scale 4` gives them from
    -1 to 1.
    """
    points = parsed.keypoints
    low, high = float(np.nanmin(points)), float(np.nanmax(points))
    if low < -0.5 and low >= -1.01 and high <= 1.01:
        note = "coordinates from -1 to 1 (keypoint_scale 4) are taken as shares of the picture"
        shares = replace(parsed, keypoints=(points + 1) / 2, zero_is_hidden=False)
        return replace(shares, normalized=True, notes=[*parsed.notes, note])
    return replace(parsed, normalized=canvas and high <= 1.5)


def _is_openpose(content: Any) -> bool:
    frames = content.json.values() if isinstance(content, Folder) else [content]
    return any(_is_frame(frame) for frame in frames)


FORMAT = Format(
    name="openpose",
    extensions=(".json", "folder"),
    example="openpose_json/",
    extra=None,
    description="OpenPose, one JSON for each frame; Pose2Sim, Sports2D and rtmlib in its form",
    containers=(FOLDER, JSON),
    matches=_is_openpose,
    read=read_openpose,
    recognized_by="a folder of JSON files with `people`, or one of them",
    takes="15, 18 or 25 points of the body (no face, no hands), Halpe's 26 or COCO's 17; of 133, 135 or 136 those of "
    "the body; the frame is the number in the file name; (0, 0, 0) is hidden; of BODY_25 and BODY_25B the one with the "
    "shorter bones in the file",
    hint="OpenPose's one JSON for each frame",
)
LIST = Format(
    name="openpose-list",
    extensions=(".json", ".jsonl"),
    example="poses.json",
    extra=None,
    description="OpenPose frames in one list: ComfyUI, DWPose",
    containers=(JSON, JSON_LINES),
    matches=lambda content: isinstance(content, list) and _is_frame(first_item(content)),
    read=read_openpose_list,
    recognized_by="JSON list or JSON lines of objects with `people`",
    takes="as `openpose`; image size from `canvas_width` and `canvas_height`; animals as AP-10K's",
)
