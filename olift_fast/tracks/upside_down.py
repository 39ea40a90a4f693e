"""Judges from 2D keypoints alone whether a recording is upside down: in some files y points up."""

from __future__ import annotations

import numpy as np

from olift_fast.tracks.containers import KeypointTracks
from olift_fast.tracks.overhead import FACTS, TrackFacts, steep_warning

THRESHOLD = -0.5
"""There is a warning if the legs' mean direction in the picture (1: straight down, -1: up) is below this. For standing
bodies it is 0.2 … 0.9 with cameras that look down by -10 … 40°, and about 0 from above."""

_MOST_TRACKS = 8


def view_warnings(
    tracks: KeypointTracks, min_confidence: float = 0.3, *, takes_pitch: bool = False, pitch_told: bool = False
) -> tuple[str, ...]:
    """Warnings about the camera from the 2D keypoints: `steep_warning`, unless a pitch is given, and upside down.

    Args:
        tracks, min_confidence, takes_pitch: as for `steep_warning`.
        pitch_told: whether a pitch is given; then there is no warning of a steep camera.
    """
    told = TrackFacts.of(tracks, min_confidence)
    steep = None if pitch_told else steep_warning(tracks, takes_pitch=takes_pitch, told=told)
    return tuple(filter(None, (steep, upside_down_warning(tracks, told=told))))


def upside_down_warning(
    tracks: KeypointTracks, min_confidence: float = 0.3, *, told: TrackFacts | None = None
) -> str | None:
    """A warning if the legs point up in the picture; None if they don't, or if the joints' names have no legs.

    Args:
        tracks: from `read_keypoints`.
        min_confidence: keypoints with a lower confidence count as hidden.
        told: the facts of these tracks, to share them with other functions.
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
