"""The studies' measurements, on data for which the right values are known."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from typer.testing import CliRunner

from olift_fast.data.clips import ClipBatch
from olift_fast.data.generator import AnimalGenerator
from olift_fast.errors import InputError
from olift_fast.model import Lifter, LifterConfig
from olift_fast.nn import TemporalProximityAttention
from olift_fast.train.batches import collate
from olift_fast.train.studies import attention, occlusion, windows
from olift_fast.train.studies.rows import mean_by, read_rows, summary, where, write_rows

TINY = LifterConfig(width=32, heads=4, motion_layers=1, space_layers=1, window=(2, 1), frequencies=16)


def clips_of(count: int = 4, frames: int = 20) -> ClipBatch:
    return AnimalGenerator(3).batch(count, frames)


@pytest.fixture
def lifter() -> Lifter:
    torch.manual_seed(0)
    return Lifter(TINY, name="tiny").eval()


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch) -> Callable[..., ClipBatch]:
    """In place of held-out recordings: generated clips of the length that is asked for."""
    asked: list[dict] = []

    def held_out(folder: Path, noise: bool = False, **given: int) -> dict[str, ClipBatch]:
        asked.append({"noise": noise, **given})
        return {"made up": clips_of(6, given.get("frames", 20))}

    for study in (attention, occlusion, windows):
        monkeypatch.setattr(study, "held_out", held_out)
    return asked


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_the_share_is_hidden_in_the_way_that_is_named(share: float) -> None:
    clips, rng = clips_of(frames=30), np.random.default_rng(0)
    joints = clips.skeleton.num_joints
    assert occlusion.hide(rng, clips, share, "at random").mean() == pytest.approx(share, abs=0.05)
    part = occlusion.hide(rng, clips, share, "a part of the body")
    assert (part.sum(axis=2) == round(share * joints)).all() and (part == part[:, :1]).all()
    time = occlusion.hide(rng, clips, share, "a stretch of time")
    assert (time == time[:, :, :1]).all()
    for clip in time[:, :, 0]:
        assert clip.sum() == round(share * 30) and np.abs(np.diff(clip.astype(int))).sum() <= 2


def test_a_part_of_the_body_hangs_together() -> None:
    clips, rng = clips_of(), np.random.default_rng(1)
    near = clips.skeleton.graph(1)
    hidden = occlusion.hide(rng, clips, 0.3, "a part of the body")
    for clip in hidden[:, 0]:
        reached = np.flatnonzero(clip)[:1]
        for _ in range(len(clip)):
            reached = np.flatnonzero(near[reached].any(axis=0) & clip)
        assert len(reached) == clip.sum()


@pytest.mark.slow
def test_errors_of_the_truth_are_zero_and_hidden_joints_count(lifter: Lifter, data, monkeypatch) -> None:
    monkeypatch.setattr(occlusion, "lifted_by", lambda *_, alone=False: lambda batch: 2 * batch.joints)
    rows = list(occlusion.occlusion(lifter, Path()))
    assert len(rows) == len(occlusion.KINDS) * len(occlusion.SHARES) * 3
    for row in rows:
        if row["method"] != "flat guess":
            assert row["sa_mpjpe"] < 1e-2 and row["sa_mpjpe_hidden"] < 1e-2
    for row in where(rows, method="flat guess"):
        assert row["sa_mpjpe"] > 5 and (row["sa_mpjpe_hidden"] > 5 if row["share"] else row["sa_mpjpe_hidden"] == 0)


def test_errors_are_in_sizes_of_the_whole_body(lifter: Lifter) -> None:
    """The same joints, with and without a part hidden, are off by the same share of the animal."""
    clips = clips_of()
    seen = collate([clips], 1)
    hidden = ClipBatch(
        clips.keypoints,
        clips.visible & ~occlusion.hide(np.random.default_rng(0), clips, 0.5, "a part of the body"),
        clips.joints,
        clips.labelled,
        clips.skeleton,
        clips.family,
    )
    scale = (seen.joints.norm() / collate([hidden], 1).joints.norm()).item()
    assert scale != pytest.approx(1, abs=0.02)

    def off(batch):
        return batch.joints * torch.tensor([1.0, 1.0, 0.0])

    whole = occlusion._errors(clips, clips, off, 1)["sa_mpjpe"]
    assert occlusion._errors(hidden, clips, off, 1)["sa_mpjpe"] == pytest.approx(whole, abs=0.02)


def test_attention_weights_are_those_of_the_module(lifter: Lifter, data) -> None:
    rows = list(attention.attention(lifter, Path()))
    assert all(asked["noise"] and not asked["paired"] for asked in data)
    for (layer, head), total in mean_by(rows, ("layer", "head"), "weight").items():
        count = len(where(rows, layer=layer, head=head))
        assert total * count == pytest.approx(1, abs=2e-3)
    assert [row["distance"] for row in where(rows, layer=0, head=0)] == [-2, -1, 0, 1]
    local, everywhere = (mean_by(where(rows, layer=1, head=head), ("distance",), "weight") for head in (0, 3))
    assert sum(weight for (hops,), weight in local.items() if hops > 1) == 0 < everywhere[(2,)]


def test_attention_over_frames_by_the_operation_itself(lifter: Lifter) -> None:
    """Values that are one at a single offset give that offset's weight back."""
    module = next(module for module in lifter.modules() if isinstance(module, TemporalProximityAttention))
    torch.manual_seed(1)
    tokens, visible = torch.randn(1, 4, 1, 32), torch.ones(1, 4, 1, dtype=torch.bool)
    got = attention._over_frames(module, tokens, visible)
    q, k, _ = module.qkv(tokens).unflatten(-1, (3, 4, 8)).unbind(dim=-3)
    for head in range(4):
        scores = (k[0, :, 0, head] @ q[0, 2, 0, head]) * 8**-0.5 + module.time_bias()[head]
        assert torch.allclose(got[head], scores.softmax(dim=0), atol=1e-6)


def test_windows_split_clips_by_speed(lifter: Lifter, data, monkeypatch) -> None:
    monkeypatch.setattr(windows, "LENGTHS", (12, 24))
    monkeypatch.setattr(windows, "WINDOWS", (0, 3))
    rows = list(windows.windows(lifter, Path()))
    assert [asked["frames"] for asked in data] == [12, 24]
    assert {(row["frames"], row["window"]) for row in rows} == {(12, 0), (12, 3), (24, 0), (24, 3)}
    for row in where(rows, speed="all"):
        thirds = where(rows, frames=row["frames"], window=row["window"], speed=lambda speed: speed != "all")
        assert sum(third["clips"] for third in thirds) == row["clips"] == 6
        assert np.mean([third["sa_mpjpe"] for third in thirds]) == pytest.approx(row["sa_mpjpe"], abs=0.02)
    alone, seeing = (where(rows, frames=24, speed="all", window=window)[0] for window in (0, 3))
    assert alone["sa_mpjpe"] != seeing["sa_mpjpe"]


def test_rows_come_back_and_their_conditions_are_told(tmp_path: Path) -> None:
    path, rows = tmp_path / "new" / "rows.json", [{"a": 1, "b": 0.5}, {"a": 2, "b": 1.5}]
    write_rows(path, rows, model="small", steps=3)
    assert read_rows(path) == rows
    assert json.loads(path.read_text())["model"] == "small"
    assert mean_by(rows, (), "b") == {(): 1.0} and where(rows, a=lambda a: a > 1) == rows[1:]
    with pytest.raises(InputError, match="is a folder"):
        write_rows(tmp_path, rows)


def test_a_summary_has_means_over_sources_and_the_deviation_of_seeds() -> None:
    values = {("a", 0): (1.0, 3.0), ("a", 1): (2.0, 6.0), ("flat", -1): (5.0, 5.5)}
    rows = [
        {"test": "t", "variant": variant, "seed": seed, "source": source, "error": value}
        for (variant, seed), pair in values.items()
        for source, value in zip(("x", "y"), pair, strict=True)
    ]
    # Means of the seeds: 2 and 4; their deviation is √2.
    assert summary(rows, ["error"]).splitlines()[2:] == ["| t | a | 2 | 3.00 ± 1.41 |", "| t | flat | 1 | 5.25 |"]


def test_variants_about_one_source_are_drawn_beside_it_alone() -> None:
    plots = pytest.importorskip("olift_fast.train.studies.plots", reason="the plots need the extra `bench`")
    rows = [
        {"variant": variant, "source": "rat", "x": 1} for variant in ("all", "without rat", "without fly", "rat alone")
    ]
    assert [row["variant"] for row in plots._about(rows, "rat", ["rat", "fly"])] == ["all", "without it", "it alone"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["occlusion", "attention", "windows"])
def test_each_study_is_one_command_with_a_plot(name: str, lifter: Lifter, data, tmp_path: Path, monkeypatch) -> None:
    pytest.importorskip("matplotlib", reason="the plots need the extra `bench`")
    from olift_fast.train.studies import plots
    from olift_fast.train.studies.__main__ import main

    for module in (windows, plots):
        monkeypatch.setattr(module, "LENGTHS", (24, 48))
    folder = lifter.save_pretrained(tmp_path / "tiny")
    options = {"model": str(folder), "results": tmp_path, "figures": tmp_path / "figures"}
    main(name, tmp_path, **options)
    drawn = tmp_path / "figures" / f"{name}.png"
    first = drawn.read_bytes()
    drawn.unlink()
    main(name, None, **options)
    assert drawn.read_bytes() == first and len(first) > 10_000


@pytest.mark.parametrize("option", ["--plots", "--figures"])
def test_folder_of_the_plot_is_an_option_of_two_names(option: str, tmp_path: Path) -> None:
    plots = pytest.importorskip("olift_fast.train.studies.plots", reason="the plots need the extra `bench`")
    from olift_fast.train.studies.__main__ import OF_CHECKPOINTS, main

    assert all(callable(getattr(plots, draw)) for _, draw in OF_CHECKPOINTS.values())
    app = typer.Typer()
    app.command()(main)
    ran = CliRunner().invoke(app, ["windows", "--results", str(tmp_path), option, str(tmp_path)])
    assert isinstance(ran.exception, InputError) and "nothing has been measured yet" in str(ran.exception)
