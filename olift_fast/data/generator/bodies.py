"""A generated body: a tree of joints with bone lengths, the turns of its joints, its postures and its gaits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

Vector = tuple[float, float, float]

# Body axes: x forward, y left, z up. A positive angle about PITCH turns forward to up, and down to forward. About YAW
# it turns forward to left; about ROLL it turns down to left.
PITCH: Vector = (0.0, -1.0, 0.0)
YAW: Vector = (0.0, 0.0, 1.0)
ROLL: Vector = (1.0, 0.0, 0.0)
# Not a rotation: the joint slides along its bone, which gets longer by "angle" percent.
STRETCH: Vector = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Turn:
    """A rotation of a joint about one axis. Its angle over time is a sum, held between `low` and `high`.

    All angles are in degrees.

    Args:
        name: postures set the angle by this name.
        axis: in body axes; of joints on the right side, the mirrored one.
        low, high: limits of the angle.
        rest: the angle at rest, unless the posture sets another.
        spread: standard deviation of the rest angle between clips.
        idle: standard deviation of the idle motion.
        swing: times the leg's sweep, from +1 in front to -1 behind.
        lift: times 0 … 1, above 0 while the leg is in the air.
        press: times 0 … 1, above 0 while the leg bears weight.
        wave: amplitude of the wave that travels along the body.
    """

    name: str
    axis: Vector
    low: float
    high: float
    rest: float = 0.0
    spread: float = 5.0
    idle: float = 4.0
    swing: float = 0.0
    lift: float = 0.0
    press: float = 0.0
    wave: float = 0.0


@dataclass(frozen=True)
class Posture:
    """A way to hold the body.

    Args:
        weight: how often it is drawn.
        angles: degrees by the name of a turn, in place of its rest angle.
        pitch, roll: ranges of the trunk's tilt, in degrees.
        support: "ground" (the lowest joint stays on the ground), or "free" (tethered, swimming, flying, climbing).
        gait: how strongly legs step in this posture, 0 … 1.
        shake: degrees by which the body shakes about its length.
    """

    weight: float = 1.0
    angles: Mapping[str, float] = field(default_factory=dict)
    pitch: tuple[float, float] = (-5.0, 5.0)
    roll: tuple[float, float] = (-3.0, 3.0)
    support: str = "ground"
    gait: float = 1.0
    shake: float = 0.0


@dataclass(frozen=True)
class Gait:
    """The timing of steps.

    Args:
        weight: how often it is drawn.
        side: cycles by which the right side lags behind the left.
        pair: cycles by which each pair of legs lags behind the pair at its back.
        duty: range of the share of a cycle in which a foot is on the ground.
        hz: range of cycles a second.
        airborne: height of the hops, in heights of the body.
    """

    weight: float
    side: float
    pair: float
    duty: tuple[float, float] = (0.45, 0.7)
    hz: tuple[float, float] = (0.8, 2.0)
    airborne: float = 0.0


@dataclass
class Node:
    """One joint of a body.

    Args:
        name: its name in skeletons: the label, and the side before it.
        label: its name without its side.
        group: the part of the body; bones of a group vary in length together.
        parent: index of the parent, -1 for the root.
        offset: (3,) from the parent, in body axes.
        side: +1 left, -1 right, 0 middle.
        twin: index of its mirror image; its own index in the middle.
        turns: its rotations.
        leg: index of its leg, or -1.
        place: along the traveling wave, in cycles.
    """

    name: str
    label: str
    group: str
    parent: int
    offset: np.ndarray
    side: int
    twin: int
    turns: tuple[Turn, ...]
    leg: int
    place: float


class Body:
    """A tree of joints, to which joints are added parent first.

    Fields:
        legs: (pair, side) of each leg.
        wave_hz: range of the traveling wave's frequency.
        any_attitude: share of clips in which the body has a random rotation in space.
        walks_level: whether the trunk is tilted so that hind and front feet are at one height.
        steepest: that tilt is at most so many degrees.
        energy: factor of the idle motion.
        still: share of clips that hardly move.
        variety: factor of how much bone lengths vary between clips.
        in_unison: share of clips in which left and right have nearly the same idle motion.
        changes: changes of posture a second.
        change_seconds: range of the duration of a change.
        carried: how often the body is moved in each of `paths.WAYS`; empty for a body that moves by itself.
        side: +1 or -1 if all joints are left or right, as those of a hand; else 0.
    """

    def __init__(self, family: str, postures: Sequence[Posture], gaits: Sequence[Gait]) -> None:
        self.family = family
        self.nodes: list[Node] = []
        self.postures = tuple(postures)
        self.gaits = tuple(gaits)
        self.legs: list[tuple[int, int]] = []
        self.wave_hz: tuple[float, float] = (0.5, 2.5)
        self.any_attitude = 0.02
        self.walks_level = False
        self.energy = 1.0
        self.still = 0.08
        self.variety = 1.0
        self.in_unison = 0.0
        self.steepest = 30.0
        self.changes = 0.0
        self.change_seconds: tuple[float, float] = (0.4, 1.5)
        self.carried: Mapping[str, float] = {}
        self.side = 0

    def add(
        self,
        label: str,
        parent: int,
        offset: Sequence[float],
        group: str,
        turns: Sequence[Turn] = (),
        place: float = 0.0,
    ) -> int:
        """Add a joint in the middle of the body; returns its index. The arguments are those of `Node`."""
        node = len(self.nodes)
        middle = Node(label, label, group, parent, np.asarray(offset, float), 0, node, tuple(turns), -1, place)
        self.nodes.append(middle)
        return node

    def pair(
        self,
        label: str,
        parents: tuple[int, int],
        offset: Sequence[float],
        group: str,
        turns: Sequence[Turn] = (),
        legs: tuple[int, int] = (-1, -1),
        place: float = 0.0,
    ) -> tuple[int, int]:
        """Add a left joint and its mirror image on the right; returns both indices."""
        left = len(self.nodes)
        turns = tuple(turns)
        mirrored = tuple(_mirrored(turn) for turn in turns)
        x, y, z = offset
        for side, parent, twin, own, leg, name, sign in (
            (1, parents[0], left + 1, turns, legs[0], f"left_{label}", 1.0),
            (-1, parents[1], left, mirrored, legs[1], f"right_{label}", -1.0),
        ):
            vector = np.array([x, sign * y, z], float)
            self.nodes.append(Node(name, label, group, parent, vector, side, twin, own, leg, place))
        return left, left + 1

    def leg_pair(self, pair: int) -> tuple[int, int]:
        """Add a left and a right leg as pair number `pair`, counted from behind; returns their indices."""
        self.legs += [(pair, 1), (pair, -1)]
        return len(self.legs) - 2, len(self.legs) - 1


def log_normal(rng: np.random.Generator, value: float, sigma: float) -> float:
    """`value` times a random factor, whose logarithm has standard deviation `sigma` and is cut at 2 of these."""
    return float(value * np.exp(np.clip(rng.normal(), -2, 2) * sigma))


def _mirrored(turn: Turn) -> Turn:
    x, y, z = turn.axis
    values = {**turn.__dict__, "axis": (-x, y, -z)}
    return Turn(**values)
