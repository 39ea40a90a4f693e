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
# estimate of gravity is off, those on one side of the body rise. The highest at which one stands is beyond that.
_FOOT_BAND, _HIGHEST_FOOT, _JOINT_BAND = 0.2, 0.35, 0.04
# Standard deviations of the velocity of a foot that stands and of one that swings, in shares of the speed of feet that
# swing; the noise of positions is added to both by this share.
_STANDS, _SWINGS, _NOISE = 0.09, 0.5, 0.85
# The speed of feet that swing is this quantile of the feet's speeds, and at least so many body sizes a second.
_SWINGING, _LEAST_SWING = 0.9, 0.9
CHANGE = 1.0  # the log-likelihood that a change between standing and swinging costs
_UNKNOWN = -0.5  # the evidence of a frame without the joint
_RATE = 30.0  # frames a second, of more each counts for less
_WIDTHS = 1.5  # a body counts as this many radii high where it is flat
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
    stands still, and depth is less sure. Contacts are the likeliest sequence of standing and swinging, in which each
    change costs something (Viterbi 1967): the velocity of a foot is normally distributed, narrowly where it stands, and
    widely where it swings.

    Args:
        joints: (T, J, 3) in world axes, z up; NaN where a joint is not there.
        seen: (T, J) which joints the model saw.
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


def _evidence(joints: Floats, seen: Bools, feet: Ints, view: Floats, rate: float, body: float) -> Floats:
    """(T, J) the log-likelihood of the joints' velocities if they stand, less that if they swing."""
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


def likeliest(evidence: Floats) -> Bools:
    """(T, J) the sequence of True and False of the largest sum of evidence (T, J), less `CHANGE` for each change."""
    lead, balance = np.zeros_like(evidence), np.zeros(evidence.shape[1])
    for frame, own in enumerate(evidence):
        # By how much the best sequence that ends in True leads; more than a change costs is of no use.
        balance = np.minimum(np.maximum(balance, -CHANGE), CHANGE) + own
        lead[frame] = balance
    if not len(lead):
        return np.zeros(evidence.shape, dtype=np.bool_)
    # Backward in time, a state lasts until a lead says that another sequence came to it.
    sure = np.abs(lead) > CHANGE
    sure[-1] = True
    frames = np.where(sure, np.arange(len(lead))[:, None], len(lead))
    following = np.minimum.accumulate(frames[::-1], axis=0)[::-1]
    return np.asarray(np.take_along_axis(lead > 0, following, axis=0))
