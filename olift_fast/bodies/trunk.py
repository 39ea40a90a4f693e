"""Finds a body's trunk and limbs by the joints' names, for angles of the whole body."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from olift_fast.tracks.kinds import KINDS
from olift_fast.tracks.rigs import rig
from olift_fast.tracks.skeleton import Skeleton, plain

Floats = npt.NDArray[np.float64]

FRONT = ("shoulder", "collar", "chest", "neck", "throat", "head")
REAR = ("hip", "pelvis", "tail_base", "root", "abdomen")
"""Kinds of joints for the front and the rear end of a trunk; the first kind that the skeleton has is used."""

HUMAN_RIGS = (
    *("human36m_17", "coco_17", "halpe_26", "openpose_body_25", "openpose_body_25b", "openpose_coco_18"),
    *("openpose_mpi_15", "mediapipe_pose_33"),
)
_LIMB_JOINTS = {
    "shoulder": ("shoulder",),
    "elbow": ("elbow",),
    "wrist": ("wrist",),
    "hip": ("hip",),
    "knee": ("knee",),
    # Human3.6M's foot is the ankle.
    "ankle": ("ankle", "foot"),
    "toe": ("bigtoe", "footindex"),
}


@dataclass(frozen=True)
class Trunk:
    """The joints whose means are the `front` and the `rear` end of a trunk, and pairs (left, right) across it."""

    front: tuple[int, ...]
    rear: tuple[int, ...]
    across: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Person:
    """A person's joints by "left_knee" and the like, and the trunk from the hips to the shoulders."""

    joints: dict[str, int]
    trunk: Trunk


def trunk_of(skeleton: Skeleton) -> Trunk | None:
    """The trunk along any body, by the kinds of the joints; None if the names don't have both of its ends.

    Angles are measured against it. `world.feet.upright_trunk_of` is another trunk: the one that points up in a body on
    two legs.
    """
    kinds = [KINDS[kind] for kind in skeleton.kinds]
    front, rear = _end(kinds, FRONT), _end(kinds, REAR)
    if not front or not rear:
        return None
    twins = skeleton.mirror()
    pairs = [(joint, int(twins[joint])) for joint in (*front, *rear) if skeleton.sides[joint] > 0]
    across = tuple((left, right) for left, right in pairs if skeleton.sides[right] < 0)
    return Trunk(front, rear, across)


def _end(kinds: Sequence[str], wanted: Sequence[str]) -> tuple[int, ...]:
    return next((found for kind in wanted if (found := _of(kinds, kind))), ())


def _of(kinds: Sequence[str], kind: str) -> tuple[int, ...]:
    return tuple(joint for joint, own in enumerate(kinds) if own == kind)


def person_of(skeleton: Skeleton) -> Person | None:
    """The person with these joints, if all names are those of a rig of people; else None.

    Both shoulders and both hips must be there, for the trunk.
    """
    place = {plain(name): joint for joint, name in enumerate(skeleton.names)}
    if not any(set(place) <= {plain(name) for name in rig(human).names} for human in HUMAN_RIGS):
        return None
    joints = {}
    for side in ("left", "right"):
        for part, words in _LIMB_JOINTS.items():
            names = (spelled for word in words for spelled in (f"{side}{word}", f"{side[0]}{word}"))
            found = next((place[name] for name in names if name in place), None)
            if found is not None:
                joints[f"{side}_{part}"] = found
    if not {"left_shoulder", "right_shoulder", "left_hip", "right_hip"} <= joints.keys():
        return None
    shoulders, hips = ((joints[f"left_{part}"], joints[f"right_{part}"]) for part in ("shoulder", "hip"))
    return Person(joints, Trunk(shoulders, hips, (shoulders, hips)))


def axis(joints: Floats, trunk: Trunk) -> Floats:
    """(T, 3) from the rear to the front end of the trunk, of joints (T, J, 3); not normalized."""
    return np.asarray(joints[:, list(trunk.front)].mean(axis=1) - joints[:, list(trunk.rear)].mean(axis=1))


def to_the_left(joints: Floats, trunk: Trunk) -> Floats:
    """(T, 3) from right to left across the trunk: the sum over its pairs; NaN if there are none."""
    if not trunk.across:
        return np.full((len(joints), 3), np.nan)
    left, right = (list(those) for those in zip(*trunk.across, strict=True))
    return np.asarray((joints[:, left] - joints[:, right]).sum(axis=1))
