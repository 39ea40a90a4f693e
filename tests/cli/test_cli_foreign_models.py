"""Commands that are given a stranger's checkpoint: one line that a terminal can't obey, and exit code 2."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from .conftest import Run


@pytest.fixture
def theirs(random_model: str, tmp_path: Path) -> Path:
    """A copy of the random model, to be damaged."""
    return shutil.copytree(random_model, tmp_path / "theirs")


def change(folder: Path, **values: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"lifter": {"\x1b[2J": 1}}, r"unknown keys \x1b[2J; written by a newer version?"),
        ({"lifter": {"motion_layers": 10**6}}, "motion_layers must be <= 256, got 1000000"),
        ({"lifter": {"encoding": "\x1b]0;x\x07"}}, "encoding must be one of rff"),
        ({"name": ["\x1b[2J"]}, r"name must be a string of at most 300 characters, got ['\x1b[2J']"),
    ],
)
def test_a_config_that_does_not_fit_is_one_line(
    run: Run, theirs: Path, mouse: Path, tmp_path: Path, values: dict[str, Any], told: str
) -> None:
    change(theirs, **values)
    result = run("lift", mouse, "--model", theirs, "-o", tmp_path / "out.npz")
    assert result.exit_code == 2 and not (tmp_path / "out.npz").exists()
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"olift: {theirs / 'config.json'}: ") and told in line and line.isprintable()


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs pipes")
@pytest.mark.parametrize("command", ["lift", "bench", "eval"])
def test_a_pipe_holds_no_command_up(run: Run, theirs: Path, mouse: Path, tmp_path: Path, command: str) -> None:
    (theirs / "model.safetensors").unlink()
    os.mkfifo(theirs / "model.safetensors")
    arguments = {"lift": [mouse, "--model", theirs], "bench": ["--model", theirs], "eval": [theirs, tmp_path]}
    result = run(command, *arguments[command])
    assert result.exit_code == 2
    assert f"{theirs / 'model.safetensors'}: is a pipe, wanted a file" in result.stderr


@pytest.mark.slow
def test_a_name_is_escaped_wherever_it_goes(run: Run, theirs: Path, mouse: Path, tmp_path: Path) -> None:
    change(theirs, name="evil\x1b[2J\n[bold]")
    out = tmp_path / "out.npz"
    result = run("lift", mouse, "--model", theirs, "-o", out)
    assert result.exit_code == 0, result.output
    assert "\x1b[2J" not in result.output
    with np.load(out) as arrays:
        assert any(r"evil\x1b[2J\n[bold]" in str(arrays[name]) for name in arrays.files)
