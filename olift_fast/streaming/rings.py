"""Ring buffers for the last frames of each track of a stream."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from olift_fast.model import LifterConfig

Indices = npt.NDArray[np.int64]
Zeros = Callable[[tuple[int, ...]], Any]
"""A function from a shape to an array or a tensor of zeros."""


class Ring:
    """A ring buffer for each track: frame t is in slot ``t % slots`` until frame ``t + slots`` overwrites it.

    Each ring has one more slot, which is never read: a track that has no frame in a step writes there.

    Args:
        tracks, slots: their numbers.
        row: the shape of a frame.
        zeros: allocates the memory.
    """

    def __init__(self, tracks: int, slots: int, row: tuple[int, ...], zeros: Zeros) -> None:
        self.slots = slots
        held = zeros((tracks, slots + 1, *row))
        self.held = held[:, :slots]
        self.rows = held.reshape(tracks * (slots + 1), *row)

    def places(self, tracks: Indices, frames: Indices) -> Indices:
        """The indices in `rows` of these frames of these tracks."""
        return tracks * (self.slots + 1) + frames % self.slots

    def places_or_none(self, frames: Indices, there: npt.NDArray[np.bool_]) -> Indices:
        """The same for one frame of every track; where `there` is False, the row of the slot that is never read."""
        return np.arange(len(frames)) * (self.slots + 1) + np.where(there, frames % self.slots, self.slots)


class MotionRings:
    """A motion layer's memory: q, k, v of the frames in its window, and tokens of frames whose result is due."""

    def __init__(self, config: LifterConfig, tracks: int, joints: int, tokens: Zeros, projected: Zeros) -> None:
        left, right = config.window
        head = (config.heads, config.width // config.heads)
        self.qkv = Ring(tracks, left + right + 1, (joints, 3, *head), projected)
        self.tokens = Ring(tracks, right + 1, (joints, config.width), tokens)
        self.q, self.k, self.v = (self.qkv.held[:, :, :, part] for part in range(3))


def visibility_ring(config: LifterConfig, tracks: int, joints: int, zeros: Zeros) -> Ring:
    """Which keypoints were visible, as far back as the last motion layer attends; `zeros` of bool."""
    before = config.window[0] + config.receptive_field[1] if config.motion_layers else 0
    return Ring(tracks, before + 1, (joints,), zeros)
