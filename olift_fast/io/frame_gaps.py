"""Fills in the frames that a file skips: in these, all keypoints are hidden."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from olift_fast.io.parsed import Parsed, check_size, fill_gaps


def with_hidden_frames(parsed: Parsed) -> Parsed:
    """The tracks with a frame for each number from the first to the last; the added frames are NaN.

    Raises:
        InputError: so many frames are missing that the numbers can't be frame numbers.
    """
    if parsed.frames is None or len(parsed.frames) < 2:
        return parsed
    tracks, frames, joints = parsed.keypoints.shape[:3]
    numbers, places = fill_gaps(parsed.frames, joints)
    if len(numbers) == frames:
        return parsed
    check_size(tracks, len(numbers), joints)

    def spread(values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        filled = np.full((tracks, len(numbers), *values.shape[2:]), np.nan, np.float32)
        with np.errstate(over="ignore"):
            filled[:, places] = values
        return filled

    confidence = None if parsed.confidence is None else spread(parsed.confidence)
    return replace(parsed, keypoints=spread(parsed.keypoints), confidence=confidence, frames=numbers)
