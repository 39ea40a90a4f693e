"""`olift demo`, `olift info` and `olift doctor`."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch

from olift_fast.cli import demo as demo_module
from olift_fast.cli import doctor as doctor_module
from olift_fast.cli.demo import deeplabcut_table, errors, film
from olift_fast.io import read_keypoints, read_lifted
from olift_fast.model import checkpoints
from olift_fast.ops import backends
from olift_fast.runtime import native_module

from .conftest import JOINTS, Run, walk, write_table


@pytest.mark.slow
def test_demo_writes_all_files_and_scores_them(run: Run, random_model: str, tmp_path: Path) -> None:
    outcome = run("demo", tmp_path / "new" / "demo", "--model", random_model, "--frames", 40)
    assert outcome.exit_code == 0, outcome.stderr
    folder = tmp_path / "new" / "demo"
    names = {"keypoints.csv", "skeleton.json", "truth.npz", "lifted.npz"}
    if importlib.util.find_spec("plotly"):
        names.add("lifted.html")
    assert {path.name for path in folder.iterdir()} == names
    result = read_lifted(folder / "lifted.npz")
    with np.load(folder / "truth.npz") as truth:
        assert truth["joints"].shape == result.joints.shape[1:]
        assert tuple(truth["names"]) == result.skeleton.names
        assert len(truth["edges"]) == len(result.skeleton.edges) > 0
    assert result.format == "deeplabcut" and result.fps == 30
    assert "SA-MPJPE" in outcome.stdout and "flat guess" in outcome.stdout and "lift 0." in outcome.stdout


@pytest.mark.slow
def test_demo_repeats_itself_and_other_seeds_differ(run: Run, random_model: str, tmp_path: Path) -> None:
    contents = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        outcome = run("demo", tmp_path / name, "--model", random_model, "--frames", 12, "--seed", seed, "--json")
        assert outcome.exit_code == 0, outcome.stderr
        found = json.loads(outcome.stdout)
        assert 0 < found["flat_sa_mpjpe_percent"] < 150
        contents.append(((tmp_path / name / "keypoints.csv").read_bytes(), found["sa_mpjpe_percent"]))
    assert contents[0] == contents[1]
    assert contents[0] != contents[2]


def test_demo_clip_has_noise_gaps_and_misplaced_keypoints(tmp_path: Path) -> None:
    clip = film(seed=3, frames=200)
    path = tmp_path / "keypoints.csv"
    path.write_text(deeplabcut_table(clip))
    tracks = read_keypoints(path)
    np.testing.assert_allclose(tracks.keypoints[0], clip.keypoints, atol=1e-3)
    visible = tracks.visible()[0]
    assert 0.02 < 1 - visible.mean() < 0.5
    missing = np.isnan(clip.keypoints).any(axis=-1)
    assert missing.any() and (~visible & ~missing).any()
    noise = np.linalg.norm(clip.keypoints - clip.true_keypoints, axis=-1)
    assert 0 < np.median(noise[visible]) < np.median(noise[~visible & ~missing])


def test_demo_error_is_zero_for_the_truth_in_any_pose_and_large_for_flat() -> None:
    clip = film(seed=4, frames=30)
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(0)).double())[0]
    turn *= torch.linalg.det(turn)
    moved = 2.5 * clip.joints @ turn.numpy() + np.array([100.0, -50.0, 7.0])
    own, flat = errors(clip, moved)
    assert own == pytest.approx(0, abs=1e-3) and flat > 3


def test_demo_without_plotly_still_lifts(
    run: Run, random_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo_module.importlib.util, "find_spec", lambda name: None)
    outcome = run("demo", tmp_path, "--model", random_model, "--frames", 10)
    assert outcome.exit_code == 0
    assert (tmp_path / "lifted.npz").is_file() and not (tmp_path / "lifted.html").exists()
    assert "pip install 'olift-fast[view]'" in outcome.stderr


def test_demo_into_a_file_is_one_line(run: Run, mouse: Path) -> None:
    outcome = run("demo", mouse)
    assert outcome.exit_code == 2 and outcome.stderr.count("\n") == 1 and str(mouse) in outcome.stderr


def test_info_tells_what_is_in_the_file(run: Run, mouse: Path) -> None:
    outcome = run("info", mouse, "--json")
    assert outcome.exit_code == 0 and outcome.stderr == ""
    content = json.loads(outcome.stdout)
    assert content["format"] == "deeplabcut" and content["frames"] == 30 and content["fps"] is None
    assert [joint["name"] for joint in content["joints"]] == list(JOINTS)
    assert [joint["side"] for joint in content["joints"]] == [None, "left", "right", None]
    assert [joint["hidden_share"] for joint in content["joints"]] == [0, 0, 0, pytest.approx(1 / 3, abs=1e-6)]
    assert content["missing_share"] == 0
    assert content["tracks"][0]["frames_seen"] == 30
    assert json.loads(run("info", mouse, "--json", "--min-confidence", 0.05).stdout)["hidden_share"] == 0


def test_info_for_people_names_every_joint(run: Run, mouse: Path) -> None:
    outcome = run("info", mouse)
    assert outcome.exit_code == 0
    for word in (*JOINTS, "deeplabcut", "30", "33.3%", "no rig known by these names, edges: 3 inferred from names"):
        assert word in outcome.stdout


@pytest.mark.slow
def test_info_tells_where_each_edge_would_come_from(run: Run, mouse: Path, tmp_path: Path) -> None:
    content = json.loads(run("info", mouse, "--json").stdout)
    assert {name for edge in content["edges"] for name in edge} == set(JOINTS)
    assert content["edge_sources"] == ["name"] * 3 and content["inferred"] == "edges: 3 inferred from names"
    rig = tmp_path / "rig.json"
    rig.write_text(json.dumps({"names": JOINTS, "edges": [["nose", "tail"], ["nose", "left_paw"], [0, 2]]}))
    given = json.loads(run("info", mouse, "--json", "--skeleton", rig).stdout)
    assert given["edge_sources"] == ["given"] * 3 and given["inferred"] is None
    for option in (("--no-infer",), ("--infer", "none")):
        without = json.loads(run("info", mouse, "--json", *option).stdout)
        assert without["edges"] == without["edge_sources"] == [] and without["inferred"] is None
    assert "no rig known by these names, no edges; --skeleton FILE" in run("info", mouse, "--no-infer").stdout


def test_info_tells_why_no_edge_would_be_inferred(run: Run, tmp_path: Path) -> None:
    path = write_table(tmp_path / "coded.csv", *walk(), names=("p1", "p2", "p3", "p4"))
    assert (
        "no edges (the names tell no bones); --skeleton FILE or RIG gives them, `olift skeleton`"
        in run("info", path).stdout
    )
    content = json.loads(run("info", path, "--infer", "motion", "--json").stdout)
    assert content["edge_sources"] == ["motion"] * 3


def test_doctor_tells_versions_backends_and_checkpoints(run: Run) -> None:
    outcome = run("doctor", "--json")
    content = json.loads(outcome.stdout)
    assert content["packages"]["torch"] == torch.__version__
    assert content["backends"]["eager"] is content["backends"]["reference"] is None
    assert content["native"]["available"] == (content["backends"]["native"] is None)
    assert [found["name"] for found in content["checkpoints"]] == checkpoints.shipped()
    assert outcome.exit_code == (0 if checkpoints.shipped() else 1)
    people = run("doctor")
    assert torch.__version__ in people.stdout and "native" in people.stdout and "extras" in people.stdout
    assert "✓ eager" in people.stdout and "reference" not in people.stdout


def test_doctor_knows_all_extras_but_those_for_developers() -> None:
    project = tomllib.loads((Path(__file__).resolve().parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = {
        extra: {re.split(r"[\[>=]", package)[0] for package in packages}
        for extra, packages in project["project"]["optional-dependencies"].items()
        if extra not in ("test", "dev", "dist", "docs")
    }
    assert {extra: set(packages) for extra, packages in doctor_module.EXTRAS.items()} == wanted


def test_doctor_takes_a_package_that_brings_the_same_module(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """opencv-python in place of opencv-python-headless, and modules that no package's record names."""
    for module in ("cv2", "imageio_ffmpeg", "PIL"):
        (tmp_path / f"{module}.py").touch()
    record = tmp_path / "opencv_python-9.8.7.dist-info"
    record.mkdir()
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: opencv-python\nVersion: 9.8.7\n")
    (record / "top_level.txt").write_text("cv2\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    video = json.loads(run("doctor", "--json").stdout)["extras"]["video"]
    assert video == {
        "opencv-python": "9.8.7",
        "imageio-ffmpeg": "of unknown version",
        "pillow": "of unknown version",
    }
    line = next(line for line in run("doctor").stdout.splitlines() if "video" in line)
    assert line.strip() == "✓ video: opencv-python 9.8.7, imageio-ffmpeg of unknown version, pillow of unknown version"


def test_doctor_says_why_something_cannot_run(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(backends, "why_not", {"native": "built for another planet"}.get)
    monkeypatch.setattr(native_module, "native_module", lambda: None)
    monkeypatch.setattr(checkpoints, "SHIPPED", tmp_path)
    monkeypatch.setattr(doctor_module.importlib.util, "find_spec", lambda name: None)
    outcome = run("doctor")
    assert outcome.exit_code == 1
    for words in ("built for another planet", "no checkpoint is installed", "pip install 'olift-fast[view]'"):
        assert words in outcome.stdout


def test_info_and_lift_tell_how_the_file_was_read(run: Run, random_model: str, mouse: Path, tmp_path: Path) -> None:
    (mouse.parent / "config.yaml").write_text("bodyparts: [nose, left_paw, right_paw, tail]\nskeleton: [[nose, tail]]")
    note = f"edges are those of the DeepLabCut project: {mouse.parent.resolve() / 'config.yaml'}"
    content = json.loads(run("info", mouse, "--json").stdout)
    assert content["notes"] == [note] and content["edges"] == [["nose", "tail"]]
    assert content["warnings"] == ["the skeleton is in 3 pieces; apart from the largest: left_paw; right_paw"]
    assert f"note      {note}" in run("info", mouse).stdout
    lifted = run("lift", mouse, "-o", tmp_path / "out.npz", "--model", random_model)
    assert f"note: {note}" in lifted.stderr


def test_image_size_scales_normalized_coordinates(run: Run, random_model: str, tmp_path: Path) -> None:
    keypoints, likelihood = walk()
    path = write_table(tmp_path / "shares.csv", keypoints / 1000, likelihood)
    for command in (("info", path), ("lift", path, "-o", tmp_path / "out.npz", "--model", random_model)):
        assert "warning: coordinates lie in 0…1" in run(*command).stderr
        outcome = run(*command, "--image-size", 640, 480)
        assert outcome.exit_code == 0 and "0…1" not in outcome.stderr
    np.testing.assert_allclose(
        read_lifted(tmp_path / "out.npz").keypoints[0, :3], keypoints[:3] / 1000 * [640, 480], rtol=2e-2
    )
    refused = run("info", path, "--image-size", 640, 0)
    assert refused.exit_code == 2 and "--image-size must be a width and a height in pixels, got 640 0" in refused.stderr


def test_errors_name_the_option_and_not_the_argument(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "data_2d_custom.npz"
    np.savez(path, positions_2d=np.array({}, dtype=object))
    refused = run("info", path)
    assert refused.exit_code == 2 and refused.stderr.count("\n") == 1
    assert "--allow-pickle" in refused.stderr and "allow_pickle" not in refused.stderr
