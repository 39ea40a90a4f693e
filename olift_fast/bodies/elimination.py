"""Solves linear systems over the bones of a skeleton, one for each frame, for all frames at once.

Two bones are coupled if they meet at a joint. In a tree, leaves are eliminated first and no new couplings arise, so a
solve takes one operation for each pair of bones that meet; each operation is over all frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

SMALLEST_PIVOT = 1e-7
"""A pivot must keep this share of its diagonal; below it, the bone's equation follows from the others and is left out.

This happens only around loops: in a tree, no bone's length follows from the others.
"""


@dataclass(frozen=True)
class Meetings:
    """The pairs of bones that meet at a joint: `first` < `second` (P) bones, `joint` (P), and `sign` (P).

    The sign is +1 if the joint is the same end of both bones, -1 if it is the start of one and the end of the other.
    """

    first: npt.NDArray[np.intp]
    second: npt.NDArray[np.intp]
    joint: npt.NDArray[np.intp]
    sign: Floats


@lru_cache(maxsize=64)
def meetings(edges: tuple[tuple[int, int], ...]) -> Meetings:
    """The pairs of bones that meet at a joint. Two bones meet at one joint at most."""
    at: dict[int, list[tuple[int, int]]] = {}
    for bone, (start, end) in enumerate(edges):
        at.setdefault(start, []).append((bone, 1))
        at.setdefault(end, []).append((bone, -1))
    found = [
        (one, other, joint, one_sign * other_sign)
        for joint, those in at.items()
        for (one, one_sign), (other, other_sign) in combinations(those, 2)
    ]
    first, second, joint = (np.array([row[place] for row in found], dtype=np.intp) for place in range(3))
    return Meetings(first, second, joint, np.array([row[3] for row in found], dtype=np.float64))


@lru_cache(maxsize=64)
def elimination_order(edges: tuple[tuple[int, int], ...]) -> tuple[tuple[int, tuple[int, ...]], ...]:
    """Bones in the order of elimination, each with the bones that it is still coupled to then.

    The next bone is always one with the fewest new couplings; in a tree there are none.
    """
    pairs = meetings(edges)
    coupled: dict[int, set[int]] = {bone: set() for bone in range(len(edges))}
    for one, other in zip(pairs.first.tolist(), pairs.second.tolist(), strict=True):
        coupled[one].add(other)
        coupled[other].add(one)
    order = []
    while coupled:
        bone = min(coupled, key=lambda one: (_new_couplings(coupled, one), len(coupled[one]), one))
        rest = coupled.pop(bone)
        for other in rest:
            coupled[other] |= rest - {other}
            coupled[other].discard(bone)
        order.append((bone, tuple(sorted(rest))))
    return tuple(order)


def _new_couplings(coupled: dict[int, set[int]], bone: int) -> int:
    return sum(other not in coupled[one] for one, other in combinations(coupled[bone], 2))


def solve(edges: Sequence[tuple[int, int]], diagonal: Floats, couplings: Floats, right: Floats) -> Floats:
    """x of ``A x = right`` for each frame, A symmetric and positive (semi-)definite.

    Args:
        edges: (E) of the skeleton.
        diagonal: (E, T) of A.
        couplings: (P, T) of A, for the pairs of `meetings`.
        right: (E, T).

    Returns:
        (E, T). An equation that follows from the others is left out, and its x is 0.
    """
    edges = tuple(edges)
    pairs, order = meetings(edges), elimination_order(edges)
    entries: dict[tuple[int, int], Floats] = {
        (one, other): couplings[place]
        for place, (one, other) in enumerate(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))
    }
    pivots, x = diagonal.copy(), right.copy()
    factors: dict[tuple[int, int], Floats] = {}
    for bone, rest in order:
        kept = pivots[bone] > SMALLEST_PIVOT * diagonal[bone]
        inverse = np.divide(1.0, pivots[bone], out=np.zeros_like(pivots[bone]), where=kept)
        columns = {other: entries[_pair(bone, other)] for other in rest}
        for place, other in enumerate(rest):
            factor = factors[bone, other] = columns[other] * inverse
            pivots[other] -= factor * columns[other]
            x[other] -= factor * x[bone]
            for third in rest[place + 1 :]:
                change = factor * columns[third]
                key = _pair(other, third)
                entries[key] = entries[key] - change if key in entries else -change
        x[bone] *= inverse
    for bone, rest in reversed(order):
        for other in rest:
            x[bone] -= factors[bone, other] * x[other]
    return x


def _pair(one: int, other: int) -> tuple[int, int]:
    return (one, other) if one < other else (other, one)
