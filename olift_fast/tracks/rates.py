"""How far apart the frames of tracks are: a recording may hold every fifth frame of its video."""

from __future__ import annotations

import numpy as np

from olift_fast.tracks.containers import KeypointTracks, LiftedTracks


def frame_step(tracks: KeypointTracks | LiftedTracks) -> int:
    """Frames of the video from one frame of the tracks to the next: the most frequent number."""
    if tracks.frames is None or len(tracks.frames) < 2:
        return 1
    steps, counts = np.unique(np.diff(tracks.frames), return_counts=True)
    return int(steps[counts.argmax()])


def rate_of(tracks: KeypointTracks | LiftedTracks) -> float | None:
    """Frames of the tracks a second, which are fewer than the video's `fps` where they skip some; None if unknown."""
    return None if tracks.fps is None else tracks.fps / frame_step(tracks)
