"""The oracle itself: its parts against formulas written out once more, and its gradients in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from olift_fast import reference


def test_masked_softmax_ignores_the_masked_and_zeroes_empty_rows() -> None:
    scores = torch.tensor([[1.0, 2.0, 50.0], [3.0, 3.0, 3.0]], dtype=torch.float64)
    mask = torch.tensor([[True, True, False], [False, False, False]])
    weights = reference.masked_softmax(scores, mask)
    odds = np.exp([1.0, 2.0])
    assert np.allclose(weights[0], [*(odds / odds.sum()), 0])
    assert (weights[1] == 0).all()


def test_davenport_matrix_is_the_quadratic_form_of_the_agreement() -> None:
    generator = torch.Generator().manual_seed(0)
    covariance = torch.randn(5, 3, 3, dtype=torch.float64, generator=generator)
    quaternion = torch.nn.functional.normalize(torch.randn(5, 4, dtype=torch.float64, generator=generator), dim=-1)
    rotation = reference.quaternion_to_matrix(quaternion)
    agreement = torch.einsum("nij,nji->n", rotation, covariance)
    form = torch.einsum("ni,nij,nj->n", quaternion, reference.davenport(covariance), quaternion)
    assert torch.allclose(form, agreement)
    assert torch.allclose(torch.linalg.det(rotation), torch.ones(5, dtype=torch.float64))


def test_relative_time_bias_depends_on_the_offset_alone() -> None:
    torch.manual_seed(0)
    narrow, wide = reference.RelativeTimeBias(3, (2, 1)), reference.RelativeTimeBias(3, (5, 4))
    wide.load_state_dict(narrow.state_dict())
    assert torch.allclose(wide()[:, 3:7], narrow())


def test_center_uses_the_mask() -> None:
    points = torch.tensor([[[1.0, 0], [3, 0], [100, 100]]])
    mask = torch.tensor([[True, True, False]])
    assert reference.center(points, mask).tolist() == [[[-1, 0], [1, 0], [0, 0]]]


@pytest.mark.parametrize("alignment", ["sequence", "frame"])
def test_loss_gradient_of_the_squared_error_is_exact(alignment) -> None:
    generator = torch.Generator().manual_seed(1)
    joints, target = torch.randn(2, 2, 4, 6, 3, dtype=torch.float64, generator=generator)
    labelled = torch.rand(2, 4, 6, generator=generator) > 0.2
    joints.requires_grad_()

    def loss(joints: torch.Tensor) -> torch.Tensor:
        return reference.lifting_loss(joints, target, labelled, alignment=alignment, velocity_weight=0.0)

    (gradient,) = torch.autograd.grad(loss(joints), joints)
    direction = torch.randn(joints.shape, dtype=torch.float64, generator=generator)
    step = 1e-6
    with torch.no_grad():
        slope = (loss(joints + step * direction) - loss(joints - step * direction)) / (2 * step)
    assert float((gradient * direction).sum()) == pytest.approx(float(slope), rel=1e-5)


@pytest.mark.slow
def test_lifter_is_differentiable_in_float64() -> None:
    torch.manual_seed(0)
    lifter = reference.Lifter(width=8, heads=2, motion_layers=1, space_layers=1, window=(1, 1), frequencies=4).double()
    keypoints = torch.randn(1, 3, 3, 2, dtype=torch.float64, requires_grad=True)
    graph = torch.eye(3, dtype=torch.bool)
    assert torch.autograd.gradcheck(lambda x: lifter(x, graph=graph), keypoints)
