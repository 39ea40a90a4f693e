"""How many frames of tracks there are a second, where they hold every frame of the video, or every fifth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from olift_fast.tracks import KeypointTracks, Skeleton
from olift_fast.tracks.rates import frame_step, rate_of


def test_frames_that_are_skipped_do_not_count() -> None:
    every = KeypointTracks(np.ones((1, 6, 2, 2)), np.ones((1, 6, 2)), Skeleton(("a", "b")), ("dog",), fps=30.0)
    assert (frame_step(every), rate_of(every)) == (1, 30)
    fifth = replace(every, frames=np.array([0, 5, 10, 25, 30, 35]))
    assert (frame_step(fifth), rate_of(fifth)) == (5, 6)
    assert rate_of(replace(fifth, fps=None)) is None
    assert frame_step(replace(fifth, frames=np.array([], np.int64), keypoints=np.ones((1, 0, 2, 2)),
                              confidence=np.ones((1, 0, 2)))) == 1  # fmt: skip
