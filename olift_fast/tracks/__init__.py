"""Skeletons, rigs, and tracks of 2D keypoints and of 3D joints, used by all parts of the package; needs only numpy."""

from __future__ import annotations

from olift_fast.tracks.containers import KeypointTracks, LiftedTracks
from olift_fast.tracks.draft import Draft, draft_skeleton, with_inferred_skeleton
from olift_fast.tracks.rigs import find_rig, load_skeleton, rig, rig_names
from olift_fast.tracks.sides import infer_sides
from olift_fast.tracks.skeleton import Skeleton

__all__ = [
    "Draft",
    "KeypointTracks",
    "LiftedTracks",
    "Skeleton",
    "draft_skeleton",
    "find_rig",
    "infer_sides",
    "load_skeleton",
    "rig",
    "rig_names",
    "with_inferred_skeleton",
]
