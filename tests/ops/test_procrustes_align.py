"""`procrustes_align`, fit and move in one pass, against the reference in float64: values, gradients, registration."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
import torch
from helpers import assert_compiles_once, error, needs_native
from scipy.spatial.transform import Rotation
from torch import Tensor

from olift_fast import reference
from olift_fast.ops import procrustes, procrustes_align

FAST = [("native", torch.float32, 1e-5), ("native", torch.float64, 1e-12)]
FAST = [pytest.param(*each, marks=needs_native) for each in FAST]
KINDS = ["rigid", "similarity", "rotation"]
SHAPES = [(1, 1), (1, 26), (5, 4), (37, 17), (3, 133), (2, 9001)]
"""One point, one problem, lanes to spare, a block and a part of one, and problems that are cut into slices."""


def problem(count: int, points: int, seed: int = 0, far: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    """source and target ``(N, P, 3)``, `far` from the origin, and weights ``(N, P)``, some of them 0; float64."""
    rng = np.random.default_rng(1000 * seed + points)
    source = rng.normal(size=(count, points, 3)) * [1.0, 2.0, 1.5]
    turn = Rotation.random(count, rng=rng).as_matrix().reshape(count, 3, 3)
    target = 1.7 * source @ turn.transpose(0, 2, 1) + 0.1 * rng.normal(size=source.shape)
    weights = rng.uniform(0.1, 2, size=(count, points))
    weights[:, 4:] *= rng.random((count, points))[:, 4:] > 0.2
    return tuple(torch.from_numpy(x) for x in (source + far, target - 2 * far, weights))


def leaves_of(dtype: torch.dtype, tensors: Iterable[Tensor]) -> list[Tensor]:
    """Copies that take gradients."""
    return [x.detach().to(dtype, copy=True).requires_grad_() for x in tensors]


def moved_and_gradients(
    leaves: list[Tensor], upstream: Tensor, weighted: bool, kind: str, backend: str
) -> list[Tensor]:
    used = leaves[: 3 if weighted else 2]
    options = {"weights": used[2] if weighted else None, "kind": kind}
    if backend == "reference":
        moved = reference.procrustes_align(used[0], used[1], options["weights"], kind=kind)
    else:
        moved = procrustes_align(used[0], used[1], **options, backend=backend)
    return [moved, *torch.autograd.grad(moved, used, upstream.to(moved))]


@pytest.mark.parametrize(("backend", "dtype", "tolerance"), FAST)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("count", "points"), SHAPES)
def test_matches_the_reference_with_its_gradients(backend, dtype, tolerance, kind, weighted, count, points) -> None:
    sets = problem(count, points)
    upstream = torch.from_numpy(np.random.default_rng(5).normal(size=(count, points, 3)))
    if points < 3:  # the rotation is ambiguous: a point goes onto its target, and the target's gradient is its own
        if kind != "rotation":
            leaves = leaves_of(dtype, sets)
            moved, *gradients = moved_and_gradients(leaves, upstream, weighted, kind, backend)
            assert error(moved, sets[1]) < 10 * tolerance
            assert error(gradients[1], upstream) < 10 * tolerance
            assert gradients[0].abs().max() < 10 * tolerance
        return
    got = moved_and_gradients(leaves_of(dtype, sets), upstream, weighted, kind, backend)
    wanted = moved_and_gradients(leaves_of(torch.float64, sets), upstream, weighted, kind, "reference")
    kept = sets[2] > 0
    assert error(got[0], wanted[0]) < tolerance
    for mine, theirs in zip(got[1:3], wanted[1:3], strict=True):
        assert error(mine, theirs) < 4 * max(tolerance, 1e-11)
    if weighted:
        assert error(got[3][kept], wanted[3][kept]) < 4 * max(tolerance, 1e-11)
        assert (got[3][~kept] == 0).all()


@pytest.mark.parametrize(("backend", "dtype", "tolerance"), FAST)
def test_points_a_kilometer_away_are_moved_as_well_as_points_nearby(backend, dtype, tolerance) -> None:
    """On a grid of 1/64 the shift is exact in float32, so that nothing but the kernel may lose accuracy."""
    source, target, _ = ((64 * x).round() / 64 for x in problem(9, 26, far=0.0))
    upstream = torch.from_numpy(np.random.default_rng(1).normal(size=(9, 26, 3)))
    results = []
    for shift in (0.0, 1000.0):
        leaves = leaves_of(dtype, (source + shift, target - shift, source))
        moved, *gradients = moved_and_gradients(leaves, upstream, False, "similarity", backend)
        results.append([moved.double() + shift, *gradients])
    assert error(results[1][0], results[0][0]) < (6e-5 if dtype == torch.float32 else 1e-11)  # as stored in float32
    for far, near in zip(results[1][1:], results[0][1:], strict=True):
        assert error(far, near) < 2 * tolerance


@pytest.mark.parametrize(("backend", "dtype", "tolerance"), FAST)
def test_hidden_points_may_hold_nan(backend, dtype, tolerance) -> None:
    """Where the weight is 0, and so is the gradient of where the point is moved."""
    source, target, weights = problem(6, 15)
    hidden = weights == 0
    assert hidden.any()
    upstream = torch.where(hidden[..., None], 0.0, torch.from_numpy(np.random.default_rng(1).normal(size=source.shape)))
    wanted = moved_and_gradients(leaves_of(torch.float64, (source, target, weights)), upstream, True, "rigid", "eager")
    for poisoned in ((True, False), (False, True), (True, True)):
        pairs = zip((source, target), poisoned, strict=True)
        sets = [torch.where(hidden[..., None] & bad, torch.nan, x) for x, bad in pairs]
        got = moved_and_gradients(leaves_of(dtype, (*sets, weights)), upstream, True, "rigid", backend)
        assert error(got[0][~hidden], wanted[0][~hidden]) < tolerance
        assert got[0][hidden].isnan().all() == poisoned[0]
        for mine, theirs in zip(got[1:3], wanted[1:3], strict=True):
            assert error(mine[~hidden], theirs[~hidden]) < 4 * max(tolerance, 1e-11)
            assert (mine[hidden] == 0).all()


@pytest.mark.parametrize(("backend", "dtype", "tolerance"), FAST)
@pytest.mark.parametrize("kind", KINDS)
def test_no_weight_at_all_and_ambiguous_sets_have_finite_results(backend, dtype, tolerance, kind) -> None:
    source, target, weights = problem(4, 9)
    line = torch.linspace(-1, 1, 9, dtype=torch.float64)[None, :, None]
    cases = [
        (source, target, torch.zeros_like(weights)),
        (source[:, :1] * line, target[:, :1] * line, weights + 0.1),
        (source[:, :1].expand(4, 9, 3), target[:, :1].expand(4, 9, 3), weights + 0.1),
    ]
    for sets in cases:
        found = moved_and_gradients(leaves_of(dtype, sets), torch.ones(4, 9, 3), True, kind, backend)
        assert all(x.isfinite().all() for x in found)
    moved = procrustes_align(*leaves_of(dtype, cases[0][:2]), weights=torch.zeros_like(weights), backend=backend)
    assert error(moved, source) < tolerance, "with no weight at all nothing is turned or moved"


@pytest.mark.parametrize(("backend", "dtype", "tolerance"), FAST)
def test_strided_and_shared_views_and_any_upstream_give_the_same_bits(backend, dtype, tolerance) -> None:
    source, target, weights = leaves_of(dtype, problem(6, 26))
    views = (
        torch.stack([source, source], dim=2)[:, :, 0],
        target[:1].expand(6, 26, 3),
        weights.t().contiguous().t(),
        torch.ones((), dtype=dtype, device=source.device).expand(6, 26, 3),
    )
    results = []
    for source, target, weights, upstream in (views, [x.contiguous() for x in views]):
        leaves = [x.detach().requires_grad_() for x in (source, target, weights)]
        moved = procrustes_align(*leaves[:2], weights=leaves[2], kind="similarity", backend=backend)
        results.append([moved, *torch.autograd.grad(moved, leaves, upstream)])
    assert all(torch.equal(x, y) for x, y in zip(*results, strict=True))


@needs_native
def test_gradients_are_computed_only_where_wanted() -> None:
    source, target, weights = (x.float() for x in problem(20, 26))
    upstream = torch.randn(20, 26, 3, generator=torch.Generator().manual_seed(1))
    leaves = leaves_of(torch.float32, (source, target, weights))
    wanted = moved_and_gradients(leaves, upstream, True, "rigid", "native")[1:]
    for index in range(3):
        leaves = [x.clone().requires_grad_(index == at) for at, x in enumerate((source, target, weights))]
        procrustes_align(*leaves[:2], weights=leaves[2], backend="native").backward(upstream)
        assert torch.equal(leaves[index].grad, wanted[index])


@needs_native
@pytest.mark.parametrize(("count", "points"), [(501, 26), (3, 40_000)])
def test_threads_and_repeats_change_no_bit(count, points) -> None:
    sets = [x.float() for x in problem(count, points)]
    upstream = torch.randn(count, points, 3, generator=torch.Generator().manual_seed(1))
    threads, results = torch.get_num_threads(), []
    try:
        for number in (1, 2, 3, 2):
            torch.set_num_threads(number)
            results.append(moved_and_gradients(leaves_of(torch.float32, sets), upstream, True, "rigid", "native"))
    finally:
        torch.set_num_threads(threads)
    for again in results[1:]:
        assert all(torch.equal(x, y) for x, y in zip(results[0], again, strict=True))


@needs_native
def test_a_problem_is_moved_alike_in_batches_of_any_size() -> None:
    source, target, weights = (x.float() for x in problem(70, 26))
    together = procrustes_align(source, target, weights=weights, backend="native")
    for part in (slice(0, 33), slice(33, 70), slice(69, 70)):
        alone = procrustes_align(source[part], target[part], weights=weights[part], backend="native")
        if alone.shape[0] > 16:
            assert torch.equal(alone, together[part])
        else:  # few problems of many points are summed up otherwise
            assert error(alone, together[part].double()) < 1e-6


@needs_native
def test_batch_dimensions_and_empty_batches() -> None:
    source, target, weights = problem(6, 11)
    flat = procrustes_align(source, target, weights=weights, backend="native")
    shaped = procrustes_align(
        source.view(2, 3, 11, 3), target.view(2, 3, 11, 3), weights=weights.view(2, 3, 11), backend="native"
    )
    assert shaped.shape == (2, 3, 11, 3) and torch.equal(shaped.flatten(0, 1), flat)
    assert procrustes_align(source[0], target[0], backend="native").shape == (11, 3)
    assert procrustes_align(source[:0], target[:0], backend="native").shape == (0, 11, 3)
    fit = procrustes(source, target, weights=weights, kind="similarity", backend="native")
    by_hand = fit.scale[:, None, None] * source @ fit.rotation.mT + fit.translation[:, None]
    moved = procrustes_align(source, target, weights=weights, kind="similarity", backend="native")
    assert error(moved, by_hand) < 1e-12


@needs_native
def test_vmap_folds_its_dimension_into_the_batch() -> None:
    source, target, _ = (x.view(2, 3, *x.shape[1:]) for x in problem(6, 9))
    mapped = torch.vmap(procrustes_align, in_dims=(1, None), out_dims=1)(source, target[:, 0])
    assert torch.equal(mapped, procrustes_align(source, target[:, :1].expand_as(source)))


@pytest.mark.slow
@needs_native
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weighted", [True, False])
def test_gradients_pass_gradcheck(kind, weighted) -> None:
    source, target, weights = problem(3, 6)
    leaves = leaves_of(torch.float64, (source, target, weights + 0.2))[: 3 if weighted else 2]

    def function(source: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
        return procrustes_align(source, target, weights=weights, kind=kind, backend="native")

    assert torch.autograd.gradcheck(function, leaves)


@pytest.mark.slow
@needs_native
@pytest.mark.parametrize("weighted", [True, False])
def test_opcheck(weighted) -> None:
    source, target, weights = leaves_of(torch.float64, problem(4, 7))
    points = (source, target, weights if weighted else None)
    torch.library.opcheck(torch.ops.olift.procrustes_align.default, (*points, "similarity", False))
    moved, *fit = torch.ops.olift.procrustes_align(*points, "rigid", False)
    plain = [None if x is None else x.detach() for x in (moved.cos(), *points, *fit)]
    wanted = [True, False, weighted]
    torch.library.opcheck(torch.ops.olift.procrustes_align_backward.default, (*plain, "rigid", wanted))


@pytest.mark.slow
@needs_native
def test_compiles_whole_and_once_for_all_sizes() -> None:
    def function(source: Tensor, target: Tensor, weights: Tensor) -> Tensor:
        return procrustes_align(source, target, weights=weights, backend="native").square().sum(dim=(-2, -1))

    assert_compiles_once(function, (tuple(x.float() for x in problem(count, count + 5)) for count in range(3, 13)))


@needs_native
def test_second_derivative_and_negative_weights_are_clear_errors() -> None:
    source, target, weights = problem(2, 5)
    source.requires_grad_()
    moved = procrustes_align(source, target, backend="native")
    (gradient,) = torch.autograd.grad(moved.square().sum(), source, create_graph=True)
    with pytest.raises(RuntimeError, match="procrustes_align has no second derivative on this backend"):
        gradient.sum().backward()
    with pytest.raises(ValueError, match="weights must be >= 0, got -1"):
        procrustes_align(source, target, weights=-torch.ones_like(weights), backend="native")
