"""Makes trees of a skeleton's bones, because animation formats need trees."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from olift_fast.tracks.kinds import KINDS
from olift_fast.tracks.skeleton import Skeleton

# A tree has such a joint as its root, if the skeleton has one.
_ROOTS = ("pelvis", "root")


class BoneTree(NamedTuple):
    """Trees of joints, one for each piece of a skeleton. Joints are indices of the skeleton.

    Args:
        order: the joints, each after its parent, tree by tree.
        parents: the parent of each joint in `order`; None for roots.
        children: the children of each joint in `order`; the child with the most joints below it comes first.
    """

    order: tuple[int, ...]
    parents: dict[int, int | None]
    children: dict[int, tuple[int, ...]]

    @property
    def roots(self) -> tuple[int, ...]:
        """The joints without a parent, one for each tree."""
        return tuple(joint for joint in self.order if self.parents[joint] is None)

    @property
    def bones(self) -> tuple[tuple[int, int], ...]:
        """Parent and child of each bone, in the order of the children."""
        pairs = ((self.parents[joint], joint) for joint in self.order)
        return tuple((parent, joint) for parent, joint in pairs if parent is not None)


def bone_tree(skeleton: Skeleton, known: npt.NDArray[np.bool_]) -> BoneTree:
    """A tree for each piece of the skeleton: the shortest paths from its root to all its joints.

    An edge that closes a loop is in no tree. The root is a joint in the middle whose kind is pelvis or root, else the
    joint with the fewest edges to all others.

    Args:
        known: (J) False for joints that are left out with their edges.
    """
    near: dict[int, list[int]] = {joint: [] for joint in np.flatnonzero(known).tolist()}
    for a, b in skeleton.edges:
        if known[a] and known[b]:
            near[a].append(b)
            near[b].append(a)
    order: list[int] = []
    parents: dict[int, int | None] = {}
    for joint in near:
        if joint not in parents:
            _grow(_root(skeleton, _reached(joint, near), near), near, order, parents)
    children: dict[int, list[int]] = {joint: [] for joint in order}
    for joint in order:
        if (parent := parents[joint]) is not None:
            children[parent].append(joint)
    below = dict.fromkeys(order, 1)
    for joint in reversed(order):
        if (parent := parents[joint]) is not None:
            below[parent] += below[joint]
    ordered = {joint: tuple(sorted(found, key=lambda child: -below[child])) for joint, found in children.items()}
    return BoneTree(tuple(order), parents, ordered)


def _grow(root: int, near: dict[int, list[int]], order: list[int], parents: dict[int, int | None]) -> None:
    parents[root] = None
    waiting = deque([root])
    while waiting:
        joint = waiting.popleft()
        order.append(joint)
        for other in near[joint]:
            if other not in parents:
                parents[other] = joint
                waiting.append(other)


def _root(skeleton: Skeleton, piece: dict[int, int], near: dict[int, list[int]]) -> int:
    named = [joint for joint in sorted(piece) if KINDS[skeleton.kinds[joint]] in _ROOTS and not skeleton.sides[joint]]
    return named[0] if named else min(sorted(piece), key=lambda joint: sum(_reached(joint, near).values()))


def _reached(joint: int, near: dict[int, list[int]]) -> dict[int, int]:
    """The joints that edges lead to from this one, and how many edges away each is."""
    away = {joint: 0}
    waiting = deque([joint])
    while waiting:
        here = waiting.popleft()
        for other in near[here]:
            if other not in away:
                away[other] = away[here] + 1
                waiting.append(other)
    return away
