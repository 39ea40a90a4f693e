"""MMPose and Sapiens predictions: one JSON of frames with instances, or a folder with one JSON for each picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from olift_fast.errors import InputError
from olift_fast.io.detections import Detections, as_tracks, identity
from olift_fast.io.format import Format
from olift_fast.io.json_fields import (
    first_item,
    frame_number,
    item_keys,
    numbered,
    numbers,
    object_keys,
    points2d,
    triplets,
    whole_number,
)
from olift_fast.io.open_container import FOLDER, JSON, JSON_LINES, Folder
from olift_fast.io.parsed import Parsed
from olift_fast.io.pictures import Pose, frame_files, tracks_of_pictures
from olift_fast.io.point_sets import of_people


def read_mmpose(content: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> Parsed:
    """Tracks of predictions: {"instance_info": […], "meta_info": {…}}, the list alone, or one picture's instances.

    A frame may also be a list of instances, or what MMPoseInferencer yields: {"predictions": [[instance, …]]}. Names
    and edges are those of `meta_info`. Animals are told apart by `track_id` or `instance_id`, else by nearness.

    Raises:
        InputError: 3D predictions, no instance in any frame, poses that differ in their number of keypoints, a frame
            number that comes twice.
    """
    if "preds" in item_keys(content):
        return _of_test(content)
    items, meta = _parts(content)
    if items and not _are_frames(items):
        lists = [_of_frame(item) for item in items]
        pairs = [(0, items)] if None in lists else list(zip(map(frame_number, items), lists, strict=True))
        items = [{"frame_id": number, "instances": instances} for number, instances in pairs]
    frames = numbered(whole_number(item, "frame_id") for item in items)
    found: Detections | None = None
    for frame, item in zip(frames, items, strict=True):
        for instance in item["instances"] or []:
            pose = _pose(0, instance)
            if pose is None:
                continue
            found = found or Detections(len(pose.points))
            found.add(frame, pose.track, pose.points, pose.confidence)
    if found is None:
        raise InputError(f"holds no tracks: none of {len(frames)} frames has an instance")
    return _named(as_tracks(found, all_frames=frames), meta)


def _of_test(content: Any) -> Parsed:
    """The results of the test script of MMPose before 1.0: `preds` (poses, J, 3) of the pictures `image_paths`."""
    names: dict[str, int] = {}
    poses = []
    for batch in content:
        for given, path in zip(batch["preds"], batch["image_paths"], strict=True):
            points, score = triplets(given, "preds")
            poses.append(Pose(names.setdefault(str(path), len(names)), None, points, score))
    if not poses:
        raise InputError("holds no tracks: `preds` is empty")
    return of_people(tracks_of_pictures(list(names), poses, prefix="track"))


def read_mmpose_folder(folder: Folder) -> Parsed:
    """A folder with one JSON for each picture, which holds the picture's instances; Sapiens writes these as well.

    The number in the file's name is the frame; pictures that are not numbered like a video's are stills. JSON files of
    another kind are left out, and a note names them.

    Raises:
        InputError: several files, one of which holds a whole recording; 3D predictions; no instance in any picture;
            poses that differ in their number of keypoints.
    """
    files, notes = frame_files(folder.json, lambda content: _is_mmpose(content) or content == [])
    poses: list[Pose] = []
    meta: Mapping[str, Any] = {}
    for place, (name, content) in enumerate(files.items()):
        try:
            instances, own = _parts(content)
            if _are_frames(instances):
                if len(files) == 1:
                    return read_mmpose(content)
                raise InputError("holds a whole recording: give this file alone, not the folder")
            poses.extend(pose for pose in (_pose(place, instance) for instance in instances) if pose is not None)
        except (InputError, LookupError, TypeError, AttributeError) as error:
            message = error if isinstance(error, InputError) else "not a list of instances"
            raise InputError(f"{name}: {message}") from error
        meta = meta or own
    if not poses:
        raise InputError(f"holds no tracks: none of {len(files)} pictures has an instance")
    parsed = tracks_of_pictures(list(files), poses, prefix="track")
    return _named(replace(parsed, notes=[*parsed.notes, *notes]), meta)


def _parts(content: Any) -> tuple[Any, Mapping[str, Any]]:
    """The list of frames or of instances, and the meta information; empty for a file that is only the list."""
    if isinstance(content, Mapping):
        listed = content["instance_info"] if "instance_info" in content else content["predictions"]
        return listed or [], content.get("meta_info") or {}
    return content, {}


def _of_frame(item: Any) -> list[Any] | None:
    """The instances of a frame that is a list of them, or what MMPoseInferencer yields; None for anything else."""
    if isinstance(item, Mapping) and isinstance(item.get("predictions"), list):
        item = item["predictions"]
        # MMPoseInferencer yields a list for each picture of its batch, and the batch has one picture.
        if len(item) == 1 and isinstance(item[0], list):
            item = item[0]
    elif item is None:
        return []
    return item if isinstance(item, list) else None


def _are_frames(items: Any) -> bool:
    return "instances" in item_keys(items)


def _pose(picture: int, instance: Mapping[str, Any]) -> Pose | None:
    """The pose of an instance; None if it has no keypoints."""
    if not instance["keypoints"]:
        return None
    given = numbers(instance["keypoints"], "keypoints")
    scores = instance.get("keypoint_scores")
    if scores is None and given.ndim == 2 and given.shape[1] == 3 and ((given[:, 2] >= 0) & (given[:, 2] <= 1.1)).all():
        given, scores = given[:, :2], given[:, 2]
    points = points2d(given, "keypoints")
    score = numbers([1.0] * len(points) if scores is None else scores, "keypoint_scores")
    if score.shape != (len(points),):
        raise InputError(f"keypoint_scores must have {len(points)} values, got shape {score.shape}")
    track = identity(instance.get("track_id", instance.get("instance_id")))
    return Pose(picture, None if track is None else f"track_{track}", points, score)


def _named(parsed: Parsed, meta: Mapping[str, Any]) -> Parsed:
    """`parsed` with the names and edges of the meta information; without it, with the rig for its number of points."""
    if not meta.get("keypoint_id2name"):
        return of_people(parsed)
    names = _names(meta, parsed.keypoints.shape[2])
    return replace(parsed, names=names, edges=_edges(meta, names))


def _is_mmpose(content: Any) -> bool:
    items = item_keys(content)
    frames = content.get("predictions") if isinstance(content, Mapping) else content
    instance = first_item(_first_frame(frames)) if isinstance(frames, list) else None
    if {"keypoints", "keypoint_scores"} <= object_keys(instance):
        return True
    # MMPose before 1.0: rows of x, y, score.
    rows = instance.get("keypoints") if isinstance(instance, Mapping) else None
    if isinstance(frames, list) and isinstance(first_item(rows), list) and len(first_item(rows)) == 3:
        return True
    if {"preds", "image_paths"} <= items:
        return True
    return "instance_info" in object_keys(content) or "instances" in items or {"keypoints", "keypoint_scores"} <= items


def _first_frame(content: Sequence[Any]) -> list[Any] | None:
    """The instances of the first frame of a list that has any."""
    return next((frame for frame in map(_of_frame, content) if frame), None)


def _is_mmpose_folder(folder: Folder) -> bool:
    return any(_is_mmpose(content) for content in folder.json.values())


def _names(meta: Mapping[str, Any], joints: int) -> list[str]:
    by_id = meta["keypoint_id2name"]
    by_number = {int(number): str(name) for number, name in by_id.items()}
    if sorted(by_number) != list(range(joints)):
        raise InputError(f"meta_info names {len(by_number)} keypoints, wanted {joints}")
    return [by_number[number] for number in range(joints)]


def _edges(meta: Mapping[str, Any], names: Sequence[str]) -> list[tuple[int, int]]:
    links = meta.get("skeleton_links") or ()
    if isinstance(links, Mapping):
        links = links["__ndarray__"]
    place = {name: index for index, name in enumerate(names)}
    return [(int(place.get(a, a)), int(place.get(b, b))) for a, b in links]


FORMAT = Format(
    name="mmpose",
    extensions=(".json",),
    example="results_walk.json",
    extra=None,
    description="MMPose predictions",
    containers=(JSON, JSON_LINES),
    matches=_is_mmpose,
    read=read_mmpose,
    recognized_by="JSON with `instance_info`, or a list of `instances`",
    takes="scores, names and links of `meta_info`, `track_id` or `instance_id`; without names, 17, 26, 133 or 136 "
    "points are a person's, of whom the body is taken",
)
PICTURES = Format(
    name="mmpose-pictures",
    extensions=("folder",),
    example="predictions/",
    extra=None,
    description="MMPose and Sapiens, one JSON for each picture",
    containers=(FOLDER,),
    matches=_is_mmpose_folder,
    read=read_mmpose_folder,
    recognized_by="a folder of JSON files with `instance_info`, or with `keypoints` and `keypoint_scores`",
    takes="as `mmpose`; the frame is the number in the file name",
    hint="MMPose's one JSON for each picture",
)
