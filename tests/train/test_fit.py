"""Whole trainings: early stopping, the log, and fast operations that learn as the reference does."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from olift_fast.errors import InputError, MissingExtraError
from olift_fast.model import Lifter, LifterConfig
from olift_fast.train import Batch, Config, Mixture, ModelPlan, Report, Run, Schedule, fit, fitting, load_config
from olift_fast.train.evaluate import mean_score
from olift_fast.train.fitting import build, training_loss
from olift_fast.train.held_out import held_out_batches


def log(folder: Path) -> list[dict[str, str]]:
    with (folder / "log.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_stops_when_the_score_no_longer_falls_and_keeps_the_best(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = [9.0, 7.0, 7.5, 6.95, 8.0, 1.0]
    seen: list[dict[str, torch.Tensor]] = []

    def scored(lifter: Lifter, batches: list[Batch]) -> float:
        seen.append({name: value.clone() for name, value in lifter.state_dict().items()})
        return scores[len(seen) - 1]

    monkeypatch.setattr(fitting, "mean_score", scored)
    changes = ["early_stop.every=4", "early_stop.patience=3", "early_stop.min_gain=0.1"]
    reports: list[Report] = []
    stop = fit(
        load_config(tiny, [*changes, "run.stop_after=14"]), watch=lambda step, r: reports.extend([r] if r else [])
    )
    assert len(seen) == 3
    stop = fit(load_config(tiny, changes), resume=True, watch=lambda step, r: reports.extend([r] if r else []))
    # 6.95 gains less than 0.1 on 7.0, so that step 20 has the third score in a row without a gain.
    assert len(seen) == 5 and [(row["step"], row["score"]) for row in log(tmp_path / "out")][-1] == ("20", "8.0")
    assert [(report.step, report.score) for report in reports] == [(10, 7.0), (14, 7.5), (20, 8.0)]
    saved = Lifter.from_pretrained(tmp_path / "out")
    for weights in (stop.state_dict(), saved.state_dict()):
        assert all(torch.equal(weights[name], seen[1][name]) for name in weights)


@pytest.mark.slow
def test_weights_are_saved_a_share_of_the_way(tiny: Path, tmp_path: Path) -> None:
    begun = fit(load_config(tiny, ["schedule.steps=5", f"run.out='{tmp_path / 'start'}'"]))
    config = tiny.read_text().partition("[data]")[2]
    tiny.write_text(f"[model]\nstart = '{tmp_path / 'start'}'\n[data]{config}")
    trained = fit(load_config(tiny, ["schedule.steps=10", f"run.out='{tmp_path / 'whole'}'"]))
    part = ["schedule.steps=10", "model.share=0.25"]
    first = fit(load_config(tiny, [*part, "run.stop_after=5"]))
    assert not all(torch.equal(a, b) for a, b in zip(first.parameters(), begun.parameters(), strict=True))
    for found in (fit(load_config(tiny, part), resume=True), fit(load_config(tiny, part), resume=True)):
        saved = Lifter.from_pretrained(tmp_path / "out")
        for name, weight in trained.state_dict().items():
            torch.testing.assert_close(found.state_dict()[name], 0.75 * begun.state_dict()[name] + 0.25 * weight)
            assert torch.equal(saved.state_dict()[name], found.state_dict()[name])


@pytest.mark.slow
def test_score_falls_with_training_and_is_the_same_each_time() -> None:
    torch.manual_seed(0)
    lifter = Lifter(LifterConfig(width=16, heads=2, motion_layers=1, space_layers=1)).eval()
    first, again = (mean_score(lifter, held_out_batches(None, hops=1)) for _ in range(2))
    assert first == again > mean_score(Lifter.from_pretrained("small"), held_out_batches(None, hops=1)) > 0


@pytest.mark.slow
def test_score_is_of_the_held_out_recordings(real_data: Path) -> None:
    batches = held_out_batches(real_data, hops=1)
    assert len(batches) >= 5 and max(len(batch.keypoints) for batch in batches) > 32
    assert 10 < mean_score(Lifter.from_pretrained("small"), batches[:1]) < 30


def test_missing_fabric_names_the_extra(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "lightning_fabric", None)
    with pytest.raises(MissingExtraError, match=r"training needs: pip install 'olift-fast\[train\]'"):
        fit(load_config(tiny))


@pytest.mark.skipif(torch.cuda.is_available(), reason="where there is a GPU it is taken")
def test_a_gpu_that_is_not_there_is_told(tiny: Path) -> None:
    with pytest.raises(InputError, match=r"run.device must be 'cpu' or 'auto' where there is no CUDA GPU"):
        fit(load_config(tiny, ["run.device=cuda"]))


@pytest.mark.gpu
def test_training_on_a_gpu_resumes_to_the_bit(tiny: Path, tmp_path: Path) -> None:
    changes = ["run.device=cuda", "run.precision=bfloat16"]
    whole = fit(load_config(tiny, [*changes, f"run.out='{tmp_path / 'whole'}'"]))
    fit(load_config(tiny, [*changes, "run.stop_after=17"]))
    resumed = fit(load_config(tiny, changes), resume=True)
    pairs = zip(whole.parameters(), resumed.parameters(), strict=True)
    assert all(one.is_cuda and torch.equal(one, other) for one, other in pairs)


@pytest.mark.slow
def test_fast_operations_learn_as_the_reference_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = 300
    mixture = Mixture(seed=5, frames=4, skeletons=2, clips=2)
    made = [batch for turn in range(5) for batch in mixture.pool(turn)]

    class Repeated:
        def loader(self, workers: int, start: int = 0, rank: int = 0, world: int = 1) -> Iterator[Batch]:
            return (made[step % len(made)] for step in range(start, steps))

    def curve(name: str, seed: int) -> np.ndarray:
        config = Config(
            Schedule(steps=steps, warmup=30, learning_rate=3e-3),
            Run(tmp_path / name, seed=seed, device="cpu", workers=0, report_every=10),
            ModelPlan(changes=asdict(LifterConfig(16, 2, 1, 1, (2, 2), frequencies=16))),
        )
        fit(config, data=Repeated())
        return np.array([float(row["loss"]) for row in log(tmp_path / name)])

    fast, other = curve("fast", 0), curve("other", 1)
    monkeypatch.setenv("OLIFT_BACKEND", "reference")
    exact = curve("reference", 0)
    assert fast[-5:].mean() < 0.6 * fast[0]
    saved = [
        torch.cat([p.flatten() for p in Lifter.from_pretrained(tmp_path / n).parameters()])
        for n in ("fast", "reference")
    ]
    # Backends round differently, so the weights differ if two backends did run, most where no loss depends on them.
    assert not torch.equal(*saved)
    difference, spread = np.abs(fast - exact), np.abs(fast - other)
    assert difference.mean() < 0.2 * spread.mean()
    assert difference[-5:].mean() < 0.5 * spread[-5:].mean()


@pytest.mark.slow
def test_alignment_of_the_loss_is_that_of_the_schedule(tiny: Path) -> None:
    config = load_config(tiny)
    lifter, batch = build(config.model), next(config.data.batches())
    sequence, frame = (
        training_loss(
            lifter,
            batch,
            load_config(tiny, [f"schedule.alignment={name}", "schedule.velocity_weight=0"]).schedule,
            lifter.config,
        )
        for name in ("sequence", "frame")
    )
    assert frame < sequence, "a fit for each frame leaves less error than one for all"


@pytest.mark.slow
def test_a_time_table_shorter_than_what_is_scored_is_told_before_training(tiny: Path, tmp_path: Path) -> None:
    changes = ["model.changes.time_encoding=table", "model.changes.time_rows=4"]
    with pytest.raises(InputError, match=r"time_rows must be >= 24, which early_stop scores, got 4"):
        fit(load_config(tiny, [*changes, "early_stop.every=5"]))
    with pytest.raises(InputError, match=r"time_rows must be >= 9, frames of a clip, got 4"):
        fit(load_config(tiny, [*changes, "data.lengths={4=3, 9=1}"]))
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_recordings_too_short_for_the_longest_clips_are_told_before_training(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "motion").mkdir()
    for name, frames in (("long", 400), ("short", 75)):
        positions = np.random.default_rng(0).normal(size=(frames, 3, 3)).cumsum(axis=0)
        edges = [(0, 1), (1, 2)]
        path = tmp_path / "motion" / f"{name}.npz"
        np.savez(path, positions=positions, joint_names=["a", "b", "c"], edges=edges, fps=30.0)
    # 12 frames of "short" are left for training: the last fifth is held out, and the 48 frames before it are unused.
    changes = [f"data.real='{tmp_path / 'motion'}'", "data.real_weights.long=1000", "data.lengths={4=3, 40=1}"]
    with pytest.raises(InputError, match=r"data: short: .*40 frames"):
        fit(load_config(tiny, changes))
    fit(load_config(tiny, [*changes, "data.real_weights.short=0", "schedule.steps=1"]))
