"""Muon: the steps of PyTorch's own, products in float32, matrices stacked by shape."""

import pytest
import torch

from olift_fast.train.muon import Muon, orthogonal

COEFFICIENTS = (3.4445, -4.775, 2.0315)
SHAPES = [(6, 9), (9, 6), (5, 5), (6, 9), (1, 4), (9, 6)]


def _random(shapes: list[tuple[int, int]], seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) for shape in shapes]


def _one(matrix: torch.Tensor) -> torch.Tensor:
    """The iteration as it is published, of one matrix, in float64."""
    a, b, c = COEFFICIENTS
    x = matrix.double()
    x = x / x.norm()
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    for _ in range(5):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x


def test_each_matrix_is_made_orthogonal_as_if_it_were_alone() -> None:
    matrices = _random(SHAPES)
    found = orthogonal(matrices, COEFFICIENTS, 5, 1e-7)
    assert [tuple(x.shape) for x in found] == SHAPES
    for matrix, result in zip(matrices, found, strict=True):
        torch.testing.assert_close(result.double(), _one(matrix), rtol=1e-4, atol=1e-5)
        assert 0.6 < torch.linalg.matrix_norm(result, 2) < 1.3


def test_no_gradient_moves_nothing() -> None:
    (still,) = orthogonal([torch.zeros(3, 4)], COEFFICIENTS, 5, 1e-7)
    assert torch.equal(still, torch.zeros(3, 4))


@pytest.mark.parametrize("adjust", [None, "match_rms_adamw"])
@pytest.mark.parametrize("nesterov", [True, False])
def test_steps_are_those_of_pytorch_but_for_its_rounding(adjust: str | None, nesterov: bool) -> None:
    start, settings = _random(SHAPES), {"lr": 0.02, "weight_decay": 0.1, "adjust_lr_fn": adjust, "nesterov": nesterov}
    ours, theirs = ([torch.nn.Parameter(x.clone()) for x in start] for _ in range(2))
    for parameters, kind in ((ours, Muon), (theirs, torch.optim.Muon)):
        optimizer = kind(parameters, **settings)
        for step in range(3):
            for parameter, gradient in zip(parameters, _random(SHAPES, step + 1), strict=True):
                parameter.grad = gradient
            optimizer.step()
    for mine, other, before in zip(ours, theirs, start, strict=True):
        assert torch.linalg.norm(mine - other) < 0.02 * torch.linalg.norm(other - before)


def test_parameters_without_a_gradient_stay() -> None:
    moved, still = (torch.nn.Parameter(x) for x in _random([(3, 4), (3, 4)]))
    optimizer = Muon([moved, still])
    before = still.detach().clone()
    moved.grad = torch.ones(3, 4)
    optimizer.step()
    assert torch.equal(still, before) and still not in optimizer.state


def test_its_state_is_that_of_pytorch() -> None:
    states = []
    for kind in (Muon, torch.optim.Muon):
        (parameter,) = (torch.nn.Parameter(x) for x in _random([(3, 4)]))
        parameter.grad = torch.ones(3, 4)
        optimizer = kind([parameter])
        optimizer.step()
        states.append(optimizer.state_dict())
    assert states[0]["param_groups"] == states[1]["param_groups"]
    torch.testing.assert_close(states[0]["state"], states[1]["state"], rtol=0, atol=0)
