"""The terms of the loss on bones: against the reference, by hand, and where there is little to measure."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from olift_fast import reference
from olift_fast.data.generator import AnimalGenerator
from olift_fast.errors import InputError
from olift_fast.train import Schedule, collate, lifting_loss
from olift_fast.train.loss import bone_errors

WEIGHTS = {"bone_variance_weight": 0.7, "bone_ratio_weight": 0.3}


def clips(seed: int, count: int = 4, frames: int = 7, joints: int = 9) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """joints, target (float64), labelled and bones of clips of several skeletons; NaN where there is no label."""
    generator = torch.Generator().manual_seed(seed)
    target, off = torch.randn(2, count, frames, joints, 3, dtype=torch.float64, generator=generator)
    labelled = torch.rand(count, frames, joints, generator=generator) < 0.7
    bones = torch.full((count, joints - 1, 2), -1)
    for clip in range(count):
        parents = [int(torch.randint(child, (), generator=generator)) for child in range(1, joints - 2 * clip)]
        bones[clip, : len(parents)] = torch.tensor(list(enumerate(parents, start=1)))
    mine = target + 0.5 * off
    for points in (mine, target):
        points[~labelled] = torch.nan
    return mine, target, labelled, bones


@pytest.mark.parametrize("frames", [1, 2, 7])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-4)])
def test_terms_and_gradients_match_the_reference(frames: int, dtype: torch.dtype, tolerance: float) -> None:
    joints, target, labelled, bones = clips(frames, frames=frames)
    labelled[0, :, bones[0, 0, 0]] = False
    fast, exact = joints.to(dtype).requires_grad_(), joints.clone().requires_grad_()
    mine = bone_errors(fast, target.to(dtype), labelled, bones)
    wanted = reference.bone_errors(exact, target, labelled, bones)
    assert [float(x.detach()) for x in mine] == pytest.approx([float(x.detach()) for x in wanted], rel=tolerance)
    assert (float(mine[0].detach()) > 0) == (frames > 1) and float(mine[1].detach()) > 0
    (gradient,) = torch.autograd.grad(2 * mine[0] + mine[1], fast)
    (exact_gradient,) = torch.autograd.grad(2 * wanted[0] + wanted[1], exact)
    assert float((gradient - exact_gradient).norm() / exact_gradient.norm()) < 10 * tolerance
    assert (gradient[~labelled] == 0).all()


def test_terms_are_added_with_their_weights_and_left_out_at_weight_zero() -> None:
    joints, target, labelled, bones = clips(3)
    terms = bone_errors(joints, target, labelled, bones)
    plain = lifting_loss(joints, target, labelled)
    loss = lifting_loss(joints, target, labelled, bones=bones, **WEIGHTS)
    assert float(loss - plain) == pytest.approx(float(0.7 * terms[0] + 0.3 * terms[1]), rel=1e-9)
    assert float(loss) == pytest.approx(float(reference.lifting_loss(joints, target, labelled, bones=bones, **WEIGHTS)))
    assert torch.equal(lifting_loss(joints, target, labelled, bones=bones), plain)


def test_size_rotation_and_place_of_the_prediction_do_not_matter() -> None:
    joints, target, labelled, bones = clips(4)
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))[0]
    wanted = torch.stack(bone_errors(joints, target, labelled, bones))
    assert torch.allclose(torch.stack(bone_errors(0.01 * joints @ turn + 5, target, labelled, bones)), wanted)
    assert torch.stack(bone_errors(3 * target @ turn, target, labelled, bones)).max() < 1e-12


def test_bones_may_vary_as_much_as_the_truth_but_no_more() -> None:
    along = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
    waves = 0.2 * torch.linspace(0, 12, 24, dtype=torch.float64).sin()
    target = (1 + waves)[None, :, None, None] * torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64)[:, None] * along
    labelled, bones = torch.ones(1, 24, 3, dtype=torch.bool), torch.tensor([[[0, 1], [1, 2]]])
    rigid = target.mean(dim=1, keepdim=True).expand_as(target)
    assert float(bone_errors(rigid, target, labelled, bones)[0]) == 0
    assert float(bone_errors(target.flip(1), target, labelled, bones)[0]) < 1e-12
    assert float(bone_errors(target, rigid, labelled, bones)[0]) == pytest.approx(
        float(waves.var(correction=0)), rel=0.1
    )


def test_what_has_no_length_has_no_gradient_and_no_bones_cost_nothing() -> None:
    _, target, labelled, bones = clips(5)
    target = target.nan_to_num(0.0)
    collapsed = torch.zeros_like(target).requires_grad_()
    for reached in (bone_errors, reference.bone_errors):
        terms = reached(collapsed, target, labelled, bones)
        (gradient,) = torch.autograd.grad(terms[0] + terms[1], collapsed)
        assert float(terms[1].detach()) > 0 and (gradient == 0).all()
        for none in (torch.full_like(bones, -1), bones[:, :0]):
            assert [float(x.detach()) for x in reached(collapsed + target, target, labelled, none)] == [0, 0]
        hidden = torch.zeros_like(labelled)
        assert [float(x.detach()) for x in reached(collapsed + target, target, hidden, bones)] == [0, 0]


def test_batches_hold_the_bones_of_each_skeleton() -> None:
    generator = AnimalGenerator(7)
    groups = [generator.batch(2, 4) for _ in range(3)]
    groups[1] = replace(groups[1], skeleton=replace(groups[1].skeleton, edges=()))
    batch = collate(groups, hops=1)
    assert batch.bones.dtype == torch.int64
    for index, group in enumerate(groups):
        for clip in (2 * index, 2 * index + 1):
            own = batch.bones[clip][batch.bones[clip, :, 0] >= 0]
            assert [tuple(pair) for pair in own.tolist()] == [tuple(map(int, edge)) for edge in group.skeleton.edges]
            assert (batch.bones[clip, len(own) :] == -1).all()
    parts = list(batch.split(4))
    assert torch.equal(torch.cat([part.bones for part in parts]), batch.bones)
    length = (batch.joints[0, 0, batch.bones[0, 0, 0]] - batch.joints[0, 0, batch.bones[0, 0, 1]]).norm()
    assert np.isfinite(float(length)) and length > 0


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_below_zero_are_refused(name: str) -> None:
    with pytest.raises(InputError, match=f"{name} must be >= 0, got -1"):
        Schedule(steps=1, **{name: -1})
