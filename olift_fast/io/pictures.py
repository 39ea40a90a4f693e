"""Poses in named pictures: the names tell whether the pictures are frames of recordings, or stills."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from olift_fast.errors import InputError
from olift_fast.io.detections import Detections, as_recordings, as_stills
from olift_fast.io.frame_numbers import NUMBERED
from olift_fast.io.parsed import Parsed

#: The beginnings of photos' names from cameras, phones and computers.
_CAMERAS = r"(?:img|dsc\w?|dji|pxl|gopr|gh\d|mvi|photo|foto|picture|screenshot|screen shot|whatsapp)(?![a-z])"


class Pose(NamedTuple):
    """One animal in one picture.

    Args:
        picture: the picture's index in the list.
        track: the file's id of the animal; None if it has none.
        points: (J, 2), NaN for a missing keypoint.
        confidence: (J), 0 for a missing keypoint.
    """

    picture: int
    track: str | None
    points: npt.NDArray[np.float64]
    confidence: npt.NDArray[np.float64]


class Place(NamedTuple):
    """A picture's recording (an empty name if there is only one) and its frame number."""

    recording: str
    frame: int


def tracks_of_pictures(
    names: Sequence[str], poses: Sequence[Pose], prefix: str = "person", labeled: bool = False
) -> Parsed:
    """The tracks of poses in pictures.

    Pictures whose names differ only in their last number are frames of a recording. Stills are unrelated: there each
    pose is a track of one frame, named picture/prefix_0, picture/prefix_1, ….

    Args:
        names: the file name of each picture, with or without a pose in it.
        poses: the poses, in any order.
        prefix: what the names of animals without an id begin with.
        labeled: whether the poses are hand labels. Pictures that are far apart in the video then follow each other
            without hidden frames between them.

    Raises:
        InputError: poses have different numbers of keypoints, or no keypoint is visible.
    """
    joints = len(poses[0].points) if poses else 0
    tracked = any(pose.track is not None for pose in poses)
    places = frames_of(names, tracked)
    if places is None:
        return _stills(names, poses, joints, prefix)
    found = {place.recording: Detections(joints) for place in places}
    for pose in poses:
        recording, frame = places[pose.picture]
        found[recording].add(frame, pose.track, pose.points, pose.confidence)
    numbers = {place.frame for place in places}
    fill = not labeled or max(numbers) - min(numbers) < 2 * len(numbers)
    parsed = as_recordings(found, prefix=prefix, all_frames=sorted(numbers), fill=fill)
    if len(found) == 1:
        return parsed
    return replace(parsed, notes=[*parsed.notes, f"{len(found)} recordings by the names of the files, side by side"])


def frame_files(files: Mapping[str, Any], is_frame: Callable[[Any], bool]) -> tuple[dict[str, Any], list[str]]:
    """The files of a folder that are frames, and a note that names the others, which are left out.

    A file that is not a frame, but whose name differs from that of a frame only in its last number, is kept: it is a
    broken frame, and the reader must raise an error for it.

    Args:
        files: the content of each file, by its name; the error of a file that could not be opened.
        is_frame: tells whether a file's content is a frame of the format.

    Raises:
        InputError: a frame's file could not be opened.
    """
    kinds = {name_kind(name) for name, content in files.items() if is_frame(content)}
    kept = {name: content for name, content in files.items() if name_kind(name) in kinds}
    for content in kept.values():
        if isinstance(content, InputError):
            raise content
    others = [name for name in files if name not in kept]
    return kept, [f"{', '.join(others[:3])}{', …' * (len(others) > 3)} left out: no frames"] if others else []


def name_kind(name: str) -> str:
    """A file's name with `#` for its last number: the same for all frames of a recording."""
    return re.sub(r"(?<!\d)\d+(?!\d)(?=\D*$)", "#", name)


def frames_of(names: Sequence[str], tracked: bool = False) -> list[Place] | None:
    """The recording and the frame number of each picture; None if the pictures are stills.

    Pictures are of one recording if their names differ only in the last number. They are frames if all names have a
    number, and if the numbers of each recording are those of a video: without large gaps, or in equal steps. Larger
    gaps, as frames without an animal leave them, are allowed if the numbers count from near 0 or have leading zeros,
    and if the name is not one that cameras give. Still larger gaps are allowed if the names are nothing but numbers, or
    if the animals were tracked. If there are several recordings, each needs at least two pictures, because a single
    number tells nothing.
    """
    parts = [NUMBERED.fullmatch(_stem(name)) for name in names]
    found = [part for part in parts if part is not None]
    if len(found) < len(parts):
        return None
    groups: dict[str, list[str]] = {}
    for part in found:
        groups.setdefault(part[1] + part[3], []).append(part[2])
    alone = len(groups) == 1
    for rest, digits in groups.items():
        numbers = sorted({int(number) for number in digits})
        if not _are_frames(numbers, tracked, rest, _padded(digits)) or (not alone and len(numbers) < 2):
            return None
    labels = {rest: rest.strip("_-. /\\") or "pictures" for rest in groups}
    if len(set(labels.values())) < len(labels):
        labels = {rest: rest for rest in groups}
    return [Place("" if alone else labels[part[1] + part[3]], int(part[2])) for part in found]


def without_hash(name: str) -> str:
    """A picture's name without Roboflow's hash: frame_0001_jpg.rf.4a5b6c.jpg becomes frame_0001.jpg."""
    return re.sub(r"[_.](?:jpe?g|png|bmp|webp|tiff?)\.rf\.\w+", "", name, flags=re.IGNORECASE)


def _stills(names: Sequence[str], poses: Sequence[Pose], joints: int, prefix: str) -> Parsed:
    found = Detections(joints)
    labels: list[str] = []
    count: dict[int, int] = {}
    for pose in poses:
        if found.add(0, None, pose.points, pose.confidence):
            number = count.setdefault(pose.picture, 0)
            labels.append(f"{names[pose.picture]}/{prefix}_{number}")
            count[pose.picture] += 1
    note = f"{len(names)} pictures are taken as stills: their names do not number them like the frames of a video"
    return replace(as_stills(found, labels), notes=[note])


def _are_frames(numbers: Sequence[int], tracked: bool, rest: str, padded: bool) -> bool:
    """Whether these numbers are those of frames. The names of their pictures are otherwise the same (`rest`)."""
    count, span = len(numbers), numbers[-1] - numbers[0]
    if span >= 1000 * (count + 10):
        return False
    name = re.split(r"[\\/]", rest)[-1]
    even = len(set(np.diff(numbers))) == 1 and count > 2
    if tracked or even or span < 2 * count + 10 or (not name and not padded):
        return True
    # Numbers of frames count from near 0, or have leading zeros. A time of day has neither; a camera's photos may.
    counts = padded or numbers[0] <= span
    return counts and span < 50 * (count + 10) and not re.match(_CAMERAS, name, re.IGNORECASE)


def _padded(digits: Sequence[str]) -> bool:
    return len(set(map(len, digits))) == 1 and any(number[0] == "0" and len(number) > 1 for number in digits)


def _stem(name: str) -> str:
    """A file's name with its folders, which tell recordings apart, and without its ending."""
    head, dot, ending = without_hash(name).rpartition(".")
    return head if dot and re.fullmatch(r"\w{0,5}", ending) and not ending.isdigit() else head + dot + ending
