"""Training data: generated animals, cameras, a detector's faults, and readers of 3D recordings. Needs only numpy."""

from __future__ import annotations

from olift_fast.renamed import old_names

_TRACKS = (
    "KeypointTracks",
    "LiftedTracks",
    "Skeleton",
    "find_rig",
    "infer_sides",
    "load_skeleton",
    "rig",
    "rig_names",
)
__getattr__ = old_names(__name__, dict.fromkeys(_TRACKS, "olift_fast.tracks"))
