"""Angles of vectors (..., 3), in degrees; NaN where a vector has no length or is NaN."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def between(one: Floats, other: Floats) -> Floats:
    """(...) the angle between two vectors, 0 … 180°, exact for small angles, too (Kahan 2006)."""
    one, other = unit(one), unit(other)
    return degrees(2 * np.arctan2(np.linalg.norm(one - other, axis=-1), np.linalg.norm(one + other, axis=-1)))


def elevation(vector: Floats) -> Floats:
    """(...) how far a vector rises above the level, -90 … 90°, where z is up."""
    level = np.hypot(vector[..., 0], vector[..., 1])
    values = degrees(np.arctan2(vector[..., 2], level))
    return np.asarray(np.where(np.linalg.norm(vector, axis=-1) > 0, values, np.nan))


def unit(vector: Floats) -> Floats:
    """(..., 3) of length 1; NaN where there is no length."""
    length = np.linalg.norm(vector, axis=-1, keepdims=True)
    return np.divide(vector, length, out=np.full(vector.shape, np.nan), where=length > 0)


def dot(one: Floats, other: Floats) -> Floats:
    """(...) the product of vectors."""
    return np.asarray((one * other).sum(axis=-1))


def degrees(radians: Floats) -> Floats:
    """Radians as degrees."""
    return np.asarray(np.degrees(radians))
