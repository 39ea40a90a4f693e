"""The scale of each track of a stream: given, or fitted to its first frames, before or while they are lifted."""

from __future__ import annotations

from typing import Literal

import numpy as np

from olift_fast.model import Normalization
from olift_fast.model.normalization import spread
from olift_fast.streaming.steps import Array, Mask

Fit = Literal["hold", "running"]

SETTLED = 0.01
"""A running scale settles with a frame that changes it by no more than this share."""

Frame = tuple[Array, Mask]
"""Keypoints ``(J, 2)`` and visible ``(J,)``."""


class TrackScales:
    """Holds the first frames of each track back, fits the scale to them, and, if asked to, goes on fitting.

    The fit begins at the first frame that shows two keypoints: without two, a frame says nothing of the scale.

    Args:
        tracks: how many.
    """

    def __init__(self, tracks: int) -> None:
        self.values = np.full(tracks, np.nan, dtype=np.float32)
        """``(tracks,)`` pixels in one model unit; NaN until something is known."""
        self.fitting = np.zeros(tracks, dtype=np.bool_)
        """``(tracks,)`` whether further frames will change it."""
        self._normalizations: list[Normalization | None] = [None] * tracks
        self._held: list[list[Frame]] = [[] for _ in range(tracks)]
        self._sums = [(0.0, 0)] * tracks
        self._counted = np.zeros(tracks, dtype=np.int64)
        self._frames = np.zeros((2, tracks), dtype=np.int64)

    def start(self, track: int, given: Normalization | None, held: int, fitted: int) -> None:
        """Begins a track.

        Args:
            track: its slot.
            given: its normalization, if it is known.
            held: how many frames are held back, and lifted once the scale is fitted to them; 1 holds none.
            fitted: how many frames the scale is fitted to, at least.
        """
        self._held[track], self._sums[track], self._counted[track] = [], (0.0, 0), 0
        self._frames[:, track] = held, fitted
        self._set(track, given)
        self.fitting[track] = given is None

    def see(self, track: int, keypoints: Array, visible: Mask) -> tuple[list[Frame], bool]:
        """Takes the next frame of a track whose scale is being fitted.

        Returns:
            the frames before it that were held back and may be lifted now, and whether it may be lifted after them.
        """
        if not self._counted[track] and visible.sum() < 2:
            return [], True
        self._counted[track] += 1
        self._held[track].append((keypoints.copy(), visible.copy()))
        held, fitted = self._frames[:, track]
        if self._counted[track] < held:
            return [], False
        before = self.values[track]
        *earlier, _ = self._fit(track)
        change = 0.0 if np.isnan(before) else abs(self.values[track] / before - 1)
        self.fitting[track] = self._counted[track] < fitted or change > SETTLED
        return earlier, True

    def release(self, track: int) -> list[Frame]:
        """Fits the scale to the frames that are held back, if there are some, and returns them: the track ends."""
        if not self._held[track]:
            return []
        self.fitting[track] = False
        return self._fit(track)

    def of(self, track: int) -> Normalization | None:
        """The normalization in use; None until something is known."""
        return self._normalizations[track]

    def held(self) -> int:
        """How many frames of all tracks are held back."""
        return sum(map(len, self._held))

    def _fit(self, track: int) -> list[Frame]:
        """Fits the scale to all frames so far, and returns those that were held back."""
        frames, self._held[track] = self._held[track], []
        squares, count = spread(*(np.stack(parts) for parts in zip(*frames, strict=True)))
        self._sums[track] = self._sums[track][0] + squares, self._sums[track][1] + count
        self._set(track, Normalization.of_spread(*self._sums[track]))
        return frames

    def _set(self, track: int, normalization: Normalization | None) -> None:
        self._normalizations[track] = normalization
        self.values[track] = np.nan if normalization is None else normalization.scale
