"""Means and medians of finite values; NaN where there are none, without NumPy's warning."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def mean_of(values: Floats, axis: int, keepdims: bool = False) -> Floats:
    """The mean of the finite values along the axis."""
    there = np.isfinite(values)
    count = there.sum(axis=axis, keepdims=keepdims)
    total = np.where(there, values, 0).sum(axis=axis, keepdims=keepdims)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def median_of(values: Floats, axis: int, keepdims: bool = False) -> Floats:
    """The median of the finite values along the axis."""
    there = np.isfinite(values)
    some = there.any(axis=axis, keepdims=True)
    filled = np.where(some, np.where(there, values, np.nan), 0)
    if not filled.shape[axis]:
        found = np.full(some.shape, np.nan)
    else:
        found = np.where(some, np.nanmedian(filled, axis=axis, keepdims=True), np.nan)
    return found if keepdims else np.squeeze(found, axis=axis)
