"""The frame numbers of a result, and the same frames evenly spaced, as motion-capture formats need them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from olift_fast.errors import InputError
from olift_fast.tracks.containers import KeypointTracks, LiftedTracks

# With more than this many times as many frames, the numbers are those of single pictures, not of a motion with gaps.
_MOST_FILLED = 10


class Timeline(NamedTuple):
    """Evenly spaced frames that hold those of a result.

    Args:
        rate: how many of these frames there are a second.
        first: the number of the first frame.
        step: the difference between the numbers of two neighbors.
        length: how many frames there are.
        places: (T) the place of each frame of the result among them; the others are empty.
    """

    rate: float
    first: int
    step: int
    length: int
    places: npt.NDArray[np.int64]

    @property
    def numbers(self) -> npt.NDArray[np.int64]:
        """(length) the frames' numbers in the video."""
        return self.first + self.step * np.arange(self.length)

    def spread(self, values: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
        """(length, ...) values (T, ...) at their places, and NaN elsewhere."""
        filled = np.full((self.length, *values.shape[1:]), np.nan, values.dtype)
        filled[self.places] = values
        return filled


def frame_numbers(result: KeypointTracks | LiftedTracks) -> npt.NDArray[np.int64]:
    """(T) the frames' numbers in the video; 0 … T-1 if they are not known."""
    return np.arange(result.num_frames, dtype=np.int64) if result.frames is None else result.frames


def timeline(result: KeypointTracks | LiftedTracks) -> Timeline:
    """The frames of a result with `fps`, evenly spaced: numbers that are skipped become empty frames.

    Raises:
        InputError: so many are skipped that these are pictures far apart.
    """
    numbers = frame_numbers(result)
    step = int(np.gcd.reduce(np.diff(numbers))) or 1
    places = (numbers - numbers[0]) // step
    length = int(places[-1]) + 1
    if length > _MOST_FILLED * max(len(numbers), 100):
        raise InputError(
            f"needs frames at even times, got {len(numbers)} frames with numbers from {numbers[0]} to {numbers[-1]}; "
            "write .npz, .csv or .nc"
        )
    assert result.fps is not None
    return Timeline(result.fps / step, int(numbers[0]), step, length, places)
