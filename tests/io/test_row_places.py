"""Which frame and which track the rows of a table belong to: by times, pictures, ids and videos."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from olift_fast.errors import InputError
from olift_fast.tracks.containers import KeypointTracks

POINTS = "a_x,a_y,b_x,b_y"
DEEPLABCUT = "scorer,s,s,s\nbodyparts,nose,nose,nose\ncoords,x,y,likelihood\n"


def rows(*marks: str) -> str:
    """A row for each mark, with x = 10, 11, … for joint a."""
    return "".join(f"{mark},{10 + row},2,300,4\n" for row, mark in enumerate(marks))


@pytest.mark.parametrize("shift", [0.001, 1e-5, 4e-7, 0.0])
def test_animals_with_almost_equal_times_share_their_frames(read: Callable[..., KeypointTracks], shift: float) -> None:
    marks = [f"{frame / 30 + shift * animal!r},m{animal}" for animal in (0, 1) for frame in (0, 1, 2, 4, 5)]
    found = read(f"time,animal,{POINTS}\n{rows(*marks)}")
    assert found.num_frames == 6 and found.fps == pytest.approx(30) and found.tracks == ("m0", "m1")
    np.testing.assert_array_equal(found.keypoints[1, :, 0, 0], [15, 16, 17, np.nan, 18, 19])


@pytest.mark.parametrize("digits", [(1, 2), (3, 1), (17, 1)])
def test_times_are_told_apart_by_value(read: Callable[..., KeypointTracks], digits: tuple[int, int]) -> None:
    marks = [f"{frame * 0.1:.{digits[animal]}f},{animal}" for frame in range(6) for animal in (0, 1)]
    found = read(f"time,animal,{POINTS}\n{rows(*marks)}")
    assert found.num_frames == 6 and found.fps == 10


@pytest.mark.parametrize("odd", ["mean", "#N/A", "?", "nan"])
def test_one_row_without_a_number_among_numbers_is_refused(read: Callable[..., KeypointTracks], odd: str) -> None:
    with pytest.raises(InputError, match=r"row 3 of 3 is marked by .*, wanted a frame number or a time"):
        read(f"frame,{POINTS}\n{rows('100', '101', odd)}")
    with pytest.raises(InputError, match=r"row 3 of 3 is marked by"):
        read(f"{DEEPLABCUT}100,1,2,.9\n101,3,4,.9\n{odd},5,6,.9\n")


@pytest.mark.parametrize(
    "cells",
    [
        ("05/01/2024 10:00:00.000", "05/01/2024 10:00:00.040", "05/01/2024 10:00:00.080"),
        ("01.02.2024 10:00:00.00", "01.02.2024 10:00:00.04", "01.02.2024 10:00:00.08"),
        ("10:00:00.00 AM", "10:00:00.04 AM", "10:00:00.08 AM"),
        ("0.00s", "0.04s", "0.08s"),
        ("0 ms", "40 ms", "80 ms"),
        ("2024-05-01T10:00:00.000Z", "2024-05-01T10:00:00.040Z", "2024-05-01T10:00:00.080Z"),
        ("1700000000000", "1700000000040", "1700000000080"),
    ],
)
def test_times_however_written_count_from_the_first(read: Callable[..., KeypointTracks], cells: list[str]) -> None:
    found = read(f"time,{POINTS}\n{rows(*cells)}")
    assert found.fps == 25 and found.frames is None and found.num_frames == 3


def test_times_that_are_not_understood_are_warned_about(read: Callable[..., KeypointTracks]) -> None:
    found = read(f"time,{POINTS}\n{rows('00:00:01:05', '00:00:01:06', '00:00:01:07')}")
    assert found.frames is None and found.fps is None and "can't be read" in found.warnings[0]


def test_frame_numbers_may_have_a_separator_of_thousands(read: Callable[..., KeypointTracks]) -> None:
    marks = ['"999"', '"1,000"', '"1,001"']
    found = read(f"frame,{POINTS}\n{rows(*marks)}")
    assert found.fps is None and found.frames is not None and found.frames.tolist() == [999, 1000, 1001]


def test_the_name_of_the_index_tells_its_unit(read: Callable[..., KeypointTracks]) -> None:
    found = read(f"{DEEPLABCUT}time_ms,,,\n0,1,2,.9\n33,3,4,.9\n67,5,6,.9\n100,7,8,.9\n")
    assert found.num_frames == 4 and found.fps == pytest.approx(30, abs=0.1)


def test_pictures_are_sorted_by_their_numbers(read: Callable[..., KeypointTracks]) -> None:
    for column, cells in (("image", ("f1.png", "f10.png", "f2.png")), ("frame", ("Frame 1", "Frame 10", "Frame 2"))):
        found = read(f"{column},{POINTS}\n{rows(*cells)}")
        assert found.frames is not None and found.frames.tolist() == [1, 2, 10]
        assert found.keypoints[0, :, 0, 0].tolist() == [10, 12, 11]
    found = read(f"{DEEPLABCUT}v/img1.png,1,2,.9\nv/img10.png,3,4,.9\nv/img2.png,5,6,.9\n")
    assert found.frames is not None and found.frames.tolist() == [1, 2, 10]
    assert found.keypoints[0, :, 0, 0].tolist() == [1, 5, 3]


def test_pictures_of_two_recordings_are_tracks_side_by_side(read: Callable[..., KeypointTracks]) -> None:
    cameras = read(f"image,{POINTS}\n{rows('cam1_000.png', 'cam2_000.png', 'cam1_001.png', 'cam2_001.png')}")
    assert cameras.tracks == ("cam1/track_0", "cam2/track_0") and cameras.num_frames == 2
    assert cameras.keypoints[:, :, 0, 0].tolist() == [[10, 12], [11, 13]] and "recordings" in cameras.notes[-1]
    labels = DEEPLABCUT.replace(",", ",,,", 1).replace("bodyparts,", "bodyparts,,,").replace("coords,", "coords,,,")
    body = "".join(f"data,v{video},img{3 * frame:03}.png,{video},{frame},.9\n" for video in (1, 2) for frame in (1, 2))
    found = read(labels + body)
    assert found.tracks == ("v1/track_0", "v2/track_0") and found.frames is not None
    assert found.frames.tolist() == [3, 6] and found.keypoints[:, :, 0, 0].tolist() == [[1, 1], [2, 2]]


def test_pictures_that_cannot_be_frames_are_warned_about(read: Callable[..., KeypointTracks]) -> None:
    found = read(f"image,{POINTS}\n{rows('f2.png', 'g1.png', 'f1.png')}")
    assert found.frames is None and "several kinds" in found.warnings[0]


@pytest.mark.parametrize("column", ["video", "video_path", "file", "camera_id"])
def test_two_videos_in_one_table_are_not_spliced(read: Callable[..., KeypointTracks], column: str) -> None:
    text = f"{column},frame,{POINTS}\n{rows('a.mp4,0', 'a.mp4,1', 'b.mp4,2', 'b.mp4,3')}"
    found = read(text)
    assert found.tracks == ("a.mp4/track_0", "b.mp4/track_0") and found.num_frames == 4
    np.testing.assert_array_equal(found.keypoints[1, :, 0, 0], [np.nan, np.nan, 12, 13])
    assert read(text.replace("b.mp4", "a.mp4")).tracks == ("track_0",)


def test_a_trial_is_a_recording_only_where_frames_are_numbered_anew(read: Callable[..., KeypointTracks]) -> None:
    assert read(f"trial,frame,{POINTS}\n{rows('1,0', '1,1', '2,0', '2,1')}").tracks == ("1/track_0", "2/track_0")
    assert read(f"trial,frame,{POINTS}\n{rows('1,0', '1,1', '2,2', '2,3')}").tracks == ("track_0",)


def test_a_file_that_is_the_same_in_all_rows_marks_none(read: Callable[..., KeypointTracks]) -> None:
    assert read(f"file,{POINTS}\n{rows('v1.mp4', 'v1.mp4')}").num_frames == 2
    assert read(f"image,animal,{POINTS}\n{rows('i4.png,m', 'i4.png,f')}").tracks == ("m", "f")


def test_an_id_that_numbers_the_rows_is_no_animal(read: Callable[..., KeypointTracks]) -> None:
    found = read(f"id,frame,animal,{POINTS}\n{rows('0,0,m', '1,0,f', '2,1,m', '3,1,f')}")
    assert found.tracks == ("m", "f") and found.keypoints[1, :, 0, 0].tolist() == [11, 13]
    with pytest.raises(InputError, match="frame 0 comes twice"):
        read(f"id,frame,{POINTS}\n{rows('0,0', '1,0', '2,1', '3,1')}")
    assert read(f"id,frame,{POINTS}\n{rows('0,0', '1,0', '0,1', '1,1')}").tracks == ("track_0", "track_1")
    long = read("id,frame,keypoint,x,y\n0,0,a,10,20\n1,0,b,30,40\n2,1,a,11,20\n3,1,b,31,40\n")
    assert long.tracks == ("track_0",) and long.num_frames == 2


def test_a_count_of_animals_is_no_id(read: Callable[..., KeypointTracks]) -> None:
    for name in ("person_count", "mouse_count", "object_count"):
        assert read(f"frame,{name},{POINTS}\n{rows('0,1', '1,2', '2,1')}").tracks == ("track_0",)


def test_rows_without_an_id(read: Callable[..., KeypointTracks]) -> None:
    for nothing in ("NA", "nan", "", "None"):
        assert read(f"frame,animal,{POINTS}\n{rows(f'0,{nothing}', f'1,{nothing}')}").tracks == ("track_0",)
        one = read(f"frame,animal,{POINTS}\n{rows('0,7', f'1,{nothing}', '2,7.0')}")
        assert one.tracks == ("track_7",) and one.keypoints[0, :, 0, 0].tolist() == [10, 11, 12]
        two = read(f"frame,animal,{POINTS}\n{rows('0,0', f'0,{nothing}', '1,0', f'1,{nothing}')}")
        assert two.tracks == ("track_0", "unnamed")


def test_scores_by_more_names(read: Callable[..., KeypointTracks]) -> None:
    for names in ("aX,aY,aConf,bX,bY,bConf", "x_0,y_0,s_0,x_1,y_1,s_1", "a_x,a_y,a_ll,b_x,b_y,b_ll"):
        assert read(f"{names}\n10,20,.5,30,40,.25\n").confidence[0, 0].tolist() == [0.5, 0.25]
    for name in ("confidence", "visible", "p"):
        found = read(f"{DEEPLABCUT.replace('likelihood', name)}0,1,2,.5\n1,30,40,.25\n")
        assert found.confidence[0, :, 0].tolist() == [0.5, 0.25]


def test_velocities_and_boxes_are_no_joints(read: Callable[..., KeypointTracks]) -> None:
    found = read("a_x,a_y,a_velocity_x,a_velocity_y,box_center_x,box_center_y,b_x,b_y\n10,20,1,1,5,5,30,40\n")
    assert found.skeleton.names == ("a", "b") and "a_velocity_x" in found.notes[0]
