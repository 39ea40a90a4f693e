"""How a lifter knows the time: by a vector for each frame number, or by a bias of its attention."""

from __future__ import annotations

from typing import Literal

import numpy as np

from olift_fast.runtime.arrays import Array, Weights

TimeEncoding = Literal["relative", "absolute", "table", "none"]
"""A bias of the attention over time, a vector for each frame number (made of features, or learned), or nothing."""


def relative_time_bias(weights: Weights, prefix: str, window: tuple[int, int]) -> Array:
    """``(H, left + right + 1)``, from offset ``-left`` to offset ``right``.

    Args:
        weights: have ``freqs`` ``(1, F)`` and a layer ``projection`` under names with this prefix.
        prefix: such as "motion.0.attention.time_bias.".
        window: ``(left, right)`` frames.

    Equivalent to `olift_fast.nn.time.RelativeTimeBias`, up to rounding: computed in float64, rounded once.
    """
    return np.ascontiguousarray(_projected(weights, prefix, -window[0], window[1] + 1).T)


def absolute_time(weights: Weights, prefix: str, frames: int) -> Array:
    """``(T, D)``: a vector for each frame number.

    Equivalent to `olift_fast.nn.time.AbsoluteTime`, up to rounding.
    """
    return _projected(weights, prefix, 0, frames)


def table_of_time(table: Array, frames: int) -> Array:
    """``(T, D)``: the first rows of the learned table.

    Raises:
        ValueError: more frames than rows.
    """
    if frames > len(table):
        raise ValueError(f"frames must be <= {len(table)}, the rows of the time table, got {frames}")
    return table[:frames]


def _projected(weights: Weights, prefix: str, start: int, stop: int) -> Array:
    """``(stop - start, out)``: Fourier features of the numbers from start to stop - 1, through the linear layer."""
    freqs, weight, bias = (
        weights[prefix + name].astype(np.float64) for name in ("freqs", "projection.weight", "projection.bias")
    )
    turns = np.arange(start, stop)[:, None] * freqs
    phase = 2 * np.pi * (turns - np.round(turns))
    features = np.concatenate([np.cos(phase), np.sin(phase)], axis=-1)
    return (features @ weight.T + bias).astype(np.float32)
