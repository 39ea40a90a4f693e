"""Puts animals on the floor: finds it under each track, and moves the track in depth so that the floor is level."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from olift_fast.tracks.containers import LiftedTracks
from olift_fast.tracks.rates import rate_of
from olift_fast.tracks.world_frame import Path
from olift_fast.world.averages import mean_of, median_of
from olift_fast.world.floor import FLATNESS, Floor, find_floor
from olift_fast.world.gravity import axes_of
from olift_fast.world.path import Placed

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

LEAST_SLOPE = 0.17
"""Sine of 10 degrees: a camera must look down or up by this much to get the depth of feet from the floor."""


class Grounded(NamedTuple):
    """Joints (N, T, J, 3) in the camera's axes, on their path; contacts; the floor's level (N) along up."""

    joints: Floats
    depth_error: Floats
    path: Path
    contacts: Bools
    levels: Floats


def ground(result: LiftedTracks, placed: Placed, up: Floats, matrix: Floats | None, wanted: bool) -> Grounded:
    """Finds the floor under each track, and moves joints along the rays to make it level, weighted by how sure it is.

    Args:
        result: in the camera frame.
        placed: its joints on their path, in the camera's axes.
        up: (3) in these axes.
        matrix: (3, 3) the camera matrix; None for a far camera.
        wanted: False to look for no floor and leave the joints where they are.
    """
    path: Path = "in-plane" if matrix is None else "size"
    contacts = np.zeros(result.visible.shape, dtype=np.bool_)
    levels, errors = np.full(result.num_tracks, np.nan), placed.depth_error.copy()
    if not wanted:
        return Grounded(placed.joints, errors, path, contacts, levels)
    joints = placed.joints.copy()
    for track in range(result.num_tracks):
        found = _floor_of(result, track, joints[track], up)
        if not np.isfinite(found.heights).any():
            continue
        rays = _directions(joints[track], matrix)
        gain, error = _gain(found, rays @ up, errors[track])
        if gain > 0:
            risen = found.heights - np.median(found.heights)
            moved = -gain * risen / np.where(rays @ up == 0, 1, rays @ up)
            joints[track] += (moved[:, None] * rays)[:, None]
            errors[track], path = error, "floor" if matrix is None else "size and floor"
        heights = joints[track] @ up
        contacts[track] = found.contacts
        levels[track] = np.median(heights[found.contacts]) if found.contacts.any() else np.median(found.heights)
    return Grounded(joints, errors, path, contacts, levels)


def _floor_of(result: LiftedTracks, track: int, joints: Floats, up: Floats) -> Floor:
    rotation = axes_of(up)
    view = rotation @ np.array([0.0, 0.0, 1.0])
    return find_floor(joints @ rotation.T, result.visible[track], result.skeleton, view, rate_of(result))


def _gain(found: Floor, slope: Floats, depth_error: float) -> tuple[float, float]:
    """The weight of the floor's depth against the size's depth, and the error of the combination."""
    steep = float(median_of(np.abs(slope), axis=0))
    if steep < LEAST_SLOPE:
        return 0.0, depth_error
    by_floor = FLATNESS * found.body / steep
    if np.isnan(depth_error):
        return 1.0, by_floor
    gain = depth_error**2 / (depth_error**2 + by_floor**2)
    return gain, float(np.sqrt(1 - gain) * depth_error)


def _directions(joints: Floats, matrix: Floats | None) -> Floats:
    """(T, 3) directions along which a frame's joints can be moved without changing the picture."""
    if matrix is None:
        return np.tile(np.array([0.0, 0.0, 1.0]), (len(joints), 1))
    middle = mean_of(joints, axis=1)
    middle = np.where(np.isfinite(middle), middle, np.array([0.0, 0.0, 1.0]))
    return np.asarray(middle / np.linalg.norm(middle, axis=1, keepdims=True))
