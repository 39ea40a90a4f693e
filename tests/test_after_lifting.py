"""docs/after-lifting.md: its blocks and commands run, one after the other, as they stand there."""

from __future__ import annotations

import csv
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from page_blocks import ROOT, walk
from typer.testing import CliRunner

from olift_fast.cli import app

PAGE = (ROOT / "docs" / "after-lifting.md").read_text(encoding="utf-8")
STEPS = re.findall(r"^```python\n([\s\S]*?)^```|^    (olift .*)$", PAGE, flags=re.MULTILINE)


@pytest.mark.slow
def test_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("scipy", reason="--smooth needs the extra `smooth`")
    monkeypatch.chdir(tmp_path)
    walk(tmp_path / "walk.csv")
    names: dict[str, object] = {}
    for block, command in STEPS:
        if command:
            outcome = CliRunner().invoke(app, shlex.split(command)[1:])
            assert outcome.exit_code == 0, (command, outcome.stderr)
        else:
            exec(compile(block, "docs/after-lifting.md", "exec"), names)
    printed = capsys.readouterr().out
    assert "left_shoulder-left_elbow: " in printed and "mm a pixel" in printed and "180° is straight" in printed
    made = {path.name for path in tmp_path.iterdir()}
    assert {"walk.lifted.npz", "steady.lifted.npz", "angles.csv", "angles.long.csv", "walk.long.csv"} < made
    assert np.shape(names["millimeters"]) == (45, 17, 3)
    table = list(csv.reader((tmp_path / "walk.excel.csv").open(encoding="utf-8-sig")))
    assert len(table) == 46 and table[0][:3] == ["frame", "seconds", "nose_x"] and len(table[5]) == 2 + 51


def test_recording_that_readers_get_is_the_one_of_the_tests(tmp_path: Path) -> None:
    walk(tmp_path / "walk.csv")
    assert (tmp_path / "walk.csv").read_bytes() == (ROOT / "docs/tutorials/data/walk.csv").read_bytes()


def test_page_has_the_blocks_that_it_promises() -> None:
    assert sum(bool(block) for block, _ in STEPS) >= 4 and sum(bool(command) for _, command in STEPS) >= 5


def test_limits_on_the_page_are_those_of_the_code() -> None:
    from olift_fast.bodies import signs

    rows = dict(
        re.findall(
            r"^\| (keypoints estimated|bones stretch by|jumps|the mirror .*? by|depth ±) .*\| (.*?) \|$", PAGE, re.M
        )
    )
    assert [*rows] == ["keypoints estimated", "bones stretch by", "jumps", "the mirror image differs by", "depth ±"]
    wanted = (signs.BAD_ESTIMATED, signs.BAD_DRIFT, signs.BAD_JUMPS, signs.BAD_MIRROR, signs.BAD_UNCERTAINTY)
    for text, limit in zip(rows.values(), wanted, strict=True):
        assert f"{100 * limit:.0f} %" in text
