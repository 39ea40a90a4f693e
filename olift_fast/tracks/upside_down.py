"""Whether a recording looks upside down, by its 2D keypoints alone: y may point up in its file."""

from __future__ import annotations

import numpy as np

from olift_fast.tracks.containers import KeypointTracks
from olift_fast.tracks.overhead import FACTS, TrackFacts, steep_warning

THRESHOLD = -0.5
"""How far the legs point down in the picture (1: straight down, -1: up), in the mean, below which there is a warning.
Bodies that stand before cameras that look down by -10 … 40° are at 0.2 … 0.9, and from above about 0."""

_MOST_TRACKS = 8


def view_warnings(
    tracks: KeypointTracks, min_confidence: float = 0.3, *, takes_pitch: bool = False, pitch_told: bool = False
) -> tuple[str, ...]:
    """What the 2D keypoints alone say of the camera: `steep_warning`, unless the pitch is told, and upside down.

    Args:
        tracks, min_confidence, takes_pitch: as for `steep_warning`.
        pitch_told: nothing is to be said of a steep camera.
    """
    told = TrackFacts.of(tracks, min_confidence)
    steep = None if pitch_told else steep_warning(tracks, takes_pitch=takes_pitch, told=told)
    return tuple(filter(None, (steep, upside_down_warning(tracks, told=told))))


def upside_down_warning(
    tracks: KeypointTracks, min_confidence: float = 0.3, *, told: TrackFacts | None = None
) -> str | None:
    """A warning where the legs point up in the picture, by the joints' names; None where these tell no legs.

    Args:
        tracks: as `read_keypoints` returns them.
        min_confidence: keypoints below it count as hidden.
        told: the facts of these tracks, if others ask for them, too.
    """
    told = told or TrackFacts.of(tracks, min_confidence)
    known, down = FACTS.index("legs"), FACTS.index("legs_down")
    found = [
        shown[down]
        for track in range(min(len(tracks.tracks), _MOST_TRACKS))
        if (shown := told[track]) is not None and shown[known]
    ]
    if not found or np.mean(found) > THRESHOLD:
        return None
    return (
        "the legs point up in the picture: if y points up in this file, turn it first (picture's height - y), for x "
        "right and y down is wanted; else the animal hangs, or the video is upside down"
    )
