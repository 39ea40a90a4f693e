"""The complete lifter: its configuration and weights, and the lifting of whole recordings.

`Lifter` is a torch module, which can be trained and runs on any device. `NativeLifter` lifts on the CPU without torch.
Importing this package imports no torch until `Lifter` is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from olift_fast.lazy import lazy_names

if TYPE_CHECKING:
    from olift_fast.model.any_lifter import AnyLifter
    from olift_fast.model.config import PRESETS, LifterConfig
    from olift_fast.model.inference import lift_in_chunks, lift_recordings, lift_tracks
    from olift_fast.model.lifter import Lifter
    from olift_fast.model.loading import load
    from olift_fast.model.mirror import MirrorDisagreement, lift_mirrored
    from olift_fast.model.native_lifter import NativeLifter
    from olift_fast.model.normalization import Normalization

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "PRESETS": "config",
        "AnyLifter": "any_lifter",
        "Lifter": "lifter",
        "LifterConfig": "config",
        "MirrorDisagreement": "mirror",
        "NativeLifter": "native_lifter",
        "Normalization": "normalization",
        "lift_in_chunks": "inference",
        "lift_mirrored": "mirror",
        "lift_recordings": "inference",
        "lift_tracks": "inference",
        "load": "loading",
    },
)

__all__ = [
    "PRESETS",
    "AnyLifter",
    "Lifter",
    "LifterConfig",
    "MirrorDisagreement",
    "NativeLifter",
    "Normalization",
    "lift_in_chunks",
    "lift_mirrored",
    "lift_recordings",
    "lift_tracks",
    "load",
]
