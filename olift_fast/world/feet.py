"""Finds by names the joints that may stand on the floor, and the parts whose direction shows which way is up."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from olift_fast.tracks.body_parts import Part
from olift_fast.tracks.joint_names import read_names
from olift_fast.tracks.skeleton import Skeleton

Ints = npt.NDArray[np.int64]

# From the tip of a limb inward: the first of these that a limb has is what it stands on.
_OUTERMOST = ("claw", "toe", "finger", "paw", "foot", "hand", "fetlock", "heel", "ankle", "wrist")
_ARM = frozenset(("shoulder", "elbow", "wrist", "hand", "finger", "thumb", "index", "middle", "ring", "pinky"))
_ANIMAL = frozenset(("paw", "tail", "wing", "antenna", "horn", "fin", "flipper", "throat", "claw"))
# The joints of a leg, and the rank up to which one is at its root.
_LEG = frozenset(
    (*_OUTERMOST, "hip", "shoulder", "coxa", "leg", "trochanter", "thigh", "upper_arm", "elbow", "knee", "forearm",
     "shank")
)  # fmt: skip
_LEG_ROOT = 20
_TOP = frozenset(("neck", "chest", "head", "face", "eye", "ear", "nose", "crown"))


@lru_cache(maxsize=256)
def parts_of(names: tuple[str, ...]) -> tuple[Part | None, ...]:
    """The parts that the joints' names mean."""
    return read_names(names)


def is_upright(skeleton: Skeleton) -> bool:
    """Whether the names are of a body that stands on two legs: arms, and no parts that only animals have."""
    known = [part for part in parts_of(skeleton.names) if part is not None]
    on_legs = any(part.part in ("knee", "ankle", "foot", "hip", "thigh", "shank") for part in known)
    animal = any(part.part in _ANIMAL or (part.part in ("knee", "foot") and part.girdle == "fore") for part in known)
    middle = any(part.girdle == "mid" for part in known)
    return on_legs and not animal and not middle and any(part.part in _ARM for part in known)


def feet_of(skeleton: Skeleton) -> Ints:
    """(F) the joints that the animal stands on: the outermost joint of each leg, by the names; empty if there is none.

    The arms of an upright body, and wings, are not legs.
    """
    upright, limbs = is_upright(skeleton), dict[tuple[str, int, int], list[int]]()
    parts = parts_of(skeleton.names)
    for joint, part in enumerate(parts):
        if part is None or part.part not in _OUTERMOST or part.order < 0:
            continue
        if part.girdle == "fore" and (upright or _fore_limbs_are_wings(parts)):
            continue
        limbs.setdefault((part.girdle, part.side, _limb_number(part)), []).append(joint)
    found: list[int] = []
    for joints in limbs.values() if len(limbs) > 1 else ():
        ranks = [_OUTERMOST.index(parts[joint].part) for joint in joints]  # type: ignore[union-attr]
        found += [joint for joint, rank in zip(joints, ranks, strict=True) if rank == min(ranks)]
        if min(ranks) < _OUTERMOST.index("heel"):
            # A heel stands on the floor, too, like the toes in front of it.
            found += [joint for joint in joints if parts[joint].part == "heel"]  # type: ignore[union-attr]
    return np.array(sorted(found), dtype=np.int64)


def pairs_of(skeleton: Skeleton) -> tuple[tuple[int, int], ...]:
    """Left joints with their right twins."""
    mirror = skeleton.mirror()
    return tuple(
        (joint, int(mirror[joint]))
        for joint in range(len(mirror))
        if skeleton.sides[joint] > 0 and mirror[joint] != joint
    )


def upright_trunk_of(skeleton: Skeleton) -> tuple[Ints, Ints]:
    """The joints at the lower and at the upper end of an upright body's trunk; two empty arrays for other bodies.

    Gravity is estimated from it, so the trunk must point up: a horse's does not. `bodies.trunk.trunk_of` finds the
    trunk of any body.
    """
    parts = parts_of(skeleton.names)
    if not is_upright(skeleton):
        return _joints([]), _joints([])
    low = [joint for joint, part in enumerate(parts) if part is not None and part.part in ("hip", "pelvis")]
    high = [joint for joint, part in enumerate(parts) if part is not None and part.part == "shoulder"]
    high = high or [joint for joint, part in enumerate(parts) if part is not None and part.part in _TOP]
    return _joints(low if high else []), _joints(high if low else [])


def limbs_of(skeleton: Skeleton) -> tuple[Ints, Ints]:
    """The upper ends and the outermost joints of the legs that the animal stands on; empty if the names have none."""
    parts, upright = parts_of(skeleton.names), is_upright(skeleton)
    limbs = dict[tuple[str, int, int], list[tuple[int, int]]]()
    for joint, part in enumerate(parts):
        is_leg = part is not None and part.rank and part.part in _LEG and not (part.girdle == "fore" and upright)
        if is_leg and part is not None:
            limbs.setdefault((part.girdle, part.side, _limb_number(part)), []).append((part.rank, joint))
    ends = [(min(own)[1], max(own)[1]) for own in limbs.values() if len(own) > 1 and min(own)[0] <= _LEG_ROOT]
    return _joints([root for root, _ in ends]), _joints([end for _, end in ends])


def _limb_number(part: Part) -> int:
    """The number of a limb among limbs of one kind; 0 for fingers and toes, whose numbers count within one limb."""
    return 0 if part.part in ("toe", "finger", "claw") else part.number


def _fore_limbs_are_wings(parts: Sequence[Part | None]) -> bool:
    """Whether the fore limbs are wings: one joint is a wing's, and no joint of a fore limb can stand."""
    return any(part is not None and part.part == "wing" and part.girdle == "fore" for part in parts) and not any(
        part is not None and part.girdle in ("fore", "mid") and part.part in ("paw", "foot", "claw", "toe", "ankle")
        for part in parts
    )


def _joints(found: Sequence[int]) -> Ints:
    return np.array(found, dtype=np.int64)
