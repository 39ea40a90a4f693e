"""A number out of range, and a file that is not there, are told with the option that said them."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Run, walk, write_table
from .test_cli_errors import assert_one_line, files_under

REPLAY = ("stream", "--replay", "mouse.csv")
OUT_OF_RANGE = [
    (("lift", "mouse.csv"), "--fps", "0"),
    (("lift", "mouse.csv"), "--image-size", "0 0"),
    (("lift", "mouse.csv"), "--min-confidence", "-1"),
    (("lift", "mouse.csv"), "--smooth", "0"),
    (("lift", "mouse.csv"), "--pitch", "91"),
    (("lift", "mouse.csv", "--world"), "--fov", "180"),
    (("lift", "mouse.csv", "--world"), "--focal", "0"),
    (("lift", "mouse.csv", "--world"), "--mm-per-pixel", "-2"),
    (("lift", "mouse.csv"), "--threads", "0"),
    (("archive", "recordings", "--out", "lifted"), "--fps", "-3"),
    (("archive", "recordings", "--out", "lifted"), "--workers", "0"),
    (("archive", "recordings", "--out", "lifted"), "--long-frames", "0"),
    (("archive", "recordings", "--out", "lifted"), "--image-size", "7 -1"),
    (REPLAY, "--fps", "-1"),
    (REPLAY, "--image-size", "0 0"),
    (REPLAY, "--page-port", "-5"),
    (REPLAY, "--tracks", "0"),
    (REPLAY, "--idle", "nan"),
    (REPLAY, "--scale", "0"),
    (REPLAY, "--fit-frames", "0"),
    (REPLAY, "--align", "0"),
    (REPLAY, "--queue", "0"),
    (REPLAY, "--patience", "0"),
    (REPLAY, "--threads", "0"),
    (("render", "mouse.lifted.npz"), "--size", "0 0"),
    (("render", "mouse.lifted.npz"), "--views", "3"),
    (("render", "mouse.lifted.npz"), "--fps", "0"),
    (("render", "mouse.lifted.npz"), "--turn", "nan"),
    (("render", "mouse.lifted.npz"), "--trail", "-1"),
    (("render", "mouse.lifted.npz"), "--start", "99"),
    (("render", "mouse.lifted.npz"), "--stop", "-4"),
    (("view", "mouse.lifted.npz", "--no-open"), "--max-frames", "0"),
    (("convert", "mouse.lifted.npz", "-o", "mouse.long.csv"), "--fps", "0"),
    (("world", "mouse.lifted.npz"), "--fov", "0"),
    (("world", "mouse.lifted.npz"), "--image-size", "0 9"),
    (("info", "mouse.csv"), "--min-confidence", "2"),
    (("skeleton", "mouse.csv"), "--min-confidence", "2"),
    (("adapt", "mouse.csv", "--out", "mine"), "--minutes", "0"),
    (("finetune", "recordings", "--out", "mine"), "--steps", "0"),
    (("demo",), "--frames", "1"),
    (("bench", "mouse.csv"), "--rounds", "0"),
]
NOT_THERE = [
    (("lift", "mouse.csv"), "--calibration"),
    (("lift", "mouse.csv"), "--body"),
    (("lift", "mouse.csv"), "--skeleton"),
    (("archive", "recordings", "--out", "lifted"), "--skeleton"),
    (("info", "mouse.csv"), "--skeleton"),
    (("stream",), "--skeleton"),
    (("world", "mouse.lifted.npz"), "--calibration"),
]


@pytest.fixture
def here(tmp_path: Path, lift: Run, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a table, a folder of tables, and a lifted result; the commands run in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recordings").mkdir()
    for place in (tmp_path / "mouse.csv", tmp_path / "recordings" / "mouse.csv"):
        write_table(place, *walk())
    assert lift("mouse.csv").exit_code == 0
    return tmp_path


@pytest.mark.parametrize(
    ("command", "option", "value"), OUT_OF_RANGE, ids=[f"{one[0][0]} {one[1]} {one[2]}" for one in OUT_OF_RANGE]
)
def test_a_number_out_of_range(here: Path, run: Run, command: tuple[str, ...], option: str, value: str) -> None:
    before = files_under(here)
    if command[0] in ("render", "adapt", "finetune"):
        pytest.importorskip({"render": "cv2"}.get(command[0], "torch"))
    outcome = run(*command, option, *value.split())
    assert_one_line(outcome, option, " must ", value.split()[0])
    assert files_under(here) == before


@pytest.mark.parametrize(("command", "option"), NOT_THERE, ids=[f"{one[0][0]} {one[1]}" for one in NOT_THERE])
def test_a_file_that_is_not_there(here: Path, run: Run, command: tuple[str, ...], option: str) -> None:
    before = files_under(here)
    assert run(*command, option, "none/foo.json").stderr == f"olift: {option} none/foo.json: no such file\n"
    assert files_under(here) == before


@pytest.mark.parametrize("command", ["view", "render"])
def test_an_offset_without_its_video(here: Path, run: Run, command: str) -> None:
    before = files_under(here)
    outcome = run(command, "mouse.lifted.npz", "--offset", "5")
    assert_one_line(outcome, "--offset 5 is of a --video: give its file")
    assert files_under(here) == before


def test_a_skeleton_that_is_no_file_tells_the_names_that_there_are(here: Path, run: Run) -> None:
    assert_one_line(run("lift", "mouse.csv", "--skeleton", "coco"), "--skeleton coco: neither", "coco_17")
