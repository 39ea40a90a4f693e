"""Whether a recording looks upside down, by its 2D keypoints alone: y may point up in its file."""

from __future__ import annotations

import numpy as np

from olift_fast.tracks.containers import KeypointTracks
from olift_fast.tracks.overhead import FACTS, facts

THRESHOLD = -0.5
"""How far the legs point down in the picture (1: straight down, -1: up), in the mean, below which there is a warning.
Bodies that stand before cameras that look down by -10 … 40° are at 0.2 … 0.9, and from above about 0."""

_MOST_TRACKS = 8


def upside_down_warning(tracks: KeypointTracks, min_confidence: float = 0.3) -> str | None:
    """A warning where the legs point up in the picture, by the joints' names; None where these tell no legs.

    Args:
        tracks: as `read_keypoints` returns them.
        min_confidence: keypoints below it count as hidden.
    """
    visible = tracks.visible(min_confidence)
    known, down = FACTS.index("legs"), FACTS.index("legs_down")
    found = [
        told[down]
        for keypoints, seen in zip(tracks.keypoints[:_MOST_TRACKS], visible[:_MOST_TRACKS], strict=True)
        if (told := facts(keypoints, seen, tracks.skeleton)) is not None and told[known]
    ]
    if not found or np.mean(found) > THRESHOLD:
        return None
    return (
        "the legs point up in the picture: if y points up in this file, turn it first (picture's height - y), for x "
        "right and y down is wanted; else the animal hangs, or the video is upside down"
    )
