"""Text tables as pandas, spreadsheets and European locales leave them, in every format of tables."""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from olift_fast.errors import InputError
from olift_fast.io import read_keypoints
from olift_fast.io.csv_table import split_table
from olift_fast.tracks.containers import KeypointTracks

HEADER = "scorer,s,s,s,s,s,s\nbodyparts,nose,nose,nose,tail,tail,tail\ncoords,x,y,likelihood,x,y,likelihood\n"
BODY = "0,260.5,150,0.95,3,4,0.25\n1,264.25,151,0.9,,,\n2,7,8,0.5,9,10,1\n"
# The same three frames as each format of tables has them, under as many lines of names.
TABLES = {
    "deeplabcut": (HEADER, BODY),
    "flat-csv": ("frame,nose_x,nose_y,nose_p,tail_x,tail_y,tail_p\n", BODY),
    "sleap-csv": (
        "frame_idx,track,nose.x,nose.y,nose.score,tail.x,tail.y,tail.score\n",
        "".join(line.replace(",", ",track_0,", 1) + "\n" for line in BODY.splitlines()),
    ),
    "long-csv": (
        "frame,keypoint,x,y,likelihood\n",
        "0,nose,260.5,150,0.95\n0,tail,3,4,0.25\n1,nose,264.25,151,0.9\n2,nose,7,8,0.5\n2,tail,9,10,1\n",
    ),
}


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., KeypointTracks]:
    """Reads a text, or bytes, as a file."""

    def read(content: str | bytes, name: str = "table.csv") -> KeypointTracks:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_keypoints(path)

    return read


def assert_three_frames(found: KeypointTracks) -> None:
    assert found.num_tracks == 1 and found.skeleton.names == ("nose", "tail")
    nan = [np.nan, np.nan]
    wanted = [[[260.5, 150], [3, 4]], [[264.25, 151], nan], [[7, 8], [9, 10]]]
    np.testing.assert_array_equal(found.keypoints[0], np.array(wanted, np.float32))
    np.testing.assert_array_equal(found.confidence[0], np.array([[0.95, 0.25], [0.9, 0], [0.5, 1]], np.float32))
    assert found.frames is None


@pytest.mark.parametrize("format", TABLES)
@pytest.mark.parametrize(
    "change",
    [
        lambda head, body, width: head + body,
        lambda head, body, width: head + body + ("," * (width - 1) + "\n") * 3,
        lambda head, body, width: head + body.replace("\n", "\n" + "," * (width - 1) + "\n\n", 1) + " , \n",
        lambda head, body, width: "," * (width - 1) + "\n" + head + '"",""' + "\n" + body,
        lambda head, body, width: (head + body).replace("\n", ",,\n"),
        lambda head, body, width: head + body.replace("\n", ",\n"),
        lambda head, body, width: (head + body).replace(",", " , "),
        lambda head, body, width: (head + body).replace("\n", "\r\n"),
        lambda head, body, width: "\ufeff" + (head + body).replace(",", "\t"),
        lambda head, body, width: "sep=;\n" + (head + body).replace(",", ";"),
        lambda head, body, width: '"sep=|"\n' + (head + body).replace(",", "|"),
        lambda head, body, width: "\n".join(
            ",".join(f'"{cell}"' for cell in line.split(",")) for line in (head + body).splitlines()
        ),
        lambda head, body, width: _european(head, body),
    ],
    ids=[
        *("plain", "rows of commas at the end", "rows of commas in between", "rows of commas at the start"),
        *("padding columns", "a comma at the end of each line", "spaces", "CRLF", "tabs", "sep=;", "sep=|", "quotes"),
        "decimal commas",
    ],
)
def test_tables_read_the_same_however_they_were_saved(
    read: Callable[..., KeypointTracks], format: str, change: Callable[[str, str, int], str]
) -> None:
    head, body = TABLES[format]
    found = read(change(head, body, head.splitlines()[-1].count(",") + 1))
    assert found.format == format
    assert_three_frames(found)


def _european(head: str, body: str) -> str:
    """As a European Excel saves it: a byte order mark, semicolons, decimal commas."""
    names, numbers = head.replace(",", ";"), body.replace(",", ";").replace(".", ",")
    return "\ufeff" + (names + numbers).replace("\n", "\r\n")


@pytest.mark.parametrize("format", ["deeplabcut", "flat-csv"])
@pytest.mark.parametrize("name", ["frame", "", "index", "Frame_number"])
def test_the_index_name_between_header_and_data_is_no_frame(
    read: Callable[..., KeypointTracks], format: str, name: str
) -> None:
    head, body = TABLES[format]
    assert_three_frames(read(head + name + ",,,,,,\n" + body))


def test_a_frame_number_without_values_is_a_hidden_frame(read: Callable[..., KeypointTracks]) -> None:
    for head, first, last in ((HEADER, "0,,,,,,\n", "3\n"), (TABLES["flat-csv"][0], "0,,,,,,\n", "3,,,,,,\n")):
        found = read(head + first + "1,1,2,0.9,3,4,0.8\n2,,,,,,\n" + last)
        assert found.num_frames == 4
        assert found.visible(0.0)[0].tolist() == [[False] * 2, [True] * 2, [False] * 2, [False] * 2]


@pytest.mark.parametrize(
    "missing",
    ["NA", "N/A", "#N/A", "<NA>", "None", "null", "NULL", "nan", "NaN", "-nan", "-", "--", "inf", "-inf", " ", "\\N"],
)
def test_words_for_a_missing_number_hide_the_keypoint(read: Callable[..., KeypointTracks], missing: str) -> None:
    found = read(HEADER + f"0,1,2,0.9,{missing},4,0.8\n1,{missing},{missing},{missing},3,4,{missing}\n")
    np.testing.assert_array_equal(found.keypoints[0], np.float32([[[1, 2], [np.nan] * 2], [[np.nan] * 2, [3, 4]]]))


def test_quoted_decimal_commas_are_read_in_a_table_of_commas(read: Callable[..., KeypointTracks]) -> None:
    found = read(HEADER + '0,"260,5",150,"0,95",3,4,"0,25"\n')
    np.testing.assert_array_equal(found.keypoints[0, 0], [[260.5, 150], [3, 4]])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            "0;1.234,5;2;0,9;3;4;1",
            "line 4, column 2: wanted a number, got '1.234,5'; write numbers without a separator",
        ),
        ("0;1 234,5;2;0,9;3;4;1", "column 2: wanted a number, got '1 234,5'; write numbers without a separator"),
        ("0;1234,5;2.5;0,9;3;4;1", "column 2: wanted a number, got '1234,5'; other numbers have a decimal point"),
        ('0,"1,234",2,0.9,3,4,1', "column 2: wanted a number, got '1,234'; write numbers without a separator"),
        ('0,"1,234",2,0,3,4,1', "column 2: wanted a number, got '1,234'; write numbers without a separator"),
        ("0,1,2,0.9,3,4,1,5", "line 4 has 8 cells, wanted 7"),
    ],
)
def test_numbers_that_could_mean_two_things_are_refused(
    read: Callable[..., KeypointTracks], row: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        read((HEADER.replace(",", ";") if ";" in row else HEADER) + row + "\n")


def test_the_line_of_a_bad_cell_counts_the_lines_left_out(read: Callable[..., KeypointTracks]) -> None:
    with pytest.raises(InputError, match="line 7, column 3: wanted a number, got 'fast'"):
        read(HEADER + "\n,,,,,,\n0,1,2,1,1,2,1\n1,1,fast,1,1,2,1\n")


def test_utf16_and_gzip_are_unpacked(read: Callable[..., KeypointTracks]) -> None:
    text = HEADER + BODY
    assert_three_frames(read(text.replace(",", "\t").encode("utf-16")))
    assert_three_frames(read(gzip.compress(text.encode()), "table.csv.gz"))


@pytest.mark.parametrize(
    "index",
    [
        ("0.000000", "0.033333", "0.100000"),
        ("0,000000", "0,033333", "0,100000"),
        ("00:00:00.000", "00:00:00.033", "00:00:00.100"),
        ("0 days 00:00:00", "0 days 00:00:00.033333", "0 days 00:00:00.100000"),
    ],
)
@pytest.mark.parametrize("head", [HEADER, "time,nose_x,nose_y,nose_p,tail_x,tail_y,tail_p\n"])
def test_a_time_index_becomes_frames_with_their_gaps(
    read: Callable[..., KeypointTracks], head: str, index: tuple[str, ...]
) -> None:
    found = read(
        (head + "".join(f"{mark.replace(',', '@')},1,2,1,3,4,1\n" for mark in index))
        .replace(",", ";")
        .replace("@", ",")
    )
    assert found.num_frames == 4 and found.frames is None and found.fps == pytest.approx(30, rel=0.02)
    assert found.visible(0.0)[0, :, 0].tolist() == [True, True, False, True]
    assert any("rows are marked by times" in note for note in found.notes)


def test_a_table_of_no_known_kind_shows_its_first_line_and_what_was_wanted(
    read: Callable[..., KeypointTracks],
) -> None:
    with pytest.raises(InputError, match=r"wanted DeepLabCut.*nose_x,nose_y.*the first line is 'speed,area'") as error:
        read("speed,area\n1,2\n")
    assert len(str(error.value).split("table.csv: ")[1]) < 230


def test_the_delimiter_is_found_beside_quoted_commas() -> None:
    assert split_table('"a, b, c, d";"e"\n1;2\n').delimiter == ";"
    assert split_table("scorer\nbodyparts\tnose\n").delimiter == "\t"
    assert split_table(",,,\n\na;b\n").lines == ["a;b"]
    with pytest.raises(InputError, match="is empty"):
        split_table("sep=,\n,,,\n")


@pytest.mark.slow
def test_words_for_missing_numbers_cost_no_loop_over_cells(read: Callable[..., KeypointTracks]) -> None:
    head = "frame," + ",".join(f"p{joint}_{part}" for joint in range(10) for part in "xyp") + "\n"
    rows = [f"{frame},NA," + ",".join(["123.456"] * 29) for frame in range(20_000)]
    start = time.process_time()
    found = read(head + "\n".join(rows) + "\n")
    assert found.num_frames == 20_000 and time.process_time() - start < 5
