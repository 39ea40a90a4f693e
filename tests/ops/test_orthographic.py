"""`orthographic_procrustes` against the reference in float64: values, gradients, ambiguity, registration."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
import torch
from helpers import assert_compiles_once, error, needs_native
from scipy.spatial.transform import Rotation
from torch import Tensor

from olift_fast import reference
from olift_fast.ops import orthographic_procrustes

DTYPES = [(torch.float32, 2e-5), (torch.float64, 1e-9)]
SHAPES = [(1, 4), (1, 26), (5, 6), (21, 17), (3, 133), (2, 4200)]

pytestmark = needs_native


def problem(count: int, points: int, seed: int = 0, noise: float = 0.05) -> tuple[Tensor, Tensor, Tensor]:
    """source ``(N, P, 3)``, its picture ``(N, P, 2)`` and weights ``(N, P)``, some of them 0; float64."""
    rng = np.random.default_rng(1000 * seed + points)
    source = rng.normal(size=(count, points, 3)) * [1.0, 2.0, 1.5] + 1
    turn = Rotation.random(count, rng=rng).as_matrix().reshape(count, 3, 3)
    target = 0.6 * (source @ turn.transpose(0, 2, 1))[..., :2] + [3.0, -1.0]
    target += noise * rng.normal(size=target.shape)
    weights = rng.uniform(0.5, 2, size=(count, points))
    weights[:, 6:] *= rng.random((count, points))[:, 6:] > 0.2
    return tuple(torch.from_numpy(x) for x in (source, target, weights))


def leaves_of(dtype: torch.dtype, tensors: Iterable[Tensor]) -> list[Tensor]:
    return [x.detach().to(dtype, copy=True).requires_grad_() for x in tensors]


def squared_error(source: Tensor, target: Tensor, weights: Tensor, fit: Iterable[Tensor]) -> Tensor:
    rotation, scale, translation = (x.double() for x in fit)
    moved = scale[:, None, None] * (source @ rotation.mT)[..., :2] + translation[:, None]
    return (weights * (moved - target).square().sum(dim=-1)).sum(dim=-1)


@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("count", "points"), SHAPES)
def test_matches_the_reference_with_its_gradients(dtype, tolerance, weighted, count, points) -> None:
    sets = problem(count, points)[: 3 if weighted else 2]
    results = []
    for of, native in ((dtype, True), (torch.float64, False)):
        leaves = leaves_of(of, sets)
        weights = leaves[2] if weighted else None
        if native:
            fit = orthographic_procrustes(leaves[0], leaves[1], weights=weights, backend="native")
        else:
            fit = reference.orthographic_procrustes(leaves[0], leaves[1], weights, iterations=300)
        generator = torch.Generator().manual_seed(3)
        upstream = [torch.randn(x.shape, generator=generator, dtype=torch.float64).to(of) for x in fit]
        results.append((fit, torch.autograd.grad(fit, leaves, upstream)))
    (fit, gradients), (wanted, wanted_gradients) = results
    for mine, theirs in zip(fit, wanted, strict=True):
        assert error(mine, theirs) < tolerance
    kept = sets[2] > 0 if weighted else torch.ones(count, points, dtype=torch.bool)
    for mine, theirs in zip(gradients, wanted_gradients, strict=True):
        assert error(mine[kept], theirs[kept]) < 10 * tolerance
        assert (mine[~kept] == 0).all()


@pytest.mark.parametrize("points", [4, 5, 7, 26])
@pytest.mark.parametrize("noise", [0.05, 0.5, 5.0])
def test_error_is_never_above_the_references(points, noise) -> None:
    """Also of pictures that are mostly noise, where the reference is slow and may be on its way still."""
    source, target, weights = problem(200, points, seed=7, noise=noise)
    fit = orthographic_procrustes(source, target, weights=weights, backend="native")
    rotation = fit[0]
    assert error(rotation @ rotation.mT, torch.eye(3, dtype=torch.float64).expand(200, 3, 3)) < 1e-12
    assert (torch.linalg.det(rotation) > 0.99).all()
    mine = squared_error(source, target, weights, fit)
    theirs = squared_error(source, target, weights, reference.orthographic_procrustes(source, target, weights))
    worse = mine > theirs * (1 + 1e-9) + 1e-12
    assert not worse.any(), f"{int(worse.sum())} of 200, by {float((mine / theirs).max()) - 1:.2e}"


@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
def test_hidden_points_may_hold_nan(dtype, tolerance) -> None:
    source, target, weights = problem(6, 15)
    hidden = weights == 0
    assert hidden.any()
    clean = orthographic_procrustes(source.to(dtype), target.to(dtype), weights=weights.to(dtype), backend="native")
    poisoned = [torch.where(hidden[..., None], torch.nan, x) for x in (source, target)]
    leaves = leaves_of(dtype, (*poisoned, weights))
    fit = orthographic_procrustes(leaves[0], leaves[1], weights=leaves[2], backend="native")
    assert all(torch.equal(x, y) for x, y in zip(fit, clean, strict=True))
    sum(x.sin().sum() for x in fit).backward()
    assert all(x.grad.isfinite().all() and (x.grad[hidden] == 0).all() for x in leaves)


@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
def test_ambiguous_cameras_are_proper_and_have_finite_gradients(dtype, tolerance) -> None:
    source, target, weights = problem(4, 9)
    line = torch.linspace(-1, 1, 9, dtype=torch.float64)[None, :, None]
    cases = {
        "no weight": (source, target, torch.zeros_like(weights)),
        "one point": (source[:, :1], target[:, :1], torch.ones(4, 1)),
        "a line": (source[:, :1] * line, target[:, :1] * line, weights + 0.1),
        "one place": (source[:, :1].expand(4, 9, 3), target, weights + 0.1),
        "one picture": (source, target[:, :1].expand(4, 9, 2), weights + 0.1),
        "flat": (source * torch.tensor([1.0, 1.0, 0.0]), target, weights + 0.1),
    }
    for name, sets in cases.items():
        leaves = leaves_of(dtype, sets)
        fit = orthographic_procrustes(leaves[0], leaves[1], weights=leaves[2], backend="native")
        assert all(x.isfinite().all() for x in fit), name
        eye = torch.eye(3, dtype=torch.float64).expand(4, 3, 3)
        assert error(fit[0] @ fit[0].mT, eye) < 1e-5, name
        assert (torch.linalg.det(fit[0]) > 0.99).all(), name
        (fit[0].sin().sum() + fit[1].sum() + fit[2].square().sum()).backward()
        assert all(x.grad.isfinite().all() for x in leaves), name
        if name == "no weight":
            assert all((x.grad == 0).all() for x in leaves)
            assert (fit[1] == 0).all() and (fit[2] == 0).all()


def test_picture_a_thousand_units_away_loses_no_accuracy() -> None:
    """On a grid of 1/64 the shift is exact in float32."""
    source, target, _ = ((64 * x).round() / 64 for x in problem(9, 26))
    near, far = (
        orthographic_procrustes((source + s).float(), (target - s).float(), backend="native") for s in (0, 1000)
    )
    assert error(far[0], near[0].double()) < 1e-5
    assert error(far[1], near[1].double()) < 1e-5


@pytest.mark.parametrize(("count", "points"), [(501, 26), (3, 40_000)])
def test_threads_and_repeats_change_no_bit(count, points) -> None:
    sets = [x.float() for x in problem(count, points)]
    threads, results = torch.get_num_threads(), []
    try:
        for number in (1, 2, 3, 2):
            torch.set_num_threads(number)
            leaves = leaves_of(torch.float32, sets)
            fit = orthographic_procrustes(leaves[0], leaves[1], weights=leaves[2], backend="native")
            results.append([*fit, *torch.autograd.grad(sum(x.sin().sum() for x in fit), leaves)])
    finally:
        torch.set_num_threads(threads)
    for again in results[1:]:
        assert all(torch.equal(x, y) for x, y in zip(results[0], again, strict=True))


def test_neighbors_in_a_vector_change_no_bit() -> None:
    """A problem that has arrived stays as it is while a slow one beside it goes on."""
    source, target, weights = (x.float() for x in problem(40, 26))
    wanted = orthographic_procrustes(source, target, weights=weights, backend="native")
    target = target.clone()
    target[::2] = torch.randn(20, 26, 2, generator=torch.Generator().manual_seed(1))
    source[::4, :, 2] = 0
    got = orthographic_procrustes(source, target, weights=weights, backend="native")
    assert all(torch.equal(x[1::2], y[1::2]) for x, y in zip(got, wanted, strict=True))


def test_batch_dimensions_strides_sequences_and_empty_batches() -> None:
    source, target, weights = problem(6, 11)
    flat = orthographic_procrustes(source, target, weights=weights, backend="native")
    shaped = orthographic_procrustes(
        source.view(2, 3, 11, 3), target.view(2, 3, 11, 2), weights=weights.view(2, 3, 11), backend="native"
    )
    assert all(torch.equal(x.flatten(0, 1), y) for x, y in zip(shaped, flat, strict=True))
    strided = orthographic_procrustes(
        torch.stack([source, source], dim=-1)[..., 0],
        torch.cat([target, target], dim=-1)[..., :2],
        weights=weights.t().contiguous().t(),
        backend="native",
    )
    assert all(torch.equal(x, y) for x, y in zip(strided, flat, strict=True))
    clip = orthographic_procrustes(
        source[None], target[None], weights=weights[None], alignment="sequence", backend="native"
    )
    one = orthographic_procrustes(source.flatten(0, 1), target.flatten(0, 1), weights=weights.flatten())
    assert all(torch.equal(x[0], y) for x, y in zip(clip, one, strict=True))
    empty = orthographic_procrustes(source[:0], target[:0], backend="native")
    assert [tuple(x.shape) for x in empty] == [(0, 3, 3), (0,), (0, 2)]


def test_vmap_folds_its_dimension_into_the_batch() -> None:
    source, target, _ = (x.view(2, 3, *x.shape[1:]) for x in problem(6, 9))
    mapped = torch.vmap(orthographic_procrustes, in_dims=(1, None), out_dims=1)(source, target[:, 0])
    wanted = orthographic_procrustes(source, target[:, :1].expand_as(target))
    assert all(torch.equal(x, y) for x, y in zip(mapped, wanted, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("weighted", [True, False])
def test_gradients_pass_gradcheck(weighted) -> None:
    leaves = leaves_of(torch.float64, problem(3, 6))[: 3 if weighted else 2]

    def function(source: Tensor, target: Tensor, weights: Tensor | None = None) -> tuple[Tensor, ...]:
        return orthographic_procrustes(source, target, weights=weights, backend="native")

    assert torch.autograd.gradcheck(function, leaves)


@pytest.mark.slow
@pytest.mark.parametrize("weighted", [True, False])
def test_opcheck(weighted) -> None:
    source, target, weights = leaves_of(torch.float64, problem(4, 7))
    points = (source, target, weights if weighted else None)
    torch.library.opcheck(torch.ops.olift.orthographic_procrustes.default, points)
    rotation, scale, translation = torch.ops.olift.orthographic_procrustes(*points)
    upstream = [x.detach().cos() for x in (rotation, scale, translation)]
    plain = [None if x is None else x.detach() for x in (*points, rotation, scale)]
    wanted = [True, False, weighted]
    torch.library.opcheck(torch.ops.olift.orthographic_procrustes_backward.default, (*upstream, *plain, wanted))


@pytest.mark.slow
def test_compiles_whole_and_once_for_all_sizes() -> None:
    def function(source: Tensor, target: Tensor, weights: Tensor) -> Tensor:
        rotation, scale, shift = orthographic_procrustes(source, target, weights=weights, backend="native")
        return rotation.square().sum(dim=(-2, -1)) + scale + shift.sum(dim=-1)

    assert_compiles_once(function, (tuple(x.float() for x in problem(count, count + 5)) for count in range(3, 13)))


def test_autocast_half_precision_and_integers() -> None:
    source, target, _ = (x.float() for x in problem(3, 9))
    outside = orthographic_procrustes(source, target)
    with torch.autocast("cpu", torch.bfloat16):
        inside = orthographic_procrustes(source, target)
    assert all(torch.equal(x, y) for x, y in zip(inside, outside, strict=True))
    half = orthographic_procrustes(source.bfloat16(), target.bfloat16())
    wanted = orthographic_procrustes(source.bfloat16().float(), target.bfloat16().float())
    assert all(torch.equal(x, y) for x, y in zip(half, wanted, strict=True))


def test_second_derivative_and_negative_weights_are_clear_errors() -> None:
    source, target, weights = problem(2, 5)
    source.requires_grad_()
    scale = orthographic_procrustes(source, target, backend="native")[1]
    (gradient,) = torch.autograd.grad(scale.sum(), source, create_graph=True)
    with pytest.raises(RuntimeError, match="orthographic_procrustes has no second derivative on this backend"):
        gradient.sum().backward()
    with pytest.raises(ValueError, match="weights must be >= 0, got -1"):
        orthographic_procrustes(source, target, weights=-torch.ones_like(weights), backend="native")
