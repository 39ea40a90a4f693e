"""Reading 2D keypoints of any tool and writing lifted 3D tracks."""

from __future__ import annotations

from olift_fast.io.read import Format, formats, read_keypoints
from olift_fast.io.write import read_lifted, write_lifted

__all__ = ["Format", "formats", "read_keypoints", "read_lifted", "write_lifted"]
