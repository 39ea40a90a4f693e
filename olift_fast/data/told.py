"""Hides or damages what a model gets beside keypoints (bones, kinds, pitch), so that it learns to work without it."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from olift_fast.data.clips import ClipBatch
from olift_fast.tracks.draft import ENOUGH_JOINED, draft_skeleton
from olift_fast.tracks.rigid_pairs import edges_by_motion
from olift_fast.tracks.skeleton import Skeleton

Graph = Literal["true", "absent", "damaged", "named", "motion"]
"""The bones that a model gets. "true": the skeleton's own. "absent": none, so all joints attend each other.
"damaged": the skeleton's own, with some lost and some at another joint. "named": inferred from the joints' names.
"motion": inferred from the clips' 2D motion."""

DAMAGE = (0.05, 0.5)
"""Range of the share of damaged bones; half of these are lost, and half are moved to another joint."""


def with_graph(clips: ClipBatch, graph: Graph, rng: np.random.Generator) -> Skeleton:
    """The clips' skeleton with the bones of `graph`; `rng` draws only the damage.

    "named" gives the bones that a file without edges gets from its joints' names, which may be none. "motion" infers
    them from all clips together; it gives none from fewer than 20 frames.
    """
    skeleton = clips.skeleton
    if graph == "true":
        return skeleton
    edges: tuple[tuple[int, int], ...] = ()
    if graph == "damaged":
        edges = _damaged(skeleton, rng)
    elif graph == "named":
        views = clips.keypoints, clips.visible
        draft = draft_skeleton(skeleton.names, *views, by_motion=False, least=ENOUGH_JOINED)
        edges = () if draft is None else draft.skeleton.edges
    elif graph == "motion":
        edges, _ = edges_by_motion(clips.keypoints, clips.visible)
    return replace(skeleton, edges=edges, inferred=())


def without_kinds(skeleton: Skeleton, hidden: npt.NDArray[np.bool_]) -> Skeleton:
    """The skeleton with meaningless names for the joints whose kinds are hidden, by a mask ``(J,)``. Sides stay."""
    names = tuple(f"?{joint}" if hidden[joint] else name for joint, name in enumerate(skeleton.names))
    return replace(skeleton, names=names)


def without_pitch(clips: ClipBatch) -> ClipBatch:
    """The clips with their cameras' pitch unknown."""
    return replace(clips, pitch=np.full_like(clips.pitch, np.nan))


def _damaged(skeleton: Skeleton, rng: np.random.Generator) -> tuple[tuple[int, int], ...]:
    share = rng.uniform(*DAMAGE)
    found: dict[frozenset[int], tuple[int, int]] = {}
    for a, b in skeleton.edges:
        chance, keeps_first, other = rng.random(), rng.random() < 0.5, int(rng.integers(skeleton.num_joints))
        if chance < share / 2:
            continue
        if chance < share:
            a, b = (a if keeps_first else b), other
        if a != b:
            found.setdefault(frozenset((a, b)), (a, b))
    return tuple(found.values())
