"""Means and softmax under a mask: equal to the reference in values and gradients, whatever the mask leaves out."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from helpers import error
from torch import Tensor

from olift_fast import reference
from olift_fast.nn.masked import center, masked_mean, masked_softmax

PAIRS = [(center, reference.center), (masked_mean, reference.masked_mean), (masked_softmax, reference.masked_softmax)]
SHAPES = [(1, 1), (5, 7), (2, 3, 5), (3, 1, 4, 11)]


def given(shape: tuple[int, ...], channels: int | None, hidden: float) -> tuple[Tensor, Tensor]:
    """Float64 values, NaN where the mask is False; some rows have nothing under the mask."""
    mask = torch.rand(shape) > hidden
    mask[..., 0, :] &= torch.rand(shape[:-2]).unsqueeze(-1) > 0.5
    values = torch.randn(*shape, *([] if channels is None else [channels]), dtype=torch.float64)
    return torch.where(mask if channels is None else mask[..., None], values, torch.nan), mask


def value_and_gradient(function: Callable[..., Tensor], values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    values = values.clone().requires_grad_()
    out = function(values, mask)
    (gradient,) = torch.autograd.grad(out, values, torch.randn(out.shape, dtype=out.dtype))
    return out.detach(), gradient


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("hidden", [0.0, 0.4, 1.0])
@pytest.mark.parametrize(("own", "oracle"), PAIRS[:2])
def test_equals_the_reference_and_reads_nothing_outside_the_mask(own, oracle, shape, hidden) -> None:
    torch.manual_seed(0)
    values, mask = given(shape, 3 if own is center else None, hidden)
    torch.manual_seed(1)
    got = value_and_gradient(own, values, mask)
    torch.manual_seed(1)
    wanted = value_and_gradient(oracle, torch.where(values.isnan(), 0.0, values), mask)
    for mine, theirs in zip(got, wanted, strict=True):
        assert mine.shape == theirs.shape and mine.isfinite().all()
        assert error(mine, theirs) < 1e-14
    assert (got[1][~mask] == 0).all()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("hidden", [0.0, 0.4, 1.0])
def test_softmax_equals_the_reference(shape, hidden) -> None:
    torch.manual_seed(0)
    scores, mask = given(shape, None, hidden)
    scores = torch.where(mask, scores, 1e300)
    torch.manual_seed(1)
    got = value_and_gradient(masked_softmax, scores, mask)
    torch.manual_seed(1)
    wanted = value_and_gradient(reference.masked_softmax, scores, mask)
    for mine, theirs in zip(got, wanted, strict=True):
        assert mine.isfinite().all() and error(mine, theirs) < 1e-14
    assert torch.equal(got[0].sum(dim=-1) > 0, mask.any(dim=-1))


@pytest.mark.parametrize(("own", "oracle"), PAIRS)
def test_float32_is_bit_for_bit_the_reference(own, oracle) -> None:
    torch.manual_seed(0)
    mask = torch.rand(3, 9, 13) > 0.3
    values = torch.randn(3, 9, 13, 3) if own is center else torch.randn(3, 9, 13)
    assert torch.equal(own(values, mask), oracle(values, mask))


def test_center_of_known_points() -> None:
    points = torch.tensor([[[1.0, 0], [3, 0], [torch.nan, 100]], [[torch.nan, 1], [2, 3], [torch.nan, 0]]])
    mask = torch.tensor([[True, True, False], [False, True, False]])
    assert center(points, mask).tolist() == [[[-1, 0], [1, 0], [0, 0]], [[0, 0], [0, 0], [0, 0]]]
