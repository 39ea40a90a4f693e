"""Lifting without bones warns once a call, and names the tracks and the function that infers bones."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from olift_fast import Lifter, LifterConfig, Skeleton, StreamingLifter, lift_tracks
from olift_fast.model import lift_recordings
from olift_fast.streaming import LiftingProcessor, lift_long, lift_poses
from olift_fast.tracks import KeypointTracks, with_inferred_skeleton
from olift_fast.tracks.without_bones import bones_reported, tracks_without_bones

NAMES = ("nose", "left_ear", "right_ear", "neck", "tail_base")
EDGES = ((0, 1), (0, 2), (0, 3), (3, 4))
BARE = Skeleton(NAMES, name="mouse")
POINTS = np.random.default_rng(0).uniform(100, 300, (12, 5, 2)).astype(np.float32)


@pytest.fixture(scope="module")
def lifter() -> Lifter:
    torch.manual_seed(0)
    return Lifter(LifterConfig(width=16, heads=2, motion_layers=1, space_layers=1, window=(2, 2), frequencies=5)).eval()


def recording(*names: str, skeleton: Skeleton = BARE) -> KeypointTracks:
    points = np.stack([POINTS] * len(names))
    return KeypointTracks(points, np.ones(points.shape[:3], np.float32), skeleton, names, source="clip.csv")


def messages(call: Callable[[], object]) -> list[str]:
    """The UserWarnings of a call, which must all name this file."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    caught = [warning for warning in caught if warning.category is UserWarning]
    assert {warning.filename for warning in caught} <= {__file__}
    return [str(warning.message) for warning in caught]


def test_a_recording_is_named_with_what_infers_its_bones(lifter: Lifter) -> None:
    told = messages(lambda: lift_tracks(lifter, recording("a")))
    assert told == [
        "clip.csv: track a has no bones: without bones, errors are up to four times as large; "
        "olift_fast.tracks.with_inferred_skeleton(tracks) infers bones from the joints' names"
    ]
    assert messages(lambda: lift_tracks(lifter, with_inferred_skeleton(recording("a")))) == []


def test_many_tracks_have_one_line(lifter: Lifter) -> None:
    recordings = [recording("a", "b"), recording("c", skeleton=Skeleton(NAMES, EDGES)), recording(*"defg")]
    (told,) = messages(lambda: lift_recordings(lifter, recordings))
    assert told.startswith("clip.csv: tracks a, b, d, e and 2 more have no bones: ") and "\n" not in told


def test_recordings_of_several_files_are_named_by_their_files(lifter: Lifter) -> None:
    recordings = [replace(recording("a"), source=source) for source in ("mon.csv", "tue.csv", "mon.csv", "")]
    (told,) = messages(lambda: lift_recordings(lifter, recordings))
    assert told.startswith("mon.csv, tue.csv: tracks a, a, a, a have no bones: ")


def test_where_none_can_be_inferred_the_line_asks_for_edges(lifter: Lifter) -> None:
    tracks = with_inferred_skeleton(recording("a", skeleton=Skeleton(("p1", "p2", "p3", "p4", "p5"))))
    (told,) = messages(lambda: lift_tracks(lifter, tracks))
    assert told.endswith("; none could be inferred, so give a skeleton with edges")


def test_only_tracks_whose_own_joints_no_bone_joins_are_meant(lifter: Lifter) -> None:
    tracks = recording("mouse", "cricket", skeleton=Skeleton(NAMES, ((0, 1), (1, 2))))
    points, confidence = tracks.keypoints.copy(), tracks.confidence.copy()
    points[0, :, 3:], points[1, :, :3] = np.nan, np.nan
    confidence[~np.isfinite(points[..., 0])] = 0
    both = replace(tracks, keypoints=points, confidence=confidence)
    assert tracks_without_bones(both) == ["cricket"]
    # Bones are inferred only for recordings without any, so that is no way out.
    assert with_inferred_skeleton(both).skeleton.edges == both.skeleton.edges
    (told,) = messages(lambda: lift_tracks(lifter, both))
    assert told.endswith("; the skeleton's edges join other joints, so give one with edges for these")
    points[1, :, 4] = np.nan
    assert tracks_without_bones(replace(tracks, keypoints=points, confidence=confidence)) == []  # one joint has no bone


def test_streams_and_long_recordings_warn_of_the_skeleton(lifter: Lifter, tmp_path: Path) -> None:
    line = (
        "skeleton 'mouse' has no bones: without bones, errors are up to four times as large; "
        "olift_fast.tracks.draft_skeleton infers bones from the joints' names and some keypoints"
    )
    for number, skeleton in enumerate((BARE, Skeleton(NAMES, EDGES))):
        wanted = [] if skeleton.edges else [line]
        out = tmp_path / f"{number}.npy"
        assert messages(lambda out=out, own=skeleton: lift_long(lifter, POINTS, out, skeleton=own)) == wanted
        assert messages(lambda own=skeleton: StreamingLifter(lifter, own)) == wanted
        assert messages(lambda own=skeleton: LiftingProcessor(own, lifter)) == wanted
        assert messages(lambda own=skeleton: list(lift_poses(POINTS, own, model=lifter))) == wanted
        stream = StreamingLifter(lifter, Skeleton(NAMES, EDGES))
        assert messages(lambda own=stream: [own.push(points) for points in POINTS]) == []


def test_a_caller_that_reports_missing_bones_gets_no_warning(lifter: Lifter) -> None:
    with bones_reported():
        assert messages(lambda: lift_tracks(lifter, recording("a"))) == []
    assert messages(lambda: lift_tracks(lifter, recording("a"))) != []
