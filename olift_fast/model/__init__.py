"""The complete lifter: its configuration and weights, and the lifting of whole recordings."""

from olift_fast.model.config import PRESETS, LifterConfig
from olift_fast.model.inference import (
    MirrorDisagreement,
    lift_in_chunks,
    lift_mirrored,
    lift_recordings,
    lift_tracks,
)
from olift_fast.model.lifter import Lifter
from olift_fast.model.normalization import Normalization

__all__ = [
    "PRESETS",
    "Lifter",
    "LifterConfig",
    "MirrorDisagreement",
    "Normalization",
    "lift_in_chunks",
    "lift_mirrored",
    "lift_recordings",
    "lift_tracks",
]
