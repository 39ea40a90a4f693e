"""DeepLabCut and Lightning Pose tables, checked against the csv module."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from olift_fast.errors import InputError
from olift_fast.io import read_keypoints

Rows = list[list[object]]


def _single() -> Rows:
    return [
        ["scorer", "s", "s", "s", "s", "s", "s"],
        ["bodyparts", "nose", "nose", "nose", "tail", "tail", "tail"],
        ["coords", "x", "y", "likelihood", "x", "y", "likelihood"],
        [0, 1.5, 2.5, 0.9, 3, 4, 0.2],
        [1, None, None, None, 5, 6, 0.8],
        [2, 7, 8, 0, 9, 10, 1],
    ]


def test_values_land_at_their_track_frame_and_joint(write_table: Callable[..., Path]) -> None:
    found = read_keypoints(write_table(_single()), fps=30)
    assert found.format == "deeplabcut" and found.fps == 30 and found.frames is None
    assert found.skeleton.names == ("nose", "tail") and found.skeleton.edges == ()
    expected = [[[1.5, 2.5], [3, 4]], [[np.nan] * 2, [5, 6]], [[np.nan] * 2, [9, 10]]]
    np.testing.assert_array_equal(found.keypoints[0], np.array(expected, np.float32))
    np.testing.assert_array_equal(found.confidence[0], np.array([[0.9, 0.2], [0, 0.8], [0, 1]], np.float32))


def test_several_animals_with_unique_body_parts_share_one_skeleton(write_table: Callable[..., Path]) -> None:
    rows: Rows = [
        ["scorer", None, None, *["s"] * 6],
        ["individuals", None, None, "a", "a", "b", "b", "single", "single"],
        ["bodyparts", None, None, "nose", "nose", "nose", "nose", "corner", "corner"],
        ["coords", None, None, *["x", "y"] * 3],
        ["labeled-data", "clip", "img0007.png", 1, 2, 3, 4, 5, 6],
        ["labeled-data", "clip", "img0042.png", 7, 8, None, None, 9, 10],
    ]
    found = read_keypoints(write_table(rows))
    assert found.tracks == ("a", "b", "single") and found.skeleton.names == ("nose", "corner")
    assert found.frames is not None and found.frames.tolist() == [7, 42]
    nan = [np.nan, np.nan]
    np.testing.assert_array_equal(found.keypoints[0], [[[1, 2], nan], [[7, 8], nan]])
    np.testing.assert_array_equal(found.keypoints[1], [[[3, 4], nan], [nan, nan]])
    np.testing.assert_array_equal(found.keypoints[2], [[nan, [5, 6]], [nan, [9, 10]]])
    np.testing.assert_array_equal(found.confidence[1], [[1, 0], [0, 0]])


def test_skipped_frame_numbers_become_hidden_frames(write_table: Callable[..., Path]) -> None:
    rows = _single()
    rows[-1][0] = 4
    found = read_keypoints(write_table(rows))
    assert found.num_frames == 5 and not found.visible(0.0)[0, 2:4].any()
    np.testing.assert_array_equal(found.keypoints[0, 4, 1], [9, 10])


def test_unsorted_frame_numbers_are_sorted(write_table: Callable[..., Path]) -> None:
    rows = _single()
    rows[3], rows[5] = rows[5], rows[3]
    np.testing.assert_array_equal(
        read_keypoints(write_table(rows)).keypoints, read_keypoints(write_table(_single(), "sorted.csv")).keypoints
    )


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_other_delimiters_names_and_byte_order_marks_read_the_same(
    write_table: Callable[..., Path], tmp_path: Path, delimiter: str
) -> None:
    plain = write_table(_single())
    other = tmp_path / "table.txt"
    text = plain.read_text().replace(",", delimiter).replace("\n", "\r\n")
    other.write_bytes(b"\xef\xbb\xbf" + text.encode())
    np.testing.assert_array_equal(read_keypoints(other).keypoints, read_keypoints(plain).keypoints)


def test_quoted_cells_with_commas_read(tmp_path: Path) -> None:
    path = tmp_path / "quoted.csv"
    path.write_text(
        'scorer,"me, myself","me, myself"\nbodyparts,"a,b","a,b"\ncoords,x,y\n"labeled,data/img3.png","1","2"\n'
    )
    found = read_keypoints(path)
    assert found.skeleton.names == ("a,b",) and found.frames is not None and found.frames.tolist() == [3]
    np.testing.assert_array_equal(found.keypoints, [[[[1, 2]]]])


def test_columns_beside_x_y_and_likelihood_are_left_out(write_table: Callable[..., Path]) -> None:
    rows: Rows = [
        ["scorer", *["eks"] * 4],
        ["bodyparts", *["paw"] * 4],
        ["coords", "x", "x_ens_var", "y", "likelihood"],
        [0, 1, 99, 2, 0.5],
    ]
    found = read_keypoints(write_table(rows))
    np.testing.assert_array_equal(found.keypoints, [[[[1, 2]]]])
    assert found.confidence.item() == 0.5
    assert found.notes == ("columns left out: x_ens_var",)


@pytest.mark.parametrize("blank", ["", "Unnamed: 4_level_1"])
def test_lightning_poses_column_of_sets_is_left_out(write_table: Callable[..., Path], blank: str) -> None:
    rows: Rows = [
        ["scorer", *["heatmap_mhcrnn_tracker"] * 3, "set"],
        ["bodyparts", *["paw"] * 3, blank],
        ["coords", "x", "y", "likelihood", blank],
        ["labeled-data/clip/img0012.png", 1, 2, 0.5, "train"],
        ["labeled-data/clip/img0030.png", 3, 4, 0.25, "validation"],
    ]
    found = read_keypoints(write_table(rows))
    assert found.notes == ("columns left out: set",) and found.frames is not None and found.frames.tolist() == [12, 30]
    np.testing.assert_array_equal(found.keypoints[0, :, 0], [[1, 2], [3, 4]])


def test_merged_cells_of_a_workbook_name_the_columns_at_their_right(write_table: Callable[..., Path]) -> None:
    rows = _single()
    rows[0] = ["scorer", "s", *[None] * 5]
    rows[1] = ["bodyparts", "nose", None, None, "tail", None, None]
    np.testing.assert_array_equal(
        read_keypoints(write_table(rows)).keypoints, read_keypoints(write_table(_single(), "plain.csv")).keypoints
    )


def test_body_parts_that_an_individual_lacks_are_hidden_with_confidence_0(write_table: Callable[..., Path]) -> None:
    rows: Rows = [
        ["scorer", *["s"] * 9],
        ["individuals", *["mouse"] * 6, *["single"] * 3],
        ["bodyparts", *["nose"] * 3, *["tail"] * 3, *["cricket"] * 3],
        ["coords", *["x", "y", "likelihood"] * 3],
        [0, 1, 2, 0.5, 3, 4, 0.5, 5, 6, 0.5],
        [1, 1, 2, 0.5, 3, 4, 0.5, 5, 6, 0.5],
    ]
    found = read_keypoints(write_table(rows))
    assert found.skeleton.names == ("nose", "tail", "cricket")
    there = np.array([[True, True, False], [False, False, True]])
    np.testing.assert_array_equal(np.isfinite(found.keypoints).all(axis=-1), np.broadcast_to(there[:, None], (2, 2, 3)))
    np.testing.assert_array_equal(found.confidence, np.broadcast_to(there[:, None] * np.float32(0.5), (2, 2, 3)))


@pytest.mark.parametrize("mark", [["folder", "video", "image"], [None, None, None], None])
def test_pictures_in_one_or_three_columns_below_an_index_name(
    write_table: Callable[..., Path], mark: list[str | None] | None
) -> None:
    rows: Rows = [
        *(["scorer", None, None, "s", "s"], ["bodyparts", None, None, "n", "n"], ["coords", None, None, "x", "y"]),
        *([[*mark, None, None]] if mark else []),
        ["labeled-data", "clip", "img05.png", None, None],
        ["labeled-data", "clip", "img07.png", 1, 2],
    ]
    found = read_keypoints(write_table(rows))
    assert found.frames is not None and found.frames.tolist() == [5, 7]
    assert found.visible(0.0)[0, :, 0].tolist() == [False, True]


@pytest.mark.parametrize(("missing", "wanted"), [(1, "'bodyparts'"), (2, "'coords'")])
def test_missing_header_row_is_named(write_table: Callable[..., Path], missing: int, wanted: str) -> None:
    rows = _single()
    del rows[missing]
    with pytest.raises(InputError, match=f"table.csv: header row {wanted} is missing"):
        read_keypoints(write_table(rows))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[4].pop(), "line 5 has 6 cells, wanted 7"),
        (lambda rows: rows[4].append(3), "line 5 has 8 cells, wanted 7"),
        (lambda rows: rows[4].__setitem__(4, "fast"), "line 5, column 5: wanted a number, got 'fast'"),
        (lambda rows: rows[1].__setitem__(slice(4, 7), ["nose"] * 3), "nose / x comes twice"),
        (lambda rows: rows[2].__setitem__(3, "z"), "holds 3D points"),
        (lambda rows: rows[2].__setitem__(2, "likelihood2"), "'nose' has no column 'y'"),
        (lambda rows: rows[4].__setitem__(0, 2), "frame 2 comes twice"),
        (lambda rows: rows[5].__setitem__(0, 10**25), "frame number must be a whole number below 2\\^63"),
        (lambda rows: rows[5].__setitem__(0, 10**12), "frame numbers run from 0 to 1000000000000"),
        (lambda rows: rows.__delitem__(slice(3, None)), "holds no frames"),
        (lambda rows: rows[1].pop(), "header row 'bodyparts' has 6 cells, wanted 7"),
        (lambda rows: rows[1].__setitem__(1, None), "column 2 has a coordinate but no body part"),
        (lambda rows: rows[5].__setitem__(0, None), "row 3 of 3 has no frame number or time"),
        (
            lambda rows: [row.insert(4, 5 if number > 2 else None) for number, row in enumerate(rows)],
            "column 5 has values but no header",
        ),
    ],
)
def test_bad_tables_name_the_cause(
    write_table: Callable[..., Path], change: Callable[[Rows], object], message: str
) -> None:
    rows = _single()
    change(rows)
    with pytest.raises(InputError, match=message) as error:
        read_keypoints(write_table(rows))
    assert str(error.value).count("\n") == 0 and "table.csv: " in str(error.value)


def _by_hand(path: Path) -> tuple[list[tuple[str, ...]], list[list[str]], int]:
    """Columns as (individual, body part, coordinate), data rows, and the number of index columns."""
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    header = {row[0]: row for row in rows[:4] if row[0] in ("scorer", "individuals", "bodyparts", "coords")}
    width = len(header["coords"])
    index = next(column for column in range(1, width) if header["coords"][column])
    columns = [
        (header["individuals"][c] if "individuals" in header else "", header["bodyparts"][c], header["coords"][c])
        for c in range(index, width)
    ]
    return columns, rows[len(header) :], index


@pytest.mark.parametrize(
    "name",
    [
        *(f"deeplabcut_csv/{stem}.csv" for stem in ("CollectedData_LM", "dlc_testdata", "dlc_testdata_v2")),
        *(f"deeplabcut_csv/{stem}.csv" for stem in ("madlc_testdata", "madlc_testdata_v2", "maudlc_testdata")),
        "deeplabcut_csv/maudlc_testdata_v2.csv",
        "deeplabcut_h5/DLC_sample_tracks.csv",
        "lightning_pose/ibl-paw_left.rng0.csv",
        "lightning_pose/ibl-paw_right.rng0.csv",
        "lightning_pose/mirror-mouse_180607_004.rng0.csv",
        "lightning_pose/mirror-mouse_CollectedData.csv",
    ],
)
def test_real_tables_hold_the_numbers_of_the_file(real_data: Path, name: str) -> None:
    path = real_data / "keypoints2d" / name
    found = read_keypoints(path)
    columns, rows, index = _by_hand(path)
    assert found.num_frames == len(rows)
    tracks = list(dict.fromkeys(column[0] for column in columns))
    assert found.num_tracks == len(tracks)
    checked = 0
    for frame, row in enumerate(rows):
        cells = dict(zip(columns, row[index:], strict=False))
        for (individual, bodypart, coordinate), cell in cells.items():
            place = tracks.index(individual), frame, found.skeleton.names.index(bodypart)
            likelihood = float(cells.get((individual, bodypart, "likelihood")) or 1)
            if coordinate == "likelihood":
                assert found.confidence[place] == np.float32(cell)
            elif cell and likelihood > 0:
                assert found.keypoints[place]["xy".index(coordinate)] == np.float32(cell)
                checked += 1
            else:
                assert np.isnan(found.keypoints[place]).all() and found.confidence[place] == 0
    assert checked == np.isfinite(found.keypoints).sum()
