"""`olift finetune`: a folder of recordings to a checkpoint that is better at them; errors in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from olift_fast.model import Lifter

from .conftest import Run
from .test_cli_errors import assert_one_line

QUICK = ("--set", "data.clips=1", "--set", "data.skeletons=2", "--set", "run.workers=0", "--set", "run.device=cpu")


def test_a_checkpoint_learns_the_animal_and_both_are_scored(
    run: Run,
    random_model: str,
    recordings: Path,
    tmp_path: Path,
) -> None:
    out = tmp_path / "fine-tuned"
    options = ("--out", out, "--model", random_model, "--steps", 150, "--set", "data.real_share=1", *QUICK)
    outcome = run("finetune", recordings, *options)
    assert outcome.exit_code == 0, outcome.stderr
    assert outcome.stdout.endswith(f"trained: {out}; olift lift FILE --model {out}\n")
    lines = {
        name: line for name in ("random", "fine-tuned") for line in outcome.stdout.splitlines() if f" {name} " in line
    }
    errors = [float(line.split(f" {name} ")[1].split()[0]) for name, line in lines.items()]
    assert errors[1] < 0.8 * errors[0]
    before, after = Lifter.from_pretrained(random_model), Lifter.from_pretrained(out)
    assert before.config == after.config
    again = run("finetune", recordings, *options)
    assert_one_line(again, "holds a run: --resume goes on with it")
    assert run("finetune", recordings, *options, "--resume").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("absent", "--out", "x"), "absent: must hold recordings in motion3d/, found none"),
        (("RECORDINGS", "--out", "x", "--model", "absent"), "absent"),
        (("RECORDINGS", "--out", "x", "--set", "data.stretch=2"), "data.stretch must be one of"),
    ],
)
def test_errors_take_one_line(
    run: Run,
    recordings: Path,
    arguments: tuple[str, ...],
    words: str,
) -> None:
    given = [str(recordings) if argument == "RECORDINGS" else argument for argument in arguments]
    assert_one_line(run("finetune", *given), words)
