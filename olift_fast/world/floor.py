"""Finds the floor under the animals, and the joints that stand on it: those that are low and slow."""

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
"""The standard deviation of the floor's height where feet stand on it, as a share of the body's height."""

# Shares of the body's size. Feet have a wider band than other joints: their joints are at several heights, and if the
# estimate of gravity is wrong, those on one side of the body rise. _HIGHEST_FOOT is the highest at which a foot stands.
_FOOT_BAND, _HIGHEST_FOOT, _JOINT_BAND = 0.2, 0.35, 0.04
# Standard deviations of the velocity of a foot that stands and of one that swings, in shares of the speed of feet that
# swing; the noise of positions is added to both by this share.
_STANDS, _SWINGS, _NOISE = 0.09, 0.5, 0.85
# The speed of swinging feet is this quantile of the feet's speeds, and at least this many body sizes a second.
_SWINGING, _LEAST_SWING = 0.9, 0.9
CHANGE = 1.0  # the log-likelihood that a change between standing and swinging costs
_UNKNOWN = -0.5  # the evidence of a frame without the joint
_RATE = 30.0  # frames a second; at a higher rate each frame counts less
_WIDTHS = 1.5  # a flat body counts as this many radii high
_LOW_SHARE = 0.1  # without names of feet, joints that are lowest in this share of the frames are feet


class Floor(NamedTuple):
    """Contacts (T, J); the height (T) of the floor under the animal, NaN where it was not found; the body's size."""

    contacts: Bools
    heights: Floats
    body: float


def find_floor(joints: Floats, seen: Bools, skeleton: Skeleton, view: Floats, fps: float | None) -> Floor:
    """The floor under one animal, over time, and the joints that stand on it.

    The floor is where feet are slow and low. Speeds are measured in the picture's plane only, because depth is less
    sure. Contacts are the likeliest sequence of standing and swinging, with a cost for each change (Viterbi 1967): a
    foot's velocity is normally distributed, narrowly if it stands and widely if it swings.

    Args:
        joints: (T, J, 3) in world axes, z up; NaN where a joint is missing.
        seen: (T, J) True for joints that the model saw.
        skeleton: of the joints.
        view: (3) the camera's viewing direction, in world axes.
        fps: frames a second; 30 where unknown.
    """
    rate = fps or 30.0
    there = np.asarray(np.isfinite(joints).all(axis=-1))
    heights = np.where(there, joints[..., 2], np.nan)
    body = _body_size(joints)
    nothing = Floor(np.zeros(there.shape, dtype=np.bool_), np.full(len(joints), np.nan), body)
    feet = _feet(heights, skeleton)
    if not body > 0 or not len(feet):
        return nothing
    stands = _evidence(joints, seen, feet, view, rate, body)
    with np.errstate(invalid="ignore"):
        floor = _floor_under(heights[:, feet], (stands[:, feet] > 0) & there[:, feet], body, fps)
    if not np.isfinite(floor).any():
        return nothing
    above = np.asarray(np.abs(heights - floor[:, None]) / body)
    highest = np.full(skeleton.num_joints, _JOINT_BAND)
    highest[feet] = _HIGHEST_FOOT
    with np.errstate(invalid="ignore"):
        stands -= 0.5 * np.square(above / _FOOT_BAND)
        stands[above >= highest] = -np.inf
    stands[~there | np.isnan(stands)] = _UNKNOWN
    return Floor(likeliest(stands * min(_RATE / rate, 1.0)), floor, body)


def _feet(heights: Floats, skeleton: Skeleton) -> Ints:
    """The feet by their names, or else the joints that are often the lowest."""
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
    """The median over time of the height of all joints, or 1.5 root mean square radii if that is larger."""
    some = np.isfinite(joints[..., 2]).any(axis=1)
    if not some.any():
        return 0.0
    heights = np.nanmax(joints[some, :, 2], axis=1) - np.nanmin(joints[some, :, 2], axis=1)
    offsets = joints[some] - mean_of(joints[some], axis=1, keepdims=True)
    radii = np.sqrt(mean_of(np.square(offsets).sum(axis=-1), axis=1))
    return float(max(np.median(heights), _WIDTHS * np.median(radii)))


def _evidence(joints: Floats, seen: Bools, feet: Ints, view: Floats, rate: float, body: float) -> Floats:
    """(T, J) the log-likelihood of the joints' velocities if they stand, minus that if they swing."""
    speeds, noise = _speeds(joints, view, rate)
    known = speeds[:, feet][seen[:, feet] & np.isfinite(speeds[:, feet])]
    swing = max(float(np.quantile(known, _SWINGING)) if len(known) else 0.0, _LEAST_SWING * body)
    narrow, wide = (np.square(share * swing) + np.square(_NOISE * noise) for share in (_STANDS, _SWINGS))
    return np.asarray(np.log(wide / narrow) - 0.5 * np.square(speeds) * (1 / narrow - 1 / wide))


def _speeds(joints: Floats, view: Floats, rate: float) -> tuple[Floats, Floats]:
    """(T, J) across the view, a second, over 1/15 s or two frames; and (J) the noise of such a velocity on an axis."""
    across = joints - (joints @ view)[..., None] * view
    if len(across) < 3:
        return np.zeros(across.shape[:2]), np.zeros(across.shape[1])
    at, reach = np.arange(len(across)), max(round(rate / _RATE), 1)
    before, after = np.maximum(at - reach, 0), np.minimum(at + reach, len(across) - 1)
    speeds = np.linalg.norm(across[after] - across[before], axis=-1) * (rate / (after - before))[:, None]
    bends = np.linalg.norm(across[2:] - 2 * across[1:-1] + across[:-2], axis=-1)
    # Differences of three frames have sqrt(6) times the noise of one; the median length in a plane is 1.18 of it.
    noise = np.nan_to_num(median_of(bends, axis=0)) / (1.18 * np.sqrt(6))
    return speeds, noise * np.sqrt(2) * rate / (2 * reach)


def _floor_under(heights: Floats, slow: Bools, body: float, fps: float | None) -> Floats:
    """(T) the height of the floor: first of the lowest slow foot, then of all feet that stand near that height."""
    standing = np.where(slow, heights, np.nan)
    floor = np.full(len(heights), np.nan)
    some = np.isfinite(standing).any(axis=1)
    if not some.any():
        return floor
    floor[some] = np.nanmin(standing[some], axis=1)
    # A slow foot in the air, without a standing one beside it, does not mark the floor.
    floor = np.where(floor < np.nanmedian(floor) + 2 * _FOOT_BAND * body, floor, np.nan)
    floor = smoothed(floor[None], fps)[0]
    with np.errstate(invalid="ignore"):
        near = np.where(np.abs(standing - floor[:, None]) < _FOOT_BAND * body, standing, np.nan)
    level = smoothed(mean_of(near, axis=1)[None], fps)[0]
    return level if np.isfinite(level).any() else floor


def likeliest(evidence: Floats) -> Bools:
    """(T, J) the sequence of True and False with the largest sum of evidence (T, J) minus `CHANGE` for each change."""
    lead, balance = np.zeros_like(evidence), np.zeros(evidence.shape[1])
    for frame, own in enumerate(evidence):
        # The lead of the best sequence that ends in True. A lead larger than the cost of a change is cut to it.
        balance = np.minimum(np.maximum(balance, -CHANGE), CHANGE) + own
        lead[frame] = balance
    if not len(lead):
        return np.zeros(evidence.shape, dtype=np.bool_)
    # Backward in time, a state lasts until the lead shows that the best sequence changed.
    sure = np.abs(lead) > CHANGE
    sure[-1] = True
    frames = np.where(sure, np.arange(len(lead))[:, None], len(lead))
    following = np.minimum.accumulate(frames[::-1], axis=0)[::-1]
    return np.asarray(np.take_along_axis(lead > 0, following, axis=0))
