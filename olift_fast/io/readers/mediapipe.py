"""MediaPipe landmarks as people save them: JSON of frames, and NumPy arrays. MediaPipe itself writes no files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from olift_fast.errors import InputError
from olift_fast.io.detections import Detections, as_tracks
from olift_fast.io.format import Format
from olift_fast.io.frame_numbers import last_number
from olift_fast.io.json_fields import frame_number, numbers, refuse_repeated_frames
from olift_fast.io.open_container import ARRAY, FOLDER, JSON, JSON_LINES, Folder
from olift_fast.io.parsed import Parsed, refuse_3d
from olift_fast.io.pictures import frame_files, frames_of

#: The built-in rig by the number of landmarks. Faces have 468 or 478, and no rig.
RIGS = {33: "mediapipe_pose_33", 21: "mediapipe_hand_21"}
_COUNTS = (33, 21, 468, 478)
#: The parts of a frame. The first one that a file has is taken. Keys are compared without case, `_` and "landmarks".
_PARTS = ("pose", "body", "", "normalized", "keypoints", "points", "lefthand", "righthand", "hand", "hands",
          "multihand", "face", "multiface")  # fmt: skip
_HANDS = {"lefthand": "left_hand", "righthand": "right_hand"}
#: The lengths of flat frames, as tutorials make them: a pose (33 x 4) alone, with two hands (21 x 3 each), or with a
#: face (468 x 3) and two hands.
_FLAT = (132, 258, 1662)

Points = npt.NDArray[np.float64]


class _Found(NamedTuple):
    """One set of landmarks: x, y and confidence (J, 3), and the names in the file; None if it has none."""

    values: Points
    names: tuple[str, ...] | None


def read_mediapipe(content: Any) -> Parsed:
    """Frames of landmarks {"x": …, "y": …, "z": …, "visibility": …} or [x, y, z, visibility], in a list or an object.

    A frame has its landmarks under `landmarks`, `pose_landmarks`, `poseLandmarks`, …, or is the list of them: the
    landmarks of one person, or a list for each of several people. TensorFlow.js's poses, a list of {"keypoints": […]}
    for each frame, are read as well. The body is taken if there is one, else the hands, else the face. x and y are
    shares of the picture's sides; z is not read. A frame without landmarks is null or empty.

    Raises:
        InputError: nothing but world landmarks (3D), no landmark in any frame, sets of different numbers of landmarks,
            or a frame number that comes twice.
    """
    return _read(*_frames(content))


def read_mediapipe_folder(folder: Folder) -> Parsed:
    """A folder with one JSON for each picture, which holds one frame of `read_mediapipe`.

    Raises:
        InputError: the files' names do not number them like frames of one video; and as `read_mediapipe`.
    """
    files, notes = frame_files(folder.json, _is_json)
    places = frames_of(list(files))
    if places is None or len({place.recording for place in places}) > 1:
        raise InputError(f"the files' names do not number them like frames of one video: {', '.join(list(files)[:3])}")
    parsed = _read([(place.frame, frame) for place, frame in zip(places, files.values(), strict=True)], {})
    return replace(parsed, notes=[*parsed.notes, *notes])


def _read(frames: Sequence[tuple[int, Any]], meta: Mapping[str, Any]) -> Parsed:
    """The tracks of numbered frames.

    Args:
        meta: what the file says about the video: frames a second, width and height.
    """
    refuse_repeated_frames(number for number, _ in frames)
    parts = {part for _, frame in frames for part in _sets(frame)}
    taken = _taken(parts)
    if taken is None:
        if any("world" in part for part in parts):
            raise refuse_3d()
        raise InputError(f"holds no landmarks: none of {len(frames)} frames has one")
    found: Detections | None = None
    names: tuple[str, ...] | None = None
    for number, frame in frames:
        sets = _sets(frame)
        for part in taken:
            for one in _landmarks(sets.get(part)):
                found = found or Detections(len(one.values))
                names = names or one.names
                found.add(number, _HANDS.get(part), one.values[:, :2], one.values[:, 2])
    if found is None:
        raise InputError(f"holds no landmarks: none of {len(frames)} frames has one")
    parsed = as_tracks(found, prefix="person", all_frames=[number for number, _ in frames])
    others = sorted(_label(part) for part in parts - set(taken) if "world" not in part and _label(part))
    notes = [f"{_label(taken[0]) or 'landmarks'} taken; left out: {', '.join(others)}"] if others else []
    parsed = _finished(parsed, notes)
    return replace(
        parsed,
        names=names,
        # Names in the file are compared with all built-in rigs, in any order.
        rig_name=parsed.rig_name if names is None else None,
        fps=_number(meta, "fps", "frame_rate", "frameRate"),
        image_size=_size(meta) or _size(next((frame for _, frame in frames if isinstance(frame, Mapping)), {})),
    )


def read_mediapipe_array(array: npt.NDArray[Any]) -> Parsed:
    """Landmarks (frames, 33, 4) of x, y, z, visibility, or (frames, 33, 3) of x, y, z.

    There are 33 landmarks of a body, 21 of a hand, 468 or 478 of a face. An array of several people has an axis more,
    before or after the frames; the longer axis is time. In flat frames of 132, 258 or 1662 values, the body comes
    first; the face and the hands after it are left out.
    """
    notes = []
    if array.ndim == 2:
        if array.shape[1] > 132:
            notes = [f"of {array.shape[1]} values a frame the 33 landmarks of the body are taken"]
        array = array[:, :132].reshape(len(array), 33, 4)
    values = np.asarray(array if array.ndim == 4 else array[None], dtype=np.float64)
    if len(values) > values.shape[1]:
        # (frames, people, …): a recording has more frames than people.
        values = values.swapaxes(0, 1)
    there = np.isfinite(values[..., :2]).all(axis=-1) & (values[..., :2] != 0).any(axis=-1)
    score = values[..., 3] if values.shape[-1] == 4 else np.ones(values.shape[:3])
    if not (score[there] > 0).any():
        score = np.ones(values.shape[:3])
    names = [f"person_{track}" for track in range(len(values))]
    return _finished(Parsed(values[..., :2], np.where(there, score, 0.0), None, tracks=names), notes)


def _finished(parsed: Parsed, notes: Sequence[str]) -> Parsed:
    """`parsed` with the rig for its number of landmarks, marked as normalized if its points are not pixels."""
    points = parsed.keypoints[np.isfinite(parsed.keypoints).all(axis=-1)]
    # Landmarks outside of the picture are outside of 0 … 1, but most landmarks are in the picture.
    shares = len(points) > 0 and float(np.median(np.abs(points))) <= 2
    return replace(
        parsed, rig_name=RIGS.get(parsed.keypoints.shape[2]), normalized=shares, notes=[*parsed.notes, *notes]
    )


def _frames(content: Any) -> tuple[list[tuple[int, Any]], Mapping[str, Any]]:
    """The frames with their numbers, and the object around them, which may tell the video's size and frame rate."""
    if isinstance(content, list):
        if _holds_points(content, bare=True):
            return [(0, content)], {}
        # Whether a number comes twice is asked when the file is read, not already when its format is told.
        known = [number for number in map(frame_number, content) if number is not None]
        return list(zip(known, content, strict=True) if len(known) == len(content) else enumerate(content)), {}
    if not isinstance(content, Mapping):
        return [], {}
    inner = [content[key] for key in ("frames", "results", "data") if isinstance(content.get(key), list)]
    inner += [frames for frames in [_list_of_frames(content.get("landmarks"))] if frames is not None]
    if inner:
        about = [content[key] for key in ("metadata", "video_info", "info") if isinstance(content.get(key), Mapping)]
        return _frames(inner[0])[0], {**(about[0] if about else {}), **content}
    by_number = [(last_number(str(key)), frame) for key, frame in content.items()]
    if by_number and all(number is not None for number, _ in by_number):
        return [(number, frame) for number, frame in by_number if number is not None], {}
    return [(0, content)], content


def _list_of_frames(value: Any) -> list[Any] | None:
    """The value itself if it is a list of frames, which have landmarks of their own; None for a list of landmarks."""
    items = [item for item in value if item] if isinstance(value, list) else []
    return value if items and isinstance(items[0], Mapping) and _sets(items[0]) and "x" not in items[0] else None


def _sets(frame: Any) -> dict[str, Any]:
    """The sets of landmarks in a frame by the names of their parts; parts without points are left out."""
    if _holds_points(frame, bare=True) or (isinstance(frame, list) and any(_holds_points(one, True) for one in frame)):
        return {"": frame}
    poses = [pose.get("keypoints") for pose in frame if isinstance(pose, Mapping)] if isinstance(frame, list) else []
    if poses and len(poses) == len(frame) and all(map(_holds_points, poses)):
        # TensorFlow.js: MoveNet, BlazePose and PoseNet.
        return {"keypoints": poses}
    if not isinstance(frame, Mapping):
        return {}
    found = {}
    for key, value in frame.items():
        plain = re.sub(r"[_\s-]", "", str(key)).lower()
        part = re.sub(r"landmarks?(list)?", "", plain)
        known = part != plain or plain in _PARTS
        if known and (_holds_points(value) or (isinstance(value, list) and any(map(_holds_points, value)))):
            found[part] = value
    return found


def _taken(parts: Iterable[str]) -> list[str] | None:
    """The parts to take: the first of `_PARTS` that is there, or both hands; None if none is there."""
    first = next((part for part in _PARTS if part in parts), None)
    if first in ("lefthand", "righthand"):
        return [part for part in ("lefthand", "righthand") if part in parts]
    return None if first is None else [first]


def _landmarks(value: Any) -> list[_Found]:
    """The sets of landmarks in a frame's value: one person's, or a list of people's."""
    return [_points(one) for one in ([value] if _holds_points(value) else value or []) if _holds_points(one)]


def _holds_points(value: Any, bare: bool = False) -> bool:
    """Whether a value is one set of landmarks, by its first point.

    Args:
        bare: whether no key says that these are landmarks; then their number must be one of MediaPipe's.
    """
    points = _listed(value)
    if not points:
        return False
    first = points[0]
    if isinstance(first, Mapping):
        return {"x", "y"} <= set(_named_point(first)) and (not bare or len(points) in _COUNTS)
    if not isinstance(first, list) or len(first) not in (2, 3, 4, 5) or len(points) not in _COUNTS:
        return False
    return not any(isinstance(number, list | dict) for number in first)


def _listed(value: Any) -> Any:
    """The points of a set of landmarks: a list, protobuf's {"landmark": […]}, or an object of points by their names."""
    if isinstance(value, Mapping):
        return value["landmark"] if isinstance(value.get("landmark"), list) else list(value.values())
    return value if isinstance(value, list) else None


def _named_point(point: Mapping[str, Any]) -> Mapping[str, Any]:
    """A point {"x": …, "y": …, "name": …}; PoseNet writes {"position": {"x": …, "y": …}, "part": …}."""
    position = point.get("position")
    return {"name": point.get("part"), **point, **position} if isinstance(position, Mapping) else point


def _points(value: Any) -> _Found:
    points = _listed(value)
    if isinstance(points[0], list):
        array = numbers(points, "landmarks")
        score = array[:, 3] if array.shape[1] > 3 else np.full(len(array), np.nan)
        return _Found(_trusted(array[:, :2], score), None)
    points = [_named_point(point) for point in points]
    rows = [[point["x"], point["y"], point.get("visibility", point.get("score"))] for point in points]
    array = numbers(rows, "landmarks")
    names: tuple[Any, ...] = tuple(point.get("name") for point in points)
    if isinstance(value, Mapping) and "landmark" not in value:
        names = tuple(value)
    given = all(isinstance(name, str) and not re.fullmatch(r"\D*\d+", name) for name in names)
    return _Found(_trusted(array[:, :2], array[:, 2]), names if given and len(set(names)) == len(names) else None)


def _trusted(points: Points, score: npt.NDArray[np.float64]) -> Points:
    """x, y and confidence (J, 3). The confidence is 1 for points without a visibility, and for all points if every
    visibility is 0, as MediaPipe writes it for hands."""
    score = np.nan_to_num(score, nan=1.0) if (score > 0).any() else np.ones(len(points))
    return np.concatenate([points, score[:, None]], axis=1)


def _label(part: str) -> str:
    return _HANDS.get(part, part).replace("_", " ")


def _number(meta: Mapping[str, Any], *keys: str) -> float | None:
    value = next((meta[key] for key in keys if isinstance(meta.get(key), int | float)), None)
    return float(value) if value else None


def _size(meta: Mapping[str, Any]) -> tuple[int, int] | None:
    width = _number(meta, "width", "image_width", "imageWidth", "frame_width", "video_width")
    height = _number(meta, "height", "image_height", "imageHeight", "frame_height", "video_height")
    return (int(width), int(height)) if width and height else None


def _is_json(content: Any) -> bool:
    try:
        frames, _ = _frames(content)
    except InputError:
        return False
    return any(_sets(frame) for _, frame in frames[:1000])


def _is_array(array: npt.NDArray[Any]) -> bool:
    """Whether an array is of landmarks: their number, and x and y that are shares of a picture's sides."""
    if not np.issubdtype(array.dtype, np.floating):
        return False
    if array.ndim == 2 and array.shape[1] in _FLAT:
        points = array[:, :132].reshape(len(array), 33, 4)
    elif array.ndim in (3, 4) and array.shape[-2] in _COUNTS and array.shape[-1] in (3, 4):
        points = array
    else:
        return False
    shares = points[..., :2][np.isfinite(points[..., :2])]
    if not len(shares) or float(np.median(np.abs(shares))) > 2:
        return False
    third = points[..., 2][np.isfinite(points[..., 2])]
    # A third value from 0 to 1 is a confidence, as in any array of (x, y, confidence).
    return points.shape[-1] == 4 or bool((third < -0.01).any() or (third > 1.01).any())


JSON_FRAMES = Format(
    name="mediapipe",
    extensions=(".json", ".jsonl"),
    example="landmarks.json --image-size 1280 720",
    extra=None,
    description="MediaPipe landmarks and TensorFlow.js poses in JSON",
    containers=(JSON, JSON_LINES),
    matches=_is_json,
    read=read_mediapipe,
    recognized_by="JSON frames with `landmarks`, `pose_landmarks`, … of `x`, `y`",
    takes="x, y in shares of the picture (`--image-size` scales them), visibility; the body (33 landmarks), else the "
    "hands (21 each), else the face; no z",
)
PICTURES = Format(
    name="mediapipe-pictures",
    extensions=("folder",),
    example="landmarks/ --image-size 1280 720",
    extra=None,
    description="MediaPipe landmarks, one JSON for each picture",
    containers=(FOLDER,),
    matches=lambda folder: any(_is_json(content) for content in list(folder.json.values())[:100]),
    read=read_mediapipe_folder,
    recognized_by="a folder of JSON files with `landmarks`, `pose_landmarks`, … of `x`, `y`",
    takes="as `mediapipe`; the frame is the number in the file name",
)
NPY = Format(
    name="mediapipe-npy",
    extensions=(".npy",),
    example="landmarks.npy --image-size 1280 720",
    extra=None,
    description="MediaPipe landmarks in an array",
    containers=(ARRAY,),
    matches=_is_array,
    read=read_mediapipe_array,
    recognized_by="NumPy array (frames, 33, 21, 468 or 478, 3 or 4) of shares; (frames, 132, 258 or 1662)",
    takes="x, y, visibility; no z",
)
