"""Standard deviations: their likelihood in the loss, their metrics, and their calibration."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from olift_fast import reference
from olift_fast.cli.evaluate import print_scores
from olift_fast.data.clips import ClipBatch
from olift_fast.data.generator import AnimalGenerator
from olift_fast.errors import InputError
from olift_fast.model import Lifter, LifterConfig
from olift_fast.nn.loss import Alignment
from olift_fast.train import collate, fit, lifting_loss, load_config, sa_mpjpe
from olift_fast.train.calibration import calibrated
from olift_fast.train.evaluate import lifted_by, score
from olift_fast.train.loss import deviance
from olift_fast.train.uncertainty import coverage, error_of_the_surest, errors_in_deviations

TINY = LifterConfig(width=16, heads=2, motion_layers=1, space_layers=1, window=(2, 2), frequencies=8, uncertainty=True)
CALIBRATED = ["model.changes.uncertainty=true", "schedule.steps=3", "calibration={}"]


@pytest.fixture
def lifter() -> Lifter:
    torch.manual_seed(0)
    return Lifter(TINY, "tiny").eval()


def clips(seed: int, count: int = 3, frames: int = 8) -> ClipBatch:
    return AnimalGenerator(seed).batch(count, frames)


def spread(seed: int, *shape: int) -> torch.Tensor:
    """Positive numbers."""
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) + 0.1


@pytest.mark.parametrize("alignment", ["sequence", "frame"])
def test_likelihood_and_its_gradient_match_the_reference(alignment: Alignment) -> None:
    batch = collate([clips(1), clips(2)], hops=1)
    labelled = batch.labelled & (spread(3, *batch.labelled.shape) > 0.3)
    joints = batch.joints + 0.3 * torch.randn(batch.joints.shape, generator=torch.Generator().manual_seed(0))
    deviations = torch.where(labelled[..., None], spread(4, *labelled.shape, 2), torch.nan)
    found = []
    for loss, dtype in ((lifting_loss, torch.float32), (reference.lifting_loss, torch.float64)):
        own = joints.to(dtype).requires_grad_(), deviations.to(dtype).requires_grad_()
        options = {"alignment": alignment, "uncertainty": own[1], "uncertainty_weight": 0.3}
        value = loss(own[0], batch.joints.to(dtype), labelled, **options)
        found.append([value.detach(), *torch.autograd.grad(value, own)])
    for mine, wanted in zip(*found, strict=True):
        assert wanted.isfinite().all()
        assert float((mine - wanted).norm() / wanted.norm()) < 1e-4


def test_likelihood_leaves_the_joints_alone() -> None:
    batch = collate([clips(1)], hops=1)
    joints = (batch.joints + spread(5, *batch.joints.shape).float()).requires_grad_()
    deviations = spread(6, *batch.labelled.shape, 2).float()
    gradients = [
        torch.autograd.grad(
            lifting_loss(joints, batch.joints, batch.labelled, uncertainty=deviations, uncertainty_weight=weight),
            joints,
        )[0]
        for weight in (0.0, 0.7)
    ]
    assert torch.equal(*gradients)


def test_likelihood_is_best_at_the_scale_of_the_errors() -> None:
    generator = torch.Generator().manual_seed(1)
    chi = torch.distributions.StudentT(torch.tensor(4.0, dtype=torch.float64))
    torch.manual_seed(1)
    error = chi.sample((1, 60, 50, 3)) * torch.tensor([0.5, 0.5, 2.0])
    labelled = torch.rand(1, 60, 50, generator=generator) > 0.2
    scale = torch.ones(2, dtype=torch.float64, requires_grad=True)
    for _ in range(40):
        loss = deviance(error, scale.expand(1, 60, 50, 2), labelled)[labelled].mean()
        (gradient,) = torch.autograd.grad(loss, scale)
        scale = (scale - 0.5 * gradient * scale.detach() ** 2).detach().requires_grad_()
    assert scale.tolist() == pytest.approx([0.5, 2.0], rel=0.1)


def lifted_with(target: torch.Tensor, error: torch.Tensor, deviations: torch.Tensor) -> torch.Tensor:
    return torch.cat([target + error, deviations], dim=-1)


def test_coverage_counts_errors_within_the_deviations() -> None:
    target = 3 * torch.randn(2, 30, 40, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    sigma = (spread(7, 2, 30, 40, 2) + 1) * 0.01
    noise = torch.randn(2, 30, 40, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    lifted = lifted_with(target, noise * sigma[..., [0, 0, 1]], sigma)
    labelled = spread(8, 2, 30, 40) > 0.4
    # What is not labeled is not read; a turned clip, twice as large, is fitted.
    turn = torch.linalg.qr(noise[0, 0, :3])[0]
    turn = 0.5 * turn * torch.linalg.det(turn)
    lifted[..., :3] = torch.where(labelled[..., None], lifted[..., :3] @ turn, torch.nan)
    for axes in ("xy", "z"):
        for deviations, wanted in ((1.0, 0.683), (1.96, 0.95)):
            found = coverage(lifted, target, labelled, axes=axes, deviations=deviations)
            assert found.tolist() == pytest.approx([wanted] * 2, abs=0.04)
    lifted[0, 0, labelled[0, 0].nonzero()[0]] = torch.nan
    assert coverage(lifted, target, labelled, axes="z", deviations=1e9)[0] < 1
    assert coverage(lifted, target, torch.zeros_like(labelled), axes="z").isnan().all()


def test_the_surest_joints_are_those_of_the_smallest_deviations() -> None:
    target = 10 * torch.randn(1, 20, 30, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    sigma = torch.full((1, 20, 30, 2), 0.01, dtype=torch.float64)
    sigma[:, :, ::5, 1] = 1.0
    noise = torch.randn(1, 20, 30, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    lifted = lifted_with(target, noise * sigma[..., [0, 0, 1]], sigma)
    labelled = torch.ones(1, 20, 30, dtype=torch.bool)
    whole = error_of_the_surest(lifted, target, labelled, share=1.0)
    torch.testing.assert_close(whole, sa_mpjpe(lifted[..., :3], target, labelled))
    rest = error_of_the_surest(lifted, target, labelled, share=0.8)
    assert float(rest) < 0.5 * float(whole)
    broken = lifted.clone()
    broken[0, 3, 0] = torch.nan
    assert error_of_the_surest(broken, target, labelled, share=1.0).isinf().all()
    assert error_of_the_surest(lifted, target, ~labelled, share=0.5).isnan().all()


def test_calibration_holds_for_sources_of_one_weight_and_changes_no_joint(lifter: Lifter) -> None:
    groups = [clips(11, count=2), clips(12, count=9), clips(13, count=1, frames=5)]
    batches = [collate([group], 1) for group in groups]
    better = calibrated(lifter, batches)
    means = {"xy": [], "z": []}
    for batch in batches:
        before, after = (lifted_by(own, uncertainty=True)(batch) for own in (lifter, better))
        assert torch.equal(before[..., :3], after[..., :3]) and not torch.equal(before[..., 3:], after[..., 3:])
        off = errors_in_deviations(after, batch.joints, batch.labelled)[batch.labelled] <= 1
        means["xy"].append(float(off[:, :2].double().mean()))
        means["z"].append(float(off[:, 2:].double().mean()))
    assert np.mean(means["xy"]) == pytest.approx(0.683, abs=0.01) and np.std(means["xy"]) > 0
    assert np.mean(means["z"]) == pytest.approx(0.683, abs=0.01)


def test_what_cannot_be_calibrated_is_told(lifter: Lifter) -> None:
    plain, batch = Lifter(replace(TINY, uncertainty=False), "plain").eval(), collate([clips(1)], 1)
    with pytest.raises(InputError, match="'plain' gives no standard deviations"):
        calibrated(plain, [batch])
    with pytest.raises(InputError, match="must have labeled joints, got none"):
        calibrated(lifter, [replace(batch, labelled=torch.zeros_like(batch.labelled))])


def test_scores_of_deviations_are_there_for_lifters_that_give_them(
    lifter: Lifter, capsys: pytest.CaptureFixture[str]
) -> None:
    group = clips(21)
    plain = score("made", group, "plain", lifted_by(lifter))
    given = score("made", group, "given", lifted_by(lifter, uncertainty=True))
    assert {name: given.values[name] for name in plain.values} == plain.values
    batch = collate([group], 1)
    wanted = coverage(lifted_by(lifter, uncertainty=True)(batch), batch.joints, batch.labelled, axes="z")
    assert given.values["coverage_68_z"] == pytest.approx(100 * float(wanted.mean()), abs=0.01)
    assert "coverage_68_z" not in plain.values
    print_scores([plain])
    assert "z 68%" not in capsys.readouterr().out
    print_scores([plain, given])
    assert "z 68%" in capsys.readouterr().out


def test_training_ends_with_a_calibrated_lifter(tiny: Path) -> None:
    config = load_config(tiny, CALIBRATED)
    finished = fit(config)
    loose = load_config(tiny, [*CALIBRATED[:2], f"run.out={tiny.parent / 'loose'}"])
    before = fit(loose)
    saved = Lifter.from_pretrained(config.run.out)
    for (name, mine), other in zip(finished.state_dict().items(), before.state_dict().values(), strict=True):
        assert torch.equal(mine, saved.state_dict()[name])
        if name != "decoder.mlp.2.bias":
            assert torch.equal(mine, other), name
    moved = finished.decoder.mlp[2].bias - before.decoder.mlp[2].bias
    assert (moved[:3] == 0).all() and (moved[3:] != 0).all()
    # A run that goes on starts from weights that are not calibrated, whether it was to be calibrated or not.
    for resumed in (config, replace(loose, calibration=config.calibration)):
        assert torch.equal(fit(resumed, resume=True).decoder.mlp[2].bias, finished.decoder.mlp[2].bias)


def test_calibration_of_what_gives_no_deviations_is_refused(tiny: Path) -> None:
    with pytest.raises(InputError, match=r"model.changes.uncertainty = true"):
        fit(load_config(tiny, ["calibration={}"]))


@pytest.mark.slow
def test_training_teaches_the_deviations(tiny: Path) -> None:
    config = load_config(tiny, ["model.changes.uncertainty=true", "schedule.steps=25", "schedule.learning_rate=3e-2"])
    trained = fit(config)
    untrained = fit(replace(config, schedule=replace(config.schedule, uncertainty_weight=0.0),
                            run=replace(config.run, out=tiny.parent / "other")))  # fmt: skip
    batch = collate([clips(31, count=6, frames=6)], 1)
    likelihoods = []
    for own in (trained, untrained):
        lifted = lifted_by(own, uncertainty=True)(batch)
        likelihoods.append(
            lifting_loss(lifted[..., :3], batch.joints, batch.labelled, velocity_weight=0.0,
                         uncertainty=lifted[..., 3:], uncertainty_weight=1.0)
            - lifting_loss(lifted[..., :3], batch.joints, batch.labelled, velocity_weight=0.0)
        )  # fmt: skip
    assert likelihoods[0] < likelihoods[1] - 0.1
