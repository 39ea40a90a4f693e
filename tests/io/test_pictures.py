"""Names of pictures tell whether they are frames of a video, of which one, or stills."""

from __future__ import annotations

import time

import numpy as np
import pytest

from olift_fast.io.pictures import Place, Pose, frame_files, frames_of, tracks_of_pictures

SQUARE = np.array([[0.0, 0], [10, 0], [10, 10]])


@pytest.mark.parametrize(
    ("names", "frames"),
    [
        (["12.jpg", "14.jpg", "400.jpg"], [12, 14, 400]),
        (["v_0008.png", "v_0009.png", "v_0200.png"], [8, 9, 200]),
        (["v 8.png", "v 9.png", "v 12.png"], [8, 9, 12]),
        (["frame_3.jpg", "frame_90.jpg", "frame_400.jpg"], [3, 90, 400]),
        (["img_0007.jpg", "img_0008.jpg"], [7, 8]),
        (["img10", "img20", "img30", "img40", "img50", "img60"], [10, 20, 30, 40, 50, 60]),
        (["a/0001_jpg.rf.4a5b6c77.jpg", "a/0002_jpg.rf.99999.jpg"], [1, 2]),
        (["cam01.0000.json", "cam01.0001.json"], [0, 1]),
        (["only_7.json"], [7]),
    ],
)
def test_numbered_names_are_frames(names: list[str], frames: list[int]) -> None:
    assert frames_of(names) == [Place("", frame) for frame in frames]


@pytest.mark.parametrize(
    "names",
    [
        ["IMG_4.jpg", "photo12.png", "Screenshot 161106.png"],
        ["Screenshot 2021-09-27 161106.png", "Screenshot 2021-09-27 161543.png", "Screenshot 2021-09-27 170000.png"],
        ["000000000139.jpg", "000000000785.jpg", "000000581781.jpg"],
        ["1632830400123.jpg", "1732830400123.jpg"],
        ["left.jpg", "right.jpg"],
        ["DSC_0123.jpg", "DSC_0190.jpg", "DSC_0400.jpg"],
        ["IMG_1234.jpg", "IMG_1290.jpg"],
        ["v_1.png", "v_2.png", "other_9.png"],
    ],
)
def test_other_names_are_stills(names: list[str]) -> None:
    assert frames_of(names) is None


def test_tracked_pictures_may_leave_large_gaps() -> None:
    names = ["v_8.png", "v_9.png", "v_9000.png"]
    assert frames_of(names) is None
    assert frames_of(names, tracked=True) == [Place("", 8), Place("", 9), Place("", 9000)]


def test_names_that_differ_are_recordings_with_tracks_of_their_own() -> None:
    names = [f"{camera}_{frame}.jpg" for camera in ("left", "right") for frame in (1, 2)]
    poses = [Pose(place, None, SQUARE + 100 * place, np.ones(3)) for place in range(4)]
    parsed = tracks_of_pictures(names, poses)
    assert list(parsed.tracks) == ["left/person_0", "right/person_0"]
    assert parsed.keypoints[:, :, 0, 0].tolist() == [[0, 100], [200, 300]]
    assert parsed.notes == ["2 recordings by the names of the files, side by side"]
    same = [pose._replace(track="7") for pose in poses]
    assert list(tracks_of_pictures(names, same).tracks) == ["left/7", "right/7"]


def test_stills_name_their_tracks_by_the_picture() -> None:
    poses = [Pose(place, None, SQUARE, np.ones(3)) for place in (1, 0, 0)]
    parsed = tracks_of_pictures(["left.jpg", "right.jpg"], poses)
    assert list(parsed.tracks) == ["right.jpg/person_0", "left.jpg/person_0", "left.jpg/person_1"]
    assert parsed.keypoints.shape[1] == 1 and "taken as stills" in parsed.notes[0]


def test_foreign_files_are_left_out_but_a_broken_frame_is_kept() -> None:
    files = {"a_1.json": 1, "a_2.json": None, "camera_3.json": None, "notes.json": None}
    kept, notes = frame_files(files, lambda content: content is not None)
    assert list(kept) == ["a_1.json", "a_2.json"]
    assert notes == ["camera_3.json, notes.json left out: no frames"]


def test_long_names_cost_no_time() -> None:
    began = time.perf_counter()
    assert frames_of(["1a" * 100_000, "1" * 200_000 + "a1", "a" * 200_000]) is None
    assert time.perf_counter() - began < 5
