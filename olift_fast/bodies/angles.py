"""Angles of lifted bodies, in degrees: at joints, of segments and of the trunk, and clinical angles of people.

docs/after-lifting.md has the definitions and the signs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
import numpy.typing as npt

from olift_fast.bodies.clinical import clinical_angles
from olift_fast.bodies.trunk import Trunk, axis, person_of, to_the_left, trunk_of
from olift_fast.bodies.vectors import between, degrees, elevation, unit
from olift_fast.errors import InputError
from olift_fast.tracks.containers import LiftedTracks
from olift_fast.tracks.skeleton import Skeleton

Floats = npt.NDArray[np.float64]
Kind = Literal["joint", "segment", "trunk", "clinical"]

UPRIGHT = 45.0
"""If the trunk's median pitch has this many degrees or more, the heading is measured across the body, not along it."""


@dataclass(frozen=True, eq=False)
class Angle:
    """One angle over time.

    Args:
        name: the column's name: "left_knee", "left_hip-left_knee elevation", "trunk pitch", "left knee flexion".
        kind: one of the four kinds, see `angles_of`.
        values: (N, T) degrees, NaN where a joint of the angle is NaN, or where the angle is not defined.
        joints: the joints that it is computed from.
    """

    name: str
    kind: Kind
    values: npt.NDArray[np.float32]
    joints: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Angles:
    """The angles of a result, and a sentence for each kind that was left out, with the reason."""

    angles: tuple[Angle, ...]
    left_out: tuple[str, ...]


def angles_of(result: LiftedTracks) -> Angles:
    """All angles of a result.

    - "joint": at each joint, between every two of its bones; 180° is straight.
    - "segment", in the world frame: how far each bone rises from its first to its second joint; 0° is level.
    - "trunk", in the world frame: `trunk pitch` is how far the trunk rises from rear to front; `trunk heading` is the
      direction that the body faces, seen from above: 0° to the camera's right, 90° away from the camera.
    - "clinical", for the rigs of people: `olift_fast.bodies.clinical`.

    Raises:
        InputError: no edges are known, and the skeleton is not a person's.
    """
    skeleton, joints = result.skeleton, result.joints.astype(np.float64)
    person, left_out = person_of(skeleton), []
    if not skeleton.edges:
        if person is None:
            where = f"{result.source}: " if result.source else ""
            raise InputError(f"{where}angles need the skeleton's edges, and none are known: lift with --skeleton")
        left_out.append("angles at joints and of segments: no edges are known")
    found = list(joint_angles(joints, skeleton))
    if result.frame == "world":
        found += _of_segments(joints, skeleton)
        trunk = person.trunk if person else trunk_of(skeleton)
        if trunk is None:
            left_out.append("trunk pitch and heading: the names of the joints tell no trunk")
        else:
            of_trunk, why = _of_trunk(joints, trunk)
            found, left_out = found + of_trunk, left_out + why
    else:
        left_out.append(
            f"elevation of segments, trunk pitch and heading: the result is in the {result.frame}'s frame, and they "
            "need the world's, in which z is up"
        )
    if person is not None:
        found += [
            Angle(name, "clinical", np.stack([values(track) for track in joints]).astype(np.float32), those)
            for name, values, those in clinical_angles(person, world=result.frame == "world")
        ]
    return Angles(tuple(found), tuple(left_out))


def joint_angles(joints: Floats, skeleton: Skeleton) -> Iterator[Angle]:
    """The angle between every two bones that meet at a joint. At a joint of two bones, the angle has the joint's name.

    Args:
        joints: (N, T, J, 3), in any frame.
        skeleton: its edges are the bones.
    """
    neighbors: dict[int, list[int]] = {}
    for a, b in skeleton.edges:
        neighbors.setdefault(a, []).append(b)
        neighbors.setdefault(b, []).append(a)
    for joint in sorted(neighbors):
        for one, other in combinations(sorted(neighbors[joint]), 2):
            name = skeleton.names[joint]
            if len(neighbors[joint]) > 2:
                name += f" ({skeleton.names[one]}, {skeleton.names[other]})"
            values = between(joints[:, :, one] - joints[:, :, joint], joints[:, :, other] - joints[:, :, joint])
            yield Angle(name, "joint", values.astype(np.float32), (joint, one, other))


def _of_segments(joints: Floats, skeleton: Skeleton) -> list[Angle]:
    found = []
    for a, b in skeleton.edges:
        values = elevation(joints[:, :, b] - joints[:, :, a]).astype(np.float32)
        found.append(Angle(f"{skeleton.names[a]}-{skeleton.names[b]} elevation", "segment", values, (a, b)))
    return found


def _of_trunk(joints: Floats, trunk: Trunk) -> tuple[list[Angle], list[str]]:
    along = np.stack([axis(track, trunk) for track in joints])
    pitch = elevation(along)
    those = (*trunk.rear, *trunk.front)
    found = [Angle("trunk pitch", "trunk", pitch.astype(np.float32), those)]
    headings = np.full(pitch.shape, np.nan)
    for number, (track, own) in enumerate(zip(joints, pitch, strict=True)):
        upright = np.isfinite(own).any() and abs(float(np.nanmedian(own))) > UPRIGHT
        # Facing is across the body turned by a quarter: left × up.
        forward = np.cross(unit(to_the_left(track, trunk)), [0.0, 0.0, 1.0]) if upright else along[number]
        level = np.hypot(forward[:, 0], forward[:, 1]) > 0.2 * np.linalg.norm(forward, axis=-1)
        headings[number] = np.where(level, degrees(np.arctan2(forward[:, 1], forward[:, 0])), np.nan)
    if not np.isfinite(headings).any():
        return found, ["trunk heading: the trunk is upright, and no left and right joints tell where it faces"]
    across = tuple(joint for pair in trunk.across for joint in pair)
    return [*found, Angle("trunk heading", "trunk", headings.astype(np.float32), (*those, *across))], []
