"""olift_fast lifts 2D keypoint sequences of any animal, human or object to 3D skeletons.

`read_keypoints` reads the files of pose tools, `load` loads a model to lift with (`Lifter` is a model to train),
`lift_tracks` lifts a recording, and `write_lifted` saves the result. `StreamingLifter` lifts frames as they come.
`olift_fast.ops` has the fast operations, `olift_fast.nn` the modules that use them. Importing this package imports
neither torch nor numpy; they are imported when a name that needs them is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from olift_fast._version import __version__
from olift_fast.lazy import lazy_names

if TYPE_CHECKING:
    from olift_fast.errors import InputError, MissingExtraError
    from olift_fast.io import read_keypoints, read_lifted, write_lifted
    from olift_fast.model import Lifter, LifterConfig, NativeLifter, lift_tracks, load
    from olift_fast.streaming import StreamingLifter
    from olift_fast.tracks.containers import KeypointTracks, LiftedTracks
    from olift_fast.tracks.skeleton import Skeleton

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "InputError": "errors",
        "KeypointTracks": "tracks",
        "LiftedTracks": "tracks",
        "Lifter": "model",
        "LifterConfig": "model",
        "MissingExtraError": "errors",
        "NativeLifter": "model",
        "Skeleton": "tracks",
        "StreamingLifter": "streaming",
        "lift_tracks": "model",
        "load": "model",
        "read_keypoints": "io",
        "read_lifted": "io",
        "write_lifted": "io",
    },
)

__all__ = [
    "InputError",
    "KeypointTracks",
    "LiftedTracks",
    "Lifter",
    "LifterConfig",
    "MissingExtraError",
    "NativeLifter",
    "Skeleton",
    "StreamingLifter",
    "__version__",
    "lift_tracks",
    "load",
    "read_keypoints",
    "read_lifted",
    "write_lifted",
]
