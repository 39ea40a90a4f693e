"""Poses without ids become tracks by nearness; poses with ids by their id."""

from __future__ import annotations

import tracemalloc

import numpy as np
import numpy.typing as npt
import pytest

from olift_fast.errors import InputError
from olift_fast.io.detections import PATIENCE, Detections, as_recordings, as_stills, as_tracks, identity

SQUARE = np.array([[0.0, 0], [10, 0], [10, 10], [0, 10]])
SURE = np.ones(4)


def _add(found: Detections, frame: int, at: float, track: str | None = None, score: float = 1.0) -> None:
    found.add(frame, track, SQUARE + at, SURE * score)


def _corner(keypoints: npt.NDArray[np.float32], track: int) -> list[float]:
    return keypoints[track, :, 0, 0].tolist()


def test_two_walkers_keep_their_tracks_in_whatever_order_they_come() -> None:
    found = Detections(4)
    for frame in range(10):
        places = [float(frame), 100.0 - frame]
        for at in places if frame % 2 else places[::-1]:
            _add(found, frame, at)
    tracked = as_tracks(found, prefix="person")
    assert tracked.tracks == ("person_0", "person_1")
    assert sorted([_corner(tracked.keypoints, 0), _corner(tracked.keypoints, 1)]) == [
        [float(frame) for frame in range(10)],
        [100.0 - frame for frame in range(10)],
    ]


def test_of_pairs_that_are_equally_near_the_first_in_the_file_is_joined_first() -> None:
    """On every processor: NumPy's usual order of equal values depends on it."""
    found = Detections(4)
    scores = [0.3 + 0.01 * animal for animal in range(24)]
    for frame in range(2):
        for animal, score in enumerate(scores):
            _add(found, frame, 3.0 * (animal % 6), score=score)
    tracked = as_tracks(found)
    assert tracked.confidence is not None
    np.testing.assert_allclose(tracked.confidence[:, :, 0], np.stack([scores] * 2, axis=1), rtol=1e-6)


def test_the_nearest_pair_is_joined_first() -> None:
    found = Detections(4)
    _add(found, 0, 0.0)
    _add(found, 0, 8.0)
    # Both poses are within reach of both tracks.
    _add(found, 1, 7.0)
    _add(found, 1, 3.0)
    tracked = as_tracks(found)
    assert _corner(tracked.keypoints, 0) == [0, 3] and _corner(tracked.keypoints, 1) == [8, 7]


def test_far_pose_starts_a_track_and_a_track_ends_after_the_patience() -> None:
    found = Detections(4)
    _add(found, 0, 0.0)
    _add(found, 0, 50.0)
    _add(found, PATIENCE, 50.0)
    _add(found, PATIENCE, 90.0)
    _add(found, PATIENCE + 1, 0.0)
    tracked = as_tracks(found)
    assert len(tracked.tracks) == 4
    first = [np.flatnonzero(np.isfinite(tracked.keypoints[track, :, 0, 0])).tolist() for track in range(4)]
    assert first == [[0], [0, PATIENCE], [PATIENCE], [PATIENCE + 1]]


def test_one_pose_a_frame_is_one_animal_however_far_it_moves() -> None:
    found = Detections(4)
    _add(found, 0, 0.0)
    _add(found, 60, 1000.0)
    assert as_tracks(found).tracks == ("track_0",)


def test_ids_win_over_nearness_and_the_more_confident_of_two_stays() -> None:
    found = Detections(4)
    _add(found, 0, 0.0, "a")
    _add(found, 1, 80.0, "a", score=0.9)
    _add(found, 1, 70.0, "a", score=0.5)
    _add(found, 1, 0.0, "b")
    tracked = as_tracks(found)
    assert tracked.tracks == ("a", "b")
    assert _corner(tracked.keypoints, 0) == [0, 80]
    assert tracked.confidence[0, 1, 0] == np.float32(0.9)
    assert tracked.warnings == ["1 of 4 poses left out: their frame has another pose of the same id, more confident"]


def test_made_up_names_stay_clear_of_ids_in_the_file() -> None:
    found = Detections(4)
    _add(found, 0, 0.0, "track_0")
    _add(found, 0, 50.0)
    assert as_tracks(found).tracks == ("track_0", "track__0")


def test_pose_without_an_id_is_that_of_the_only_animal() -> None:
    found = Detections(4)
    for frame in range(6):
        _add(found, frame, 300.0 * frame, None if frame in (0, 3) else "mia")
    tracked = as_tracks(found)
    assert tracked.tracks == ("mia",) and _corner(tracked.keypoints, 0) == [300 * frame for frame in range(6)]
    assert tracked.notes == ["2 of 6 poses have no id: each joins the nearest track without a pose there"]


def test_poses_without_an_id_join_the_nearest_track_that_lacks_one() -> None:
    found = Detections(4)
    for frame in range(8):
        _add(found, frame, float(frame), "a" if frame not in (0, 1, 4) else None)
        _add(found, frame, 100.0 - frame, "b" if frame not in (4, 7) else None)
    tracked = as_tracks(found)
    assert tracked.tracks == ("b", "a")
    assert _corner(tracked.keypoints, 0) == [100 - frame for frame in range(8)]
    assert _corner(tracked.keypoints, 1) == list(range(8))


def test_pose_that_lies_nearest_to_an_animal_seen_in_its_frame_stays_alone() -> None:
    found = Detections(4)
    for frame in range(3):
        _add(found, frame, 0.0, "a")
        if frame != 1:
            _add(found, frame, 6.0, "b")
    # Both a and b are within reach, and a has a pose here already.
    _add(found, 1, 2.0)
    tracked = as_tracks(found)
    assert tracked.tracks == ("a", "b", "track_0")
    # A pose far from all is another animal.
    found = Detections(4)
    for frame in range(3):
        _add(found, frame, 0.0, "a" if frame != 1 else None)
        _add(found, frame, 500.0 + 100 * (frame == 1), "b" if frame != 1 else None)
    assert as_tracks(found).tracks == ("a", "b", "track_0")


def test_one_id_for_all_poses_tells_no_animals_apart() -> None:
    found = Detections(4)
    for frame in range(6):
        _add(found, frame, float(frame), "0")
        _add(found, frame, 100.0 - frame, "0")
    tracked = as_tracks(found)
    assert tracked.tracks == ("track_0", "track_1") and np.isfinite(tracked.keypoints).all()
    assert tracked.notes[0] == "all poses have the id 0, which tells no animals apart"
    # A single pose too many does not break up a track.
    found = Detections(4)
    for frame in range(40):
        _add(found, frame, float(frame), "0")
    _add(found, 7, 90.0, "0", score=0.5)
    tracked = as_tracks(found)
    assert tracked.tracks == ("0",) and tracked.warnings[0].startswith("1 of 41 poses left out")


def test_missing_frames_are_filled_and_empty_ones_kept() -> None:
    found = Detections(4)
    _add(found, 5, 0.0)
    _add(found, 8, 0.0)
    tracked = as_tracks(found, all_frames=[4, 5, 8, 10])
    assert tracked.frames.tolist() == [4, 5, 6, 7, 8, 9, 10]
    assert np.isfinite(tracked.keypoints[0, :, 0, 0]).tolist() == [False, True, False, False, True, False, False]
    assert as_tracks(found, fill=False).frames.tolist() == [5, 8]


def test_joints_that_are_never_seen_together_do_not_join() -> None:
    found = Detections(4)
    upper, lower = np.array([1.0, 1, 0, 0]), np.array([0.0, 0, 1, 1])
    found.add(0, None, SQUARE, upper)
    found.add(0, None, SQUARE + 500, SURE)
    found.add(1, None, SQUARE, lower)
    found.add(1, None, SQUARE + 500, SURE)
    assert len(as_tracks(found).tracks) == 3


def test_no_pose_and_far_frame_numbers_are_errors() -> None:
    with pytest.raises(InputError, match="no keypoint is visible in 2 frames"):
        as_tracks(Detections(4), all_frames=[3, 4])
    found = Detections(4)
    _add(found, 0, 0.0)
    _add(found, 2**40, 0.0)
    with pytest.raises(InputError, match="frame numbers run from 0 to 1099511627776 but only 2 are there"):
        as_tracks(found)


def test_recordings_lie_side_by_side_and_are_never_joined() -> None:
    left, right = Detections(4), Detections(4)
    _add(left, 0, 0.0)
    _add(left, 2, 1.0)
    _add(right, 1, 0.0)
    tracked = as_recordings({"left": left, "right": right, "empty": Detections(4)})
    assert tracked.tracks == ["left/track_0", "right/track_0"] and tracked.frames.tolist() == [0, 1, 2]
    assert np.isfinite(tracked.keypoints[:, :, 0, 0]).tolist() == [[True, False, True], [False, True, False]]
    assert as_recordings({"left": left}).tracks == ("track_0",)
    assert as_recordings({"left": left, "empty": Detections(4)}).tracks == ["left/track_0"]
    with pytest.raises(InputError, match="no keypoint is visible"):
        as_recordings({"a": Detections(4), "b": Detections(4)})


def test_stills_with_one_name_are_told_apart_by_their_place() -> None:
    found = Detections(4)
    for at in range(3):
        _add(found, 0, float(at))
    assert as_stills(found, ["a", "b", "a"]).tracks == ["a_0", "b", "a_2"]


@pytest.mark.parametrize(
    ("value", "name"),
    [(3, "3"), (3.0, "3"), ("x", "x"), ([[2.0]], "2"), (0, "0"), (-1, None), ("-1", None), ("", None), (None, None),
     (True, None), ([], None), (float("nan"), None), ({}, None)],
)  # fmt: skip
def test_ids_are_text_and_none_where_the_file_gives_none(value: object, name: str | None) -> None:
    assert identity(value) == name


def test_recordings_that_are_too_much_together_are_refused_before_they_take_memory() -> None:
    recordings = {}
    for name in range(100):
        recordings[f"clip{name}"] = Detections(40)
        for frame in (name, 100_000 + name):
            recordings[f"clip{name}"].add(frame, "a", np.ones((40, 2)), np.ones(40))
    tracemalloc.start()
    with pytest.raises(InputError, match="100 tracks x 100100 frames x 40 joints"):
        as_recordings(recordings)
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()
