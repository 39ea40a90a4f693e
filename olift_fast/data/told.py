"""What a model is told about clips beside their keypoints, where that is less than what is known, or wrong."""

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
"""Which bones a model is told: the skeleton's own; none, so that all joints see each other; its own with some missing
and some hung elsewhere; those that the joints' names tell; those that the clips' 2D motion tells."""

DAMAGE = (0.05, 0.5)
"""Range of the share of bones that are damaged, half of them lost and half hung elsewhere."""


def with_graph(clips: ClipBatch, graph: Graph, rng: np.random.Generator) -> Skeleton:
    """The clips' skeleton with the bones that a model is told; `rng` draws the damage alone.

    Bones by names are those that a file without edges would get, and none where it would get none. Bones by motion are
    found from all clips together; 20 frames or more are needed, else there are none.
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
    """The skeleton with names that say nothing for the joints (J) whose kinds are hidden. Sides stay."""
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
