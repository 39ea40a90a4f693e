"""Studies that train: shared trainings run once, what is scored, and what a study's file may hold."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from olift_fast.errors import InputError, MissingExtraError
from olift_fast.train.config import load_config
from olift_fast.train.fitting import build
from olift_fast.train.held_out import held_out
from olift_fast.train.studies.rows import read_rows, summary, where
from olift_fast.train.studies.trainings import FLAT, REPORTED, load_plan, plans, trained

STUDY = """
recipe = "RECIPE"
seeds = [0, 1]
seeds_of = { still = [0] }

[variants]
first = []
still = ["model.changes.window=0"]
"the first again" = []

[finetuned]
"first, then fine-tuned" = { of = "first", changes = ["data.frames=10", "data.clips=1", "data.skeletons=1"] }

[tests]
clean = { corruption = { clean = 1 }, frames = 20 }
"above, sides hidden" = { camera = { elevation = [80, 90] }, frames = 20, sides = false }
long = { frames = 40 }
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A walk and a hop of different rigs, of which the last fifth is held out: 50 frames, and 30."""
    folder = tmp_path_factory.mktemp("recordings")
    (folder / "motion3d").mkdir()
    rng = np.random.default_rng(0)
    for name, joints, frames in (("walk", 5, 250), ("hop", 6, 150)):
        positions = rng.normal(0, 0.05, (frames, joints, 3)).cumsum(axis=0) + rng.normal(size=(joints, 3))
        names = ["hip", "knee_l", "knee_r", "foot_l", "foot_r", "head"][:joints]
        edges = [(0, 1), (0, 2), (1, 3), (2, 4), (0, 5)][: joints - 1]
        np.savez(folder / "motion3d" / f"{name}.npz", positions=positions, joint_names=names, edges=edges, fps=30.0)
    return folder


@pytest.fixture
def study(tiny: Path, tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(STUDY.replace("RECIPE", tiny.as_posix()))
    return path


@pytest.mark.parametrize("name", plans())
def test_each_variant_of_a_shipped_study_is_a_training_of_its_own_that_can_be_built(name: str, tmp_path: Path) -> None:
    plan = load_plan(name)
    assert all(plan.config(variant, 0, tmp_path, tmp_path) for variant in plan.finetuned)
    configs = {variant: plan.config(variant, 0, tmp_path, tmp_path) for variant in plan.variants}
    folders = [config.run.out for config in configs.values()]
    # "keypoints: RFF" and "time: relative" are the recipe itself, as one variant of each other study is.
    assert len(set(folders)) == len(folders) - (name == "encodings")
    for config in configs.values():
        lifter = build(config.model)
        assert sum(p.numel() for p in lifter.parameters()) == pytest.approx(143_000, rel=0.1)
    assert set(plan.seeds_of) <= set(plan.variants)
    other = plan.config(next(iter(plan.variants)), 1, tmp_path, tmp_path)
    assert other.run.out not in folders and other.run.seed == 1


@pytest.mark.slow
def test_one_animal_alone_is_trained_on_that_animal_alone(real_data: Path, tmp_path: Path) -> None:
    plan = load_plan("one_animal")
    for variant in plan.variants:
        mixture = plan.config(variant, 0, real_data, tmp_path).data
        named = {source.name for source, weight in mixture.real_sources if weight}
        if "alone" in variant:
            assert named == {variant.split(" ")[0]} and mixture.real_share == 1
        else:
            assert len(named) == 5
        if "20 clips" in variant:
            frames = [sum(len(segment.positions) for segment in source.segments) for source, _ in mixture.real_sources]
            assert max(frames) <= 20 * 48
    plan = load_plan("left_out")
    for variant in plan.variants:
        mixture = plan.config(variant, 0, real_data, tmp_path).data
        named = {source.name for source, weight in mixture.real_sources if weight}
        if "without" in variant:
            assert variant.split(" ")[1] not in named and len(named) == 4


@pytest.mark.slow
def test_what_is_trained_is_scored_and_not_trained_again(study: Path, data: Path, tmp_path: Path) -> None:
    plan, runs, told = load_plan(study), tmp_path / "runs", []
    changes = ["schedule.steps=3", "run.save_every=1"]
    rows = list(trained(plan, data, runs, jobs=2, changes=changes, watch=told.append))
    assert sorted(line.split(" trained: ")[1] for line in told) == [
        "first, seed 0; the first again, seed 0",
        "first, seed 1; the first again, seed 1",
        "first, then fine-tuned, seed 0",
        "first, then fine-tuned, seed 1",
        "still, seed 0",
    ]
    assert [(row["variant"], row["seed"]) for row in where(rows, test="clean", source="walk")] == [
        (FLAT, -1), ("first", 0), ("still", 0), ("the first again", 0), ("first", 1), ("the first again", 1),
        ("first, then fine-tuned", 0), ("first, then fine-tuned", 1),
    ]  # fmt: skip
    folders = sorted(runs.iterdir())
    assert len(folders) == 5, "the same training is done once"
    start = Path(plan.config("first, then fine-tuned", 0, data, runs, changes).model.start)
    assert start == plan.config("first", 0, data, runs, changes).run.out
    # 50 held-out frames of "walk" and 30 of "hop": only the longer one has clips of 40.
    assert {row["source"] for row in where(rows, test="long")} == {"walk"}
    assert {row["source"] for row in where(rows, test="clean")} == {"walk", "hop"}
    first, again = (where(rows, variant=name, seed=0) for name in ("first", "the first again"))
    errors = [[row[metric] for row in found for metric in REPORTED] for found in (first, again)]
    assert errors[0] == errors[1]
    clean, above = (where(rows, variant="first", seed=0, test=test)[0] for test in list(plan.tests)[:2])
    assert clean["sa_mpjpe"] != above["sa_mpjpe"]

    logs = {path: path.read_text() for path in runs.glob("*/log.csv")}
    assert list(trained(plan, data, runs, changes=changes)) == rows
    assert logs == {path: path.read_text() for path in runs.glob("*/log.csv")}, "nothing is trained again"


def test_cameras_and_faults_of_a_test_are_those_asked_for(study: Path, data: Path) -> None:
    plan = load_plan(study)
    clean = held_out(data, frames=20, cameras=1, corruption=plan.tests["clean"].corruption)["walk"]
    assert clean.visible.all()
    above = held_out(data, frames=20, cameras=1, noise=True, seen=plan.tests["above, sides hidden"].camera)["walk"]
    assert not np.allclose(above.joints, clean.joints)


@pytest.mark.slow
def test_a_study_as_one_command(study: Path, data: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the figures need the extra `bench`")
    from olift_fast.train.studies.__main__ import main

    options = {"runs": tmp_path / "runs", "changes": ["schedule.steps=2"], "results": tmp_path, "figures": tmp_path}
    main(str(study), data, **options)
    rows = read_rows(tmp_path / "study-mine.json")
    assert {row["variant"] for row in rows} == {FLAT, "first", "still", "the first again", "first, then fine-tuned"}
    drawn = (tmp_path / "mine.png").read_bytes()
    (tmp_path / "mine.png").unlink()
    main(str(study), None, **options)
    (tmp_path / "study-mine.json").rename(tmp_path / "kept.json")
    with pytest.raises(InputError, match=r"study-mine.json: nothing has been measured yet: give --data"):
        main(str(study), None, **options)
    with pytest.raises(InputError, match=r"windows.toml must have another name: windows is a study of a checkpoint"):
        main(str(study.rename(tmp_path / "windows.toml")), data, **options)
    assert (tmp_path / "mine.png").read_bytes() == drawn and len(drawn) > 10_000


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("seeds = [0, 1]", "seeds = 0", "seeds must be an array, got 0"),
        ("[variants]", "[variant]", ", wanted one of variants, finetuned, changes, recipe, seeds, seeds_of, tests"),
        ("frames = 40", "frame = 40", "there is no key tests.long.frame (= 40), wanted one of corruption, camera,"),
        ("still = [0]", "stil = [0]", "seeds_of must name variants, got stil"),
        ('of = "first"', 'of = "last"', "finetuned must be of variants, got last"),
        ('"first, then fine-tuned" = {', '"first" = {', "variants and finetuned must not share names, got first"),
        ('of = "first"', 'of = "still"', "first, then fine-tuned must have seeds that still has, got [1]"),
        ("seeds_of", "= seeds", "is not TOML"),
    ],
)
def test_a_study_that_does_not_fit_is_told_in_one_line(study: Path, old: str, new: str, told: str) -> None:
    study.write_text(study.read_text().replace(old, new))
    with pytest.raises(InputError) as error:
        load_plan(study)
    assert told in str(error.value) and str(study) in str(error.value) and "\n" not in str(error.value)


def test_an_unknown_study_is_told() -> None:
    with pytest.raises(InputError, match=r"absent: no such file, nor a study of this package \(agnostic, "):
        load_plan("absent")


@pytest.mark.slow
def test_the_first_error_of_a_training_ends_the_study(study: Path, data: Path, tmp_path: Path) -> None:
    plan, told = load_plan(study), []
    changes = ["schedule.steps=2", "schedule.learning_rate=1e-3", "early_stop.data=absent"]
    with pytest.raises(InputError, match=r"absent: must hold recordings in motion3d/ or paired/, found none"):
        list(trained(plan, data, tmp_path / "runs", changes=changes, watch=told.append))
    assert told[0].startswith("failed: first, seed 0; the first again, seed 0: ")


def test_what_a_study_cannot_train_is_told_before_it_trains(study: Path, data: Path, tmp_path: Path) -> None:
    study.write_text(study.read_text().replace('["data.frames=10"', '["data.frame=10"'))
    with pytest.raises(InputError, match=r"there is no key data.frame"):
        list(trained(load_plan(study), data, tmp_path / "runs"))
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_runs_are_found_again_however_their_folder_is_written(
    study: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    changes = ["schedule.steps=2"]
    rows = list(trained(load_plan(study), data, Path("runs"), changes=changes))
    folders = sorted((tmp_path / "runs").iterdir())
    assert list(trained(load_plan(study), data, tmp_path / "runs", changes=changes)) == rows
    assert sorted((tmp_path / "runs").iterdir()) == folders


KILLED_STUDY = """
import os, time
from pathlib import Path
from types import SimpleNamespace
from olift_fast.train.studies import trainings

def train(config, threads):
    os.write(1, f"{os.getpid()}\\n".encode())
    time.sleep(600)

if __name__ == "__main__":
    configs = {("a", seed): SimpleNamespace(run=SimpleNamespace(out=Path(str(seed)))) for seed in (0, 1)}
    trainings._in_turn(configs, 2, train, None)
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_trainings_end_with_the_study_that_asked_for_them(tmp_path: Path, environment: dict[str, str]) -> None:
    script = tmp_path / "study.py"
    script.write_text(KILLED_STUDY)
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True, env=environment) as study:
        assert study.stdout is not None
        try:
            numbers = [int(study.stdout.readline()) for _ in range(2)]
        finally:
            study.kill()
        # They hold its output, which ends when the last of them does.
        late = threading.Timer(60, lambda: [os.kill(number, signal.SIGKILL) for number in numbers])
        late.start()
        began = time.monotonic()
        assert study.stdout.read() == "" and time.monotonic() - began < 50
        late.cancel()


@pytest.mark.slow
def test_a_variant_without_finite_scores_leaves_the_others_theirs(tmp_path: Path) -> None:
    plots = pytest.importorskip("olift_fast.train.studies.plots", reason="the figures need the extra `bench`")
    rows = [
        {"variant": name, "seed": 0, "test": "t", "source": "s", "sa_mpjpe": error, "fa_mpjpe": error, "sa_mpve": error}
        for name, error in (("good", 20.0), ("diverged", None))
    ]
    assert "| t | diverged | 1 | nan | nan | nan |" in summary(rows, REPORTED)
    plots.draw(plots.draw_trained, rows, tmp_path / "drawn.png")


def test_muon_has_the_maps_between_tokens_and_adamw_the_rest(tiny: Path) -> None:
    from olift_fast.train.fitting import optimizers_of

    config = load_config(tiny, ["schedule.optimizer=muon", "model.changes.width=32"])
    lifter = build(config.model)
    adamw, muon = optimizers_of(lifter, config.schedule)
    own = [parameter for group in muon.param_groups for parameter in group["params"]]
    rest = [parameter for group in adamw.param_groups for parameter in group["params"]]
    assert {id(p) for p in own} | {id(p) for p in rest} == {id(p) for p in lifter.parameters()}
    assert len(own) + len(rest) == len(list(lifter.parameters()))
    names = {name for name, p in lifter.named_parameters() if any(p is other for other in own)}
    assert "motion.0.attention.qkv.weight" in names and "space.0.mlp.0.weight" in names
    assert "encoder.projection.weight" in names
    assert "decoder.mlp.2.weight" not in names and "encoder.side" not in names
    changes = ["schedule.optimizer=muon", "model.changes.time_encoding=table"]
    config = load_config(tiny, changes)
    lifter = build(config.model)
    _, muon = optimizers_of(lifter, config.schedule)
    assert not any(lifter.encoder.time.weight is p for group in muon.param_groups for p in group["params"])
    (only,) = optimizers_of(lifter, load_config(tiny).schedule)
    assert isinstance(only, torch.optim.AdamW)


def test_a_study_without_matplotlib_is_told_before_it_measures(
    study: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from olift_fast.train.studies import __main__ as command

    monkeypatch.setitem(sys.modules, "olift_fast.train.studies.plots", None)
    monkeypatch.delattr("olift_fast.train.studies.plots", raising=False)
    with pytest.raises(MissingExtraError, match="bench"):
        command.main(str(study), data, runs=tmp_path / "runs", results=tmp_path, figures=tmp_path)
    assert not (tmp_path / "runs").exists()
