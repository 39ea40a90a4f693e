"""OpenPifPaf: a video's predictions as JSON lines, and a folder with one JSON for each picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from olift_fast.errors import InputError
from olift_fast.io.detections import Detections, as_tracks, identity
from olift_fast.io.format import Format
from olift_fast.io.json_fields import item_keys, numbered, object_keys, triplets, whole_number
from olift_fast.io.open_container import FOLDER, JSON, JSON_LINES, Folder
from olift_fast.io.parsed import Parsed
from olift_fast.io.pictures import Pose, frame_files, tracks_of_pictures
from olift_fast.io.point_sets import of_people

_ENDING = ".predictions.json"


def read_openpifpaf(content: Sequence[Mapping[str, Any]] | Mapping[str, Any]) -> Parsed:
    """Frames {"frame": 1, "predictions": [{"keypoints": [x, y, confidence, …], …}, …]}, one on each line.

    People are told apart by `id_`, which OpenPifPaf writes when it tracks, else by nearness. 17 keypoints are COCO's;
    of 133 the body is taken.

    Raises:
        InputError: no prediction in any frame, poses with different numbers of keypoints, a frame that comes twice.
    """
    lines = [content] if isinstance(content, Mapping) else content
    frames = numbered(whole_number(line, "frame") for line in lines)
    found: Detections | None = None
    for frame, line in zip(frames, lines, strict=True):
        for item in line["predictions"] or []:
            if item.get("keypoints"):
                points, score = triplets(item["keypoints"], "keypoints")
                found = found or Detections(len(points))
                found.add(frame, identity(item.get("id_")), points, score)
    if found is None:
        raise InputError(f"holds no tracks: none of {len(frames)} frames has a prediction with keypoints")
    return of_people(as_tracks(found, prefix="person", all_frames=frames))


def read_openpifpaf_folder(folder: Folder) -> Parsed:
    """A folder of PICTURE.predictions.json, each a list of predictions; the number in a picture's name is its frame.

    Raises:
        InputError: no prediction in any file, poses with different numbers of keypoints.
    """
    given = {name.removesuffix(_ENDING): value for name, value in folder.json.items() if name.endswith(_ENDING)}
    files, notes = frame_files(given, lambda value: isinstance(value, list))
    poses = []
    for place, (name, predictions) in enumerate(files.items()):
        if not isinstance(predictions, list):
            raise InputError(f"{name}: not a list of predictions")
        for item in predictions:
            if item.get("keypoints"):
                poses.append(Pose(place, identity(item.get("id_")), *triplets(item["keypoints"], "keypoints")))
    if not poses:
        raise InputError(f"holds no tracks: none of {len(files)} pictures has a prediction with keypoints")
    parsed = tracks_of_pictures(list(files), poses)
    return of_people(replace(parsed, notes=[*parsed.notes, *notes]))


def _is_lines(content: Any) -> bool:
    return "predictions" in (object_keys(content) or item_keys(content))


LINES = Format(
    name="openpifpaf",
    extensions=(".json",),
    example="walk.mp4.openpifpaf.json",
    extra=None,
    description="OpenPifPaf predictions of a video",
    containers=(JSON_LINES, JSON),
    matches=_is_lines,
    read=read_openpifpaf,
    recognized_by="JSON lines with `predictions`",
    takes="x, y, confidence, `id_`; 17 keypoints are COCO's, of 133 the body is taken; the frame is `frame`",
)
PICTURES = Format(
    name="openpifpaf-pictures",
    extensions=("folder",),
    example="predictions/",
    extra=None,
    description="OpenPifPaf, one JSON for each picture",
    containers=(FOLDER,),
    matches=lambda folder: any(file.name.endswith(_ENDING) for file in folder.files),
    read=read_openpifpaf_folder,
    recognized_by="a folder of files `….predictions.json`",
    takes="as `openpifpaf`; the frame is the number in the file name",
    hint="OpenPifPaf's ….predictions.json",
)
