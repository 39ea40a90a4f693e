"""AlphaPose's forms `cmu` and `open`: one JSON object that holds OpenPose's frames by the names of the pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from olift_fast.io.format import Format
from olift_fast.io.json_fields import object_keys
from olift_fast.io.open_container import JSON
from olift_fast.io.parsed import Parsed
from olift_fast.io.readers.openpose import from_frames


def read_alphapose_pictures(content: Mapping[str, Any]) -> Parsed:
    """The people of each picture: {"12.jpg": {"bodies": [{"joints": […]}]}}, or OpenPose's `people` in place of bodies.

    AlphaPose writes OpenPose's 18 points. Pictures are frames or stills by the same rules as in `read_alphapose`.

    Raises:
        InputError: a picture that is not such a frame; the message names it.
    """
    return from_frames(content)


def _is_alphapose_pictures(content: Any) -> bool:
    frames = list(content.values()) if isinstance(content, Mapping) else []
    return bool(frames) and all({"bodies", "people"} & object_keys(frame) for frame in frames)


FORMAT = Format(
    name="alphapose-pictures",
    extensions=(".json",),
    example="alphapose-results-forvis-cmu.json",
    extra=None,
    description="AlphaPose results in its forms `cmu` and `open`",
    containers=(JSON,),
    matches=_is_alphapose_pictures,
    read=read_alphapose_pictures,
    recognized_by="JSON object of pictures by name, each with `bodies` or `people`",
    takes="OpenPose's 18 points; frames and stills as in `alphapose`",
)
