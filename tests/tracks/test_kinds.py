"""Kinds of joints: what names say, on fore and hind limbs, whatever the side; and nothing of names that say nothing."""

from __future__ import annotations

import numpy as np
import pytest

from olift_fast.data.generator import FAMILIES
from olift_fast.data.generator.reported_joints import all_joints
from olift_fast.tracks import Skeleton, rig, rig_names
from olift_fast.tracks.body_parts import PARTS
from olift_fast.tracks.joint_names import read_names
from olift_fast.tracks.kinds import KINDS, kinds_of

SAID = {
    "nose": "nose",
    "left_hip": "hip",
    "right_ankle": "ankle",
    "left_elbow": "elbow",
    "leftForePaw": "hand",
    "leftHindPaw": "foot",
    "L_Tarsus": "ankle",
    "front_left_knee": "elbow",
    "back_left_knee": "knee",
    "tailBase": "tail_base",
    "tail_2": "tail",
    "tail_tip": "tail_tip",
    "spine_02": "spine",
    "R_EarTip": "ear",
    "index_3": "finger",
}


@pytest.mark.parametrize("name", SAID)
def test_names_say_kinds(name: str) -> None:
    assert KINDS[kinds_of((name,))[0]] == SAID[name]


def test_the_legs_of_an_insect_are_told_apart() -> None:
    names = [f"{side}_{pair}_{part}" for side in ("left", "right") for pair in ("front", "middle", "hind")
             for part in ("coxa", "femur", "tibia", "tarsus", "claw")]  # fmt: skip
    kinds = [KINDS[kind] for kind in kinds_of(tuple(names))]
    legs = [kinds[start : start + 5] for start in range(0, 30, 5)]
    assert legs[:3] == legs[3:], "sides are no part of kinds"
    assert legs[1] == ["mid_coxa", "mid_femur", "mid_tibia", "mid_tarsus", "mid_claw"]
    assert not set(legs[0]) & set(legs[1]) and not set(legs[1]) & set(legs[2]) and not set(legs[0]) & set(legs[2])


def test_a_middle_finger_stays_on_the_hand() -> None:
    names = ("wrist", "thumb_1", "index_1", "middle_1", "ring_1", "left_middle_toe", "left_front_toe")
    assert KINDS[kinds_of(names)[3]] == "finger"


def test_every_joint_with_a_part_has_a_kind_and_kinds_are_distinct() -> None:
    assert KINDS[0] == "unknown" and len(set(KINDS)) == len(KINDS)
    parts = set()
    for skeleton in [rig(name) for name in rig_names()] + [
        all_joints(FAMILIES[family](np.random.default_rng(seed))).skeleton for family in FAMILIES for seed in range(3)
    ]:
        read = read_names(skeleton.names)
        assert [kind > 0 for kind in skeleton.kinds] == [part is not None for part in read]
        parts |= {part.part for part in read if part is not None}
    assert len(parts) > 0.8 * len(PARTS), "the rigs have nearly all parts of the vocabulary"


def test_names_that_say_nothing_are_unknown() -> None:
    assert Skeleton(("joint_0", "q7", "nose", "?3")).kinds == (0, 0, KINDS.index("nose"), 0)


def test_the_kinds_that_checkpoints_hold_rows_for_keep_their_places() -> None:
    first = ("unknown", "nose", "head", "crown", "face", "eye", "ear", "horn", "jaw", "antenna", "neck", "throat")
    assert KINDS[: len(first)] == first and KINDS.index("collar") == 22 and KINDS.index("fin") == 46
