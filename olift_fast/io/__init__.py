"""Reads 2D keypoints from the files of pose tools, and writes lifted 3D tracks."""

from __future__ import annotations

from olift_fast.io.format import Format
from olift_fast.io.read import formats, read_keypoints, read_skeleton
from olift_fast.io.write import write_lifted
from olift_fast.io.writers.npz import read_lifted

__all__ = ["Format", "formats", "read_keypoints", "read_lifted", "read_skeleton", "write_lifted"]
