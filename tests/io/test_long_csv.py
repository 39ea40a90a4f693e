"""Tables with a row for each keypoint, and movement's data frames among them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from olift_fast.errors import InputError
from olift_fast.tracks.containers import KeypointTracks


@pytest.mark.parametrize(
    "names",
    [
        "frame,individual,keypoint,x,y,confidence",
        "frame_idx,track,node,x,y,score",
        "Frame,animal_id,bodypart,x_pos,y_pos,likelihood",
        "image,identity,joint_name,x (px),y (px),prob",
    ],
)
def test_each_row_is_a_keypoint(read: Callable[[str], KeypointTracks], names: str) -> None:
    text = names + "\n5,a,nose,100,2,.5\n5,a,tail,3,4,.25\n5,b,tail,5,6,1\n7,a,tail,7,8,0.75\n"
    found = read(text)
    assert found.format == "long-csv" and found.tracks == ("a", "b") and found.skeleton.names == ("nose", "tail")
    assert found.frames is not None and found.frames.tolist() == [5, 6, 7]
    nan = [np.nan, np.nan]
    np.testing.assert_array_equal(found.keypoints[0], [[[100, 2], [3, 4]], [nan, nan], [nan, [7, 8]]])
    np.testing.assert_array_equal(found.keypoints[1, 0], [nan, [5, 6]])
    np.testing.assert_array_equal(found.confidence[0, :, 1], [0.25, 0, 0.75])
    assert found.notes == ()


def test_movements_data_frame_has_x_and_y_in_rows_of_their_own(read: Callable[[str], KeypointTracks]) -> None:
    rows = [
        f"{time},{space},{keypoint},id_0,{value},0.5"
        for time, shift in ((0.0, 0), (0.04, 1), (0.12, 2))
        for space, base in (("x", 100), ("y", 200))
        for keypoint, value in (("nose", base + shift), ("tail", base + 50 + shift))
    ]
    found = read("time,space,keypoints,individuals,position,confidence\n" + "\n".join(rows) + "\n")
    assert found.tracks == ("id_0",) and found.fps == 25 and found.num_frames == 4
    np.testing.assert_array_equal(found.keypoints[0, 3], [[102, 202], [152, 252]])
    assert np.isnan(found.keypoints[0, 2]).all() and found.confidence[0, 3].tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("track,frame,time,joint,x,y,z,confidence,visible\na,0,0,nose,1,2,3,1,1\n", "holds 3D points"),
        ("time,space,keypoints,position\n0,x,nose,1\n0,y,nose,1\n0,z,nose,1\n", "holds 3D points"),
        ("time,space,keypoints,position\n0,x,nose,1\n0,up,nose,1\n", "column of axes must hold x and y, got 'up'"),
        ("frame,keypoint,x,y\n4,nose,1,2\n4,nose,3,4\n", "frame 4 of 'nose' comes twice; several animals need"),
        ("keypoint,x,y\nnose,1,2\ntail,3,4\n", "a row for each keypoint but no column of frames"),
        ("frame,keypoint,x,y\n4,nose,1,two\n", "line 2, column 4: wanted a number, got 'two'"),
        ("frame,keypoint,x,y\n4,nose,1,2\n4,,3,4\n", "row 2 of 2 names no keypoint"),
        ("frame,keypoint,x,y\n", "holds no frames"),
    ],
)
def test_bad_tables_name_the_cause(read: Callable[[str], KeypointTracks], text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(text)
