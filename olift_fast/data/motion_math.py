"""Rotates positions of joints, and resamples them to other frame rates."""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


def turned_up(positions: Floats, up: npt.NDArray[np.float64]) -> Floats:
    """The positions after the smallest rotation that turns the direction `up` to Z."""
    x, y, z = up / np.linalg.norm(up)
    if z < -0.999999:
        rotation = np.diag([1.0, -1.0, -1.0])
    else:
        sideways = np.array([x, y])
        rotation = np.block([[np.eye(2) - np.outer(sideways, sideways) / (1 + z), -sideways[:, None]], [x, y, z]])
    return np.ascontiguousarray((positions @ rotation.T).astype(np.float32))


def sides_of_partners(
    positions: Floats, partners: npt.NDArray[np.int64], left: npt.NDArray[np.float64]
) -> tuple[int, ...]:
    """For each joint +1 if it is farther in the direction `left` than its partner, on average, else -1; 0 for none."""
    with warnings.catch_warnings():
        # A joint that is never known has a NaN mean, with a warning of NumPy, and gets side 0.
        warnings.simplefilter("ignore", RuntimeWarning)
        place = np.nanmean(positions, axis=0) @ left
    other = np.where(partners < 0, np.arange(len(partners)), partners)
    return tuple(np.sign(np.nan_to_num(place - place[other])).astype(int).tolist())


def rotation_about(rotation_vector: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The rotation ``(3, 3)`` about a vector, by the vector's length in radians (Rodrigues, 1840)."""
    angle = float(np.linalg.norm(rotation_vector))
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = rotation_vector / angle
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross)


def at_times(positions: Floats, times: npt.NDArray[np.float64], cyclic: bool = False) -> Floats:
    """Positions ``(len(times), J, 3)`` at times in frames, interpolated linearly. A cyclic motion goes round."""
    last = len(positions) - 1
    before = np.floor(times + 1e-6).astype(np.int64)
    before = before if cyclic else np.clip(before, 0, last)
    weight = np.clip(times - before, 0, 1).astype(np.float32)
    # A next frame of weight 0 is not read, because it may be NaN.
    after = np.where(weight > 0, before + 1, before)
    before, after = (index % len(positions) if cyclic else np.minimum(index, last) for index in (before, after))
    weight = weight[:, None, None]
    return positions[before] * (1 - weight) + positions[after] * weight


def at_rate(take: Floats, cyclic: bool, rate: float, fps: float) -> Floats:
    """A take of `rate` frames a second, resampled to `fps`; a cyclic one to the nearest whole number of frames."""
    if rate == fps:
        return take
    spans = len(take) if cyclic else len(take) - 1
    count = max(round(spans * fps / rate), 1) if cyclic else int(spans * fps / rate + 1e-6) + 1
    return at_times(take, np.arange(count, dtype=np.float64) * (spans / count if cyclic else rate / fps), cyclic)
