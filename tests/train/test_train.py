"""Training: batches, the loss against the reference, a loop that learns, and scores."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterator
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from olift_fast import reference
from olift_fast.data.clips import ClipBatch
from olift_fast.data.generator import AnimalGenerator
from olift_fast.data.mocap import load_motion, load_paired, split
from olift_fast.data.sources import GeneratorSource
from olift_fast.errors import InputError
from olift_fast.model import Lifter, LifterConfig
from olift_fast.reference import Alignment
from olift_fast.tracks.kinds import KINDS
from olift_fast.train import Config, Mixture, ModelPlan, Run, Schedule, collate, evaluate, fit, fitting, lifting_loss
from olift_fast.train.batches import Batch, by_size, normalize_clips
from olift_fast.train.evaluate import flat, lifted_by, score
from olift_fast.train.fitting import build
from olift_fast.train.held_out import held_out
from olift_fast.train.metrics import METRICS
from olift_fast.train.mixture import POOL

TINY = LifterConfig(width=32, heads=4, motion_layers=1, space_layers=2, window=(4, 4), frequencies=16)


def groups(count: int, clips: int = 3, frames: int = 8, seed: int = 0) -> list[ClipBatch]:
    generator = AnimalGenerator(seed)
    return [generator.batch(clips, frames) for _ in range(count)]


@pytest.mark.parametrize("alignment", ["sequence", "frame"])
def test_loss_and_gradient_match_the_reference(alignment: Alignment) -> None:
    batch = collate(groups(2), hops=1)
    generator = torch.Generator().manual_seed(0)
    joints = batch.joints + 0.3 * torch.randn(batch.joints.shape, generator=generator)
    options: dict[str, Any] = {"alignment": alignment, "velocity_weight": 0.7, "reprojection_weight": 0.2}
    fast, exact = joints.clone().requires_grad_(), joints.double().requires_grad_()
    mine = lifting_loss(fast, batch.joints, batch.labelled, keypoints=batch.keypoints, visible=batch.visible, **options)
    wanted = reference.lifting_loss(
        exact,
        batch.joints.double(),
        batch.labelled,
        keypoints=batch.keypoints.double(),
        visible=batch.visible,
        **options,
    )
    (gradient,), (exact_gradient,) = torch.autograd.grad(mine, fast), torch.autograd.grad(wanted, exact)
    assert float(mine.detach()) == pytest.approx(float(wanted.detach()), rel=1e-5)
    assert float((gradient - exact_gradient).norm() / exact_gradient.norm()) < 1e-4


def test_loss_is_zero_up_to_a_rotation_and_sees_only_what_is_labelled() -> None:
    batch = collate(groups(1), hops=1)
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(0)))[0]
    turn = turn * torch.linalg.det(turn)
    assert float(lifting_loss(batch.joints @ turn.T + 5, batch.joints, batch.labelled)) < 1e-8
    labelled = batch.labelled.clone()
    labelled[:, :, 0] = False
    wild = batch.joints.clone()
    wild[:, :, 0] = torch.nan
    assert float(lifting_loss(wild, batch.joints, labelled)) < 1e-8


def test_metrics_by_hand() -> None:
    generator = torch.Generator().manual_seed(2)
    target = torch.randn(1, 6, 5, 3, dtype=torch.float64, generator=generator)
    labelled = torch.ones(1, 6, 5, dtype=torch.bool)
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=generator))[0]
    turn = turn * torch.linalg.det(turn)
    assert float(reference.sa_mpjpe(2 * target @ turn.T + 1, target, labelled)) < 1e-12
    assert float(reference.sa_mpjpe(2 * target @ turn.T, target, labelled, kind="rigid")) > 0.1
    turns = torch.linalg.qr(torch.randn(1, 6, 3, 3, dtype=torch.float64, generator=generator))[0]
    turns = turns * torch.linalg.det(turns)[..., None, None]
    spun = target @ turns.mT
    assert float(reference.fa_mpjpe(spun, target, labelled)) < 1e-12
    assert float(reference.sa_mpjpe(spun, target, labelled)) > 0.1
    assert float(reference.sa_mpve(spun, target, labelled)) > 0.1
    # Of two labeled joints one is off by d: centering on their mean leaves each off by d / 2.
    line = torch.zeros(1, 1, 2, 3, dtype=torch.float64)
    line[..., 0, 0], line[..., 1, 0] = 1, -1
    longer = line.clone()
    longer[..., 0, 0] = 1.5
    pair = torch.ones(1, 1, 2, dtype=torch.bool)
    assert float(reference.sa_mpjpe(longer, line, pair, kind="rigid")) == pytest.approx(0.25)


def test_collate_pads_and_keeps_each_group() -> None:
    parts = groups(3)
    batch = collate(parts, hops=1, sides=[True, False, True])
    start = 0
    for index, part in enumerate(parts):
        rows, count = slice(start, start + len(part)), part.skeleton.num_joints
        start += len(part)
        normalized, scale = normalize_clips(part)
        assert np.allclose(batch.keypoints[rows, :, :count].numpy(), normalized)
        assert np.allclose(batch.joints[rows, :, :count].numpy() * scale[:, None, None, None], part.joints, atol=1e-2)
        assert not batch.visible[rows, :, count:].any() and not batch.labelled[rows, :, count:].any()
        assert batch.joint_mask[rows].sum(dim=1).tolist() == [count] * len(part)
        assert (batch.graph[rows][0, :count, :count].numpy() == part.skeleton.graph(1)).all()
        told = np.array(part.skeleton.sides) if index != 1 else np.zeros(count)
        assert (batch.sides[rows][0, :count].numpy() == told).all()


def test_clips_that_do_not_show_their_size_are_not_learned_from() -> None:
    part = groups(1)[0]
    visible = part.visible.copy()
    visible[1] = False
    visible[1, :, :2] = True
    keypoints = part.keypoints.copy()
    keypoints[1, :, 1] = keypoints[1, :, 0] + 0.1
    batch = collate([replace(part, keypoints=keypoints, visible=visible)], hops=1)
    assert not batch.labelled[1].any()
    assert batch.labelled[0].all() and batch.labelled[2].all()


@pytest.mark.slow
def test_batches_hold_skeletons_of_similar_size_in_random_order() -> None:
    drawn = groups(64, clips=1, frames=2)
    batches = by_size(drawn, 4, np.random.default_rng(0))
    sizes = [[group.skeleton.num_joints for group in batch] for batch in batches]
    assert sorted(id(group) for batch in batches for group in batch) == sorted(map(id, drawn))
    assert np.mean([max(size) - min(size) for size in sizes]) < 6
    assert [size[0] for size in sizes] != sorted(size[0] for size in sizes)


@pytest.mark.slow
def test_mixture_repeats_and_mixes_real_motion(real_data: Path) -> None:
    mixture = Mixture(seed=3, frames=6, skeletons=2, clips=1, real=real_data / "motion3d")
    first, second = mixture.batches(), mixture.batches()
    for _ in range(3):
        a, b = next(first), next(second)
        assert torch.equal(a.keypoints, b.keypoints) and torch.equal(a.joints, b.joints)
    stream = mixture.groups()
    families = {next(stream).family for _ in range(60)}
    assert {"human_cmu", "quadruped"} <= families


def test_a_weight_for_a_recording_that_is_not_there_is_told(real_data: Path) -> None:
    mixture = Mixture(real=real_data / "motion3d", real_weights={"unicorn": 1.0, "human_cmu": 2.0})
    with pytest.raises(InputError, match=r"real_weights must name recordings of .*human_cmu.*, got unicorn"):
        next(mixture.groups())


def same(one: Batch, other: Batch) -> bool:
    pairs = ((getattr(one, f.name).numpy(), getattr(other, f.name).numpy()) for f in fields(Batch))
    return all(np.array_equal(*pair, equal_nan=True) for pair in pairs)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize("start", [0, 5, POOL, POOL + 3])
def test_batch_depends_on_its_number_alone(workers: int, start: int) -> None:
    mixture = Mixture(seed=1, frames=4, skeletons=1, clips=1)
    whole = list(itertools.islice(mixture.batches(), 3 * POOL))
    late = list(itertools.islice(mixture.loader(workers, start), 2 * POOL - start))
    assert all(same(*pair) for pair in zip(late, whole[start : 2 * POOL], strict=True))


@pytest.mark.slow
def test_processes_share_the_batches_out() -> None:
    mixture = Mixture(seed=1, frames=4, skeletons=1, clips=1)
    whole = list(itertools.islice(mixture.batches(), 4 * POOL))
    first, second = (list(itertools.islice(mixture.loader(0, POOL - 2, rank, 2), POOL)) for rank in (0, 1))
    assert all(same(*pair) for pair in zip(first, whole[POOL - 2 : POOL] + whole[2 * POOL : 3 * POOL - 2], strict=True))
    assert all(same(*pair) for pair in zip(second, whole[2 * POOL - 2 : 2 * POOL] + whole[3 * POOL : -2], strict=True))


@pytest.mark.slow
def test_training_learns_and_saves(tmp_path: Path) -> None:
    torch.manual_seed(0)
    batch = collate(groups(2, clips=4, frames=8), hops=1)

    class OneBatch:
        def loader(self, workers: int, start: int = 0, rank: int = 0, world: int = 1) -> Iterator[Batch]:
            return itertools.repeat(batch)

    config = Config(
        Schedule(steps=200, warmup=20, average=0.9),
        Run(tmp_path / "out", seed=1, device="cpu"),
        ModelPlan(name="learner", changes=asdict(TINY)),
    )
    before = float(lifting_loss(lifted_by(build(config.model))(batch), batch.joints, batch.labelled))
    average = fit(config, data=OneBatch())
    after = float(lifting_loss(lifted_by(average)(batch), batch.joints, batch.labelled))
    assert after < 0.25 * before
    saved = Lifter.from_pretrained(tmp_path / "out")
    assert saved.name == "learner" and torch.equal(lifted_by(saved)(batch), lifted_by(average)(batch))
    log = list(csv.DictReader((tmp_path / "out" / "log.csv").open()))
    assert [line["step"] for line in log] == ["100", "200"]
    assert float(log[1]["loss"]) < float(log[0]["loss"]) and float(log[0]["clips_per_second"]) > 0


@pytest.mark.slow
def test_what_is_trained_is_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[dict[str, bool]] = []
    monkeypatch.setattr(Lifter, "compile", lambda self, **options: compiled.append(options))
    config = Config(
        Schedule(steps=1),
        Run(tmp_path / "out", device="cpu", compile=True, precision="bfloat16", workers=0),
        ModelPlan(changes=asdict(TINY)),
        Mixture(frames=4, skeletons=1, clips=1),
    )
    fit(config)
    assert compiled == [{"dynamic": True, "fullgraph": True}]


def test_learning_rate_rises_then_falls() -> None:
    schedule = Schedule(steps=1000, learning_rate=1.0, warmup=100)
    rates = [schedule.rate(step) for step in range(1000)]
    assert rates[0] == pytest.approx(0.01) and max(rates) == pytest.approx(1.0) and rates.index(max(rates)) in (99, 100)
    assert rates[-1] == pytest.approx(0.01, abs=1e-3)
    assert all(a >= b for a, b in itertools.pairwise(rates[100:]))


@pytest.mark.slow
def test_windows_of_the_steps_are_drawn_as_often_as_asked() -> None:
    schedule = Schedule(steps=1, look_ahead={0: 3.0, 8: 1.0})
    drawn = [schedule.window(step, (4, 2)) for step in range(2000)]
    assert set(drawn) == {(4, 0), (4, 8)} and abs(drawn.count((4, 0)) / 2000 - 0.75) < 0.04
    assert drawn == [schedule.window(step, (4, 2)) for step in range(2000)]
    assert Schedule(steps=1).window(5, (4, 2)) == (4, 2)


@pytest.mark.slow
def test_terms_on_bones_count_from_a_step_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights: list[tuple[float, float]] = []

    def loss(*arguments: Any, bone_variance_weight: float, bone_ratio_weight: float, **others: Any) -> torch.Tensor:
        weights.append((bone_variance_weight, bone_ratio_weight))
        return lifting_loss(*arguments, **others)

    monkeypatch.setattr(fitting, "lifting_loss", loss)
    config = Config(
        Schedule(steps=4, bone_variance_weight=0.5, bone_ratio_weight=0.25, bones_from=2),
        Run(tmp_path / "out", device="cpu", workers=0),
        ModelPlan(changes=asdict(TINY)),
        Mixture(frames=6, skeletons=1, clips=2),
    )
    fit(config)
    assert weights == [(0, 0), (0, 0), (0.5, 0.25), (0.5, 0.25)]


@pytest.mark.slow
def test_training_for_several_delays_leaves_the_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, plain = [], Lifter.set_window

    def set_window(self: Lifter, window: tuple[int, int]) -> None:
        seen.append(window)
        plain(self, window)

    monkeypatch.setattr(Lifter, "set_window", set_window)
    config = Config(
        Schedule(steps=12, look_ahead={0: 1, 2: 1}),
        Run(tmp_path / "out", device="cpu", workers=0),
        ModelPlan(changes=asdict(TINY)),
        Mixture(frames=6, skeletons=1, clips=2),
    )
    average = fit(config)
    assert set(seen[:12]) == {(4, 0), (4, 2)} and seen[12:] == [TINY.window]
    assert average.config == TINY
    assert [layer.get_submodule("attention").window for layer in average.motion] == [(4, 4)]


def test_flat_guess_scores_as_its_definition_says() -> None:
    part = replace(groups(1, clips=2, frames=5)[0])
    true = collate([replace(part, visible=np.ones_like(part.visible))], hops=1)
    guess = flat(true)
    assert torch.equal(guess[..., :2], true.keypoints) and (guess[..., 2] == 0).all()
    hidden = replace(true, visible=true.visible.clone(), keypoints=true.keypoints.clone())
    hidden.visible[0, 2, 1] = False
    hidden.keypoints[0, 2, 1] = 99.0
    filled = flat(hidden)[0, 2, 1, :2]
    assert torch.allclose(filled, 0.5 * (true.keypoints[0, 1, 1] + true.keypoints[0, 3, 1]))


def test_scores_of_a_skeleton_without_edges_have_no_drift() -> None:
    part = groups(1, clips=2, frames=5)[0]
    bare = replace(part, skeleton=replace(part.skeleton, edges=()))
    bones = ("bone_length_drift", "bone_ratio_error")
    assert all(score("bare", bare, "flat", flat).values[name] is None for name in bones)
    assert score("whole", part, "truth", lambda batch: batch.joints).values["pck_20"] == 100


@pytest.mark.slow
def test_a_perfect_method_scores_zero_and_truth_is_held_out(real_data: Path) -> None:
    sets = held_out(real_data)
    assert set(sets) >= {"human_cmu", "rat_dannce23", "mouse_salk34", "fly_df3d_30", "fly_anipose_17"}
    clips = sets["rat_dannce23"]
    row = score("rat", clips, "truth", lambda batch: 3 * batch.joints)
    assert row.values["sa_mpjpe"] < 0.01 and row.values["sa_mpve"] < 0.01 and row.clips == len(clips)
    assert score("rat", clips, "flat", flat).values["sa_mpjpe"] > 20
    motion = load_motion(real_data / "motion3d" / "rat_dannce23.npz")
    trained, kept = split(motion)
    assert max(segment.stop for segment in trained) + 48 <= min(segment.start for segment in kept)


def test_every_record_is_a_value_of_a_score_in_order() -> None:
    found = score("whole", groups(1, clips=2, frames=5)[0], "flat", flat)
    names = [metric.name for metric in METRICS]
    assert list(found.values) == names and len({metric.column for metric in METRICS}) == len(names)
    assert found.as_row() == {"source": "whole", "method": "flat", "clips": 2, **found.values}


def test_legend_has_what_is_not_the_usual() -> None:
    assert evaluate.legend() == (
        "in % of the clips' RMS 2D radius after one similarity alignment a clip (FA-MPJPE: one a frame; N-MPJPE: scale "
        "only); PCK@20: joints within 20%; bones: drift in % of their length; ratios: error of bone lengths in % of "
        "the mean bone; depth: extent in % of the true one"
    )


def test_single_frames_score_no_velocity_error() -> None:
    values = score("frames", groups(1, frames=1)[0], "flat", flat).values
    assert values["sa_mpve"] is values["acceleration"] is values["bone_length_drift"] is None
    assert values["sa_mpjpe"] == values["fa_mpjpe"] > 0


def test_single_frames_see_no_time() -> None:
    torch.manual_seed(0)
    lifter = Lifter(TINY).eval()
    batch = collate(groups(1, clips=2, frames=5), hops=1)
    alone, whole = lifted_by(lifter, alone=True)(batch), lifted_by(lifter)(batch)
    first = replace(batch, **{n: getattr(batch, n)[:, :1] for n in ("keypoints", "visible", "joints", "labelled")})
    assert torch.allclose(alone[:, :1], lifted_by(lifter)(first), atol=1e-5)
    assert not torch.allclose(alone, whole, atol=1e-3)


@pytest.mark.slow
def test_every_method_is_scored_on_every_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    lifter = Lifter(TINY, name="tiny").eval()
    parts = {f"source {index}": part for index, part in enumerate(groups(2, clips=2, frames=5))}
    monkeypatch.setattr(evaluate, "held_out", lambda folder, noise: parts)
    rows = evaluate.evaluate({"tiny": lifter}, tmp_path)
    names = ["flat guess", "tiny", "tiny, with its mirror image", "tiny, sides hidden", "tiny, one frame at a time"]
    assert [(row.source, row.method) for row in rows] == [(s, n) for s in parts for n in names]
    assert len({(row.values["sa_mpjpe"], row.values["sa_mpve"]) for row in rows}) == len(rows)
    assert all(row.clips == 2 for row in rows)
    assert all(min(row.values[name] for name in ("fa_mpjpe", "sa_mpve", "acceleration")) > 0 for row in rows)
    assert all(0 <= row.values["pck_20"] <= 100 and (row.values["bone_length_drift"] or 0) > 0 for row in rows)
    wild = evaluate.score("wild", parts["source 0"], "wild", lambda batch: batch.joints * torch.nan)
    assert (wild.values["sa_mpjpe"], wild.values["pck_20"]) == (None, 0)
    now, later = evaluate.evaluate({"tiny": lifter}, tmp_path, delays=[0, 4])[1:3]
    assert [now.method, later.method] == ["tiny, 0 frames later", "tiny, 4 frames later"]
    assert replace(later, method="tiny") == rows[1] != replace(now, method="tiny")


@pytest.mark.slow
def test_scores_tell_whether_the_pitch_was_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    config = replace(TINY, pitch=True, kinds=len(KINDS))
    lifters = {"told": Lifter(config).eval(), "plain": Lifter(TINY).eval()}
    part = groups(1, clips=2, frames=5)[0]
    known, unknown = (replace(part, pitch=np.float32(pitch)) for pitch in ([70, -40], [np.nan, np.nan]))
    monkeypatch.setattr(evaluate, "held_out", lambda folder, noise: {"known": known, "unknown": unknown})
    rows = {(row.source, row.method): row.values for row in evaluate.evaluate(lifters, tmp_path)}
    hidden = [method for source, method in rows if source == "known" and method.endswith("pitch hidden")]
    assert hidden == ["told, pitch hidden"]
    assert rows["known", "told, pitch hidden"] == rows["unknown", "told"] != rows["known", "told"]
    batch = collate([known], hops=1)
    options = {"graph": batch.graph, "sides": batch.sides, "kinds": batch.kinds}
    with torch.no_grad():
        whole = lifters["told"](batch.keypoints, batch.visible, pitch=torch.tensor([70.0, -40]), **options)
        first = lifters["told"](batch.keypoints[:, :1], batch.visible[:, :1], pitch=batch.pitch, **options)
    assert torch.allclose(lifted_by(lifters["told"])(batch), whole, atol=1e-5)
    assert torch.allclose(lifted_by(lifters["told"], alone=True)(batch)[:, :1], first, atol=1e-5)


def test_a_folder_without_recordings_is_told(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(InputError, match=f"{folder}: must hold recordings in motion3d/ or paired/, found none"):
            evaluate.evaluate({}, folder)


def test_sequences_shorter_than_a_clip_are_one_clip(real_data: Path, tmp_path: Path) -> None:
    with np.load(real_data / "paired" / "human_pose2sim_balancing.npz") as file:
        content = dict(file)
    whole = load_paired(real_data / "paired" / "human_pose2sim_balancing.npz")
    frames = len(whole.positions)
    short = {name: cut_frames(array, frames, 20) for name, array in content.items()}
    (tmp_path / "paired").mkdir()
    np.savez(tmp_path / "paired" / "short.npz", **short)
    clips = held_out(tmp_path)["short"]
    assert clips.visible.shape[:2] == (len(whole.K), 20)


def cut_frames(array: np.ndarray, frames: int, kept: int) -> np.ndarray:
    """The first frames of the array, on whichever axis the frames are."""
    axes = [axis for axis, size in enumerate(array.shape) if size == frames]
    return np.take(array, range(kept), axis=axes[0]) if axes else array


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"frames": 0}, "frames must be >= 1, got 0"),
        ({"skeletons": 0}, "skeletons must be >= 1, got 0"),
        ({"real_share": 45.0}, "real_share must be from 0 to 1, got 45.0"),
        ({"mirrored": -1.0}, "mirrored must be from 0 to 1, got -1.0"),
        ({"speed": (0.0, 1.0)}, r"speed must be a range above 0, got \(0.0, 1.0\)"),
    ],
)
def test_values_out_of_range_are_told(values: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        Mixture(**values)


@pytest.mark.slow
def test_training_with_sources_of_ones_own_is_saved_and_goes_on(tmp_path: Path) -> None:
    def config(steps: int | None) -> Config:
        return Config(
            Schedule(steps=4),
            Run(tmp_path / "out", device="cpu", workers=0, save_every=1, stop_after=steps),
            ModelPlan(changes=asdict(TINY)),
            Mixture(frames=4, skeletons=1, clips=1, sources=[(GeneratorSource(name="mine"), 2.0)]),
        )

    fit(config(2))
    average = fit(config(None), resume=True)
    assert all(torch.isfinite(weight).all() for weight in average.parameters())
