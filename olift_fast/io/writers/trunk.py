"""Gives a trunk that is drawn as a box from hips to shoulders a middle, so that the hips can be the body's root."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from olift_fast.tracks.kinds import KINDS
from olift_fast.tracks.skeleton import Skeleton


def with_trunk(skeleton: Skeleton, joints: npt.NDArray[np.floating]) -> tuple[Skeleton, npt.NDArray[np.floating]]:
    """The skeleton and its joints (T, J, 3), with a joint "hips" added halfway between hips that an edge joins.

    If edges join left and right hip with left and right shoulder, one edge replaces both: from "hips" to the joint
    between the shoulders. That joint is added as "chest" if the skeleton has no joint next to both shoulders. Edges
    from ears to shoulders become one from the nose. Other skeletons stay as they are.
    """
    hips = _pair(skeleton, "hip")
    edges = {frozenset(edge) for edge in skeleton.edges}
    if hips is None or frozenset(hips) not in edges or not _seen_together(joints, hips):
        return skeleton, joints
    names = list(skeleton.names)
    middle = _add("hips", hips, names, edges)
    added = [joints[:, list(hips)].mean(axis=1)]
    shoulders = _pair(skeleton, "shoulder")
    if shoulders is not None and _seen_together(joints, shoulders):
        sides = {frozenset(pair) for pair in zip(hips, shoulders, strict=True)}
        if sides <= edges:
            between = _next_to(shoulders, edges) - {middle}
            if between:
                top = min(between)
            else:
                top = _add("chest", shoulders, names, edges)
                added.append(joints[:, list(shoulders)].mean(axis=1))
            edges = (edges - sides) | {frozenset((middle, top))}
            _hang_head(skeleton, shoulders, top, edges)
    ordered = sorted((min(edge), max(edge)) for edge in edges)
    wider = Skeleton(tuple(names), tuple(ordered), (*skeleton.sides, *[0] * len(added)))
    return wider, np.concatenate([joints, np.stack(added, axis=1)], axis=1)


def _add(name: str, pair: tuple[int, int], names: list[str], edges: set[frozenset[int]]) -> int:
    """Adds a joint halfway between two. Joints that were next to both are now next to it."""
    for other in _next_to(pair, edges):
        edges -= {frozenset((other, joint)) for joint in pair}
        edges.add(frozenset((other, len(names))))
    edges.discard(frozenset(pair))
    edges |= {frozenset((joint, len(names))) for joint in pair}
    while name in names:
        name += "_"
    names.append(name)
    return len(names) - 1


def _hang_head(skeleton: Skeleton, shoulders: tuple[int, int], top: int, edges: set[frozenset[int]]) -> None:
    """Joins the nose to the joint between the shoulders, where edges join ears and shoulders."""
    ears = _pair(skeleton, "ear")
    noses = [joint for joint, kind in enumerate(skeleton.kinds) if KINDS[kind] == "nose"]
    if ears is None or len(noses) != 1:
        return
    sides = {frozenset(pair) for pair in zip(ears, shoulders, strict=True)}
    if sides <= edges:
        edges -= sides
        edges.add(frozenset((noses[0], top)))


def _next_to(pair: tuple[int, int], edges: set[frozenset[int]]) -> set[int]:
    """The joints that an edge joins to each of the two."""
    first, second = ({other for edge in edges if joint in edge for other in edge - {joint}} for joint in pair)
    return first & second


def _pair(skeleton: Skeleton, kind: str) -> tuple[int, int] | None:
    """Left and right joint of a kind; None if there is not exactly one of each."""
    found = [joint for joint, number in enumerate(skeleton.kinds) if KINDS[number] == kind]
    sides = [[joint for joint in found if skeleton.sides[joint] == side] for side in (1, -1)]
    left, right = sides
    return (left[0], right[0]) if len(left) == len(right) == 1 else None


def _seen_together(joints: npt.NDArray[np.floating], pair: tuple[int, int]) -> bool:
    return bool(np.isfinite(joints[:, list(pair)]).all(axis=(1, 2)).any())
