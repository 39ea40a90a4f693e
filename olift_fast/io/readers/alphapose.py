"""AlphaPose: one JSON list of results for a whole video, close kin of COCO's lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from olift_fast.errors import InputError
from olift_fast.io.detections import Detections, as_tracks
from olift_fast.io.format import Format
from olift_fast.io.frame_numbers import last_number
from olift_fast.io.json_fields import item_keys, triplets
from olift_fast.io.open_container import JSON
from olift_fast.io.parsed import Parsed, int64

#: By the number of points: the built-in rig, and how many points are taken. Sets of the whole body begin with the
#: joints of the rig; what follows, as the face and the hands, is left out.
ALPHAPOSE_RIGS = {17: ("coco_17", 17), 26: ("halpe_26", 26), 133: ("coco_17", 17), 136: ("halpe_26", 26)}


def read_alphapose(content: Sequence[Mapping[str, Any]]) -> Parsed:
    """A list of AlphaPose's results: image_id "12.jpg", flat keypoints, idx of the person if tracking was on.

    17 joints are COCO's, 26 Halpe's; of 133 or 136 the 17 or 26 of the body are taken.

    Raises:
        InputError: an image_id without a number, poses with different numbers of keypoints.
    """
    if not content:
        raise InputError("holds no tracks: the list is empty")
    total = len(triplets(content[0]["keypoints"], "keypoints")[0])
    rig_name, joints = ALPHAPOSE_RIGS.get(total, (None, total))
    found = Detections(joints)
    frames = []
    for item in content:
        points, score = triplets(item["keypoints"], "keypoints")
        if len(points) != total:
            raise InputError(f"a pose of {item['image_id']!r:.40} has {len(points)} keypoints, wanted {total}")
        image = item["image_id"]
        frame = last_number(image) if isinstance(image, str) else image
        if frame is None:
            raise InputError(f"image_id {image!r:.40} has no frame number")
        frames.append(int64(frame, "image_id"))
        found.add(frames[-1], _person(item.get("idx")), points[:joints], score[:joints])
    return replace(as_tracks(found, prefix="person", all_frames=frames), rig_name=rig_name)


def _is_alphapose(content: Any) -> bool:
    """Whether a list is AlphaPose's and not COCO's: its items have an `idx`, or a file name as their `image_id`."""
    keys = item_keys(content)
    return {"image_id", "keypoints"} <= keys and ("idx" in keys or isinstance(content[0]["image_id"], str))


def _person(idx: Any) -> str | None:
    while isinstance(idx, list) and len(idx) > 0:
        idx = idx[0]
    return f"person_{int64(idx, 'idx')}" if isinstance(idx, int | float) else None


FORMAT = Format(
    name="alphapose",
    extensions=(".json",),
    extra=None,
    description="AlphaPose results",
    containers=(JSON,),
    matches=_is_alphapose,
    read=read_alphapose,
    recognized_by="JSON list with `idx` or an `image_id` that is a file name",
    takes="17 points (COCO) or 26 (Halpe); of 133 or 136 those of the body",
)
