"""Poses in named pictures: the names decide whether these are frames of one or several recordings, or stills."""

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
        prefix: the name of animals without an id.
        labeled: whether the poses are hand labels; then pictures far apart in a video are kept one after the other.

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

    A file that is not a frame, but has a name like the frames (except for the last number), is kept: it is a broken
    frame, for which the reader must raise an error.

    Args:
        files: the content of each file, by its name; an error for a file that could not be opened.
        is_frame: whether a file's content is a frame of the format.

    Raises:
        InputError: the error of a file with a name like the frames.
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

    Pictures are frames if all names have a number, and if the pictures of each recording (whose names differ only in
    the last number) are numbered like frames of a video: densely, or in equal steps. Frames without an animal leave
    larger gaps. These are allowed for numbers that count from near 0 or have leading zeros, but not in names that
    cameras give. Still larger gaps are allowed for names that are only a number, and for pictures in which animals were
    tracked. Of several recordings, each needs at least two pictures, because a single number means nothing.
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
    """A picture's name without Roboflow's hash: frame_0001_jpg.rf.4a5b6c….jpg is frame_0001."""
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
    """Whether the numbers of pictures with names that are otherwise the same are those of frames."""
    count, span = len(numbers), numbers[-1] - numbers[0]
    if span >= 1000 * (count + 10):
        return False
    name = re.split(r"[\\/]", rest)[-1]
    even = len(set(np.diff(numbers))) == 1 and count > 2
    if tracked or even or span < 2 * count + 10 or (not name and not padded):
        return True
    # Frames count from 0, or fill up with zeros; a time of day does neither, and a camera's photos may.
    counts = padded or numbers[0] <= span
    return counts and span < 50 * (count + 10) and not re.match(_CAMERAS, name, re.IGNORECASE)


def _padded(digits: Sequence[str]) -> bool:
    return len(set(map(len, digits))) == 1 and any(number[0] == "0" and len(number) > 1 for number in digits)


def _stem(name: str) -> str:
    """A file's name without its ending; with its folders, which tell recordings apart."""
    head, dot, ending = without_hash(name).rpartition(".")
    return head if dot and re.fullmatch(r"\w{0,5}", ending) and not ending.isdigit() else head + dot + ending
