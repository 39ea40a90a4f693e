"""Skeletons, rigs, tracks and motion: numpy only, nothing here needs torch."""

from __future__ import annotations

from olift_fast.data.skeleton import Skeleton, infer_sides, load_skeleton
from olift_fast.data.tracks import KeypointTracks, LiftedTracks

__all__ = ["KeypointTracks", "LiftedTracks", "Skeleton", "infer_sides", "load_skeleton"]
