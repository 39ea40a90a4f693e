"""A DataJoint table of lifted recordings: `LiftedRecording.populate()` lifts what is not lifted yet.

The upstream table `KeypointFile` stands for the one of your pipeline that has keypoint files, as those of
datajoint-elements' element-deeplabcut do. Workers may run `populate(reserve_jobs=True)` on many machines at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datajoint as dj

from olift_fast.archive import LiftSettings, lift_archive
from olift_fast.errors import InputError

schema = dj.Schema("olift_example")


@schema
class KeypointFile(dj.Manual):
    """A recording's 2D keypoints."""

    definition = """
    recording_id : varchar(64)
    ---
    path         : varchar(1024)   # of the keypoint file
    fps = null   : float           # frames a second
    """


@schema
class LiftedRecording(dj.Computed):
    """Its 3D joints, a file below the folder of the archive."""

    definition = """
    -> KeypointFile
    ---
    result       : varchar(1024)   # .npz, read by olift_fast.read_lifted
    """

    folder = Path("lifted")

    def make(self, key: dict[str, Any]) -> None:
        """Lifts one recording; DataJoint keeps the error of one that can't be lifted."""
        path, fps = (KeypointFile & key).fetch1("path", "fps")
        out = self.folder / key["recording_id"]
        summary = lift_archive(path, out, settings=LiftSettings(fps=fps), workers=1, retry_failed=True)
        if summary.failed:
            raise InputError(f"{path}: {next(iter(summary.errors))}")
        self.insert1(key | {"result": str(next(out.glob("*.lifted.npz")))})
