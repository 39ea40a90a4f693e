"""Turns positions of joints, and plays them at other rates."""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


def turned_up(positions: Floats, up: npt.NDArray[np.float64]) -> Floats:
    """The positions rotated by the smallest rotation that takes the direction `up` to Z."""
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
    """(J) +1 for the partner farther in the direction `left` on average, -1 for the other, 0 where there is none."""
    with warnings.catch_warnings():
        # A joint that is never known has no mean, and no side.
        warnings.simplefilter("ignore", RuntimeWarning)
        place = np.nanmean(positions, axis=0) @ left
    other = np.where(partners < 0, np.arange(len(partners)), partners)
    return tuple(np.sign(np.nan_to_num(place - place[other])).astype(int).tolist())


def rotation_about(rotation_vector: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(3, 3) the rotation about the vector by its length in radians."""
    angle = float(np.linalg.norm(rotation_vector))
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = rotation_vector / angle
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross)


def at_times(positions: Floats, times: npt.NDArray[np.float64], cyclic: bool = False) -> Floats:
    """(len(times), J, 3) the positions at times in frames, linear between frames; round and round where cyclic."""
    last = len(positions) - 1
    before = np.floor(times + 1e-6).astype(np.int64)
    before = before if cyclic else np.clip(before, 0, last)
    weight = np.clip(times - before, 0, 1).astype(np.float32)
    # Where the next frame has no weight it isn't read: it may be unknown.
    after = np.where(weight > 0, before + 1, before)
    before, after = (index % len(positions) if cyclic else np.minimum(index, last) for index in (before, after))
    weight = weight[:, None, None]
    return positions[before] * (1 - weight) + positions[after] * weight


def at_rate(take: Floats, cyclic: bool, rate: float, fps: float) -> Floats:
    """A take of `rate` frames a second at `fps`; one that is cyclic keeps a whole number of frames in a round."""
    if rate == fps:
        return take
    spans = len(take) if cyclic else len(take) - 1
    count = max(round(spans * fps / rate), 1) if cyclic else int(spans * fps / rate + 1e-6) + 1
    return at_times(take, np.arange(count, dtype=np.float64) * (spans / count if cyclic else rate / fps), cyclic)
