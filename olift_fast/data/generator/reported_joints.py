"""Chooses which joints of a body become keypoints, in which order, and the bones between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from olift_fast.data.generator.bodies import Body
from olift_fast.tracks.skeleton import Skeleton

FEWEST, MOST = 5, 45

# Sets of labels that common rigs have, by family.
_ARMS = ("shoulder", "elbow", "wrist")
_LEGS = ("hip", "knee", "ankle")
_FACE = ("nose", "eye", "ear")
_FOUR = ("chest", "pelvis", "neck_base", "nose", "eye", "hip", "knee", "ankle", "shoulder", "elbow")
_BACK = ("spine_1", "spine_2", "spine_3")
_TAIL = ("tail_1", "tail_2", "tail_3", "tail_4", "tail_tip")
_SEGMENTS = ("coxa", "femur", "tibia", "tarsus", "claw")
USUAL: dict[str, tuple[tuple[str, ...], ...]] = {
    "human": (
        ("pelvis", *_LEGS, "spine_3", "neck", "nose", "crown", *_ARMS),
        (*_FACE, *_ARMS, *_LEGS),
        ("pelvis", *_LEGS, "foot", "big_toe", *_BACK, "chest", "neck", "crown", *_ARMS, "hand"),
        ("pelvis", *_LEGS, *_FACE, "neck", *_ARMS, "heel", "big_toe", "small_toe"),
        ("pelvis", *_LEGS, *_FACE, "neck", "crown", *_ARMS, "heel", "big_toe", "small_toe"),
        ("pelvis", *_LEGS, "foot", *_BACK, "neck", "head", "collar", *_ARMS, "hand"),
        (*_LEGS, *_ARMS),
    ),
    "quadruped": (
        (*_FOUR, "ear", "wrist", "front_paw", "hind_paw", "tail_base", "tail_tip"),
        (*_FOUR, "ear", "wrist", "front_paw", "hind_paw", "tail_base", "antler", "antler_tip"),
        (*_FOUR, "ear", "wrist", "hind_paw", "tail_base"),
        (*_FOUR, "ear", "ear_tip", "wrist", "hind_paw", "tail_tip"),
        ("nose", "eye", "neck_base", "tail_base", "shoulder", "elbow", "front_paw", "hip", "knee", "hind_paw"),
        ("nose", "ear", "withers", "throat", "tail_base", "tail_tip", "elbow", "wrist", "front_paw", "knee", "ankle"),
        (*_ARMS, "front_paw", *_LEGS, "hind_paw", "head", "chest", "pelvis", "tail_base"),
    ),
    "rodent": (
        ("nose", "ear", "neck_base", "spine_2", "pelvis", "tail_base", *_ARMS, "front_paw", *_LEGS, "hind_paw"),
        ("nose", "ear", "eye", "neck_base", "chest", "spine_2", *_TAIL, *_ARMS, "front_paw", *_LEGS, "hind_toe"),
        ("nose", "ear", "head", "chest", "spine_2", "pelvis", "tail_base", "tail_tip"),
        ("nose", "ear", "front_paw", "hind_paw", "tail_base", "tail_tip", "spine_2"),
    ),
    "bird": (("beak", "eye", "comb", "neck_base", "chest", "pelvis", "wing_shoulder", *_LEGS, "foot", "tail_tip"),),
    "insect": (
        tuple(f"{pair}_{part}" for pair in ("front", "middle", "hind") for part in _SEGMENTS),
        ("thorax", "notum", "neck", "antenna_base", "antenna_tip", *(f"front_{part}" for part in _SEGMENTS)),
        ("head", "eye", "thorax", "abdomen_tip", "wing_tip", "front_claw", "middle_claw", "hind_claw", "front_tarsus"),
    ),
}


@dataclass(frozen=True)
class ReportedJoints:
    """A skeleton of some of a body's joints; `nodes` (J,) are their indices in the body."""

    skeleton: Skeleton
    nodes: NDArray[np.int64]


def all_joints(body: Body) -> ReportedJoints:
    """Every joint of the body, in the order in which they were added."""
    return _reported(body, list(range(len(body.nodes))), False)


def choose_joints(body: Body, rng: np.random.Generator, without_edges: float = 0.05) -> ReportedJoints:
    """Random joints of the body in random order: a common set of its family, or another one; some without edges."""
    labels = list(dict.fromkeys(node.label for node in body.nodes))
    usual = USUAL.get(body.family, ())
    if usual and rng.random() < 0.45:
        wanted = set(usual[rng.integers(len(usual))])
        kept = [label for label in labels if label in wanted and rng.random() > 0.02]
    else:
        kept = _odd_subset(body, rng, labels)
    nodes = [index for index, node in enumerate(body.nodes) if node.label in set(kept)]
    if rng.random() < 0.1:
        nodes = [node for node in nodes if body.nodes[node].side == 0 or rng.random() > 0.08]
    spare = [index for index in range(len(body.nodes)) if index not in set(nodes)]
    while len(nodes) < FEWEST:
        nodes.append(spare.pop(int(rng.integers(len(spare)))))
    rng.shuffle(nodes)
    return _reported(body, nodes[:MOST], bool(rng.random() < without_edges))


def _odd_subset(body: Body, rng: np.random.Generator, labels: list[str]) -> list[str]:
    group = {node.label: node.group for node in body.nodes}
    kind = rng.random()
    if kind < 0.12:
        return [label for label in labels if group[label] not in ("trunk", "head", "neck", "tail")] or labels
    if kind < 0.2:
        front = {node.label for node in body.nodes if _reach(body, node.label) > 0}
        return [label for label in labels if label in front]
    if kind < 0.3:
        ends = {node.label for index, node in enumerate(body.nodes) if not any(n.parent == index for n in body.nodes)}
        return [label for label in labels if label in ends or rng.random() < 0.15]
    keep_trunk = rng.uniform(0.2, 1)
    keep_head = rng.uniform(0.1, 1)
    keep_limb = rng.choice((1.0, rng.uniform(0.6, 1)))
    chance = {"trunk": keep_trunk, "head": keep_head, "neck": keep_trunk, "tail": keep_trunk}
    return [label for label in labels if rng.random() < chance.get(group[label], keep_limb)]


def _reach(body: Body, label: str) -> float:
    """How far in front of the root (of a person: above it) a joint is at angle 0, less 0.2 except for insects."""
    index = next(i for i, node in enumerate(body.nodes) if node.label == label)
    ahead = 0.0
    while index >= 0:
        node = body.nodes[index]
        ahead += float(node.offset[0] + (node.offset[2] if body.family == "human" and node.group == "trunk" else 0))
        index = node.parent
    return ahead - (0.2 if body.family != "insect" else 0.0)


def _reported(body: Body, nodes: list[int], without_edges: bool) -> ReportedJoints:
    place = {node: index for index, node in enumerate(nodes)}
    edges = () if without_edges else tuple((place[a], place[b]) for a, b in _links(body, set(nodes)))
    names = tuple(body.nodes[node].name for node in nodes)
    sides = tuple(body.nodes[node].side or body.side for node in nodes)
    return ReportedJoints(Skeleton(names=names, edges=edges, sides=sides, name=body.family), np.array(nodes))


def _links(body: Body, kept: set[int]) -> list[tuple[int, int]]:
    """A tree over the kept joints: each is linked to its nearest kept ancestor.

    A joint without a kept ancestor is linked to a kept joint of another branch.
    """
    head: dict[int, int] = {}
    links: list[tuple[int, int]] = []
    for index in range(len(body.nodes) - 1, -1, -1):
        if index in kept:
            if index in head:
                links.append((index, head[index]))
            head[index] = index
        mine = head.get(index)
        parent = body.nodes[index].parent
        if mine is None or parent < 0:
            continue
        if parent in kept:
            links.append((parent, mine))
        elif parent in head:
            links.append((head[parent], mine))
        else:
            head[parent] = mine
    return links
