"""After lifting: steady bones, smooth movements, angles, and signs of a bad lift; needs only numpy.

All functions take `LiftedTracks`, from `lift_tracks` or `read_lifted`.
"""

from __future__ import annotations

from olift_fast.bodies.angle_tables import write_angles
from olift_fast.bodies.angles import Angle, Angles, angles_of
from olift_fast.bodies.body import Body, read_body
from olift_fast.bodies.bones import bone_lengths, length_drift, steady_lengths
from olift_fast.bodies.rigid import steady_bones
from olift_fast.bodies.signs import Trust, trust
from olift_fast.bodies.smoothing import smooth_joints

__all__ = [
    "Angle",
    "Angles",
    "Body",
    "Trust",
    "angles_of",
    "bone_lengths",
    "length_drift",
    "read_body",
    "smooth_joints",
    "steady_bones",
    "steady_lengths",
    "trust",
    "write_angles",
]
