"""Clinical angles of people, as far as they follow from joints.

The rotation of a bone about its own axis can't be seen from joints, and neither can a tilt of the pelvis without the
trunk. So hips and shoulders are measured against the trunk: from the middle of the hips to the middle of the shoulders.
All angles are 0° for a person who stands upright with hanging arms and feet at right angles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from olift_fast.bodies.trunk import Person, axis, to_the_left
from olift_fast.bodies.vectors import between, degrees, dot, unit

Floats = npt.NDArray[np.float64]
Values = Callable[[Floats], Floats]
Named = tuple[str, Values, tuple[int, ...]]
"""An angle's name, the function of joints (T, J, 3) that gives its degrees (T), and the joints that it is of."""

CLEAR = 0.25
"""If less than this share of a limb's length is in a plane, its direction in the plane is NaN: about 15° from the
plane's normal."""


def clinical_angles(person: Person, world: bool) -> Iterator[Named]:
    """The angles that the person's joints allow; in the world frame also those of the trunk against gravity."""
    for side in ("left", "right"):
        yield from _bends(person, side)
        yield from _of_limb(person, side, "hip", "knee", "hip")
        yield from _of_limb(person, side, "shoulder", "elbow", "shoulder")
    if world:
        yield from _of_trunk(person)


def _bends(person: Person, side: str) -> Iterator[Named]:
    """Knee and elbow flexion: 0° straight, more when bent. Ankle dorsiflexion: more when the toes come to the shin."""
    for name, ends, straight in (
        ("knee flexion", ("hip", "knee", "ankle"), 180.0),
        ("elbow flexion", ("shoulder", "elbow", "wrist"), 180.0),
        ("ankle dorsiflexion", ("knee", "ankle", "toe"), 90.0),
    ):
        those = tuple(person.joints.get(f"{side}_{end}", -1) for end in ends)
        if min(those) >= 0:
            yield f"{side} {name}", _bend(those, straight), those


def _bend(those: tuple[int, ...], straight: float) -> Values:
    first, middle, last = those

    def values(joints: Floats) -> Floats:
        return straight - between(joints[:, first] - joints[:, middle], joints[:, last] - joints[:, middle])

    return values


def _of_limb(person: Person, side: str, root: str, end: str, name: str) -> Iterator[Named]:
    """Flexion (forward) and abduction (away from the body), both against the trunk; for arms also the elevation."""
    those = tuple(person.joints.get(f"{side}_{part}", -1) for part in (root, end))
    if min(those) < 0:
        return
    used = (*those, *person.trunk.front, *person.trunk.rear)
    outward = 1.0 if side == "left" else -1.0

    def along(joints: Floats) -> tuple[Floats, Floats, Floats]:
        """The limb's direction forward, outward and up, in shares of its length."""
        forward, left, up = body_axes(person, joints)
        limb = unit(joints[:, those[1]] - joints[:, those[0]])
        return dot(limb, forward), outward * dot(limb, left), dot(limb, up)

    def flexion(joints: Floats) -> Floats:
        forward, _, up = along(joints)
        return _in_plane(forward, -up)

    def abduction(joints: Floats) -> Floats:
        _, out, up = along(joints)
        # A leg stays below the hip; an arm can go all the way up at the side.
        return degrees(np.arcsin(np.clip(out, -1, 1))) if name == "hip" else _in_plane(out, -up)

    def raised(joints: Floats) -> Floats:
        return degrees(np.arccos(np.clip(-along(joints)[2], -1, 1)))

    yield f"{side} {name} flexion", flexion, used
    yield f"{side} {name} abduction", abduction, used
    if name == "shoulder":
        yield f"{side} {name} elevation", raised, used


def _in_plane(ahead: Floats, down: Floats) -> Floats:
    """The direction in a plane: 0° down, 90° ahead, to ±180° up; NaN if too little of the limb is in the plane."""
    return np.asarray(np.where(np.hypot(ahead, down) > CLEAR, degrees(np.arctan2(ahead, down)), np.nan))


def body_axes(person: Person, joints: Floats) -> tuple[Floats, Floats, Floats]:
    """(T, 3) each: forward, to the left and up along the trunk, at right angles.

    Across is from the right hip and shoulder to the left ones. The axes are right-handed, as the camera's and the
    world's are.
    """
    up = unit(axis(joints, person.trunk))
    across = to_the_left(joints, person.trunk)
    left = unit(across - dot(across, up)[:, None] * up)
    return np.cross(left, up), left, up


def _of_trunk(person: Person) -> Iterator[Named]:
    """Trunk flexion (the lean forward) and lateral flexion (to the left positive), against gravity."""
    used = (*person.trunk.front, *person.trunk.rear)

    def leans(joints: Floats) -> tuple[Floats, Floats, Floats]:
        up = unit(axis(joints, person.trunk))
        across = to_the_left(joints, person.trunk)
        left = unit(across * [1.0, 1.0, 0.0])
        forward = np.cross(left, [0.0, 0.0, 1.0])
        return dot(up, forward), dot(up, left), up[:, 2]

    def flexion(joints: Floats) -> Floats:
        forward, _, up = leans(joints)
        return _in_plane(forward, up)

    def lateral(joints: Floats) -> Floats:
        _, left, _ = leans(joints)
        return degrees(np.arcsin(np.clip(left, -1, 1)))

    yield "trunk flexion", flexion, used
    yield "trunk lateral flexion", lateral, used
