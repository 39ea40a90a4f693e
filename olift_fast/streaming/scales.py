"""The scale of each track of a stream: given, or fitted to its first frames before or while they are lifted."""

from __future__ import annotations

from typing import Literal

import numpy as np

from olift_fast.model import Normalization
from olift_fast.model.normalization import spread
from olift_fast.streaming.steps import Array, Mask

Fit = Literal["hold", "running"]

SETTLED = 0.01
"""A running scale is settled by a frame that changes it by no more than this share."""

Frame = tuple[Array, Mask]
"""Keypoints ``(J, 2)`` and visible ``(J,)``."""


class TrackScales:
    """Holds back the first frames of each track, fits the scale to them, and continues to fit if asked to.

    The fit begins at the first frame with two visible keypoints, because the scale can't be seen in one keypoint.

    Args:
        tracks: the number of tracks.
    """

    def __init__(self, tracks: int) -> None:
        self.values = np.full(tracks, np.nan, dtype=np.float32)
        """``(tracks,)`` pixels in one model unit; NaN until there is a scale."""
        self.fitting = np.zeros(tracks, dtype=np.bool_)
        """``(tracks,)``, True if further frames will change the scale."""
        self._normalizations: list[Normalization | None] = [None] * tracks
        self._held: list[list[Frame]] = [[] for _ in range(tracks)]
        self._sums = [(0.0, 0)] * tracks
        self._counted = np.zeros(tracks, dtype=np.int64)
        self._frames = np.zeros((2, tracks), dtype=np.int64)

    def start(self, track: int, given: Normalization | None, held: int, fitted: int) -> None:
        """Begins a track.

        Args:
            track: the track's slot.
            given: its normalization, if known.
            held: the number of frames to hold back until the scale is fitted to them; 1 holds none back.
            fitted: the scale is fitted to at least this many frames.
        """
        self._held[track], self._sums[track], self._counted[track] = [], (0.0, 0), 0
        self._frames[:, track] = held, fitted
        self._set(track, given)
        self.fitting[track] = given is None

    def see(self, track: int, keypoints: Array, visible: Mask) -> tuple[list[Frame], bool]:
        """Takes the next frame of a track whose scale is being fitted.

        Returns:
            the earlier frames that were held back and may be lifted now, and whether this frame may be lifted after
            them.
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
        """Called when the track ends: fits the scale to the frames that are held back, if any, and returns them."""
        if not self._held[track]:
            return []
        self.fitting[track] = False
        return self._fit(track)

    def of(self, track: int) -> Normalization | None:
        """The normalization in use; None until there is a scale."""
        return self._normalizations[track]

    def held(self) -> int:
        """The number of frames held back, of all tracks."""
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
