"""Recordings whose y points up are warned of, and none that is the right way up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from olift_fast import read_keypoints
from olift_fast.tracks import KeypointTracks, Skeleton
from olift_fast.tracks.upside_down import upside_down_warning

DATA = Path(__file__).resolve().parents[2] / "docs/tutorials/data"


def turned(tracks: KeypointTracks) -> KeypointTracks:
    """The same with y up."""
    return replace(tracks, keypoints=tracks.keypoints * np.array([1, -1], tracks.keypoints.dtype))


@pytest.mark.parametrize("name", ["rat.csv", "people"])
def test_legs_that_point_up_are_warned_of(name: str) -> None:
    tracks = read_keypoints(DATA / name)
    assert upside_down_warning(tracks) is None
    warning = upside_down_warning(turned(tracks))
    assert warning is not None and "if y points up in this file" in warning


def test_nothing_is_said_where_no_name_tells_the_legs_or_few_frames_do() -> None:
    tracks = turned(read_keypoints(DATA / "rat.csv"))
    nameless = Skeleton(tuple(f"p{joint}" for joint in range(tracks.skeleton.num_joints)))
    assert upside_down_warning(replace(tracks, skeleton=nameless)) is None
    hidden = tracks.confidence.copy()
    hidden[:, 10:] = 0
    assert upside_down_warning(replace(tracks, confidence=hidden)) is None
