"""From the camera frame to the world frame: gravity, floor, size, root path, calibrated cameras; needs only numpy."""

from __future__ import annotations

from olift_fast.world.calibration import read_calibration, read_calibrations
from olift_fast.world.gravity import estimate_up, pitch_and_roll, up_of_pitch
from olift_fast.world.lengths import KnownLength, parse_length
from olift_fast.world.lens import distort, lens_warning, undistort, undistorted
from olift_fast.world.place import focal_of, reproject, to_world

__all__ = [
    "KnownLength",
    "distort",
    "estimate_up",
    "focal_of",
    "lens_warning",
    "parse_length",
    "pitch_and_roll",
    "read_calibration",
    "read_calibrations",
    "reproject",
    "to_world",
    "undistort",
    "undistorted",
    "up_of_pitch",
]
