"""docs/after-lifting.md: its blocks and commands run, one after the other, as they stand there."""

from __future__ import annotations

import csv
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from olift_fast.cli import app
from olift_fast.tracks import rig

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "after-lifting.md").read_text(encoding="utf-8")
STEPS = re.findall(r"^```python\n([\s\S]*?)^```|^    (olift .*)$", PAGE, flags=re.MULTILINE)


def walk(path: Path, frames: int = 45) -> None:
    """Writes the keypoints of a person who walks to the right, as DeepLabCut does."""
    skeleton = rig("coco_17")
    places = {
        "nose": (8, 0), "eye": (6, -4), "ear": (0, -2), "shoulder": (0, 40), "elbow": (4, 90), "wrist": (12, 130),
        "hip": (0, 140), "knee": (4, 210), "ankle": (0, 280),
    }  # fmt: skip
    time = np.arange(frames) / 30
    points = np.zeros((frames, skeleton.num_joints, 2))
    for joint, (name, side) in enumerate(zip(skeleton.names, skeleton.sides, strict=True)):
        x, y = places[name.split("_")[-1]]
        swing = side * np.sin(2 * np.pi * time) * max(y - 130, 20) * 0.3 * (-1 if "wrist" in name else 1)
        points[:, joint] = np.stack([200 + 60 * time + x + 6 * side + swing, 100 + y + 0 * time], axis=-1)
    names = [name for name in skeleton.names for _ in range(3)]
    rows = [["scorer", *["net"] * len(names)], ["bodyparts", *names], ["coords", *["x", "y", "likelihood"] * 17]]
    for frame, values in enumerate(points):
        rows.append([str(frame), *(f"{cell:.2f}" for x, y in values for cell in (x, y, 0.95))])
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


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
