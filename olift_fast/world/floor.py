"""The floor under the animals, and which joints stand on it: those that are low and slow."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from olift_fast.tracks.skeleton import Skeleton
from olift_fast.world.averages import mean_of, median_of
from olift_fast.world.feet import feet_of
from olift_fast.world.path import smoothed

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

FLATNESS = 0.03
"""Share of the body's height by which the floor is sure where feet stand on it."""

# Shares of the body's size. Feet are allowed more than other joints: their joints are at several heights, and where the
# estimate of gravity is off, those on one side of the body rise.
_FOOT_BAND, _JOINT_BAND = 0.2, 0.04
# A foot is slow below this share of the speed of feet that swing, or below these body sizes a second; noise is added.
_SLOW, _STILL, _NOISE = 0.17, 0.15, 1.5
_SWINGING = 0.9  # quantile of the feet's speeds
_WIDTHS = 1.5  # a body counts as this many radii high where it is flat
_SHORTEST_SECONDS = 0.07  # contacts and gaps that are shorter are taken for noise
_LOW_SHARE = 0.1  # joints that are lowest in so large a share of the frames are feet, where no name tells


class Floor(NamedTuple):
    """What stands on what: contacts (T, J); the height (T) of the floor under the animal; the body's size.

    The floor's heights are NaN where it was not found.
    """

    contacts: Bools
    heights: Floats
    body: float


def find_floor(joints: Floats, seen: Bools, skeleton: Skeleton, view: Floats, fps: float | None) -> Floor:
    """The floor under one animal, over time, and the joints that stand on it.

    The floor is where feet are slow and low. Speeds are those across the view alone: what stands still in the picture
    stands still, and depth is less sure.

    Args:
        joints: (T, J, 3) in world axes, z up; NaN where a joint is not there.
        seen: (T, J) which joints the model saw.
        skeleton: of the joints.
        view: (3) the camera's viewing direction, in world axes.
        fps: frames a second; 30 where unknown.
    """
    rate = fps or 30.0
    there = np.isfinite(joints).all(axis=-1)
    heights = np.where(there, joints[..., 2], np.nan)
    body = _body_size(joints)
    nothing = Floor(np.zeros(there.shape, dtype=np.bool_), np.full(len(joints), np.nan), body)
    feet = _feet(heights, skeleton)
    if not body > 0 or not len(feet):
        return nothing
    speeds, noise = _speeds(joints, view, rate)
    known = speeds[:, feet][seen[:, feet] & np.isfinite(speeds[:, feet])]
    limit = max(_SLOW * float(np.quantile(known, _SWINGING)) if len(known) else 0.0, _STILL * body)
    with np.errstate(invalid="ignore"):
        slow = (speeds < np.hypot(limit, _NOISE * noise)) & there
    floor = _floor_under(heights[:, feet], slow[:, feet], body, fps)
    if not np.isfinite(floor).any():
        return nothing
    above = heights - floor[:, None]
    band = np.full(skeleton.num_joints, _JOINT_BAND)
    band[feet] = _FOOT_BAND
    with np.errstate(invalid="ignore"):
        contacts = slow & (np.abs(above) < band * body)
    return Floor(_without_blinks(contacts, max(round(_SHORTEST_SECONDS * rate), 1)), floor, body)


def _feet(heights: Floats, skeleton: Skeleton) -> Ints:
    """The feet by their names, else the joints that are often the lowest."""
    feet = feet_of(skeleton)
    feet = feet[np.isfinite(heights[:, feet]).any(axis=0)]
    if len(feet):
        return feet
    there = np.isfinite(heights).any(axis=1)
    if not there.any():
        return feet
    lowest = np.nanargmin(heights[there], axis=1)
    share = np.bincount(lowest, minlength=heights.shape[1]) / len(lowest)
    return np.flatnonzero(share >= _LOW_SHARE)


def _body_size(joints: Floats) -> float:
    """The median over time of the height of all joints, or 1.5 root mean square radii where that is larger."""
    some = np.isfinite(joints[..., 2]).any(axis=1)
    if not some.any():
        return 0.0
    heights = np.nanmax(joints[some, :, 2], axis=1) - np.nanmin(joints[some, :, 2], axis=1)
    offsets = joints[some] - mean_of(joints[some], axis=1, keepdims=True)
    radii = np.sqrt(mean_of(np.square(offsets).sum(axis=-1), axis=1))
    return float(max(np.median(heights), _WIDTHS * np.median(radii)))


def _speeds(joints: Floats, view: Floats, rate: float) -> tuple[Floats, Floats]:
    """(T, J) across the view, a second, over two frames; and (J) what noise alone makes of it."""
    across = joints - (joints @ view)[..., None] * view
    if len(across) < 3:
        return np.zeros(across.shape[:2]), np.zeros(across.shape[1])
    before = np.concatenate([across[:1], across[:-1]])
    after = np.concatenate([across[1:], across[-1:]])
    frames = np.full(len(across), 2.0)
    frames[[0, -1]] = 1
    speeds = np.linalg.norm(after - before, axis=-1) * (rate / frames[:, None])
    padded = np.pad(speeds, ((1, 1), (0, 0)), mode="edge")
    bends = np.linalg.norm(across[2:] - 2 * across[1:-1] + across[:-2], axis=-1)
    # Differences of three frames have sqrt(6) times the noise of one, those of two frames apart sqrt(2) times.
    noise = np.nan_to_num(median_of(bends, axis=0)) / np.sqrt(6) * np.sqrt(2) * 0.5 * rate
    return np.median([padded[:-2], padded[1:-1], padded[2:]], axis=0), noise


def _floor_under(heights: Floats, slow: Bools, body: float, fps: float | None) -> Floats:
    """(T) the height of the floor: of the lowest slow foot at first, then of all feet that stand near it."""
    standing = np.where(slow, heights, np.nan)
    floor = np.full(len(heights), np.nan)
    some = np.isfinite(standing).any(axis=1)
    if not some.any():
        return floor
    floor[some] = np.nanmin(standing[some], axis=1)
    # A slow foot in the air beside no standing one is no floor.
    floor = np.where(floor < np.nanmedian(floor) + 2 * _FOOT_BAND * body, floor, np.nan)
    floor = smoothed(floor[None], fps)[0]
    with np.errstate(invalid="ignore"):
        near = np.where(np.abs(standing - floor[:, None]) < _FOOT_BAND * body, standing, np.nan)
    level = smoothed(mean_of(near, axis=1)[None], fps)[0]
    return level if np.isfinite(level).any() else floor


def _without_blinks(contacts: Bools, shortest: int) -> Bools:
    """Contacts with gaps of at most `shortest` frames closed, and then those as short taken out."""
    closed = ~_without_short_runs(~contacts, shortest)
    return _without_short_runs(closed, shortest)


def _without_short_runs(flags: Bools, shortest: int) -> Bools:
    """Runs of True within the time, of at most `shortest` frames, become False; those at the ends may go on."""
    found = flags.copy()
    for column in found.T:
        edges = np.flatnonzero(np.diff(column.astype(np.int8)))
        starts, stops = edges[:-1] + 1, edges[1:] + 1
        for start, stop in zip(starts, stops, strict=True):
            if column[start] and stop - start <= shortest:
                column[start:stop] = False
    return found
