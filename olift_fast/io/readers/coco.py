"""COCO keypoints: annotation files (AP-10K's have the same form) and lists of results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from olift_fast.errors import InputError
from olift_fast.io.detections import Detections, as_stills, as_tracks
from olift_fast.io.format import Format
from olift_fast.io.frame_numbers import last_number
from olift_fast.io.json_fields import item_keys, object_keys, triplets
from olift_fast.io.open_container import JSON
from olift_fast.io.parsed import Parsed, int64


def read_coco(content: Mapping[str, Any]) -> Parsed:
    """An annotation file: images are frames, categories give names and edges (1-based in the file).

    A keypoint with visibility 1 (labeled, but hidden from view) or 2 is there, with 0 it is not. Animals are told
    apart by `track_id`. Without ids they are joined by nearness if the images are a video's: one size, numbered
    without large gaps. Otherwise the images are stills, and each animal is a track of one frame.

    Raises:
        InputError: no annotation with keypoints, categories with different joints, annotations of unknown images.
    """
    annotations = [item for item in content["annotations"] if item.get("keypoints")]
    if not annotations:
        raise InputError(f"none of {len(content['annotations'])} annotations has keypoints, wanted at least one")
    names, edges = _category(content["categories"], {item.get("category_id") for item in annotations})
    images = {image["id"]: image for image in content["images"]}
    if len(images) < len(content["images"]):
        raise InputError("two images have the same id")
    numbers = _image_numbers(content["images"])
    has_tracks = all("track_id" in item for item in annotations)
    video = has_tracks or _is_video(content["images"], list(numbers.values()))
    several = len({image.get("video_id") for image in images.values()}) > 1
    found = Detections(len(names) if names else len(annotations[0]["keypoints"]) // 3)
    labels: list[str] = []
    for item in annotations:
        if item["image_id"] not in images:
            raise InputError(f"an annotation is of image {item['image_id']!r:.40}, which is not among the images")
        image = images[item["image_id"]]
        points, visibility = triplets(item["keypoints"], "keypoints")
        track = str(item["track_id"]) if has_tracks else None
        if several and track is not None:
            track = f"video_{image.get('video_id')}/{track}"
        before = len(found.frames)
        found.add(numbers[image["id"]] if video else 0, track, points, (visibility > 0).astype(np.float64))
        if len(found.frames) > before:
            labels.append(f"image_{image['id']}/animal_{item.get('id', len(labels))}")
    frames = list(numbers.values()) if video else []
    tracked = as_tracks(found, all_frames=frames, fill=False) if video else as_stills(found, _distinct(labels))
    sizes = {(int(image.get("width", 0)), int(image.get("height", 0))) for image in images.values()}
    return replace(tracked, names=names, edges=edges, image_size=sizes.pop() if len(sizes) == 1 else None)


def read_coco_results(content: Sequence[Mapping[str, Any]]) -> Parsed:
    """A list of results, each with an image_id and keypoints x, y, score, …; one video if few image ids are skipped.

    The file has no names: 17 joints, all of category 1, are taken as COCO's person. Tracks as in `read_coco`.

    Raises:
        InputError: image ids that are no whole numbers, poses with different numbers of keypoints.
    """
    if not content:
        raise InputError("holds no tracks: the list is empty")
    poses = [triplets(item["keypoints"], "keypoints") for item in content]
    ids = [int64(item["image_id"], "image_id") for item in content]
    joints = len(poses[0][0])
    has_tracks = all("track_id" in item for item in content)
    video = has_tracks or max(ids) - min(ids) < 2 * len(set(ids)) + 10
    found = Detections(joints)
    labels: list[str] = []
    for item, image, (points, score) in zip(content, ids, poses, strict=True):
        before = len(found.frames)
        found.add(image if video else 0, str(item["track_id"]) if has_tracks else None, points, score)
        if len(found.frames) > before:
            labels.append(f"image_{image}/animal_{len(labels)}")
    tracked = as_tracks(found, all_frames=ids if video else ()) if video else as_stills(found, _distinct(labels))
    person = joints == 17 and {item.get("category_id", 1) for item in content} == {1}
    return replace(tracked, rig_name="coco_17" if person else None)


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
    return names, [(int(a) - 1, int(b) - 1) for a, b in chosen[0].get("skeleton") or ()]


def _image_numbers(images: Sequence[Mapping[str, Any]]) -> dict[Any, int]:
    """A frame number for each image id: its frame_id, the number in its file's name, or its place in the list."""
    for number_of in (lambda image: image.get("frame_id"), lambda image: last_number(str(image.get("file_name", "")))):
        found = [number_of(image) for image in images]
        keys = [(image.get("video_id"), number) for image, number in zip(images, found, strict=True)]
        if all(isinstance(number, int) and abs(number) < 2**62 for number in found) and len(set(keys)) == len(images):
            return {image["id"]: int(number or 0) for image, number in zip(images, found, strict=True)}
    return {image["id"]: place for place, image in enumerate(images)}


def _is_video(images: Sequence[Mapping[str, Any]], numbers: Sequence[int]) -> bool:
    sizes = {(image.get("width"), image.get("height")) for image in images}
    return len(images) > 1 and len(sizes) == 1 and max(numbers) - min(numbers) < 2 * len(images)


def _distinct(labels: Sequence[str]) -> list[str]:
    """The labels, each with its place in the list where it comes more than once."""
    return [label if labels.count(label) == 1 else f"{label}_{place}" for place, label in enumerate(labels)]


ANNOTATIONS = Format(
    name="coco",
    extensions=(".json",),
    extra=None,
    description="COCO and AP-10K annotations",
    containers=(JSON,),
    matches=lambda content: {"annotations", "images", "categories"} <= object_keys(content),
    read=read_coco,
    recognized_by="JSON with `images`, `annotations`, `categories`",
    takes="keypoints with visibility 1 or 2; names and edges of the category (1-based in the file); `track_id`",
)
RESULTS = Format(
    name="coco-results",
    extensions=(".json",),
    extra=None,
    description="COCO lists of results",
    containers=(JSON,),
    matches=lambda content: {"image_id", "keypoints"} <= item_keys(content),
    read=read_coco_results,
    recognized_by="JSON list with `image_id`, `keypoints`",
    takes="x, y, score; 17 joints of category 1 are taken as COCO's person",
)
