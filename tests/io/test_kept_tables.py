"""Tables of keypoints as other programs save them again: pandas, R, sleap-io; and marks for what is not there."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from olift_fast.errors import InputError
from olift_fast.io import read_keypoints
from olift_fast.tracks.containers import KeypointTracks

X = [[100, 104], [101, 105], [102, 106]]
BODY = "0,100,2,.9,104,5,.5\n1,101,2,.9,105,5,.5\n2,102,2,.9,106,5,.5\n"
PARTS, COORDS = ",nose,nose,nose,tail,tail,tail\n", ",x,y,likelihood,x,y,likelihood\n"
NAMED = f"scorer,s,s,s,s,s,s\nbodyparts{PARTS}coords{COORDS}{BODY}"


def numbered(text: str, first: int = 0) -> str:
    """The lines with a number before each, as pandas and R write those of rows; nothing before the names of columns."""
    lines = text.splitlines()
    return "".join(f"{row - first if row >= first else ''},{line}\n" for row, line in enumerate(lines))


@pytest.mark.parametrize(
    "text",
    [
        f"# exported, in May\n# fps: 30\n{NAMED}",
        f"My experiment,,,,,,\n{NAMED}",
        numbered(NAMED, 1),
        numbered(NAMED, 3),
        '"","V1","V2","V3","V4","V5","V6","V7"\n'
        + "".join(",".join(f'"{cell}"' for cell in line.split(",")) + "\n" for line in numbered(NAMED).splitlines()),
        f"bodyparts{PARTS}coords{COORDS}{BODY}",
        f",s,s,s,s,s,s\n{PARTS}{COORDS}{BODY}",
        f"{PARTS}{COORDS}{BODY}",
        f"index,s,s,s,s,s,s\n{PARTS}{COORDS}{BODY}",
        f"bodyparts,nose,nose.1,nose.2,tail,tail.1,tail.2\ncoords{COORDS}{BODY}",
    ],
)
def test_a_deeplabcut_table_that_was_saved_again(read: Callable[..., KeypointTracks], text: str) -> None:
    found = read(text)
    assert found.format == "deeplabcut" and found.skeleton.names == ("nose", "tail") and found.frames is None
    assert found.keypoints[0, :, :, 0].tolist() == X and found.confidence[0, 0].tolist() == pytest.approx([0.9, 0.5])


def test_lost_names_of_individuals(read: Callable[..., KeypointTracks]) -> None:
    found = read(",m,m,f,f\n,nose,nose,nose,nose\n,x,y,x,y\n0,100,2,300,4\n")
    assert found.tracks == ("m", "f") and found.skeleton.names == ("nose",)


def test_tuples_as_names_of_columns(read: Callable[..., KeypointTracks]) -> None:
    names = ",".join(f"\"('s', '{part}', '{axis}')\"" for part in ("nose", "tail") for axis in ("x", "y", "likelihood"))
    found = read(f",{names}\n{BODY}")
    assert found.skeleton.names == ("nose", "tail") and found.keypoints[0, :, :, 0].tolist() == X


def test_scores_in_rows_of_their_own(read: Callable[..., KeypointTracks]) -> None:
    rows = [
        f"{frame},nose,{axis},{value}" for frame in (0, 1) for axis, value in (("x", 50 + frame), ("y", 60), ("p", 0.5))
    ]
    found = read("frame,bodyparts,coords,value\n" + "\n".join(rows).replace(",p,", ",likelihood,") + "\n")
    assert found.keypoints[0, :, 0].tolist() == [[50, 60], [51, 60]] and found.confidence[0, :, 0].tolist() == [
        0.5,
        0.5,
    ]


def test_all_animals_of_a_frame_in_one_row(read: Callable[..., KeypointTracks]) -> None:
    names = ",".join(f"inst{animal}.track,inst{animal}.a.x,inst{animal}.a.y,inst{animal}.a.score" for animal in (0, 1))
    found = read(f"frame_idx,{names}\n3,m,10,20,.5,f,30,40,.25\n5,f,31,41,.25,,,,\n")
    assert found.tracks == ("m", "f") and found.skeleton.names == ("a",) and found.num_frames == 3
    np.testing.assert_array_equal(found.keypoints[:, :, 0, 0], [[10, np.nan, np.nan], [30, np.nan, 31]])


def test_videos_of_a_sleap_table_stay_apart(read: Callable[..., KeypointTracks]) -> None:
    found = read("frame_idx,video_path,track,a.x,a.y\n0,v.mp4,m,10,20\n1,v.mp4,nan,11,20\n0,w.mp4,m,30,40\n")
    assert found.tracks[0] == "v.mp4/m" and found.tracks[-1] == "w.mp4/m"
    assert "nan" not in "".join(found.tracks) and found.keypoints[-1, 0, 0].tolist() == [30, 40]


@pytest.mark.parametrize(("mark", "hidden"), [("-1,-1", True), ("-9999,-9999", True), ("0,0", True), ("-1,5", False)])
def test_marks_for_what_is_not_there(read: Callable[..., KeypointTracks], mark: str, hidden: bool) -> None:
    for text in (
        f"frame,a_x,a_y,b_x,b_y\n0,10,20,30,40\n1,{mark},33,44\n",
        f"frame,keypoint,x,y\n0,a,10,20\n0,b,30,40\n1,a,{mark}\n1,b,33,44\n",
    ):
        found = read(text)
        assert (found.confidence[0, 1, 0] == 0) == hidden and (len(found.notes) == 1) == hidden


def test_points_around_an_origin_are_no_marks(read: Callable[..., KeypointTracks]) -> None:
    found = read("frame,a_x,a_y,b_x,b_y\n0,-10,20,30,40\n1,0,0,33,44\n2,-1,-1,33,44\n")
    assert (found.confidence == 1).all()


@pytest.mark.parametrize("z", ["", "0", "0.0"])
def test_an_empty_third_coordinate_is_left_out(read: Callable[..., KeypointTracks], z: str) -> None:
    flat = read(f"frame,a_x,a_y,a_z,b_x,b_y,b_z\n0,10,20,{z},30,40,{z}\n")
    long = read(f"frame,keypoint,x,y,z\n0,a,10,20,{z}\n0,b,30,40,{z}\n")
    assert flat.keypoints[0, 0].tolist() == long.keypoints[0, 0].tolist() == [[10, 20], [30, 40]]
    with pytest.raises(InputError, match="3D"):
        read("frame,a_x,a_y,a_z,b_x,b_y,b_z\n0,10,20,5,30,40,6\n")


@pytest.mark.parametrize("sign", [" ", "|", "   "])
def test_cells_between_spaces_and_bars(read: Callable[..., KeypointTracks], sign: str) -> None:
    found = read("frame,a_x,a_y,b_x,b_y\n7,10,20,30,40\n8,11,21,31,41\n".replace(",", sign))
    assert (
        found.frames is not None and found.frames.tolist() == [7, 8] and found.keypoints[0, 1, 1].tolist() == [31, 41]
    )


def test_the_index_of_a_cut_data_frame(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    whole = pandas.DataFrame({"a_x": np.arange(10.0), "a_y": 2.0, "b_x": 30.0, "b_y": 40.0})
    for cut, frames in ((whole[6:], [6, 7, 8, 9]), (whole[4::3], list(range(4, 8)))):
        cut.to_parquet(tmp_path / "cut.parquet")
        found = read_keypoints(tmp_path / "cut.parquet")
        assert found.frames is not None and found.frames.tolist() == frames and found.keypoints[0, 0, 0, 0] == frames[0]
    levels = pandas.MultiIndex.from_product([["s"], ["a", "b"], ["x", "y"]])
    whole.set_axis(levels, axis=1)[6:].to_parquet(tmp_path / "levels.parquet")
    found = read_keypoints(tmp_path / "levels.parquet")
    assert found.skeleton.names == ("a", "b") and found.frames is not None and found.frames.tolist() == [6, 7, 8, 9]


def test_a_long_run_of_spaces_in_a_name_takes_no_time(read: Callable[..., KeypointTracks]) -> None:
    began = time.perf_counter()
    read(f"a_x,a_y,{' ' * 90}q,b_x,b_y\n1,2,3,40,50\n")
    with pytest.raises(InputError):
        read(f"a{' ' * 100_000}b,c\n1,2\n")
    assert time.perf_counter() - began < 2
