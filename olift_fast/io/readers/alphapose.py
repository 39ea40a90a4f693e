"""AlphaPose: one JSON list of results, much like COCO's, for a whole video or a folder of pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from olift_fast.errors import InputError
from olift_fast.io.detections import identity
from olift_fast.io.format import Format
from olift_fast.io.json_fields import item_keys, triplets
from olift_fast.io.open_container import JSON, JSON_LINES
from olift_fast.io.parsed import Parsed, int64
from olift_fast.io.pictures import Pose, tracks_of_pictures
from olift_fast.io.point_sets import PEOPLE


def read_alphapose(content: Sequence[Mapping[str, Any]]) -> Parsed:
    """A list of AlphaPose's results: `image_id` ("12.jpg"), flat `keypoints`, `idx` of the person if tracking was on.

    17 joints are COCO's, 26 Halpe's; of 133 or 136 the 17 or 26 of the body are taken. Without tracking, AlphaPose
    gives everybody the idx 0; then people are joined by nearness. Photos, whose names do not count frames, are stills.

    Raises:
        InputError: no result with keypoints, or poses with different numbers of keypoints.
    """
    if not content:
        raise InputError("holds no tracks: the list is empty")
    first = next((item["keypoints"] for item in content if item.get("keypoints")), None)
    if first is None:
        raise InputError(f"holds no tracks: none of {len(content)} results has keypoints")
    total = len(triplets(first, "keypoints")[0])
    rig_name, joints = PEOPLE.get(total, (None, total))
    people = [identity(item.get("idx")) for item in content]
    tracked = set(people) - {None, "0"}
    pictures: dict[str, int] = {}
    poses = []
    for item, person in zip(content, people, strict=True):
        place = pictures.setdefault(_picture(item["image_id"]), len(pictures))
        if not item.get("keypoints"):
            continue
        points, score = triplets(item["keypoints"], "keypoints")
        if len(points) != total:
            raise InputError(f"a pose of {item['image_id']!r:.40} has {len(points)} keypoints, wanted {total}")
        track = f"person_{person}" if tracked and person is not None else None
        poses.append(Pose(place, track, points[:joints], score[:joints]))
    return replace(tracks_of_pictures(list(pictures), poses), rig_name=rig_name)


def _is_alphapose(content: Any) -> bool:
    """Whether a list is AlphaPose's and not COCO's: its items have an `idx`, or a file name as their `image_id`."""
    keys = item_keys(content)
    return {"image_id", "keypoints"} <= keys and ("idx" in keys or isinstance(content[0]["image_id"], str))


def _picture(image: Any) -> str:
    return image if isinstance(image, str) else str(int64(image, "image_id"))


FORMAT = Format(
    name="alphapose",
    extensions=(".json",),
    example="alphapose-results.json",
    extra=None,
    description="AlphaPose results",
    containers=(JSON, JSON_LINES),
    matches=_is_alphapose,
    read=read_alphapose,
    recognized_by="JSON list with `idx` or an `image_id` that is a file name",
    takes="17 points (COCO) or 26 (Halpe); of 133 or 136 those of the body; people by `idx`. Photos, whose names do "
    "not count frames, are stills: each person is a track of one frame",
)
