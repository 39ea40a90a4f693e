"""`olift lift --rigid`, `--smooth`, the line of trust, and pages that must be pages."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from olift_fast.bodies import bone_lengths, length_drift, read_body, smooth_joints, steady_bones
from olift_fast.cli import lifting_job
from olift_fast.io import read_lifted
from olift_fast.model import Lifter, LifterConfig

from .conftest import Run, walk, write_table
from .test_cli_errors import assert_one_line


def test_rigid_and_smooth_are_those_of_python(lift: Run, mouse: Path, tmp_path: Path) -> None:
    plain, steady = tmp_path / "plain.npz", tmp_path / "steady.npz"
    assert lift(mouse, "--fps", 30, "-o", plain).exit_code == 0
    outcome = lift(mouse, "--fps", 30, "-o", steady, "--rigid", "--smooth", 0.3)
    assert outcome.exit_code == 0, outcome.stderr
    result, wanted = read_lifted(steady), steady_bones(smooth_joints(read_lifted(plain), 0.3))
    np.testing.assert_array_equal(result.joints, wanted.joints)
    assert result.notes == wanted.notes
    assert length_drift(result.joints[0], result.skeleton.edges, None) < 1e-3
    assert "note: smoothed over 9 frames" in outcome.stderr and "no lag" in outcome.stderr
    assert "note: bones: one length each; joints moved by" in outcome.stderr
    # Trust is in what the model gave, not in what was made of it.
    assert re.search("bones stretch by [1-9]", outcome.stdout)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--smooth", 0.3), ("--smooth needs the frames a second", "mouse.csv", "--fps")),
        (("--smooth", 0.3, "--fps", 5), ("--smooth must be over 0.8 s or more at 5 frames a second",)),
        (("--smooth", 0), ("--smooth must be over a positive number of seconds, got 0",)),
        (("--rigid", "--no-infer"), ("mouse.csv: steady bones need the skeleton's edges", "--skeleton")),
        (("--html", "movie.mp4"), ("movie.mp4: a page's name must end in .html, got '.mp4'",)),
    ],
)
def test_what_can_not_be_done_is_said_before_anything_is_lifted(
    lift: Run, mouse: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[object, ...], words: tuple[str, ...]
) -> None:
    monkeypatch.setattr(lifting_job, "load_model", lambda *_: pytest.fail("the model was loaded"))
    assert_one_line(lift(mouse, *options), *words)
    assert sorted(path.name for path in mouse.parent.iterdir()) == ["mouse.csv"]


BODY = {
    "format": "olift-fast body",
    "format_version": 2,
    "bones": [
        {"joints": ["nose", name], "length": length, "spread": 0.0, "frames": 30}
        for name, length in (("left_paw", 0.8), ("right_paw", 0.8), ("tail", 1.4))
    ],
}


@pytest.fixture
def body(tmp_path: Path) -> Path:
    path = tmp_path / "body.json"
    path.write_text(json.dumps(BODY))
    return path


@pytest.fixture
def bones(tmp_path: Path) -> Path:
    path = tmp_path / "skeleton.json"
    path.write_text(json.dumps({"names": ["nose", "left_paw", "right_paw", "tail"], "edges": [[0, 1], [0, 2], [0, 3]]}))
    return path


def test_bones_get_the_lengths_of_a_body_file(lift: Run, mouse: Path, body: Path, bones: Path, tmp_path: Path) -> None:
    options = ("--skeleton", bones, "--fps", 30)
    plain, steady = tmp_path / "plain.npz", tmp_path / "steady.npz"
    assert lift(mouse, *options, "-o", plain).exit_code == 0
    outcome = lift(mouse, *options, "-o", steady, "--body", body, "--smooth", 0.3)
    assert outcome.exit_code == 0, outcome.stderr
    result, wanted = read_lifted(steady), steady_bones(smooth_joints(read_lifted(plain), 0.3), read_body(body))
    np.testing.assert_array_equal(result.joints, wanted.joints)
    assert length_drift(result.joints[0], result.skeleton.edges, None) < 1e-3
    lengths = bone_lengths(result.joints[0], result.skeleton.edges)[0]
    np.testing.assert_allclose(lengths / lengths.sum(), np.array([0.8, 0.8, 1.4]) / 3, rtol=1e-3)
    assert f"note: bones: lengths of {body}; joints moved by" in outcome.stderr
    both = lift(mouse, *options, "-o", tmp_path / "both.npz", "--body", body, "--smooth", 0.3, "--rigid")
    assert both.exit_code == 0
    np.testing.assert_array_equal(read_lifted(tmp_path / "both.npz").joints, result.joints)


def test_a_known_bone_that_gets_another_length_is_warned_of(
    lift: Run, mouse: Path, body: Path, bones: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.npz"
    options = ("--skeleton", bones, "-o", out, "--world", "--bone", "nose-tail=40mm")
    free = lift(mouse, *options)
    assert free.exit_code == 0 and "--bone nose-tail=40mm" not in free.stderr
    content = {**BODY, "bones": [*BODY["bones"][:2], BODY["bones"][2] | {"length": 7.0}]}  # type: ignore[index]
    body.write_text(json.dumps(content))
    held = lift(mouse, *options, "--body", body)
    length = 1000 * float(bone_lengths(read_lifted(out).joints[0], [(0, 3)])[0, 0])
    assert held.exit_code == 0 and length > 44
    warning = f"warning: --bone nose-tail=40mm: it is {length:.3g} mm long in the result, since its size was taken from"
    assert warning in held.stderr


def test_a_body_of_other_bones_is_refused_before_anything_is_lifted(
    lift: Run, run: Run, mouse: Path, body: Path, bones: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifting_job, "load_model", lambda *_: pytest.fail("the model was loaded"))
    content = {**BODY, "bones": BODY["bones"][:2]}  # type: ignore[index]
    body.write_text(json.dumps(content))
    outcome = lift(mouse, "--skeleton", bones, "--body", body)
    assert_one_line(outcome, f"{body}: does not have the bones of {mouse}: {mouse} alone has nose-tail")
    assert_one_line(lift(mouse, "--no-infer", "--body", body), "steady bones need the skeleton's edges", "--skeleton")
    body.write_text("{}")
    assert_one_line(lift(mouse, "--body", body), f"{body}: is no body: wanted an object")
    assert_one_line(lift(mouse, "--body", body.with_name("absent.json")), "absent.json: no such file")
    assert_one_line(lift(mouse, "--body", body.parent), f"{body.parent}: is a folder, wanted the file body.json")
    # Of several recordings, too, a bad body is no fault of one.
    assert_one_line(run("lift", mouse, mouse, "-o", mouse.parent / "out", "--body", body), f"{body}: is no body")


def test_view_writes_pages_only(lift: Run, run: Run, mouse: Path, tmp_path: Path) -> None:
    assert lift(mouse, "-o", tmp_path / "out.npz").exit_code == 0
    for name in ("movie.mp4", "page"):
        outcome = run("view", tmp_path / "out.npz", "-o", tmp_path / name, "--no-open")
        assert_one_line(outcome, f"{name}: a page's name must end in .html")
        assert not (tmp_path / name).exists()


def test_json_has_the_signs_of_trust(lift: Run, mouse: Path, tmp_path: Path) -> None:
    content = json.loads(lift(mouse, "-o", tmp_path / "out.npz", "--json").stdout)
    told = content["trust"]
    assert (told["bones"], told["left"], told["right"]) == (3, 1, 1)
    assert told["estimated"] == pytest.approx(content["hidden_share"], abs=1e-5)
    assert told["drift"] > 0 and told["jumps"] is not None
    assert told["usual_drift"] is None and told["mirror"] is None and told["uncertainty"] is None
    told = json.loads(lift(mouse, "-o", tmp_path / "out.npz", "--mirror", "--json").stdout)["trust"]
    assert told["mirror"] > 0


def test_bones_are_compared_with_what_the_checkpoint_says(run: Run, random_model: str, mouse: Path) -> None:
    folder = mouse.parent / "told"
    Lifter.from_pretrained(random_model).save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "validation": {"bone_length_drift": 0.0001}}))
    outcome = run("lift", mouse, "--model", folder)
    assert "(in validation 0.0%)" in outcome.stdout
    assert "warning: bones stretch by" in outcome.stderr and "--rigid" in outcome.stderr
    for wrong in (2, -0.1, True, "much", {"a": 1}):
        (folder / "config.json").write_text(json.dumps({**config, "validation": {"bone_length_drift": wrong}}))
        assert_one_line(run("lift", mouse, "--model", folder), "config.json: bone_length_drift of validation must be")
    (folder / "config.json").write_text(json.dumps({**config, "validation": 0.07}))
    assert_one_line(run("lift", mouse, "--model", folder), "config.json: validation must be an object, got 0.07")


def test_uncertainty_of_models_that_give_it_is_told(run: Run, mouse: Path, tmp_path: Path) -> None:
    config = LifterConfig(width=32, heads=2, motion_layers=1, space_layers=1, uncertainty=True)
    Lifter(config, name="sure").save_pretrained(tmp_path / "sure")
    assert re.search(r"depth ±\d", run("lift", mouse, "--model", tmp_path / "sure").stdout)


def test_jumps_are_warned_of(lift: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keypoints, likelihood = walk(60)
    keypoints[::8, 1:3] = keypoints[::8, 2:0:-1] + 400
    outcome = lift(write_table(tmp_path / "swaps.csv", keypoints, likelihood + 0.5))
    share = float(re.search(r"jumps in ([\d.]+)% of the frames", outcome.stdout).group(1))  # type: ignore[union-attr]
    assert (share > 5) == ("warning: a joint jumps in" in outcome.stderr)
    assert share > 5
