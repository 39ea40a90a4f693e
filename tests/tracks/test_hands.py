"""Which hand a hand is: told by the track's name, for hands alone."""

from __future__ import annotations

import numpy as np
import pytest

from olift_fast.cli.lifting_job import skeleton_warnings
from olift_fast.model.inference import prepare_track
from olift_fast.tracks import KeypointTracks, Skeleton, rig
from olift_fast.tracks.hands import hand_of, is_hand

HAND = rig("mediapipe_hand_21")
PERSON_WITH_FINGERS = Skeleton(("neck", "wrist", "thumb_tip", "index_tip"))


@pytest.mark.parametrize(
    ("track", "side"),
    [
        ("left_hand", 1),
        ("Right hand", -1),
        ("handRight", -1),
        ("left", 1),
        ("hand", 0),
        ("leftover", 0),
        ("left or right", 0),
    ],
)
def test_the_name_of_a_track_tells_which_hand_it_is(track: str, side: int) -> None:
    assert hand_of(HAND, track).sides == (side,) * 21
    assert hand_of(HAND, track).edges == HAND.edges


def test_only_hands_without_sides_take_theirs_from_the_track() -> None:
    told = Skeleton(HAND.names, HAND.edges, (-1,) * 21)
    assert is_hand(told) and hand_of(told, "left_hand") is told
    for other in (PERSON_WITH_FINGERS, rig("coco_17"), Skeleton(("wrist", "elbow")), Skeleton(("a", "b", "c"))):
        assert not is_hand(other) and hand_of(other, "left_hand") is other


def test_each_track_of_a_file_is_prepared_as_its_hand() -> None:
    rng = np.random.default_rng()
    keypoints = rng.normal(size=(3, 5, 21, 2)).astype(np.float32)
    tracks = KeypointTracks(keypoints, np.ones((3, 5, 21), np.float32), HAND, ("left_hand", "right_hand", "hand"))
    sides = [prepare_track(tracks, index, tracks.visible()[index]).skeleton.sides for index in range(3)]
    assert sides == [(1,) * 21, (-1,) * 21, (0,) * 21]
    absent = np.arange(21) > 15
    part = prepare_track(tracks, 1, tracks.visible()[1], absent)
    assert part.skeleton.names == HAND.names[:16] and part.skeleton.sides == (-1,) * 16


def test_a_hand_that_nobody_names_is_warned_of() -> None:
    assert list(skeleton_warnings(HAND, ["left_hand", "right_hand"])) == []
    (warning,) = skeleton_warnings(HAND, ["left_hand", "hand_2"])
    assert "nothing says which hand hand_2 is" in warning and '"sides"' in warning
    (warning,) = skeleton_warnings(HAND)
    assert "nothing says which hand it is" in warning
    (warning,) = skeleton_warnings(Skeleton(("a", "b"), ((0, 1),)))
    assert "no left and right joints" in warning
