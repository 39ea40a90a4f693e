"""`olift lift` and `olift view`: what they write, print and open."""

from __future__ import annotations

import csv
import json
import os
import re
import webbrowser
from pathlib import Path

import numpy as np
import pytest
from helpers import ROUNDED, needs_native

from olift_fast.io import read_lifted
from olift_fast.ops.backends import asked_backend
from olift_fast.runtime import native_module

from .conftest import JOINTS, Run, walk, write_table
from .test_cli_errors import assert_one_line


def test_result_lies_beside_the_input_and_covers_it(lift: Run, mouse: Path) -> None:
    outcome = lift(mouse)
    assert outcome.exit_code == 0, outcome.stderr
    result = read_lifted(mouse.parent / "mouse.lifted.npz")
    assert result.joints.shape == (1, 30, 4, 3)
    assert np.isfinite(result.joints).all()
    assert result.skeleton.names == JOINTS
    assert (result.frame, result.units, result.model) == ("camera", "pixels", "random")
    assert "mouse.csv: 1 track of 30 frames and 4 joints (deeplabcut), 8.3% hidden" in outcome.stdout
    for stage in ("read", "start", "lift", "write"):
        assert re.search(rf"\b{stage} \d+\.", outcome.stdout)
    assert "draw" not in outcome.stdout
    assert re.search(r"^trust: 3 bones \(1 left, 1 right\), 8\.3% of the keypoints estimated", outcome.stdout, re.M)
    assert "upright camera" not in outcome.stderr


@pytest.mark.slow
def test_json_is_one_object_and_nothing_else(lift: Run, mouse: Path, tmp_path: Path) -> None:
    outcome = lift(mouse, "-o", tmp_path / "a.npz", "--html", tmp_path / "a.html", "--json")
    content = json.loads(outcome.stdout)
    assert outcome.stderr == ""
    assert list(content["seconds"]) == ["read", "start", "lift", "write", "draw"]
    assert content["hidden_share"] == pytest.approx(10 / 120, abs=1e-6)
    assert content["output"] == str(tmp_path / "a.npz") and content["page"] == str(tmp_path / "a.html")
    assert content["joints"] == list(JOINTS) and content["frames"] == 30
    assert content["edges"] == content["inferred_edges"] == 3
    assert "edges: 3 inferred from names" in content["notes"]


@pytest.mark.slow
def test_confidence_decides_what_is_hidden(lift: Run, mouse: Path, tmp_path: Path) -> None:
    for threshold, hidden in ((0.05, 0.0), (0.3, 10 / 120)):
        out = tmp_path / "out.npz"
        assert lift(mouse, "-o", out, "--min-confidence", threshold).exit_code == 0
        assert 1 - read_lifted(out).visible.mean() == pytest.approx(hidden)


@pytest.mark.slow
def test_suffix_chooses_the_format(lift: Run, mouse: Path, tmp_path: Path) -> None:
    assert lift(mouse, "-o", tmp_path / "wide.csv").exit_code == 0
    assert lift(mouse, "-o", tmp_path / "rows.long.csv").exit_code == 0
    wide = list(csv.reader((tmp_path / "wide.csv").open()))
    rows = list(csv.DictReader((tmp_path / "rows.long.csv").open()))
    assert wide[1][1:5] == ["nose", "nose", "nose", "nose"] or wide[1][1:4] == ["nose", "nose", "nose"]
    assert len(rows) == 30 * 4
    assert {"track", "frame", "joint", "x", "y", "z"} <= set(rows[0])


@pytest.mark.slow
def test_tracks_can_be_chosen(lift: Run, tmp_path: Path) -> None:
    keypoints, _ = walk()
    both = np.stack([keypoints, keypoints + 50])
    source = tmp_path / "two.npy"
    np.save(source, both)
    assert lift(source, "-o", tmp_path / "all.npz").exit_code == 0
    names = read_lifted(tmp_path / "all.npz").tracks
    assert len(names) == 2
    assert lift(source, "-o", tmp_path / "one.npz", "--track", names[1]).exit_code == 0
    one = read_lifted(tmp_path / "one.npz")
    assert one.tracks == names[1:]
    np.testing.assert_array_equal(one.keypoints[0], both[1].astype(np.float32))


def test_object_frame_is_in_model_units(lift: Run, mouse: Path, tmp_path: Path) -> None:
    assert lift(mouse, "-o", tmp_path / "object.npz", "--frame", "object").exit_code == 0
    result = read_lifted(tmp_path / "object.npz")
    assert (result.frame, result.units) == ("object", "model units")
    np.testing.assert_allclose(result.joints.mean(axis=2), 0, atol=1e-5)


def test_output_still_works_for_frame(lift: Run, mouse: Path, tmp_path: Path) -> None:
    outcome = lift(mouse, "-o", tmp_path / "object.npz", "--output", "object", "--json")
    assert outcome.exit_code == 0 and json.loads(outcome.stdout)["frame"] == "object"
    assert outcome.stderr == "warning: --output is now --frame; the old name goes with the next release\n"


def test_skeleton_and_fps_reach_the_result(lift: Run, mouse: Path, tmp_path: Path) -> None:
    skeleton = tmp_path / "rig.json"
    skeleton.write_text(json.dumps({"names": JOINTS[::-1], "edges": [["nose", "tail"], ["left_paw", "tail"]]}))
    outcome = lift(mouse, "-o", tmp_path / "out.npz", "--skeleton", skeleton, "--fps", "25")
    assert outcome.exit_code == 0, outcome.stderr
    result = read_lifted(tmp_path / "out.npz")
    assert set(map(frozenset, result.skeleton.edges)) == {frozenset((0, 3)), frozenset((1, 3))}
    assert result.fps == 25
    assert "edges" not in outcome.stderr


@pytest.mark.slow
def test_edges_are_inferred_unless_told_not_to(
    lift: Run, mouse: Path, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    out = tmp_path / "out.npz"
    outcome = lift(mouse, "-o", out)
    assert "note: edges: 3 inferred from names" in outcome.stderr and "no skeleton edges" not in outcome.stderr
    result = read_lifted(out)
    assert result.skeleton.pieces() == ((0, 1, 2, 3),)
    assert result.skeleton.inferred == (True,) * 3 and "edges: 3 inferred from names" in result.notes
    for option in (("--no-infer",), ("--infer", "none")):
        outcome = lift(mouse, "-o", out, *option)
        assert "warning: no skeleton edges are known" in outcome.stderr and "inferred" not in outcome.stderr
        assert read_lifted(out).skeleton.edges == ()
    assert not [str(warning.message) for warning in recwarn if "no bones" in str(warning.message)]


@pytest.mark.slow
def test_motion_is_asked_only_where_told_to(lift: Run, tmp_path: Path) -> None:
    path, out = write_table(tmp_path / "coded.csv", *walk(), names=("p1", "p2", "p3", "p4")), tmp_path / "out.npz"
    assert "warning: no skeleton edges are known" in lift(path, "-o", out).stderr
    assert "note: edges: 3 inferred from motion" in lift(path, "-o", out, "--infer", "motion").stderr
    assert read_lifted(out).skeleton.inferred == (True,) * 3
    short = write_table(tmp_path / "short.csv", *walk(12), names=("p1", "p2", "p3", "p4"))
    outcome = lift(short, "-o", out, "--infer", "motion")
    assert (
        "note: edges: none inferred: the names tell no bones, and bones by motion need at least 20 frames"
        in outcome.stderr
    )
    assert "warning: no skeleton edges are known" in outcome.stderr


@pytest.mark.slow
@needs_native
def test_backends_agree_and_leave_no_trace(
    lift: Run, mouse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OLIFT_BACKEND", raising=False)
    for backend in ("native", "eager", "reference"):
        assert lift(mouse, "-o", tmp_path / f"{backend}.npz", "--backend", backend).exit_code == 0
    native, eager, old_name = (
        read_lifted(tmp_path / f"{name}.npz").joints for name in ("native", "eager", "reference")
    )
    np.testing.assert_allclose(native, eager, rtol=1e-4, atol=1e-2)
    np.testing.assert_array_equal(eager, old_name)
    assert "OLIFT_BACKEND" not in os.environ and asked_backend() == "auto"


def test_native_backend_that_is_missing_is_an_error(lift: Run, mouse: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native_module, "why_not_native", lambda: "built for another planet")
    assert_one_line(lift(mouse, "--backend", "native"), "--backend native: built for another planet")


@pytest.mark.parametrize("dtype", ROUNDED)
def test_rounded_products_are_near_float32_and_on_record(lift: Run, mouse: Path, tmp_path: Path, dtype: str) -> None:
    results = {}
    for name in ("float32", dtype):
        out = tmp_path / f"{name}.npz"
        outcome = lift(mouse, "-o", out, "--json", "--dtype", name)
        assert json.loads(outcome.stdout)["dtype"] == name
        results[name] = np.load(out)["joints"]
    difference = np.linalg.norm(results["float32"] - results[dtype]) / np.linalg.norm(results["float32"])
    assert 0 < difference < 1e-2


@pytest.mark.slow
def test_page_is_drawn_and_opened(
    lift: Run, run: Run, mouse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("plotly", reason="the viewer needs the extra `view`")
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda address: opened.append(address) or len(opened) > 1)
    first = lift(mouse, "--open")
    assert first.exit_code == 0 and "no browser to open here" in first.stderr
    page = mouse.parent / "mouse.lifted.html"
    assert "mouse.csv" in page.read_text() and opened == [page.as_uri()]
    other = tmp_path / "other.html"
    outcome = run("view", mouse.parent / "mouse.lifted.npz", "-o", other, "--no-open", "--title", "A walk")
    assert outcome.exit_code == 0, outcome.stderr
    assert "<title>A walk" in other.read_text() and len(opened) == 1
    assert run("view", mouse.parent / "mouse.lifted.npz").exit_code == 0 and len(opened) == 2


def test_folder_is_lifted_beside_itself(lift: Run, tmp_path: Path) -> None:
    folder = tmp_path / "openpose"
    folder.mkdir()
    keypoints, likelihood = walk(frames=5, joints=25)
    for t, values in enumerate(np.concatenate([keypoints, likelihood[..., None]], axis=-1)):
        people = [{"person_id": [-1], "pose_keypoints_2d": values.ravel().tolist()}]
        (folder / f"walk_{t:012d}_keypoints.json").write_text(json.dumps({"version": 1.3, "people": people}))
    outcome = lift(folder)
    assert outcome.exit_code == 0, outcome.stderr
    assert read_lifted(tmp_path / "openpose.lifted.npz").joints.shape == (1, 5, 25, 3)


@pytest.mark.slow
def test_what_makes_depth_less_sure_is_said(lift: Run, tmp_path: Path) -> None:
    keypoints, likelihood = walk(frames=1, joints=2)
    one_frame = lift(write_table(tmp_path / "one.csv", keypoints, likelihood + 0.5, ("a", "b")))
    assert one_frame.exit_code == 0
    for words in ("no skeleton edges", "no left and right", "2 joints only", "one frame only"):
        assert words in one_frame.stderr
    keypoints, likelihood = walk()
    likelihood[:, :3] = 0.1
    sparse = lift(write_table(tmp_path / "sparse.csv", keypoints, likelihood))
    assert "only 17% of the keypoints are visible" in sparse.stderr


def test_an_animal_that_never_moves_is_warned_of(lift: Run, tmp_path: Path) -> None:
    keypoints, likelihood = walk()
    words = "no keypoint moves, so there is no motion to tell depth by"
    assert words not in lift(write_table(tmp_path / "walk.csv", keypoints, likelihood)).stderr
    still = np.repeat(keypoints[:1], len(keypoints), axis=0)
    assert words in lift(write_table(tmp_path / "still.csv", still, likelihood)).stderr
    one_moves = still.copy()
    one_moves[:, 0] += np.arange(len(still))[:, None]
    assert words not in lift(write_table(tmp_path / "one.csv", one_moves, likelihood)).stderr


def test_keypoints_that_are_all_in_one_point_are_warned_of(lift: Run, tmp_path: Path) -> None:
    keypoints, likelihood = walk()
    told = lift(write_table(tmp_path / "same.csv", np.full_like(keypoints, 5.0), likelihood))
    assert "all keypoints of a frame are in one point: is the file right?" in told.stderr


def test_a_file_whose_y_points_up_is_warned_of(lift: Run, run: Run, tmp_path: Path) -> None:
    source = Path(__file__).resolve().parents[2] / "docs/tutorials/data/rat.csv"
    rows = [line.split(",") for line in source.read_text().splitlines()]
    for row in rows[3:]:
        row[2::3] = [f"{1000 - float(cell):.2f}" if cell else "" for cell in row[2::3]]
    path = tmp_path / "up.csv"
    path.write_text("\n".join(",".join(row) for row in rows) + "\n")
    for told in (run("info", path), lift(path)):
        assert told.stderr.count("the legs point up in the picture: if y points up in this file") == 1
    assert "the legs point up" not in run("info", source).stderr
