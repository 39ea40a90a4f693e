"""`olift angles`: the table, what it says, and what it refuses."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from olift_fast.io import read_lifted, write_lifted
from olift_fast.tracks import Skeleton

from .conftest import Run
from .test_cli_errors import assert_one_line


@pytest.fixture
def result(lift: Run, mouse: Path, tmp_path: Path) -> Path:
    skeleton = tmp_path / "rig.json"
    edges = [["nose", "left_paw"], ["left_paw", "right_paw"], ["right_paw", "tail"]]
    skeleton.write_text(json.dumps({"names": ["nose", "left_paw", "right_paw", "tail"], "edges": edges}))
    path = tmp_path / "walk.npz"
    assert lift(mouse, "-o", path, "--skeleton", skeleton, "--fps", 20).exit_code == 0
    return path


def test_table_lies_beside_the_result(run: Run, result: Path) -> None:
    outcome = run("angles", result)
    assert outcome.exit_code == 0, outcome.stderr
    table = result.parent / "walk.angles.csv"
    assert f"{table}: 2 angles (2 at joints) of 1 track of 30 frames" in outcome.stdout
    assert "left out: elevation of segments, trunk pitch and heading" in outcome.stderr
    rows = list(csv.DictReader(table.open()))
    assert list(rows[0]) == ["track", "frame", "time", "left_paw", "right_paw"] and len(rows) == 30
    joints = read_lifted(result).joints[0, 7].astype(float)
    one, other = joints[0] - joints[1], joints[2] - joints[1]
    wanted = np.degrees(np.arccos(one @ other / np.linalg.norm(one) / np.linalg.norm(other)))
    assert float(rows[7]["left_paw"]) == pytest.approx(wanted, abs=2e-3)


def test_world_has_segments_too_and_long_tables_a_row_each(run: Run, result: Path, tmp_path: Path) -> None:
    lifted = read_lifted(result)
    world = replace(lifted, joints=lifted.joints[..., [0, 2, 1]] * (1, 1, -1), frame="world")
    write_lifted(world, tmp_path / "world.npz")
    content = json.loads(run("angles", tmp_path / "world.npz", "-o", tmp_path / "a.long.csv", "--json").stdout)
    assert content["frame"] == "world" and content["output"].endswith("a.long.csv")
    assert [angle["kind"] for angle in content["angles"]] == ["joint"] * 2 + ["segment"] * 3
    assert all(angle["min"] <= angle["median"] <= angle["max"] for angle in content["angles"])
    assert len(list(csv.DictReader((tmp_path / "a.long.csv").open()))) == 5 * 30


def test_what_can_not_be_used_is_said(run: Run, result: Path, mouse: Path, tmp_path: Path) -> None:
    assert_one_line(run("angles", tmp_path / "absent.npz"), "absent.npz", "no such file")
    assert_one_line(run("angles", tmp_path), "is a folder, wanted what `olift lift` wrote")
    assert_one_line(run("angles", mouse), "mouse.csv: not a lifted result")
    assert_one_line(run("angles", result, "-o", tmp_path / "a.xlsx"), "a.xlsx: a table's name must end in .csv")
    assert_one_line(run("angles", result, "-o", tmp_path / "no" / "a.csv"), "is not a folder")
    bare = replace(read_lifted(result), skeleton=Skeleton(("p1", "p2", "p3", "p4")))
    write_lifted(bare, tmp_path / "bare.npz")
    assert_one_line(
        run("angles", tmp_path / "bare.npz"), f"olift: {tmp_path / 'bare.npz'}: angles need the skeleton's edges"
    )
    assert not list(tmp_path.glob("*.angles.csv"))
