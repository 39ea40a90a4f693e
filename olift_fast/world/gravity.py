"""The direction up in the camera's axes: from the camera's pitch, or estimated from how the animals stand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from olift_fast.tracks.containers import LiftedTracks
from olift_fast.tracks.overhead import steep_camera
from olift_fast.tracks.rates import rate_of
from olift_fast.tracks.skeleton import Skeleton
from olift_fast.tracks.world_frame import Gravity
from olift_fast.world.averages import mean_of
from olift_fast.world.feet import Ints, feet_of, limbs_of, pairs_of, upright_trunk_of

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

# The prior of cameras: most stand upright and look down a little; tripods tilt sideways by little.
_PITCH, _PITCH_SPREAD, _ROLL_SPREAD = 18.0, 14.0, 3.0
_STEEP_ANYHOW, _ROLLED_ANYHOW = 0.04, 0.02
# The error of a given pitch in degrees, roll included.
PITCH_ERROR = 3.0
# This share of the feet's places is on the floor, which is flat to this many radii.
_STANDING, _FLAT = 0.4, 0.03
_WINDOW_SECONDS, _MOST_FRAMES = 2.0, 240
# Weights of the evidence, fitted on lifted generated animals (`python -m benchmarks.world`).
_FEET_WEIGHT, _ACROSS_DEGREES, _TRUNK_DEGREES, _LIMB_DEGREES = 8.0, 8.0, 10.0, 28.0
_DOUBT, _PEAK = 1.1, 10.0
_UPRIGHT = 0.4  # cosine of the angle between an upright trunk and the legs, at least


class Up(NamedTuple):
    """The direction up: (3) a unit vector in the camera's axes, its source, and its error in degrees."""

    vector: Floats
    source: Gravity
    error: float


def up_of_pitch(pitch: float, roll: float = 0.0) -> Floats:
    """(3) up in the axes of a camera that looks down by `pitch` degrees, and is turned clockwise by `roll` degrees."""
    p, r = np.radians(pitch), np.radians(roll)
    return np.array([np.sin(r) * np.cos(p), -np.cos(r) * np.cos(p), -np.sin(p)])


def pitch_and_roll(up: Floats) -> tuple[float, float]:
    """Degrees by which a camera looks down, and is turned about its axis, from `up` in its axes."""
    x, y, z = up
    return float(np.degrees(np.arctan2(-z, np.hypot(x, y)))), float(np.degrees(np.arctan2(x, -y)))


def axes_of(up: Floats) -> Floats:
    """(3, 3) from the camera's axes to those of a world: z along `up`, x level and to the camera's right."""
    right = np.array([1.0, 0, 0]) if abs(up[0]) < 0.99 else np.array([0.0, 0, 1])
    x = right - (right @ up) * up
    x /= np.linalg.norm(x)
    return np.stack([x, np.cross(up, x), up])


def estimate_up(result: LiftedTracks) -> Up:
    """Estimate the direction up from the joints of all tracks in the camera frame.

    Every direction of a grid is weighted by a prior of cameras and by evidence: feet on a plane, left and right joints
    at one height, upright legs, and the trunk of an upright body. The error is the posterior's root mean square angle.

    Args:
        result: in the camera frame.
    """
    pitch, roll = np.meshgrid(np.arange(-90.0, 90.1, 2.5), np.arange(-40.0, 40.1, 2.5), indexing="ij")
    pitch, roll = pitch.ravel(), roll.ravel()
    directions = np.stack([up_of_pitch(p, r) for p, r in zip(pitch, roll, strict=True)])
    bodies = [body for track in range(result.num_tracks) if (body := _body(result, track)) is not None]
    feet = _mean([_under_feet(body, directions) for body in bodies])
    upright = _mean([_across(body, directions) + _along(body, directions) for body in bodies])
    source: Gravity = "feet" if np.any(feet) else "body" if np.any(upright) else "assumed"
    log_posterior = _log_prior(result, pitch, roll) + feet + upright
    weights = np.exp(log_posterior - log_posterior.max()) * np.cos(np.radians(pitch))
    weights /= weights.sum()
    vector = _likeliest(weights, directions)
    angles = np.degrees(np.arccos(np.clip(directions @ vector, -1, 1)))
    return Up(vector, source, _DOUBT * float(np.sqrt(weights @ np.square(angles))))


def _likeliest(weights: Floats, directions: Floats) -> Floats:
    """(3) the mean direction near the peak with the most weight around it, so that a second peak does not count."""
    likely = directions[weights > 1e-3 * weights.max()]
    near = weights * np.exp(-0.5 * np.square(np.degrees(np.arccos(np.clip(likely @ directions.T, -1, 1))) / _PEAK))
    mean = near[near.sum(axis=1).argmax()] @ directions
    return np.asarray(mean / np.linalg.norm(mean))


def _mean(evidence: Sequence[Floats]) -> Floats | float:
    """The mean evidence of several tracks, which one camera sees; 0 if there are none."""
    return np.mean(evidence, axis=0) if evidence else 0.0


class _Body(NamedTuple):
    """One track in units of its radius, relative to its middle: joints (T, J, 3), and whether each is there (T, J)."""

    joints: Floats
    there: Bools
    skeleton: Skeleton
    window: int


def _body(result: LiftedTracks, track: int) -> _Body | None:
    joints = result.joints[track].astype(np.float64)
    there = np.isfinite(joints).all(axis=-1)
    frames = np.flatnonzero(there.any(axis=1) & result.visible[track].any(axis=1))
    if not len(frames):
        return None
    seconds = (rate_of(result) or 30.0) * _WINDOW_SECONDS
    thinned = max(len(frames) // _MOST_FRAMES, 1)
    frames = frames[::thinned]
    joints, there = joints[frames], there[frames]
    joints = joints - mean_of(joints, axis=1, keepdims=True)
    radius = np.sqrt(mean_of(np.square(joints).sum(axis=-1).ravel(), axis=0))
    if not radius > 0:
        return None
    return _Body(joints / radius, there, result.skeleton, max(round(seconds / thinned), 4))


def _under_feet(body: _Body, directions: Floats) -> Floats:
    """(G) how well the feet stand on a plane across each direction: the log of the height that nearly half of their
    places lie within, counted from the lowest; over windows of time, since bodies rise and sink."""
    feet = feet_of(body.skeleton)
    feet = feet[body.there[:, feet].any(axis=0)]
    total, windows = np.zeros(len(directions)), 0
    if len(feet) < 2:
        return total
    for start in range(0, len(body.joints), body.window):
        those = slice(start, start + body.window)
        points = body.joints[those][:, feet][body.there[those][:, feet]]
        if len(points) < 3 * len(feet):
            continue
        heights = directions @ points.T
        low, high = int(0.02 * len(points)), int(_STANDING * len(points))
        heights.partition((low, high), axis=1)
        total -= np.log(heights[:, high] - heights[:, low] + _FLAT)
        windows += 1
    return total * (_FEET_WEIGHT / max(windows, 1)) if windows else total


def _across(body: _Body, directions: Floats) -> Floats:
    """(G) how level left and right joints are across each direction."""
    pairs = np.array(pairs_of(body.skeleton), dtype=np.int64).reshape(-1, 2)
    across = _unit(mean_of(body.joints[:, pairs[:, 0]] - body.joints[:, pairs[:, 1]], axis=1))
    across = across[np.isfinite(across).all(axis=-1)]
    if not len(across):
        return np.zeros(len(directions))
    lean = np.degrees(np.arcsin(np.clip(directions @ across.T, -1, 1)))
    return np.asarray(-0.5 * np.square(lean / _ACROSS_DEGREES).mean(axis=1))


def _along(body: _Body, directions: Floats) -> Floats:
    """(G) how well the trunk of an upright body, or the legs of another, point along each direction."""
    trunk, legs = (_mean_ends(body, *ends) for ends in (upright_trunk_of(body.skeleton), limbs_of(body.skeleton)[::-1]))
    # A rat's joints may have a person's names, but a trunk across the legs is not upright.
    if np.isfinite(trunk).all() and not trunk @ legs < _UPRIGHT:
        along, degrees = trunk, _TRUNK_DEGREES
    else:
        along, degrees = legs, _LIMB_DEGREES
    if not np.isfinite(along).all():
        return np.zeros(len(directions))
    return np.asarray(-0.5 * np.square(np.degrees(np.arccos(np.clip(directions @ along, -1, 1))) / degrees))


def _mean_ends(body: _Body, low: Ints, high: Ints) -> Floats:
    """(3) the mean direction from some joints to others; NaN if no frame has both."""
    ends = mean_of(body.joints[:, high], axis=1) - mean_of(body.joints[:, low], axis=1)
    return _unit(mean_of(_unit(ends), axis=0))


def _log_prior(result: LiftedTracks, pitch: Floats, roll: Floats) -> Floats:
    """(G) the prior of cameras; for steep ones it uses the chance of a steep camera from the keypoints."""
    steep = steep_camera(result.keypoints, result.visible, result.skeleton)
    above, below = (steep.above, steep.below) if steep is not None else (0.0, 0.0)
    usual = _normal(pitch, _PITCH, _PITCH_SPREAD)
    from_above, from_below = _normal(pitch, 70, 15), _normal(pitch, -70, 15)
    share = (1 - _STEEP_ANYHOW) * np.array([max(1 - above - below, 0), above, below]) + _STEEP_ANYHOW / 3
    by_pitch = share[0] * usual + share[1] * from_above + share[2] * from_below
    by_roll = (1 - _ROLLED_ANYHOW) * _normal(roll, 0, _ROLL_SPREAD) + _ROLLED_ANYHOW / 80
    return np.asarray(np.log(by_pitch) + np.log(by_roll))


def _normal(value: Floats, mean: float, deviation: float) -> Floats:
    return np.asarray(np.exp(-0.5 * np.square((value - mean) / deviation)) / (deviation * np.sqrt(2 * np.pi)))


def _unit(vectors: Floats) -> Floats:
    with np.errstate(invalid="ignore"):
        return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))


def mean_direction(result: LiftedTracks, start: Sequence[int], stop: Sequence[int]) -> tuple[Floats, float]:
    """(3) the mean direction from joints to others over all tracks and frames, and its spread in degrees."""
    joints = result.joints.astype(np.float64)
    ends = _unit(mean_of(joints[:, :, list(stop)], axis=2) - mean_of(joints[:, :, list(start)], axis=2))
    ends = ends.reshape(-1, 3)
    ends = ends[np.isfinite(ends).all(axis=-1)]
    mean = _unit(ends.mean(axis=0)) if len(ends) else np.full(3, np.nan)
    angles = np.degrees(np.arccos(np.clip(ends @ mean, -1, 1)))
    return mean, float(np.sqrt(np.square(angles).mean())) if len(ends) else float("nan")
