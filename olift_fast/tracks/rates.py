"""The step between the frames of tracks: a recording may have only every fifth frame of its video."""

from __future__ import annotations

import numpy as np

from olift_fast.tracks.containers import KeypointTracks, LiftedTracks


def frame_step(tracks: KeypointTracks | LiftedTracks) -> int:
    """The most frequent step from one frame of the tracks to the next, in frames of the video."""
    if tracks.frames is None or len(tracks.frames) < 2:
        return 1
    steps, counts = np.unique(np.diff(tracks.frames), return_counts=True)
    return int(steps[counts.argmax()])


def rate_of(tracks: KeypointTracks | LiftedTracks) -> float | None:
    """Frames of the tracks a second: fewer than the video's `fps` if the tracks skip frames; None if unknown."""
    return None if tracks.fps is None else tracks.fps / frame_step(tracks)
