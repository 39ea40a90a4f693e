"""`olift world`, and `olift lift --world`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from olift_fast import read_lifted
from olift_fast.bodies import length_drift, steady_bones

from .conftest import Run
from .test_cli_errors import assert_one_line

CALIBRATION = {
    "left": {"K": [[800, 0, 320], [0, 800, 240], [0, 0, 1]], "dist": [-0.4, 0, 0, 0]},
    "right": {"K": [[800, 0, 320], [0, 800, 240], [0, 0, 1]], "R": [[1, 0, 0], [0, 0, -1], [0, 1, 0]], "t": [0, 1, 3]},
}


@pytest.fixture
def lifted(lift: Run, mouse: Path, tmp_path: Path) -> Path:
    """What `olift lift` made of the mouse."""
    out = tmp_path / "mouse.lifted.npz"
    assert lift(mouse, "-o", out).exit_code == 0
    return out


@pytest.fixture
def calibration(tmp_path: Path) -> Path:
    path = tmp_path / "cameras.json"
    path.write_text(json.dumps(CALIBRATION))
    return path


def test_world_writes_beside_the_result_and_tells_where_its_axes_come_from(run: Run, lifted: Path) -> None:
    outcome = run("world", lifted)
    assert outcome.exit_code == 0, outcome.stderr
    placed = read_lifted(lifted.with_name("mouse.world.npz"))
    assert placed.frame == "world" and placed.world is not None
    assert "mouse.world.npz (pixels: x right, y away from the camera, z up)" in outcome.stdout
    assert "up is estimated" in outcome.stderr and "root path: " in outcome.stderr


def test_lift_world_is_lift_and_then_world(run: Run, lift: Run, mouse: Path, lifted: Path, tmp_path: Path) -> None:
    options = ["--pitch", "20", "--bone", "left_paw-nose=40mm", "--fov", "50", "--image-size", "640", "480"]
    once = lift(mouse, "-o", tmp_path / "once.npz", "--world", *options)
    assert once.exit_code == 0, once.stderr
    assert run("world", lifted, "-o", tmp_path / "twice.npz", *options).exit_code == 0
    first, second = read_lifted(tmp_path / "once.npz"), read_lifted(tmp_path / "twice.npz")
    np.testing.assert_array_equal(first.joints, second.joints)
    np.testing.assert_array_equal(first.contacts, second.contacts)
    assert first.units == "meters" and first.world.gravity == "pitch" and first.world.path.startswith("size")
    assert "(meters: x right, y away from the camera, z up)" in once.stdout
    assert "size of " in once.stderr


def test_rigid_comes_after_the_world_and_takes_no_depth_from_it(
    run: Run, lift: Run, mouse: Path, tmp_path: Path
) -> None:
    plain, rigid, first = (tmp_path / f"{name}.npz" for name in ("plain", "rigid", "first"))
    options = ["--bone", "left_paw-nose=40mm", "--fov", "50", "--image-size", "640", "480"]
    assert lift(mouse, "-o", plain, "--world", *options).exit_code == 0
    outcome = lift(mouse, "-o", rigid, "--world", "--rigid", *options)
    assert outcome.exit_code == 0 and "keep their lengths" not in outcome.stderr
    placed, steady = read_lifted(plain), read_lifted(rigid)
    np.testing.assert_array_equal(steady.joints, steady_bones(placed).joints)
    assert length_drift(steady.joints[0], steady.skeleton.edges, None) < 1e-3 < 10 * placed.world.size_spread[0]
    for name in ("origin", "path_error", "size_spread"):
        np.testing.assert_array_equal(getattr(steady.world, name), getattr(placed.world, name))
    assert lift(mouse, "-o", first, "--rigid").exit_code == 0
    outcome = run("world", first, "-o", tmp_path / "late.npz", *options)
    assert outcome.exit_code == 0
    assert "warning: all bones keep their lengths, so that they tell no depth" in outcome.stderr


def test_json_tells_of_the_world_frame(run: Run, lift: Run, mouse: Path, lifted: Path, tmp_path: Path) -> None:
    content = json.loads(run("world", lifted, "--mm-per-pixel", "0.5", "--no-floor", "--up", "0,-1,0", "--json").stdout)
    assert content["units"] == "meters" and content["world"]["meters_per_pixel"] == [0.0005]
    assert content["world"]["gravity"] == "given" and content["world"]["floor"] is None
    assert content["world"]["path"] == "in-plane" and content["world"]["path_error"] == [None]
    out = tmp_path / "out.npz"
    assert json.loads(lift(mouse, "-o", out, "--world", "--json").stdout)["world"]["camera_pitch"] is not None
    assert json.loads(lift(mouse, "-o", out, "--json").stdout)["world"] is None


def test_a_calibration_takes_the_distortion_out_before_lifting(
    lift: Run, mouse: Path, calibration: Path, lifted: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.npz"
    outcome = lift(mouse, "-o", out, "--calibration", calibration, "--camera", "left")
    assert outcome.exit_code == 0, outcome.stderr
    straight, plain = read_lifted(out), read_lifted(lifted)
    assert straight.frame == "camera" and straight.calibration.name == "left"
    assert np.nanmax(np.abs(straight.keypoints - plain.keypoints)) > 0.5
    assert "lens distortion of left was taken out" in outcome.stderr


def test_world_knows_the_calibration_that_was_lifted_with(
    run: Run, lift: Run, mouse: Path, calibration: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.npz"
    assert lift(mouse, "-o", out, "--calibration", calibration, "--camera", "right").exit_code == 0
    outcome = run(
        "world",
        out,
        "--bone",
        "nose-tail=8cm",
        "--calibration-unit",
        "m",
        "--calibration",
        calibration,
        "--camera",
        "right",
    )
    assert outcome.exit_code == 0, outcome.stderr
    assert read_lifted(tmp_path / "out.world.npz").world.calibrated
    assert run("world", out, "--bone", "nose-tail=8cm").exit_code == 0
    assert read_lifted(tmp_path / "out.world.npz").world.calibrated


def test_a_calibration_after_lifting_is_warned_of(run: Run, lifted: Path, calibration: Path) -> None:
    outcome = run("world", lifted, "--calibration", calibration, "--camera", "left")
    assert outcome.exit_code == 0, outcome.stderr
    assert "warning: the keypoints were lifted with the distortion of left" in outcome.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--bone", "nose-tial=3mm"], "--bone nose-tial=3mm: no joint 'tial'; did you mean tail"),
        (["--bone", "nose-tail=0mm"], "must be from 1 µm to 100 m"),
        (["--length", "nose-tail"], "wanted two joints and a length"),
        (["--height", "175"], "--height 175: wanted a unit"),
        (["--height", "1.75m"], "a height is measured on a person"),
        (["--mm-per-pixel", "0"], "--mm-per-pixel must be a positive number, got 0"),
        (["--focal", "-5"], "--focal must be a positive number, got -5"),
        (["--focal", "500"], "--image-size"),
        (["--fov", "60"], "--image-size"),
        (["--fov", "200", "--image-size", "640", "480"], "between 0 and 180 degrees, got 200"),
        (["--focal", "500", "--fov", "60"], "--focal and --fov tell the same"),
        (["--up", "0,1"], "--up must be x,y,z"),
        (["--up", "0,0,0"], "--up must be x,y,z in the camera's axes, not all 0"),
        (["--up", "0,nan,1"], "got '0,nan,1'"),
        (["--up", "nose-tial"], "--up nose-tial: no joint 'tial'"),
        (["--up", "0,-1,0", "--pitch", "20"], "tell the same"),
        (["--pitch", "100"], "--pitch must be from -90"),
        (["--camera", "left"], "give its file"),
        (["--calibration", "none.toml"], "none.toml: "),
    ],
)
def test_bad_options_are_one_line_and_write_nothing(
    run: Run, lift: Run, mouse: Path, lifted: Path, tmp_path: Path, options: list[str], message: str
) -> None:
    for outcome in (run("world", lifted, "-o", tmp_path / "o.npz", *options),
                    lift(mouse, "--world", "-o", tmp_path / "o.npz", *options)):  # fmt: skip
        assert_one_line(outcome, message)
        assert not (tmp_path / "o.npz").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--bone", "nose-tail=3mm"], "--bone needs --world"),
        (["--no-floor"], "--no-floor needs --world"),
        (["--fov", "60", "--height", "2m"], "--height and --fov need --world"),
        (["--world", "--frame", "object"], "--world and --frame object ask for two frames"),
    ],
)
def test_options_of_the_world_need_it(lift: Run, mouse: Path, tmp_path: Path, options: list[str], message: str) -> None:
    assert_one_line(lift(mouse, "-o", tmp_path / "o.npz", *options), message)


def test_a_result_in_the_world_is_not_brought_there_again(run: Run, lifted: Path) -> None:
    assert run("world", lifted).exit_code == 0
    placed = lifted.with_name("mouse.world.npz")
    assert_one_line(run("world", placed), f"olift: {placed}: must be in the camera frame", "is in 'world'")
