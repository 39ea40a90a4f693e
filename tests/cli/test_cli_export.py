"""`olift export`: a checkpoint to a file; errors in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from .conftest import Run
from .test_cli_errors import assert_one_line


def test_a_checkpoint_becomes_a_file(run: Run, random_model: str, tmp_path: Path) -> None:
    out = tmp_path / "model.pt2"
    outcome = run("export", random_model, "-o", out)
    assert outcome.exit_code == 0, outcome.stderr
    assert outcome.stdout.startswith("exported ") and f": {out} (" in outcome.stdout
    assert torch.export.load(out).module() is not None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("-o", "model.pth"), "model.pth: the name must end in .onnx or .pt2"),
        (("-o", "."), "is a folder, wanted a file's name that ends in .onnx or .pt2"),
        (("-o", "model.pt2", "--weights", "int8"), "model.pt2: weights in int8 are for .onnx"),
        (("-o", "missing/model.pt2"), "missing"),
    ],
)
def test_errors_are_one_line(run: Run, random_model: str, options: tuple[str, ...], words: str) -> None:
    assert_one_line(run("export", random_model, *options), words)


def test_a_model_that_is_not_there_is_named(run: Run, tmp_path: Path) -> None:
    assert_one_line(run("export", "smal", "-o", tmp_path / "a.pt2"), "model 'smal' is neither a folder nor")
