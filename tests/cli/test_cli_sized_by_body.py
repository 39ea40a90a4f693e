"""The millimeters of a body file as the size of the world frame: `olift lift --world --body`, `olift world --body`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from olift_fast.bodies import bone_lengths
from olift_fast.io import read_lifted

from .conftest import Run
from .test_cli_errors import assert_one_line

BONES = (("nose", "left_paw", 0.8), ("nose", "right_paw", 0.8), ("nose", "tail", 1.4))


def write_body(path: Path, millimeters: float | None = 25.0, individuals: tuple[str, ...] = ()) -> Path:
    """A body of the mouse's bones; the individuals have longer paws."""
    rows: list[dict[str, Any]] = [
        {"joints": [a, b], "length": length, "spread": 0.0, "frames": 30} for a, b, length in BONES
    ]
    own = [row | {"length": 0.9 if row["length"] == 0.8 else 1.2} for row in rows]
    if millimeters is not None:
        rows = [row | {"millimeters": row["length"] * millimeters, "millimeters_spread": 0.0} for row in rows]
    content: dict[str, Any] = {"format": "olift-fast body", "format_version": 2, "bones": rows}
    if individuals:
        content["individuals"] = [{"name": name, "bones": own} for name in individuals]
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def bones(tmp_path: Path) -> tuple[object, ...]:
    path = tmp_path / "skeleton.json"
    content = {
        "names": ["nose", "left_paw", "right_paw", "tail"],
        "edges": [[0, 1], [0, 2], [0, 3]],
        "sides": [0, 1, -1, 0],
    }
    path.write_text(json.dumps(content))
    return "--skeleton", path, "--fps", 30


def test_a_body_in_millimeters_needs_no_bone_and_gets_its_lengths(
    lift: Run, mouse: Path, bones: tuple[object, ...], tmp_path: Path
) -> None:
    body, out = write_body(tmp_path / "body.json"), tmp_path / "out.npz"
    outcome = lift(mouse, *bones, "-o", out, "--world", "--body", body)
    assert outcome.exit_code == 0, outcome.stderr
    result = read_lifted(out)
    assert result.units == "meters" and "size of " in outcome.stderr
    lengths = np.nanmedian(bone_lengths(result.joints[0], result.skeleton.edges), axis=0)
    np.testing.assert_allclose(1000 * lengths, [20, 20, 35], rtol=2e-3)


def test_the_size_is_that_of_the_same_bones_told_one_by_one(
    run: Run, lift: Run, mouse: Path, bones: tuple[object, ...], tmp_path: Path
) -> None:
    lifted, body = tmp_path / "mouse.lifted.npz", write_body(tmp_path / "body.json")
    assert lift(mouse, *bones, "-o", lifted).exit_code == 0
    by_body, by_bones = tmp_path / "body.npz", tmp_path / "bones.npz"
    assert run("world", lifted, "-o", by_body, "--body", body).exit_code == 0
    told = ("--bone", "nose-tail=35mm", "--bone", "nose-left_paw=20mm")
    assert run("world", lifted, "-o", by_bones, *told).exit_code == 0
    found, wanted = read_lifted(by_body), read_lifted(by_bones)
    assert found.units == "meters"
    np.testing.assert_allclose(found.meters_per_pixel, wanted.meters_per_pixel, rtol=1e-6)
    np.testing.assert_allclose(found.joints, wanted.joints, rtol=1e-5, atol=1e-7)


def test_a_length_that_is_told_goes_before_the_bodys(
    lift: Run, mouse: Path, bones: tuple[object, ...], tmp_path: Path
) -> None:
    sizes = []
    for number, millimeters in enumerate((25.0, 80.0, None)):
        body, out = write_body(tmp_path / f"{number}.json", millimeters), tmp_path / f"{number}.npz"
        done = lift(mouse, *bones, "-o", out, "--world", "--mm-per-pixel", 0.5, "--body", body)
        assert done.exit_code == 0, done.stderr
        sizes.append(read_lifted(out))
    assert sizes[0].meters_per_pixel == pytest.approx([0.0005])
    np.testing.assert_array_equal(sizes[1].joints, sizes[0].joints)
    np.testing.assert_array_equal(sizes[2].joints, sizes[0].joints)


def test_a_body_without_millimeters_tells_no_size(
    run: Run, lift: Run, mouse: Path, bones: tuple[object, ...], tmp_path: Path
) -> None:
    body, out = write_body(tmp_path / "body.json", None), tmp_path / "out.npz"
    assert lift(mouse, *bones, "-o", out, "--world", "--body", body).exit_code == 0
    assert read_lifted(out).units == "pixels"
    lifted = tmp_path / "mouse.lifted.npz"
    assert lift(mouse, *bones, "-o", lifted).exit_code == 0
    assert_one_line(run("world", lifted, "--body", body), f"{body}: holds no millimeters", "--bone")


def test_two_that_tell_the_size_of_a_lifted_result_are_refused(
    run: Run, lift: Run, mouse: Path, tmp_path: Path
) -> None:
    body, lifted = write_body(tmp_path / "body.json"), tmp_path / "mouse.lifted.npz"
    assert lift(mouse, "-o", lifted).exit_code == 0
    for told in (("--bone", "nose-tail=35mm"), ("--height", "1m"), ("--mm-per-pixel", 2)):
        assert_one_line(
            run("world", lifted, "--body", body, *told), f"--body and {told[0]} tell the size: leave out one"
        )
    body.write_text(json.dumps(json.loads(body.read_text()) | {"bones": [write_row("nose", "ear")]}))
    assert_one_line(run("world", lifted, "--body", body), f"{body}: does not have the bones of")


def write_row(first: str, second: str) -> dict[str, Any]:
    return {"joints": [first, second], "length": 1.0, "spread": 0.0, "frames": 9, "millimeters": 9.0}


def test_of_an_individual_only_the_shared_size_is_known(
    lift: Run, mouse: Path, bones: tuple[object, ...], tmp_path: Path
) -> None:
    body, out = write_body(tmp_path / "body.json", individuals=("mouse.csv", "mona")), tmp_path / "out.npz"
    outcome = lift(mouse, *bones, "-o", out, "--world", "--body", body)
    assert outcome.exit_code == 0, outcome.stderr
    assert (
        f"{body}: its millimeters are of what all its individuals share: how large mouse.csv would be" in outcome.stderr
    )
    result = read_lifted(out)
    lengths = np.nanmedian(bone_lengths(result.joints[0], result.skeleton.edges), axis=0)
    # Its own proportions, and not the shared ones, at the size that the joints had.
    np.testing.assert_allclose(lengths / lengths.sum(), [0.3, 0.3, 0.4], rtol=2e-3)
    assert result.units == "meters"
