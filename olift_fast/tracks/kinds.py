"""Kinds of joints: what a joint is by its name, as a number that some lifters take as input."""

from __future__ import annotations

from functools import lru_cache

from olift_fast.tracks.body_parts import END, FIRST, Part
from olift_fast.tracks.joint_names import read_names

# Checkpoints have a row for each kind, by its place here: new kinds must go to the end.
KINDS: tuple[str, ...] = (
    *("unknown", "nose", "head", "crown", "face", "eye", "ear", "horn", "jaw", "antenna"),
    *("neck", "throat", "chest", "spine", "abdomen", "belly", "flank", "pelvis", "root"),
    *("tail_base", "tail", "tail_tip"),
    *("collar", "shoulder", "upper_arm", "elbow", "forearm", "wrist", "hand", "finger", "thumb"),
    *("mid_coxa", "mid_femur", "mid_tibia", "mid_tarsus", "mid_claw"),
    *("hip", "thigh", "knee", "shank", "ankle", "heel", "foot", "toe"),
    *("wing", "flipper", "fin"),
)
"""The kinds by their numbers. 0 means that the name has no meaning. A kind does not include the side."""

# The name of a kind in each pair of limbs, and the parts of that kind.
_LIMBS = (
    ("collar", "mid_coxa", "hip", "collar"),
    ("shoulder", "mid_coxa", "hip", "shoulder hip coxa"),
    ("upper_arm", "mid_femur", "thigh", "leg upper_arm thigh trochanter"),
    ("elbow", "mid_femur", "knee", "elbow knee"),
    ("forearm", "mid_tibia", "shank", "forearm shank"),
    ("wrist", "mid_tarsus", "ankle", "wrist ankle"),
    ("wrist", "mid_tarsus", "heel", "heel"),
    ("hand", "mid_tarsus", "foot", "fetlock hand foot paw"),
    ("finger", "mid_claw", "toe", "toe finger index middle ring pinky claw"),
    ("thumb", "mid_claw", "toe", "thumb"),
)
_OF_LIMB = {
    (part, girdle): kind
    for *kinds, parts in _LIMBS
    for part in parts.split()
    for girdle, kind in zip(("fore", "mid", "hind"), kinds, strict=True)
}
_ALIKE = {"side": "flank", "tongue": "jaw", "whisker": "face", "brow": "face"}


@lru_cache(maxsize=1024)
def kinds_of(names: tuple[str, ...]) -> tuple[int, ...]:
    """(J) the kind of each joint, an index into `KINDS`; 0 for a name without meaning."""
    return tuple(0 if part is None else KINDS.index(_kind(part)) for part in read_names(names))


def _kind(part: Part) -> str:
    if part.part == "tail":
        return {FIRST: "tail_base", END: "tail_tip"}.get(int(part.order), "tail")
    return _OF_LIMB.get((part.part, part.girdle)) or _ALIKE.get(part.part, part.part)
