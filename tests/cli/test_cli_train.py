"""`olift train`: a TOML file to a checkpoint that lifts; errors in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Run

TINY = """
[model]
changes = { width = 16, heads = 2, motion_layers = 1, space_layers = 1, window = 2, frequencies = 8 }
[data]
frames = 4
skeletons = 1
clips = 1
[schedule]
steps = 4
[run]
out = "nowhere"
device = "cpu"
workers = 0
report_every = 2
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(TINY)
    return path


@pytest.mark.slow
def test_trains_resumes_and_lifts(run: Run, recipe: Path, mouse: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = run("train", recipe, "--set", f"run.out={out}", "--set", "run.stop_after=2")
    assert first.exit_code == 0, first.stderr
    assert first.stdout == f"trained: {out} (small); olift lift FILE --model {out}\n"
    assert first.stderr.startswith("step 2 of 4: loss ") and first.stderr.endswith(" clips/s\n")
    second = run("train", recipe, "--set", f"run.out={out}", "--resume")
    assert second.exit_code == 0 and second.stderr.startswith("step 4 of 4: loss ")
    assert run("lift", mouse, "--model", out).exit_code == 0


@pytest.mark.slow
def test_errors_take_one_line(run: Run, recipe: Path, tmp_path: Path) -> None:
    for arguments, told in (
        (("absent.toml",), "absent.toml: no such file, nor a recipe of this package (finetune, small, "),
        ((recipe, "--set", "run.stop=3"), "--set: there is no key run.stop (= 3), wanted one of out, seed, "),
        ((recipe, "--set", "model.preset=tiny"), "preset must be one of small, small-causal, base, large, got 'tiny'"),
        ((recipe, "--set", f"data.real={tmp_path}"), f"data: {tmp_path}: no .npz recordings here"),
    ):
        outcome = run("train", *arguments)
        assert outcome.exit_code == 2 and outcome.stdout == ""
        assert outcome.stderr.startswith(f"olift: {told}") and outcome.stderr.count("\n") == 1
