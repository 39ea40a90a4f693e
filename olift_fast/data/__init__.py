"""Skeletons, rigs, tracks and motion: numpy only, nothing here needs torch."""

from __future__ import annotations

from olift_fast.data.rigs import find_rig, rig, rig_names
from olift_fast.data.skeleton import Skeleton, infer_sides, load_skeleton
from olift_fast.data.tracks import KeypointTracks, LiftedTracks

__all__ = [
    "KeypointTracks",
    "LiftedTracks",
    "Skeleton",
    "find_rig",
    "infer_sides",
    "load_skeleton",
    "rig",
    "rig_names",
]
