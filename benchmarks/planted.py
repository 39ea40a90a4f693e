"""Bodies that walk with feet that stand still on the floor: a person, a dog and an insect, out of points and bones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Edges = tuple[tuple[int, int], ...]


class Legs(NamedTuple):
    """A pair of legs: names from the trunk outward, where its root and its foot are, and how much of a step the left
    one lags. The toe, if any, is so far ahead of the foot."""

    names: Sequence[str]
    root: tuple[float, float, float]
    foot: tuple[float, float, float]
    lag: float
    bends: float
    toe: float = 0.0


class Plan(NamedTuple):
    """A body in meters, x ahead, y left, z up: points of the trunk, bones, legs, and how it steps."""

    trunk: Mapping[str, tuple[float, float, float]]
    bones: Sequence[tuple[str, str]]
    legs: Sequence[Legs]
    step_seconds: tuple[float, float]
    stride: tuple[float, float]
    lift: float


PERSON = Plan(
    {
        "pelvis": (0, 0, 0.95), "neck": (0.02, 0, 1.45), "nose": (0.1, 0, 1.6), "crown": (0, 0, 1.75),
        "left_shoulder": (0, 0.19, 1.42), "right_shoulder": (0, -0.19, 1.42), "left_elbow": (-0.02, 0.24, 1.13),
        "right_elbow": (-0.02, -0.24, 1.13), "left_wrist": (0.1, 0.25, 0.9), "right_wrist": (0.1, -0.25, 0.9),
    },
    (
        ("pelvis", "neck"), ("neck", "nose"), ("nose", "crown"), ("neck", "left_shoulder"), ("neck", "right_shoulder"),
        ("left_shoulder", "left_elbow"), ("right_shoulder", "right_elbow"), ("left_elbow", "left_wrist"),
        ("right_elbow", "right_wrist"), ("pelvis", "left_hip"), ("pelvis", "right_hip"),
    ),
    (Legs(("hip", "knee", "ankle", "big_toe"), (0, 0.1, 0.92), (0, 0.1, 0.08), 0.5, 0.06, 0.17),),
    (0.9, 1.3), (1.0, 1.6), 0.12,
)  # fmt: skip
DOG = Plan(
    {
        "nose": (0.62, 0, 0.62), "neck_base": (0.34, 0, 0.6), "withers": (0.25, 0, 0.58), "tail_base": (-0.36, 0, 0.55),
        "tail_tip": (-0.6, 0, 0.45), "left_ear": (0.47, 0.06, 0.72), "right_ear": (0.47, -0.06, 0.72),
    },
    (
        ("nose", "neck_base"), ("neck_base", "withers"), ("withers", "tail_base"), ("tail_base", "tail_tip"),
        ("neck_base", "left_ear"), ("neck_base", "right_ear"), ("withers", "left_shoulder"),
        ("withers", "right_shoulder"), ("tail_base", "left_hip"), ("tail_base", "right_hip"),
    ),
    (
        Legs(("shoulder", "elbow", "front_paw"), (0.28, 0.09, 0.45), (0.28, 0.1, 0.01), 0.25, -0.07),
        Legs(("hip", "knee", "hind_paw"), (-0.3, 0.09, 0.48), (-0.34, 0.1, 0.01), 0.0, 0.08),
    ),
    (0.5, 0.8), (0.4, 0.8), 0.08,
)  # fmt: skip
INSECT = Plan(
    {"head": (0.02, 0, 0.009), "thorax": (0.008, 0, 0.01), "abdomen": (-0.02, 0, 0.009)},
    (
        ("head", "thorax"), ("thorax", "abdomen"),
        *(("thorax", f"{side}_{pair}_coxa") for side in ("left", "right") for pair in ("front", "middle", "hind")),
    ),
    tuple(
        Legs((f"{pair}_coxa", f"{pair}_femur", f"{pair}_claw"), (x, 0.003, 0.007), (2.0 * x, 0.018, 0.0), lag, 0.0)
        for pair, x, lag in (("front", 0.011, 0.0), ("middle", 0.003, 0.5), ("hind", -0.006, 0.0))
    ),
    (0.25, 0.5), (0.01, 0.02), 0.004,
)  # fmt: skip
PLANS = {"person": PERSON, "dog": DOG, "insect": INSECT}


class Walk(NamedTuple):
    """Names and bones of J joints, where they are (T, J, 3) in meters, and which stand on the floor (T, J)."""

    names: tuple[str, ...]
    edges: Edges
    positions: npt.NDArray[np.float32]
    contacts: npt.NDArray[np.bool_]


def walk(plan: Plan, rng: np.random.Generator, frames: int, fps: float) -> Walk:
    """The body walks on: straight, at a random pace, with steps of random length and rhythm."""
    time = np.arange(frames) / fps
    period, share = rng.uniform(*plan.step_seconds), rng.uniform(0.55, 0.7)
    pace = rng.uniform(*plan.stride) / period
    phase = time / period + rng.random()
    bob = 0.01 * max(point[2] for point in plan.trunk.values()) * np.cos(4 * np.pi * phase)
    middle = np.stack([pace * time, np.zeros(frames), bob], axis=-1)
    points = {name: middle + np.array(place) for name, place in plan.trunk.items()}
    stands = {name: np.zeros(frames, dtype=np.bool_) for name in points}
    bones = list(plan.bones)
    for legs in plan.legs:
        for side, sign, lag in (("left", 1, 0.0), ("right", -1, 0.5)):
            root = middle + legs.root * np.array([1, sign, 1])
            foot, standing = _foot(
                legs.foot * np.array([1, sign, 1]), phase - legs.lag - lag, period, share, pace, plan.lift
            )
            chain = _chain(legs, root, foot, sign)
            names = [f"{side}_{name}" for name in legs.names]
            points |= dict(zip(names, chain, strict=True))
            stands |= {name: standing & (name == names[-1]) for name in names}
            bones += pairwise(names)
    names = tuple(points)
    angle = rng.uniform(0, 2 * np.pi)
    turn = np.array([[np.cos(angle), np.sin(angle), 0], [-np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    positions = np.stack([points[name] for name in names], axis=1) @ turn
    edges = tuple((names.index(a), names.index(b)) for a, b in bones)
    return Walk(names, edges, positions.astype(np.float32), np.stack([stands[name] for name in names], axis=1))


def _foot(
    place: Floats, phase: Floats, period: float, share: float, pace: float, lift: float
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """(T, 3) where a foot is that stands for `share` of each step, and when it stands (T)."""
    step, within = np.floor(phase), phase - np.floor(phase)
    # The time at which phase was 0 is that of frame 0 less the phase that had passed by then.
    began = (step - phase[0]) * period
    here = pace * (began + 0.5 * share * period)
    swung = np.clip((within - share) / (1 - share), 0, 1)
    ahead = pace * period * (swung - np.sin(2 * np.pi * swung) / (2 * np.pi))
    path = np.stack([here + ahead, np.zeros_like(phase), lift * np.sin(np.pi * swung) ** 2], axis=-1)
    return path + place, within < share


def _chain(legs: Legs, root: Floats, foot: Floats, sign: int) -> list[Floats]:
    """The joints of a leg: its middle bends ahead by `bends`, or outward and up where that is 0; then foot and toe."""
    ahead = np.array([legs.bends, 0, 0]) if legs.bends else np.array([0, 0.004 * sign, 0.008])
    chain = [root, 0.5 * (root + foot) + ahead, foot]
    if legs.toe:
        chain.append(foot + np.array([legs.toe, 0, 0.02 - legs.foot[2]]))
    return chain
