"""Skeletons, rigs, and tracks of keypoints and joints: what every part of the package speaks of. Needs numpy alone."""

from __future__ import annotations

from olift_fast.tracks.containers import KeypointTracks, LiftedTracks
from olift_fast.tracks.rigs import find_rig, load_skeleton, rig, rig_names
from olift_fast.tracks.skeleton import Skeleton, infer_sides

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
