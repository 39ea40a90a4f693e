"""Tracks of single hands: left or right."""

from __future__ import annotations

from dataclasses import replace

from olift_fast.tracks.kinds import KINDS
from olift_fast.tracks.sides import words_of
from olift_fast.tracks.skeleton import Skeleton

_OF_HANDS = frozenset(KINDS.index(kind) for kind in ("unknown", "wrist", "hand", "finger", "thumb"))
_FINGER = KINDS.index("finger")


def is_hand(skeleton: Skeleton) -> bool:
    """Whether all joints' names are those of one hand."""
    kinds = set(skeleton.kinds)
    return _FINGER in kinds and kinds <= _OF_HANDS


def hand_of(skeleton: Skeleton, track: str) -> Skeleton:
    """The skeleton of a track. For a hand, all joints are left or right if the track's name says which it is.

    A left hand is the mirror image of a right hand, so a picture of a hand has two depths unless it is known which hand
    it is. Readers name such tracks "left_hand" and "right_hand". A skeleton with sides, or with joints that no hand
    has, is returned as it is.

    Args:
        skeleton: of all tracks of a file.
        track: the track's name.
    """
    said = {word.casefold() for word in words_of(track)} & {"left", "right"}
    if len(said) != 1 or any(skeleton.sides) or not is_hand(skeleton):
        return skeleton
    return replace(skeleton, sides=(1 if "left" in said else -1,) * skeleton.num_joints)
