"""Ultralytics YOLO pose: folders of labels, one text file for each frame, and the JSON of its results."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from olift_fast.errors import InputError
from olift_fast.io.csv_table import Table
from olift_fast.io.detections import Detections, as_tracks, identity
from olift_fast.io.format import Format
from olift_fast.io.frame_numbers import last_number
from olift_fast.io.json_fields import first_item, frame_number, item_keys, numbers, refuse_repeated_frames
from olift_fast.io.open_container import FOLDER, JSON, JSON_LINES, TABLE, Folder, load_json, read_text
from olift_fast.io.parsed import Parsed
from olift_fast.io.pictures import Pose, frame_files, tracks_of_pictures
from olift_fast.io.point_sets import of_people

#: How many values a line of a label file begins with: the class and the box (center x and y, width and height).
_HEAD = 5

Rows = list[npt.NDArray[np.float64]]


class _Layout(NamedTuple):
    """What follows the box in a line.

    Args:
        dims: how many values a keypoint has: 2 (x, y) or 3 (x, y, confidence).
        joints: the number of keypoints.
        scored: whether the confidence of the box follows the keypoints. A line with one more value ends with an id.
    """

    dims: int
    joints: int
    scored: bool

    @property
    def length(self) -> int:
        return _HEAD + self.dims * self.joints + self.scored


def read_ultralytics_labels(content: Folder | Table) -> Parsed:
    """The poses of a folder of label files, or of one of them: class, box, keypoints, box confidence, track id.

    Coordinates are shares of the picture's sides. The number of values in a line tells whether keypoints have a
    confidence, and whether the box's confidence and an id follow. If several layouts have this number, the one is taken
    whose keypoints are in their boxes. The frame is the number in the file's name; a frame without a file has no
    animal. 17 keypoints are COCO's.

    Raises:
        InputError: lines that are not numbers or differ in their keypoints, boxes without keypoints.
    """
    given = _rows_of(content) if isinstance(content, Folder) else {"0.txt": _parse(content.lines)}
    files, notes = frame_files(given, lambda rows: rows is not None)
    for name, rows in files.items():
        if rows is None:
            raise InputError(f"{name}: not a label file of numbers: class, box, keypoints")
    layout = _layout([row for rows in files.values() for row in rows])
    poses = []
    for place, rows in enumerate(files.values()):
        for row in rows:
            values = row[_HEAD : _HEAD + layout.dims * layout.joints].reshape(layout.joints, layout.dims)
            score = values[:, 2] if layout.dims == 3 else np.ones(layout.joints)
            score = np.where((values[:, :2] == 0).all(axis=-1), 0.0, score)
            track = identity(float(row[-1])) if len(row) > layout.length else None
            poses.append(Pose(place, track, values[:, :2], score))
    parsed = tracks_of_pictures(list(files), poses, prefix="track")
    parsed = of_people(parsed) if layout.joints == 17 else parsed
    return replace(parsed, normalized=True, notes=[*parsed.notes, *notes])


def read_ultralytics_json(content: Any) -> Parsed:
    """The JSON of `Results.to_json()`: a list of animals for one picture, a list of such lists, or one on each line.

    The list of a frame may also be JSON text, or the value of an object whose keys are frame numbers. Or the animals of
    all frames are in one list, each with its `frame`. With `normalize=True`, Ultralytics writes coordinates as shares
    of the picture's sides; then the boxes are shares, too. 17 keypoints are COCO's.

    Raises:
        InputError: no animal with keypoints, animals with different numbers of keypoints, a frame number that comes
            twice, or a `track_id` that comes twice in a list without frame numbers.
    """
    frames = _frames(content)
    found: Detections | None = None
    largest = 0.0
    for number, frame in frames:
        for item in frame:
            keypoints = item.get("keypoints") or {}
            if not keypoints.get("x"):
                continue
            points = numbers([keypoints["x"], keypoints["y"]], "keypoints").T
            visible = keypoints.get("visible")
            score = np.ones(len(points)) if visible is None else numbers(visible, "visible")
            if score.shape != (len(points),):
                raise InputError(f"visible must have {len(points)} values, got shape {score.shape}")
            score = np.where((points == 0).all(axis=-1), 0.0, score)
            found = found or Detections(len(points))
            found.add(number, identity(item.get("track_id")), points, score)
            largest = max([largest, *numbers([*(item.get("box") or {}).values()], "box").tolist()])
    if found is None:
        raise InputError(f"none of {len(frames)} frames has an animal with keypoints: was this a pose model?")
    parsed = as_tracks(found, all_frames=[number for number, _ in frames])
    parsed = of_people(parsed) if found.num_joints == 17 else parsed
    # Without any box, nothing here tells; `settle` looks at the coordinates.
    return replace(parsed, normalized=0 < largest <= 1.01)


def _frames(content: Any) -> list[tuple[int, list[Any]]]:
    """The number of each frame and its animals."""
    if isinstance(content, Mapping):
        numbered = [(last_number(f"{key}."), frame) for key, frame in content.items()]
        refuse_repeated_frames(number or 0 for number, _ in numbered)
        return [(number or 0, frame or []) for number, frame in numbered]
    if not isinstance(first_item(content), Mapping):
        return [(place, _listed(frame) or []) for place, frame in enumerate(content)]
    given = [frame_number(item) for item in content]
    if None not in given:
        animals: dict[int, list[Any]] = {}
        for number, item in zip(given, content, strict=True):
            animals.setdefault(number or 0, []).append(item)
        return list(animals.items())
    ids = [track for track in (identity(item.get("track_id")) for item in content) if track is not None]
    if len(set(ids)) < len(ids):
        twice = Counter(ids).most_common(1)[0][0]
        raise InputError(f"track_id {twice} comes twice in one list: wanted a `frame` in each item, or a list a frame")
    return [(0, list(content))]


def _listed(frame: Any) -> Any:
    """A frame's list of animals, which may be given as JSON text."""
    return load_json(frame) if isinstance(frame, str) else frame


def _rows_of(folder: Folder) -> dict[str, Rows | None]:
    """The lines of each text file by its name; None for a file that is not a label file."""
    return {file.name: _parsed(file) for file in _text_files(folder)}


def _parsed(file: Path) -> Rows | None:
    try:
        return _parse(read_text(file).splitlines())
    except InputError:
        # Not UTF-8, so not a label file.
        return None


def _text_files(folder: Folder) -> list[Path]:
    """The text files of a folder of labels, or of a run's folder, which has a folder `labels`."""
    own = folder.ending(".txt")
    if any(map(_parsed, own)):
        return own
    inner = folder.path / "labels"
    return Folder(inner).ending(".txt") or own if inner.is_dir() else own


def _parse(lines: Sequence[str]) -> Rows | None:
    """The numbers in a label file's lines; None if the lines are something else."""
    try:
        rows = [np.array(line.split(), dtype=np.float64) for line in lines if line.strip()]
    except ValueError:
        return None
    return rows if all(_is_row(row) for row in rows) else None


def _is_row(row: npt.NDArray[np.float64]) -> bool:
    """Whether a line begins with a class and with a box in shares of the picture."""
    box = row[1:_HEAD]
    return len(row) >= _HEAD and float(row[0]).is_integer() and bool(((box >= -0.5) & (box <= 1.5)).all())


def _layout(rows: Rows) -> _Layout:
    """The layout of all lines: of those with the right number of values, the one that fits the boxes best."""
    lengths = {len(row) for row in rows}
    if not lengths:
        raise InputError("holds no tracks: no label file has a line")
    least = min(lengths)
    fitting = [
        _Layout(dims, (least - _HEAD - extra) // dims, scored)
        for dims, extra, scored in product((2, 3), (0, 1, 2), (False, True))
        if extra >= scored and least > _HEAD + extra and (least - _HEAD - extra) % dims == 0
    ]
    fitting = [layout for layout in fitting if lengths <= {layout.length, layout.length + 1}]
    if not fitting:
        seen = ", ".join(map(str, sorted(lengths)[:6]))
        boxes = "boxes without keypoints (was this a pose model?)" if max(lengths) <= _HEAD + 2 else "no one layout"
        raise InputError(
            f"lines of {seen} values: {boxes}, wanted class, box, and x, y [, confidence] of each keypoint"
        )
    sample = rows[:: max(1, len(rows) // 200)]
    return max(fitting, key=lambda layout: _fit(sample, layout))


def _fit(rows: Rows, layout: _Layout) -> float:
    """How well a layout fits the lines: the mean share of keypoints in or near their boxes, plus the share of lines
    with sensible confidences and ids."""
    scores = []
    for row in rows:
        values = row[_HEAD : _HEAD + layout.dims * layout.joints].reshape(layout.joints, layout.dims)
        there = ~(values[:, :2] == 0).all(axis=-1)
        near = np.abs(values[:, :2] - row[1:3]) <= 0.5 * row[3:5] + 0.01
        inside = float(np.asarray(near.all(axis=-1))[there].mean()) if there.any() else 0.5
        third = values[:, 2] if layout.dims == 3 else np.ones(0)
        sensible = bool((((third >= 0) & (third <= 1.001)) | (third == 2)).all())
        if layout.scored:
            sensible &= 0 <= row[layout.length - 1] <= 1.001 and not float(row[layout.length - 1]).is_integer()
        if len(row) > layout.length:
            sensible &= float(row[-1]).is_integer() and row[-1] >= 0
        scores.append(inside + sensible)
    return float(np.mean(scores))


def _is_labels(content: Folder | Table) -> bool:
    if isinstance(content, Folder):
        return any(map(_parsed, _text_files(content)))
    rows = _parse(content.lines[:100])
    return rows is not None and min(map(len, rows)) > _HEAD + 2


def _is_json(content: Any) -> bool:
    if isinstance(content, Mapping):
        return all(re.search(r"\d", str(key)) for key in content) and _is_json(list(content.values()))
    first = first_item(content)
    if isinstance(first, str):
        # The text of a frame without an animal is "[]".
        first = next((text for text in content if isinstance(text, str) and len(text.strip()) > 2), "")
        if not re.match(r"\s*\[\s*\{", first):
            return False
        first = load_json(first)
    animal = first_item(first) if isinstance(first, list) else first
    return {"box", "class", "name"} <= item_keys([animal])


LABELS = Format(
    name="ultralytics",
    extensions=("folder", ".txt"),
    example="runs/pose/predict/labels --image-size 1280 720",
    extra=None,
    description="Ultralytics YOLO pose, one text file for each frame",
    containers=(FOLDER, TABLE),
    matches=_is_labels,
    read=read_ultralytics_labels,
    recognized_by="a folder of text files with lines of class, box, keypoints, or one of them",
    takes="keypoints in shares of the picture (`--image-size` scales them), confidence, track id; the frame is the "
    "number in the file name; 17 keypoints are COCO's",
    hint="Ultralytics' labels",
)
RESULTS = Format(
    name="ultralytics-json",
    extensions=(".json", ".jsonl"),
    example="results.json",
    extra=None,
    description="Ultralytics YOLO pose, `Results.to_json()`",
    containers=(JSON, JSON_LINES),
    matches=_is_json,
    read=read_ultralytics_json,
    recognized_by="JSON list, list of lists, or lists by frame, of objects with `name`, `class`, `box`",
    takes="keypoints with `visible` as confidence, `track_id`; 17 keypoints are COCO's",
)
