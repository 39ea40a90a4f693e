"""COCO keypoints: annotation files (AP-10K's have the same form) and lists of results."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from olift_fast.errors import InputError
from olift_fast.io.detections import Detections, as_recordings, as_stills, as_tracks, identity
from olift_fast.io.format import Format
from olift_fast.io.frame_numbers import last_number
from olift_fast.io.json_fields import item_keys, object_keys, triplets
from olift_fast.io.open_container import JSON, JSON_LINES
from olift_fast.io.parsed import Parsed, int64
from olift_fast.io.pictures import frames_of, name_kind, without_hash
from olift_fast.io.skeleton_files import bones


def read_coco(content: Mapping[str, Any]) -> Parsed:
    """An annotation file: images are frames, categories give names and edges (1-based in the file).

    A keypoint with visibility 1 (labeled, but hidden from view) or 2 is read; one with 0 is missing. A visibility
    between 0 and 1 is a confidence. Within each video, animals are told apart by the ids that the tool writes
    (`track_id`, CVAT's `attributes.track_id`, …). Without ids, they are joined by nearness if the images are those of a
    video: of one size, and numbered without large gaps, in equal steps, or as frames are (`pictures.frames_of`).
    Otherwise the images are stills, and each animal is a track of one frame.

    Raises:
        InputError: no annotation with keypoints, categories with different joints, annotations of unknown images, two
            images with one id.
    """
    annotations = [item for item in content["annotations"] if item.get("keypoints")]
    if not annotations:
        raise InputError(f"none of {len(content['annotations'])} annotations has keypoints, wanted at least one")
    names, edges = _category(content["categories"], {item.get("category_id") for item in annotations})
    images = {image["id"]: image for image in content["images"]}
    if len(images) < len(content["images"]):
        raise InputError("two images have the same id")
    for item in annotations:
        if item["image_id"] not in images:
            raise InputError(f"an annotation is of image {item['image_id']!r:.40}, which is not among the images")
    tracks, notes = _track_ids(annotations)
    videos = _videos(content["images"], tracked=any(tracks))
    numbers = _image_numbers(content["images"], videos)
    video = any(tracks) or _is_video(content["images"], videos, numbers)
    if not video:
        notes.append(f"{len(images)} images are taken as stills: they are not of one size and numbered like frames")
    joints = len(names) if names else len(annotations[0]["keypoints"]) // 3
    found = {name: Detections(joints) for name in (videos.values() if video else [""])}
    labels: list[str] = []
    for item, track in zip(annotations, tracks, strict=True):
        image = item["image_id"]
        points, visibility = triplets(item["keypoints"], "keypoints")
        recording, number = (videos[image], numbers[image]) if video else ("", 0)
        if found[recording].add(number, track, points, _confidence(visibility)):
            labels.append(f"image_{image}/animal_{item.get('id', len(labels))}")
    frames = list(numbers.values()) if video else []
    tracked = as_recordings(found, all_frames=frames, fill=False) if video else as_stills(found[""], labels)
    if any("foot_kpts" in item for item in annotations):
        notes = [*notes, "the body is taken; feet, face and hands (COCO-WholeBody) are left out"]
    sizes = {(int(image.get("width") or 0), int(image.get("height") or 0)) for image in images.values()}
    size = sizes.pop() if len(sizes) == 1 else None
    return replace(tracked, names=names, edges=edges, image_size=size, notes=[*tracked.notes, *notes])


def read_coco_results(content: Sequence[Mapping[str, Any]]) -> Parsed:
    """A list of results, each with an image_id and keypoints x, y, score, …; one video if few image ids are skipped.

    The file has no names: 17 joints, all of category 1, are taken as COCO's person. Animals are told apart as in
    `read_coco`.

    Raises:
        InputError: no result with keypoints, image ids that are not whole numbers, poses with different numbers of
            keypoints.
    """
    if not content:
        raise InputError("holds no tracks: the list is empty")
    ids = [int64(item["image_id"], "image_id") for item in content]
    with_pose = [(item, image) for item, image in zip(content, ids, strict=True) if item.get("keypoints")]
    if not with_pose:
        raise InputError(f"holds no tracks: none of {len(content)} results has keypoints")
    poses = [(image, *triplets(item["keypoints"], "keypoints")) for item, image in with_pose]
    joints = len(poses[0][1])
    tracks, notes = _track_ids([item for item, _ in with_pose])
    distinct = sorted(set(ids))
    even = len(distinct) > 2 and len(set(np.diff(distinct))) == 1
    video = any(tracks) or even or distinct[-1] - distinct[0] < 2 * len(distinct) + 10
    if not video:
        notes.append(f"{len(distinct)} images are taken as stills: their ids do not number them like frames")
    found = Detections(joints)
    labels: list[str] = []
    for track, (image, points, score) in zip(tracks, poses, strict=True):
        if found.add(image if video else 0, track, points, score):
            labels.append(f"image_{image}/animal_{len(labels)}")
    tracked = as_tracks(found, all_frames=ids) if video else as_stills(found, labels)
    person = joints == 17 and {item.get("category_id", 1) for item, _ in with_pose} == {1}
    return replace(tracked, rig_name="coco_17" if person else None, notes=[*tracked.notes, *notes])


def _confidence(visibility: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """1 for a visibility of 1 or 2. Other values are confidences: some tools write them in its place."""
    return np.where((visibility == 1) | (visibility == 2), 1.0, visibility)


#: The names under which tools write which animal it is, in an annotation or in its `attributes`.
_TRACK_KEYS = (
    *("track_id", "tracking_id", "track", "person_id", "animal_id", "individual_id", "instance_id", "object_id"),
    *("identity", "id"),
)


def _track_ids(items: Sequence[Mapping[str, Any]]) -> tuple[list[str | None], list[str]]:
    """The id of the animal in each item, None if it has none, and a note if the ids were found in an unusual place.

    Keys other than `track_id` may number the annotations, or tell the species. They count only if an id comes again in
    another image, and never twice in one. `id` beside the keypoints always numbers the annotations.
    """
    for inside in (False, True):
        for key in _TRACK_KEYS:
            if key == "id" and not inside:
                continue
            holders = [item.get("attributes") if inside else item for item in items]
            ids = [identity(holder.get(key)) if isinstance(holder, Mapping) else None for holder in holders]
            pairs = [(value, item["image_id"]) for value, item in zip(ids, items, strict=True) if value is not None]
            again = len({value for value, _ in pairs}) < len(pairs) == len(set(pairs))
            if pairs and (key == "track_id" or again):
                usual = key == "track_id" and not inside
                return ids, [] if usual else [f"animals are told apart by `{'attributes.' * inside}{key}`"]
    return [None] * len(items), []


def _category(
    categories: Sequence[Mapping[str, Any]], used: set[Any]
) -> tuple[list[str] | None, list[tuple[int, int]]]:
    """Names and edges of the categories that are used, which must agree; names are None if the file has none."""
    chosen = [category for category in categories if category.get("id") in used and category.get("keypoints")]
    if not chosen:
        return None, []
    names = [str(name) for name in chosen[0]["keypoints"]]
    for other in chosen[1:]:
        if list(map(str, other["keypoints"])) != names:
            both = f"{chosen[0].get('name')!r} and {other.get('name')!r}"
            raise InputError(f"categories {both} have different keypoints, wanted one set")
    # Edges count from 1. Some tools count from 0, and then an edge has a joint 0; some give the joints by name.
    return names, bones(chosen[0].get("skeleton"), names, 1)


def _videos(images: Sequence[Mapping[str, Any]], tracked: bool) -> dict[Any, str]:
    """The name of the video of each image, by the image's id; "" if all images are of one video.

    Videos are told apart by their ids. Without ids, by the folders of the images' files, and within a folder by what
    comes before the number in their names (v_000.png, w_000.png).

    Args:
        tracked: whether the annotations have ids of animals.
    """
    ids = [next((image[key] for key in ("video_id", "vid_id") if image.get(key) is not None), None) for image in images]
    if len(set(map(str, ids))) > 1:
        return {image["id"]: f"video_{video}" for image, video in zip(images, ids, strict=True)}
    files = [re.split(r"[\\/]", str(image.get("file_name") or "")) for image in images]
    folders: dict[tuple[str, ...], list[int]] = {}
    for place, file in enumerate(files):
        folders.setdefault(tuple(file[:-1]), []).append(place)
    numbered = len({_frame_id(image) for image in images} - {None}) == len(images)
    names = [""] * len(images)
    for folder, places in folders.items():
        prefixes = [""] * len(places) if numbered else _prefixes([files[place][-1] for place in places], tracked)
        for place, prefix in zip(places, prefixes, strict=True):
            inside = "/".join(folder) or "." * (not prefix)
            names[place] = "/".join(filter(None, (inside * (len(folders) > 1), prefix)))
    return {image["id"]: name for image, name in zip(images, names, strict=True)}


def _prefixes(names: Sequence[str], tracked: bool) -> list[str]:
    """What tells the videos in one folder apart, for each of its images; "" if they are of one video."""
    places = frames_of(names, tracked)
    if places is not None:
        return [place.recording for place in places]
    kinds = [name_kind(without_hash(name)) for name in names]
    count = Counter(kinds)
    twice = Counter(last_number(without_hash(name)) for name in set(names))
    # If a number comes several times, the images are of several videos. Otherwise different names may be of one.
    clash = min(count.values()) > 1 and any(times > 1 for number, times in twice.items() if number is not None)
    return kinds if clash else [""] * len(names)


def _image_numbers(images: Sequence[Mapping[str, Any]], videos: Mapping[Any, str]) -> dict[Any, int]:
    """A frame number for each image id: its frame_id, the number in its file's name, or its place in the list."""
    for number_of in (_frame_id, lambda image: last_number(without_hash(str(image.get("file_name", ""))))):
        found = [number_of(image) for image in images]
        keys = [(videos[image["id"]], number) for image, number in zip(images, found, strict=True)]
        if all(isinstance(number, int) and abs(number) < 2**62 for number in found) and len(set(keys)) == len(images):
            return {image["id"]: int(number or 0) for image, number in zip(images, found, strict=True)}
    return {image["id"]: place for place, image in enumerate(images)}


def _frame_id(image: Mapping[str, Any]) -> Any:
    return next((image[key] for key in ("frame_id", "frame_idx", "frame_number") if key in image), None)


def _is_video(images: Sequence[Mapping[str, Any]], videos: Mapping[Any, str], numbers: Mapping[Any, int]) -> bool:
    """Whether the images of each video are of one size, and numbered like frames."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for image in images:
        groups.setdefault(videos[image["id"]], []).append(image)
    for group in groups.values():
        places = sorted(numbers[image["id"]] for image in group)
        sizes = {(image.get("width"), image.get("height")) for image in group}
        if len(group) < 2 or len(sizes) > 1:
            return False
        even = len(group) > 2 and len(set(np.diff(places))) == 1
        if not even and places[-1] - places[0] >= 2 * len(group) and not _named_like_frames(group, places):
            return False
    return True


def _named_like_frames(images: Sequence[Mapping[str, Any]], numbers: Sequence[int]) -> bool:
    """Whether the names of the images' files are those of frames of one video, with these numbers."""
    places = frames_of([str(image.get("file_name") or "") for image in images])
    if places is None or len({place.recording for place in places}) > 1:
        return False
    return sorted(place.frame for place in places) == list(numbers)


ANNOTATIONS = Format(
    name="coco",
    extensions=(".json",),
    example="person_keypoints_default.json",
    extra=None,
    description="COCO and AP-10K annotations",
    containers=(JSON,),
    matches=lambda content: {"annotations", "images", "categories"} <= object_keys(content),
    read=read_coco,
    recognized_by="JSON with `images`, `annotations`, `categories`",
    takes="keypoints with visibility 1 or 2; names and edges of the category (1-based in the file); animals by "
    "`track_id`, or by the ids that CVAT and others write into `attributes`; each video by itself",
)
RESULTS = Format(
    name="coco-results",
    extensions=(".json",),
    example="keypoints_results.json",
    extra=None,
    description="COCO lists of results",
    containers=(JSON, JSON_LINES),
    matches=lambda content: {"image_id", "keypoints"} <= item_keys(content),
    read=read_coco_results,
    recognized_by="JSON list, or JSON lines, with `image_id`, `keypoints`",
    takes="x, y, score; 17 joints of category 1 are taken as COCO's person",
)
