"""Hands on their own: which hand a track is."""

from __future__ import annotations

from dataclasses import replace

from olift_fast.tracks.kinds import KINDS
from olift_fast.tracks.sides import words_of
from olift_fast.tracks.skeleton import Skeleton

_OF_HANDS = frozenset(KINDS.index(kind) for kind in ("unknown", "wrist", "hand", "finger", "thumb"))
_FINGER = KINDS.index("finger")


def is_hand(skeleton: Skeleton) -> bool:
    """Whether the joints' names are those of one hand alone."""
    kinds = set(skeleton.kinds)
    return _FINGER in kinds and kinds <= _OF_HANDS


def hand_of(skeleton: Skeleton, track: str) -> Skeleton:
    """The skeleton of a track: all joints left or right where it is a hand and the track's name says which.

    A left hand is the mirror image of a right one, so a picture of a hand has two readings in depth until somebody says
    which hand it is. Readers name tracks so ("left_hand"). A skeleton that has sides, or joints that no hand has, is
    returned as it is.

    Args:
        skeleton: of all tracks of a file.
        track: the track's name.
    """
    said = {word.casefold() for word in words_of(track)} & {"left", "right"}
    if len(said) != 1 or any(skeleton.sides) or not is_hand(skeleton):
        return skeleton
    return replace(skeleton, sides=(1 if "left" in said else -1,) * skeleton.num_joints)
