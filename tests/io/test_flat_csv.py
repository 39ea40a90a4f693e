"""Tables with one row of names: of many labs, and of SimBA."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from olift_fast.errors import InputError
from olift_fast.tracks.containers import KeypointTracks


@pytest.mark.parametrize(
    "names",
    [
        "nose_x,nose_y,nose_p,tail_x,tail_y,tail_p",
        "Nose_X,Nose_Y,Nose_P,Tail_X,Tail_Y,Tail_P",
        "nose.x,nose.y,nose.score,tail.x,tail.y,tail.score",
        "nose x,nose y,nose likelihood,tail x,tail y,tail likelihood",
        "nose-x,nose-y,nose-prob,tail-x,tail-y,tail-prob",
        "nose:x,nose:y,nose:conf,tail:x,tail:y,tail:conf",
        "nose (x),nose (y),nose (confidence),tail (x),tail (y),tail (confidence)",
        "nose_x_px,nose_y_px,nose_likelihood,tail_x [px],tail_y [px],tail_likelihood",
        "x_nose,y_nose,likelihood_nose,x_tail,y_tail,likelihood_tail",
        "X nose,Y nose,confidence nose,X tail,Y tail,confidence tail",
        "noseX,noseY,noseLikelihood,tailX,tailY,tailLikelihood",
        "xNose,yNose,likelihoodNose,xTail,yTail,likelihoodTail",
    ],
)
@pytest.mark.parametrize("index", ["", "frame", "Frame", "frame_idx", "Unnamed: 0", "index", "frame number", None])
def test_names_of_columns_that_labs_use(read: Callable[[str], KeypointTracks], names: str, index: str | None) -> None:
    marks = ("", "0,", "1,", "2,") if index is not None else ("",) * 4
    head = names if index is None else f"{index},{names}"
    found = read(f"{head}\n{marks[1]}100,2,.5,3,4,.25\n{marks[2]},,,5,6,1\n{marks[3]}7,8,0,9,10,1\n")
    assert found.format == "flat-csv" and [name.casefold() for name in found.skeleton.names] == ["nose", "tail"]
    nan = [np.nan, np.nan]
    np.testing.assert_array_equal(found.keypoints[0], [[[100, 2], [3, 4]], [nan, [5, 6]], [nan, [9, 10]]])
    np.testing.assert_array_equal(found.confidence[0], [[0.5, 0.25], [0, 1], [0, 1]])
    assert found.notes == () and found.frames is None


def test_numbered_columns_are_keypoints(read: Callable[[str], KeypointTracks]) -> None:
    for names in ("x1,y1,c1,x2,y2,c2", "x_1,y_1,c_1,x_2,y_2,c_2"):
        found = read(names + "\n100,2,.5,3,4,.25\n")
        assert found.skeleton.names == ("keypoint_1", "keypoint_2")
        np.testing.assert_array_equal(found.keypoints[0, 0], [[100, 2], [3, 4]])
        np.testing.assert_array_equal(found.confidence[0, 0], [0.5, 0.25])
    assert read("frame,poseX0,poseY0,poseX1,poseY1\n0,100,2,inf,inf\n").skeleton.names == ("pose0", "pose1")


def test_columns_of_no_joint_are_left_out_with_a_note(read: Callable[[str], KeypointTracks]) -> None:
    found = read("frame,nose_x,nose_y,area,tail_p,tail_x,tail_y,bbox_x,bbox_y,comment\n0,1,2,77,.5,300,4,9,9,wild\n")
    assert found.skeleton.names == ("nose", "tail")
    np.testing.assert_array_equal(found.confidence[0, 0], [1, 0.5])
    assert found.notes == ("columns left out: area, bbox_x, bbox_y, comment",)


def test_frames_times_and_pictures_mark_the_rows(read: Callable[[str], KeypointTracks]) -> None:
    points = "nose_x,nose_y,tail_x,tail_y\n"
    both = read("frame,time," + points + "10,0.40,1,2,300,4\n12,0.48,5,6,7,8\n11,0.44,3,4,5,6\n")
    assert both.frames is not None and both.frames.tolist() == [10, 11, 12] and both.fps == 25
    assert both.keypoints[0, :, 0, 0].tolist() == [1, 3, 5]
    for name, step in (("timestamp_ms", 40), ("timestamp", 40), ("time", 40_000), ("timestamp", 40_000_000)):
        times = read(f"{name},{points}" + "".join(f"{row * step},1,2,300,4\n" for row in (0, 1, 2, 4)))
        assert times.num_frames == 5 and times.fps == 25, name
    pictures = read("image," + points + "img0005.png,1,2,300,4\nimg0009.png,1,2,3,4\n")
    assert pictures.frames is not None and pictures.frames.tolist() == [5, 9]


def test_without_a_mark_a_row_without_cells_in_between_is_a_hidden_frame(read: Callable[[str], KeypointTracks]) -> None:
    # pandas writes such a row for a frame without keypoints where it writes no index.
    points = "nose_x,nose_y,tail_x,tail_y\n"
    found = read(",,,\n" + points + "100,2,3,4\n,,,\n\n5,6,7,8\n,,,\n")
    assert found.visible(0.0)[0, :, 0].tolist() == [True, False, True]
    assert found.notes == ("empty rows: 1; they are frames in which everything is hidden",)
    marked = read("frame," + points + "0,100,2,3,4\n,,,,\n1,5,6,7,8\n")
    assert marked.num_frames == 2 and marked.notes == ()


def test_a_column_of_tracks_makes_tracks(read: Callable[[str], KeypointTracks]) -> None:
    found = read("frame,track_id,nose_x,nose_y,tail_x,tail_y\n3,7,1,2,300,4\n3,9,11,12,13,14\n5,9,15,16,17,18\n")
    assert found.tracks == ("track_7", "track_9") and found.frames is not None and found.frames.tolist() == [3, 4, 5]
    np.testing.assert_array_equal(found.keypoints[1, :, 0], [[11, 12], [np.nan] * 2, [15, 16]])
    assert read("id,nose_x,nose_y,tail_x,tail_y\n4,1,2,300,4\n5,1,2,3,4\n").num_tracks == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("frame,nose_x,nose_y,nose_z\n0,1,2,3\n", "holds 3D points"),
        ("nose_x,nose_y,nose_z,nose_error,nose_ncams,nose_score,fnum\n1,2,3,4,5,6,7\n", "holds 3D points"),
        ("frame,nose_x,nose_y,tail_x\n0,1,2,3\n", "'tail' has no column 'y'"),
        ("nose_x,nose_y,nose_x\n1,2,3\n", "column 'nose_x' comes twice"),
        ("frame,nose_x,nose_y\n4,1,2\n4,3,4\n", "frame 4 comes twice; several animals need a column 'track'"),
        ("track,nose_x,nose_y\na,1,2\nb,3,4\na,3,4\n", "2 tracks but no column of frames"),
        ("frame,nose_x,nose_y\n0,1,2\n1,one,2\n", "line 3, column 2: wanted a number, got 'one'"),
        ("frame,nose_x,nose_y\n", "holds no frames"),
        ("frame,nose_x,nose_y\n0,1,2\n10000000000,1,2\n", "frame numbers run from 0 to 10000000000"),
    ],
)
def test_bad_tables_name_the_cause(read: Callable[[str], KeypointTracks], text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(text)


SIMBA = [f"{part}_{axis}" for part in ("Ear_left", "Ear_right", "Nose") for axis in "xyp"]
ROW = "0,1,2,.5,3,4,.25,100,6,.75"


@pytest.mark.parametrize(
    "above",
    [
        "",
        2 * ("," + ",".join(["IMPORTED_POSE"] * 9) + "\n"),
        "scorer," + ",".join(["IMPORTED_POSE"] * 9) + "\nbodypart," + ",".join(["IMPORTED_POSE"] * 9) + "\n",
    ],
)
def test_simbas_tables_are_read_with_and_without_its_rows(read: Callable[[str], KeypointTracks], above: str) -> None:
    found = read(above + ("coords" if "scorer" in above else "") + "," + ",".join(SIMBA) + f"\n{ROW}\n1{ROW[1:]}\n")
    assert found.skeleton.names == ("Ear_left", "Ear_right", "Nose") and found.num_frames == 2
    np.testing.assert_array_equal(found.keypoints[0, 1], [[1, 2], [3, 4], [100, 6]])
    np.testing.assert_array_equal(found.confidence[0, 1], [0.5, 0.25, 0.75])


def test_simbas_numbered_animals_are_tracks(read: Callable[[str], KeypointTracks]) -> None:
    parts = ("Ear_left_1", "Ear_right_1", "Nose_1", "Ear_left_2", "Right_ear_2", "Nose_2")
    head = "," + ",".join(f"{part}_{axis}" for part in parts for axis in "xyp")
    found = read(head + "\n" + ROW + ",201,2,.5,203,4,.25,205,6,.75\n")
    assert found.tracks == ("Animal_1", "Animal_2") and found.skeleton.names == ("Ear_left", "Ear_right", "Nose")
    np.testing.assert_array_equal(found.keypoints[1, 0], [[201, 2], [203, 4], [205, 6]])
    assert any("number of their animal" in note for note in found.notes)


@pytest.mark.parametrize(
    "parts",
    [
        ("leg_1", "wing_1", "leg_2", "wing_2"),
        ("mouse1_nose", "mouse1_tail", "mouse2_nose", "mouse2_tail"),
        ("leg_1", "leg_2", "leg_3"),
        ("nose", "tail_1", "tail_2"),
    ],
)
def test_other_numbered_joints_stay_joints(read: Callable[[str], KeypointTracks], parts: tuple[str, ...]) -> None:
    head = "," + ",".join(f"{part}_{axis}" for part in parts for axis in "xyp")
    found = read(head + "\n0" + ",100,200,.5" * len(parts) + "\n")
    assert found.num_tracks == 1 and found.skeleton.names == parts
    assert any("taken as those of one animal" in note for note in found.notes) == (len(parts) == 4)


def test_the_only_row_keeps_the_name_of_its_track(read: Callable[[str], KeypointTracks]) -> None:
    found = read("track,frame,nose_x,nose_y,tail_x,tail_y\nmouse,5,1,2,3,4\n")
    assert found.tracks == ("mouse",) and found.frames is not None and found.frames.tolist() == [5]


def test_a_row_without_a_frame_is_named_by_its_place_in_the_table(read: Callable[[str], KeypointTracks]) -> None:
    rows = ["a,5,1,2,3,4", "b,5,1,2,3,4", "a,6,1,2,3,4", "b,,1,2,3,4"]
    with pytest.raises(InputError, match="row 4 of 4 has no frame number or time"):
        read("\n".join(["track,frame,nose_x,nose_y,tail_x,tail_y", *rows]))
