"""BADJA: joints annotated in videos of animals, one animal in a JSON file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from olift_fast.errors import InputError
from olift_fast.io.format import Format
from olift_fast.io.frame_numbers import picture_order
from olift_fast.io.json_fields import item_keys, numbers
from olift_fast.io.open_container import JSON
from olift_fast.io.parsed import Parsed

# The annotated joints of BADJA by their index in its list of 37 (the numbering of the SMAL model).
BADJA_JOINTS = {
    8: "right_front_leg_top",
    9: "right_front_leg_middle",
    10: "right_front_paw",
    12: "left_front_leg_top",
    13: "left_front_leg_middle",
    14: "left_front_paw",
    15: "neck",
    18: "right_back_leg_top",
    19: "right_back_leg_middle",
    20: "right_back_paw",
    22: "left_back_leg_top",
    23: "left_back_leg_middle",
    24: "left_back_paw",
    25: "tail_base",
    28: "tail_middle",
    31: "tail_tip",
    32: "jaw",
    33: "nose",
    34: "chin",
    35: "right_ear",
    36: "left_ear",
}
BADJA_BONES = (
    *((15, 8), (8, 9), (9, 10), (15, 12), (12, 13), (13, 14), (15, 25), (25, 18), (18, 19), (19, 20)),
    *((25, 22), (22, 23), (23, 24), (25, 28), (28, 31), (15, 32), (32, 33), (32, 34), (15, 35), (15, 36)),
)


def read_badja(content: Sequence[Mapping[str, Any]]) -> Parsed:
    """One animal in the annotated frames of a video: `joints` (37, 2) as (row, column), `visibility` (37).

    BADJA annotates 21 of the 37 joints; these are taken. The frames are the annotated ones, about every fifth of the
    video, in the order of the numbers in their pictures' names; these numbers are kept.

    Raises:
        InputError: no frame, or frames of another shape.
    """
    joints = numbers([frame["joints"] for frame in content], "joints")
    visible = numbers([frame["visibility"] for frame in content], "visibility") > 0
    if joints.ndim != 3 or joints.shape[1:] != (37, 2) or visible.shape != joints.shape[:2]:
        raise InputError(f"joints and visibility must hold 37 joints a frame, got {joints.shape} and {visible.shape}")
    order = list(BADJA_JOINTS)
    pictures = picture_order([str(frame.get("image_path", "")) for frame in content])
    return Parsed(
        joints[pictures.places][None, :, order, ::-1],
        visible[pictures.places][None, :, order].astype(np.float32),
        list(BADJA_JOINTS.values()),
        [(order.index(a), order.index(b)) for a, b in BADJA_BONES],
        frames=pictures.numbers,
        notes=pictures.notes,
        warnings=pictures.warnings,
    )


FORMAT = Format(
    name="badja",
    extensions=(".json",),
    example="dog.json",
    extra=None,
    description="BADJA annotations",
    containers=(JSON,),
    matches=lambda content: {"joints", "visibility"} <= item_keys(content),
    read=read_badja,
    recognized_by="JSON list with `joints`, `visibility`",
    takes="the 21 joints that are annotated, turned from (row, column) to (x, y)",
)
