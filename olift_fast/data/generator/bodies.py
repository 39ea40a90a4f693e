"""A generated body: a tree of joints with bone lengths, how its joints turn, its postures and its gaits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

Vector = tuple[float, float, float]

# Body axes: x forward, y left, z up. Turning about PITCH by a positive angle lifts what points forward and swings
# forward what hangs down; about YAW turns to the left; about ROLL swings what hangs down to the left.
PITCH: Vector = (0.0, -1.0, 0.0)
YAW: Vector = (0.0, 0.0, 1.0)
ROLL: Vector = (1.0, 0.0, 0.0)
# No axis: the joint slides, and its bone grows by so many percent.
STRETCH: Vector = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Turn:
    """One way in which a joint turns. Angles are in degrees about `axis`; on the right side about the mirrored axis.

    The angle is the sum of: `rest` (or what the posture sets), with standard deviation `spread` between clips; idle
    motion of standard deviation `idle`; `swing` x the leg's sweep (+1 front, -1 back); `lift` x 0..1 while the leg is
    in the air; `press` x 0..1 while it bears weight; and a traveling wave of amplitude `wave`. It stays between `low`
    and `high`.
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
    """A way to hold the body: angles in degrees that replace the rest angles (by turn name), and the trunk's tilt.

    support: "ground" (the lowest joint stays on the ground), or "free" (tethered, swimming, flying, climbing).
    gait: how strongly legs step in this posture, 0..1. shake: degrees by which the body is shaken about its length.
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
    """Step timing: in cycles, the right side lags the left by `side`, and each leg pair the one behind it by `pair`.

    duty: range of the share of a cycle that a foot is on the ground. hz: range of cycles a second. airborne: height of
    the hops, in heights of the body.
    """

    weight: float
    side: float
    pair: float
    duty: tuple[float, float] = (0.45, 0.7)
    hz: tuple[float, float] = (0.8, 2.0)
    airborne: float = 0.0


@dataclass
class Node:
    """One joint of a body. twin: its mirror image (itself in the middle). leg: which leg it belongs to, or -1."""

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
    """A tree of joints, grown parent first; a joint's `label` is its name without its side.

    legs: (pair, side) of each leg. wave_hz: range of the traveling wave's frequency. any_attitude: share of clips whose
    body is turned at random in space. walks_level: whether the trunk is tilted so that hind and front feet are at one
    height, by at most `steepest` degrees. energy: scale of the idle motion. still: share of clips that hardly move.
    variety: scale of how much bone lengths vary between clips. in_unison: share of clips in which left and right have
    the same idle motion. changes: how often a second the posture changes; change_seconds: range of how long that takes.
    carried: how often the body is moved in each of `paths.WAYS`; empty for a body that moves by itself. side: +1 or -1
    where all joints are left or right, as a left or right hand's are.
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
        """Adds a joint in the middle of the body; returns its index. `place`: along the traveling wave, in cycles."""
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
        """Adds a left joint and its mirror image on the right; returns both indices."""
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
        """Registers a left and a right leg that step together in pair number `pair` (counted from behind)."""
        self.legs += [(pair, 1), (pair, -1)]
        return len(self.legs) - 2, len(self.legs) - 1


def log_normal(rng: np.random.Generator, value: float, sigma: float) -> float:
    """A random number about `value`: its logarithm has standard deviation `sigma`, and is at most 2 of them off."""
    return float(value * np.exp(np.clip(rng.normal(), -2, 2) * sigma))


def _mirrored(turn: Turn) -> Turn:
    x, y, z = turn.axis
    values = {**turn.__dict__, "axis": (-x, y, -z)}
    return Turn(**values)
