"""`olift finetune`: a folder of recordings to a checkpoint that is better at them; errors in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from olift_fast.model import Lifter, LifterConfig
from olift_fast.train import Config, load_config

from .conftest import Run
from .test_cli_errors import assert_one_line

QUICK = ("--set", "data.clips=1", "--set", "data.skeletons=2", "--set", "run.workers=0", "--set", "run.device=cpu")


@pytest.mark.slow
def test_a_checkpoint_learns_the_animal_and_both_are_scored(
    run: Run,
    random_model: str,
    recordings: Path,
    tmp_path: Path,
) -> None:
    out = tmp_path / "fine-tuned"
    whole = ("--set", "model.share=1", "--set", "data.real_share=1")  # Random weights know nothing to be kept.
    options = ("--out", out, "--model", random_model, "--steps", 150, *whole, *QUICK)
    outcome = run("finetune", recordings, *options)
    assert outcome.exit_code == 0, outcome.stderr
    assert outcome.stdout.endswith(f"trained: {out}; olift lift FILE --model {out}\n")
    lines = {
        name: line for name in ("random", "fine-tuned") for line in outcome.stdout.splitlines() if f" {name} " in line
    }
    errors = [float(line.split(f" {name} ")[1].split()[0]) for name, line in lines.items()]
    assert errors[1] < 0.8 * errors[0]
    before, after = Lifter.from_pretrained(random_model), Lifter.from_pretrained(out)
    assert before.config == after.config and after.name == "fine-tuned"
    again = run("finetune", recordings, *options)
    assert_one_line(again, "holds a run: --resume goes on with it")
    assert run("finetune", recordings, *options, "--resume").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("absent", "--out", "x"), "absent: must hold recordings in motion3d/, found none"),
        (("RECORDINGS", "--out", "x", "--model", "absent"), "absent"),
        (("RECORDINGS", "--out", "x", "--set", "data.stretch=2"), "there is no key data.stretch (= 2), wanted one of"),
        (("absent", "--out", "x", "--set", "data.stretch=2"), "there is no key data.stretch (= 2), wanted one of"),
        (("RECORDINGS", "--out", "x", "--set", "run.out=y"), "--set run.out must be given as --out"),
        (("RECORDINGS", "--out", "absent", "--model", "./absent"), "--out must be another folder than --model"),
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


@pytest.mark.slow
def test_a_model_for_streams_keeps_its_delays(
    run: Run, recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Lifter(LifterConfig(width=16, heads=2, motion_layers=1, window=(2, 0))).save_pretrained(tmp_path / "live")
    asked: list[Config] = []

    def fit(config: Config, **_options: object) -> Lifter:
        asked.append(config)
        return Lifter.from_pretrained(folder)

    monkeypatch.setattr("olift_fast.train.fit", fit)
    outcome = run("finetune", recordings, "--out", tmp_path / "mine", "--model", folder, "--steps", 30)
    assert outcome.exit_code == 0, outcome.stderr
    assert asked[0].schedule.look_ahead == load_config("small-causal").schedule.look_ahead
    assert asked[0].schedule.warmup == 3 and asked[0].model.name == "mine"


@pytest.mark.slow
def test_a_model_that_is_told_pitch_and_kinds_is_told_them_still(run: Run, recordings: Path, tmp_path: Path) -> None:
    config = LifterConfig(width=16, heads=2, motion_layers=1, pitch=True, kinds=47, uncertainty=True)
    folder = Lifter(config).save_pretrained(tmp_path / "told")
    out = tmp_path / "mine"
    outcome = run("finetune", recordings, "--out", out, "--model", folder, "--steps", 2, *QUICK)
    assert outcome.exit_code == 0, outcome.stderr
    assert Lifter.from_pretrained(out).config == config
