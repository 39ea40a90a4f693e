"""Procrustes fits against SciPy, the reference and the definition, with gradients, at and around degeneracy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import assert_compiles_once, error, needs_native
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation
from torch import Tensor

from olift_fast import reference
from olift_fast.ops import orthographic_procrustes, procrustes, procrustes_align, procrustes_mse

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
FAST = [("native", torch.float32, 1e-5), ("native", torch.float64, 1e-12)]
FAST = [pytest.param(*each, marks=needs_native) for each in FAST]
FAST_NAMES = [pytest.param("native", marks=needs_native)]
if torch.cuda.is_available():
    FAST += [pytest.param("cuda", *each.values[1:], marks=pytest.mark.gpu) for each in FAST]
    FAST_NAMES += [pytest.param("cuda", marks=pytest.mark.gpu)]
BACKENDS = [*FAST, pytest.param("eager", torch.float64, 1e-12)]
KINDS = ["rigid", "similarity", "rotation"]


def problem(count: int, points: int, seed: int = 0, noise: float = 0.1) -> tuple[Tensor, Tensor, Tensor]:
    """source and target ``(N, P, 3)`` and weights ``(N, P)``, some of them 0; float64."""
    rng = np.random.default_rng(seed)
    source = rng.normal(size=(count, points, 3))
    rotation = Rotation.random(count, rng=rng).as_matrix()
    target = 1.7 * source @ rotation.transpose(0, 2, 1) + rng.normal(size=(count, 1, 3))
    target += noise * rng.normal(size=target.shape)
    weights = rng.uniform(0.1, 2, size=(count, points))
    weights[:, 4:] *= rng.random((count, points))[:, 4:] > 0.2
    return tuple(torch.from_numpy(x) for x in (source, target, weights))


def place(backend: str, dtype: torch.dtype, *tensors: Tensor) -> tuple[Tensor, ...]:
    """The tensors on `backend`'s device, as leaves of their own."""
    device = "cuda" if backend == "cuda" else "cpu"
    return tuple(x.detach().to(device, dtype, copy=True) for x in tensors)


@pytest.mark.parametrize(("backend", "dtype", "tolerance"), BACKENDS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("points", [4, 26, 133])
def test_matches_the_svd(backend, dtype, tolerance, kind, points) -> None:
    source, target, weights = problem(17, points)
    wanted = reference.procrustes(source, target, weights, kind=kind)
    source, target, weights = place(backend, dtype, source, target, weights)
    got = procrustes(source, target, weights=weights, kind=kind, backend=backend)
    for mine, theirs in zip(got[:3], wanted, strict=True):
        assert error(mine, theirs) < tolerance
    assert error(torch.linalg.det(got.rotation), torch.ones(17)) < 1e-5


def test_reference_matches_scipy() -> None:
    source, target, weights = problem(5, 30)
    rotation, _, _ = reference.procrustes(source, target, weights, kind="rotation")
    quaternion, _, _ = reference.procrustes_quaternion(source, target, weights, kind="rotation")
    for index in range(5):
        wanted, _ = Rotation.align_vectors(target[index], source[index], weights=weights[index])
        assert np.abs(rotation[index].numpy() - wanted.as_matrix()).max() < 1e-12
        assert np.abs(quaternion[index].numpy() - wanted.as_matrix()).max() < 1e-12


@pytest.mark.parametrize(("backend", "dtype", "tolerance"), BACKENDS)
def test_known_similarity_is_recovered(backend, dtype, tolerance) -> None:
    source, _, weights = problem(6, 12)
    rotation = torch.from_numpy(Rotation.random(6, rng=np.random.default_rng(5)).as_matrix())
    shift = torch.tensor([1000.0, -500.0, 30.0], dtype=torch.float64)
    target = 2.5 * source @ rotation.mT + shift
    weights = weights + 0.1
    source, target, weights = place(backend, dtype, source, target, weights)
    got = procrustes(source, target, weights=weights, kind="similarity", backend=backend)
    # Stored in float32, a point a thousand units away is itself off by 3e-5.
    slack = 5e-5 if dtype == torch.float32 else 1e-12
    assert error(got.rotation, rotation) < slack
    assert error(got.scale, torch.full((6,), 2.5, dtype=torch.float64)) < slack
    assert error(got.translation, shift.expand(6, 3)) < slack


@pytest.mark.parametrize(("backend", "dtype", "tolerance"), BACKENDS)
def test_mirror_image_needs_reflection(backend, dtype, tolerance) -> None:
    source, _, _ = problem(8, 20)
    target = source * torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)
    source, target = place(backend, dtype, source, target)
    proper = procrustes(source, target, backend=backend)
    assert (torch.linalg.det(proper.rotation) > 0.99).all()
    mirrored = procrustes(source, target, reflection=True, backend=backend)
    assert (torch.linalg.det(mirrored.rotation) < -0.99).all()
    assert error(source @ mirrored.rotation.mT + mirrored.translation[:, None], target) < 1e-5


def degenerate(case: str) -> tuple[Tensor, Tensor, Tensor]:
    source, target, weights = problem(3, 10, noise=0.0)
    weights = weights + 0.1
    if case == "single point":
        return source[:, :1], target[:, :1], weights[:, :1]
    if case == "coincident":
        return source[:, :1].expand(3, 10, 3), target[:, :1].expand(3, 10, 3), weights
    if case == "collinear":
        line = torch.linspace(-1, 1, 10, dtype=torch.float64)[None, :, None]
        return source[:, :1] * line, target[:, :1] * line, weights
    if case == "zero weights":
        return source, target, torch.zeros_like(weights)
    if case == "planar":
        return source * torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64), target, weights
    assert case == "opposite"
    return source, -source, weights


@pytest.mark.parametrize("case", ["single point", "coincident", "collinear", "zero weights", "planar", "opposite"])
@pytest.mark.parametrize(("backend", "dtype", "tolerance"), FAST)
@pytest.mark.parametrize("kind", KINDS)
def test_degenerate_sets_give_proper_rotations_and_finite_gradients(case, backend, dtype, tolerance, kind) -> None:
    leaves = [x.requires_grad_() for x in place(backend, dtype, *degenerate(case))]
    fit = procrustes(leaves[0], leaves[1], weights=leaves[2], kind=kind, backend=backend)
    assert all(x.isfinite().all() for x in fit)
    eye = torch.eye(3, dtype=dtype, device=leaves[0].device)
    assert torch.allclose(fit.rotation @ fit.rotation.mT, eye.expand(3, 3, 3), atol=1e-5)
    assert (torch.linalg.det(fit.rotation) > 0.99).all()
    (fit.rotation.sin().sum() + fit.scale.sum() + fit.translation.square().sum()).backward()
    assert all(x.grad.isfinite().all() for x in leaves)
    others = [x.requires_grad_() for x in place(backend, dtype, *degenerate(case))]
    procrustes_mse(others[0], others[1], weights=others[2], kind=kind, backend=backend).sum().backward()
    assert all(x.grad.isfinite().all() for x in others)
    if case in ("collinear", "single point", "coincident") and kind == "rigid":
        assert (fit.conditioning < 1e-5).all()
    if case == "zero weights":
        assert torch.equal(fit.rotation, eye.expand(3, 3, 3))
        assert (leaves[0].grad == 0).all()


@pytest.mark.parametrize(("backend", "dtype", "tolerance"), BACKENDS)
def test_points_of_zero_weight_may_hold_nan(backend, dtype, tolerance) -> None:
    source, target, weights = problem(4, 15)
    wanted = reference.procrustes(source, target, weights, kind="similarity")
    poisoned = [torch.where(weights[..., None] > 0, x, torch.nan) for x in (source, target)]
    poisoned = [x.requires_grad_() for x in place(backend, dtype, *poisoned)]
    (counts,) = place(backend, dtype, weights)
    fit = procrustes(*poisoned, weights=counts, kind="similarity", backend=backend)
    for mine, theirs in zip(fit[:3], wanted, strict=True):
        assert error(mine, theirs) < tolerance
    value = procrustes_mse(*poisoned, weights=counts, backend=backend)
    (sum(x.sum() for x in fit[:3]) + value.sum()).backward()
    assert all(x.grad.isfinite().all() and (x.grad[counts == 0] == 0).all() for x in poisoned)


@pytest.mark.slow
@pytest.mark.parametrize("backend", FAST_NAMES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weighted", [True, False])
def test_gradients_pass_gradcheck(backend, kind, weighted) -> None:
    source, target, weights = problem(3, 6)
    leaves = place(backend, torch.float64, source, target, weights + 0.2)[: 3 if weighted else 2]
    leaves = [x.requires_grad_() for x in leaves]

    def function(source: Tensor, target: Tensor, weights: Tensor | None = None) -> tuple[Tensor, ...]:
        fit = procrustes(source, target, weights=weights, kind=kind, backend=backend)
        error = procrustes_mse(source, target, weights=weights, kind=kind, backend=backend)
        return (fit.rotation, fit.scale, fit.translation, error)

    assert torch.autograd.gradcheck(function, leaves)


@pytest.mark.parametrize(("backend", "dtype", "tolerance"), FAST)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("points", "reflection"), [(26, False), (26, True), (300, False)])
def test_gradients_match_those_through_the_svd(backend, dtype, tolerance, kind, points, reflection) -> None:
    source, target, weights = problem(9, points)
    source[:, :, 1] *= 2  # three different singular values: a clear rotation, with no tie among reflections
    target = target * torch.tensor([-1.0 if reflection else 1.0, 1.0, 1.0])
    gradients = []
    for name, kind_of in ((backend, dtype), ("eager", torch.float64)):
        leaves = [x.requires_grad_() for x in place(name, kind_of, source, target, weights)]
        options = {"weights": leaves[2], "kind": kind, "reflection": reflection, "backend": name}
        fit = procrustes(*leaves[:2], **options)
        generator = torch.Generator().manual_seed(3)
        parts = {"rigid": fit[:3:2], "similarity": fit[:3], "rotation": fit[:1]}[kind]
        upstream = [torch.randn(x.shape, generator=generator, dtype=torch.float64).to(x) for x in parts]
        torch.autograd.backward(parts, upstream)
        gradients.append([x.grad.cpu() for x in leaves])
    kept = weights > 0
    for mine, theirs in zip(*gradients, strict=True):
        assert error(mine[kept], theirs[kept]) < max(2 * tolerance, 1e-10)


def test_gradient_of_points_a_kilometer_away_is_that_of_points_nearby() -> None:
    rng = np.random.default_rng(0)
    source, target = (torch.from_numpy(rng.integers(-64, 64, (4, 26, 3)) / 64).float() for _ in range(2))
    upstream = torch.from_numpy(rng.normal(size=(4, 3, 3))).float()
    gradients = []
    for shift in (0.0, 1000.0):
        leaf = (source + shift).requires_grad_()
        value = procrustes_mse(leaf, target - 2 * shift)
        (procrustes(leaf, target - 2 * shift).rotation * upstream).sum().add(value.sum()).backward()
        gradients.append(leaf.grad)
    assert error(gradients[1], gradients[0]) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("backend", FAST_NAMES)
@pytest.mark.parametrize("weighted", [True, False])
def test_opcheck(backend, weighted) -> None:
    source, target, weights = place(backend, torch.float64, *problem(4, 7))
    points = (source.requires_grad_(), target.requires_grad_(), weights.requires_grad_() if weighted else None)
    torch.library.opcheck(torch.ops.olift.procrustes.default, (*points, "similarity", False))
    torch.library.opcheck(torch.ops.olift.procrustes_error.default, (*points, "rigid", False))
    fit = torch.ops.olift.procrustes(*points, "rigid", False)
    plain = [None if x is None else x.detach() for x in (*points, fit[0], fit[1], fit[3])]
    wanted = [True, False, weighted]
    upstream = [torch.randn_like(x) for x in fit[:3]]
    torch.library.opcheck(torch.ops.olift.procrustes_backward.default, (*upstream, *plain, "rigid", wanted))
    error, rotation, scale = torch.ops.olift.procrustes_error(*points, "rigid", False)
    plain = [None if x is None else x.detach() for x in (error, *points, error, rotation, scale)]
    torch.library.opcheck(torch.ops.olift.procrustes_error_backward.default, (*plain, "rigid", wanted))


@pytest.mark.slow
@pytest.mark.parametrize("backend", FAST_NAMES)
def test_compiles_whole_and_once_for_all_sizes(backend) -> None:
    def function(source: Tensor, target: Tensor, weights: Tensor) -> Tensor:
        fit = procrustes(source, target, weights=weights, backend=backend)
        return fit.rotation.square().sum(dim=(-2, -1)) + procrustes_mse(source, target, weights=weights)

    assert_compiles_once(
        function, (place(backend, torch.float32, *problem(count, count + 5, seed=count)) for count in range(3, 13))
    )


@pytest.mark.parametrize("backend", FAST_NAMES)
def test_batch_dimensions_strides_and_repeats(backend) -> None:
    source, target, weights = place(backend, torch.float64, *problem(6, 11))
    flat = procrustes(source, target, weights=weights)
    shaped = procrustes(source.view(2, 3, 11, 3), target.view(2, 3, 11, 3), weights=weights.view(2, 3, 11))
    assert torch.equal(shaped.rotation.flatten(0, 1), flat.rotation)
    assert shaped.scale.shape == (2, 3)
    wide = torch.stack([source, target], dim=-1)
    assert torch.equal(procrustes(wide[..., 0], wide[..., 1], weights=weights).rotation, flat.rotation)
    assert procrustes(source[0], target[0], weights=weights[0]).rotation.shape == (3, 3)
    assert torch.equal(procrustes(source, target, weights=weights).rotation, flat.rotation)
    assert procrustes(source[:0], target[:0]).rotation.shape == (0, 3, 3)
    assert procrustes_mse(source[:0], target[:0]).shape == (0,)


@pytest.mark.parametrize("backend", FAST_NAMES)
def test_strided_and_expanded_inputs_get_the_same_gradients(backend) -> None:
    source, target, weights = place(backend, torch.float32, *problem(6, 26))
    views = (
        torch.stack([source, source], dim=2)[:, :, 0],
        target[:1].expand(6, 26, 3),
        weights.t().contiguous().t(),
    )
    results = []
    for points in (views, [x.contiguous() for x in views]):
        leaves = [x.detach().requires_grad_() for x in points]
        fit = procrustes(leaves[0], leaves[1], weights=leaves[2], kind="similarity")
        value = procrustes_mse(leaves[0], leaves[1], weights=leaves[2])
        (fit.rotation.sin().sum() + fit.scale.sum() + fit.translation.sum() + value.sum()).backward()
        results.append([value, *fit, *(x.grad for x in leaves)])
    for mine, theirs in zip(*results, strict=True):
        assert torch.equal(mine, theirs)


@needs_native
@pytest.mark.parametrize(("count", "points"), [(501, 26), (3, 40_000)])
def test_threads_and_repeats_change_no_bit(count, points) -> None:
    source, target, weights = (x.float() for x in problem(count, points))
    threads, results = torch.get_num_threads(), []
    try:
        for number in (1, 2, 2):
            torch.set_num_threads(number)
            leaves = [x.clone().requires_grad_() for x in (source, target, weights)]
            fit = procrustes(leaves[0], leaves[1], weights=leaves[2])
            value = procrustes_mse(leaves[0], leaves[1], weights=leaves[2])
            (fit.rotation.sin().sum() + fit.translation.sum() + value.sum()).backward()
            results.append([value, *fit, *(x.grad for x in leaves)])
    finally:
        torch.set_num_threads(threads)
    for again in results[1:]:
        assert all(torch.equal(x, y) for x, y in zip(results[0], again, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "dtype", "tolerance"), FAST)
def test_a_million_points(backend, dtype, tolerance) -> None:
    source, target, weights = problem(1, 1_000_000)
    wanted = reference.procrustes(source, target, weights, kind="similarity")
    error_wanted = reference.procrustes_mse(source, target, weights, kind="similarity")
    leaves = [x.requires_grad_() for x in place(backend, dtype, source, target, weights)]
    options = {"weights": leaves[2], "kind": "similarity", "backend": backend}
    fit, value = (f(*leaves[:2], **options) for f in (procrustes, procrustes_mse))
    for mine, theirs in zip((*fit[:3], value), (*wanted, error_wanted), strict=True):
        assert error(mine, theirs) < tolerance
    (fit.rotation.sum() + value.sum()).backward()
    assert all(x.grad.isfinite().all() for x in leaves)


def test_matches_roma() -> None:
    roma = pytest.importorskip("roma")
    source, target, weights = problem(7, 26)
    rotation, translation = roma.rigid_points_registration(source, target, weights=weights)
    fit = procrustes(source, target, weights=weights)
    assert error(fit.rotation, rotation) < 1e-12
    assert error(fit.translation, translation) < 1e-12
    rotation, translation, scale = roma.rigid_points_registration(source, target, weights, compute_scaling=True)
    fit = procrustes(source, target, weights=weights, kind="similarity")
    assert error(fit.rotation, rotation) < 1e-12
    assert error(fit.translation, translation) < 1e-11
    assert error(fit.scale, scale) < 1e-12


@needs_native
def test_vmap_folds_its_dimension_into_the_batch() -> None:
    source, target, weights = (x.view(2, 3, *x.shape[1:]) for x in problem(6, 9))
    mapped = torch.vmap(procrustes_mse, in_dims=(1, None), out_dims=1)(source, target[:, 0])
    assert torch.equal(mapped, procrustes_mse(source, target[:, :1].expand_as(source)))
    mapped = torch.vmap(lambda s, t, w: procrustes(s, t, weights=w).rotation)(source, target, weights)
    assert torch.equal(mapped, procrustes(source, target, weights=weights).rotation)


@needs_native
@pytest.mark.parametrize("function", [lambda *x: procrustes(*x).rotation, procrustes_mse])
def test_second_derivative_is_a_clear_error(function) -> None:
    source, target, _ = problem(2, 5)
    source.requires_grad_()
    (gradient,) = torch.autograd.grad(function(source, target).sum(), source, create_graph=True)
    with pytest.raises(RuntimeError, match="no second derivative on this backend; backend='eager' has one"):
        gradient.sum().backward()


def test_autocast_changes_nothing() -> None:
    source, target, weights = (x.float() for x in problem(3, 9))
    with torch.autocast("cpu", torch.bfloat16):
        inside = (*procrustes(source, target), procrustes_mse(source, target, weights=weights))
    outside = (*procrustes(source, target), procrustes_mse(source, target, weights=weights))
    assert all(torch.equal(x, y) for x, y in zip(inside, outside, strict=True))


@pytest.mark.gpu
@needs_cuda
@pytest.mark.parametrize("points", [26, 200, 5000])
def test_cuda_graph_replays_fit_error_and_gradients(points) -> None:
    source, target, weights = place("cuda", torch.float32, *problem(5, points))
    leaves = [source.requires_grad_(), target.requires_grad_()]

    def step() -> list[Tensor]:
        fit = procrustes(*leaves, weights=weights, backend="cuda")
        value = procrustes_mse(*leaves, weights=weights, backend="cuda")
        gradients = torch.autograd.grad(fit.rotation.sum() + fit.translation.sum() + value.sum(), leaves)
        return [value, *fit, *gradients]

    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        step()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        held = step()
    with torch.no_grad():
        for leaf in leaves:
            leaf.copy_(torch.randn_like(leaf))
    graph.replay()
    assert all(torch.equal(x, y) for x, y in zip(held, step(), strict=True))


def test_half_precision_is_computed_in_float32() -> None:
    source, target, _ = problem(4, 9)
    fit = procrustes(source.bfloat16(), target.bfloat16())
    wanted = procrustes(source.bfloat16().float(), target.bfloat16().float())
    assert fit.rotation.dtype == torch.float32
    assert torch.equal(fit.rotation, wanted.rotation)


@pytest.mark.parametrize(("backend", "dtype", "tolerance"), BACKENDS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weighted", [True, False])
def test_mse_is_the_error_after_alignment_with_its_exact_gradient(backend, dtype, tolerance, kind, weighted) -> None:
    source, target, weights = problem(5, 8)
    points = (source, target, weights)[: 3 if weighted else 2]
    leaves = [x.requires_grad_() for x in place(backend, dtype, *points)]
    through = [x.requires_grad_() for x in place("eager", torch.float64, *points)]
    value = procrustes_mse(*leaves[:2], weights=leaves[2] if weighted else None, kind=kind, backend=backend)
    wanted = reference.procrustes_mse(*through, kind=kind)
    assert error(value, wanted) < tolerance
    upstream = torch.randn(5, dtype=torch.float64)
    value.backward(upstream.to(value))
    wanted.backward(upstream)
    for mine, theirs in zip(leaves, through, strict=True):
        kept = torch.ones(5, 8, dtype=torch.bool) if not weighted else weights > 0
        assert error(mine.grad.cpu()[kept], theirs.grad[kept]) < max(2 * tolerance, 1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_align_moves_the_source_onto_the_target(kind) -> None:
    source, target, weights = problem(5, 8)
    moved = procrustes_align(source, target, weights=weights, kind=kind)
    assert error(moved, reference.procrustes_align(source, target, weights, kind=kind)) < 1e-12


@pytest.mark.slow
def test_descent_from_a_rank_one_start_converges() -> None:
    torch.manual_seed(0)
    target = torch.randn(4, 12, 3)
    source = torch.zeros(4, 12, 3)
    source[:, :, 0] = torch.linspace(-1, 1, 12)
    source.requires_grad_()
    optimizer = torch.optim.Adam([source], lr=0.02)
    for _ in range(2000):
        optimizer.zero_grad()
        loss = procrustes_mse(source, target).mean()
        loss.backward()
        assert source.grad is not None and source.grad.isfinite().all()
        optimizer.step()
    assert float(loss.detach()) < 1e-4


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), points=st.integers(3, 40), shift=st.floats(-100, 100))
def test_mse_does_not_change_under_rigid_motion(seed: int, points: int, shift: float) -> None:
    source, target, weights = problem(1, points, seed)
    turn = torch.from_numpy(Rotation.random(rng=np.random.default_rng(seed)).as_matrix())
    before = procrustes_mse(source, target, weights=weights)
    after = procrustes_mse(source @ turn.mT + shift, target, weights=weights)
    assert torch.allclose(before, after, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("seed", range(6))
def test_orthographic_fit_is_the_least_squares_optimum(seed: int) -> None:
    source, _, weights = problem(1, 14, seed)
    rng = np.random.default_rng(seed)
    turn = Rotation.random(rng=rng)
    target = 0.6 * (source[0].numpy() @ turn.as_matrix().T)[:, :2] + [3.0, -1.0] + 0.03 * rng.normal(size=(14, 2))
    rotation, scale, shift = orthographic_procrustes(source[0], torch.from_numpy(target), weights=weights[0])
    roots = weights[0].sqrt().numpy()[:, None]

    def residuals(x: np.ndarray) -> np.ndarray:
        moved = x[3] * (source[0].numpy() @ Rotation.from_rotvec(x[:3]).as_matrix().T)[:, :2] + x[4:]
        return (roots * (moved - target)).ravel()

    mine = np.array([*Rotation.from_matrix(rotation.numpy()).as_rotvec(), float(scale), *shift.numpy()])
    best = least_squares(residuals, np.array([*turn.as_rotvec(), 0.6, 3.0, -1.0]), xtol=1e-14, ftol=1e-14)
    assert np.square(residuals(mine)).sum() < np.square(best.fun).sum() * (1 + 1e-4) + 1e-9
    assert torch.linalg.det(rotation) > 0.999


def test_orthographic_fit_of_exact_views_is_exact() -> None:
    source, _, _ = problem(5, 20)
    turn = torch.from_numpy(Rotation.random(5, rng=np.random.default_rng(1)).as_matrix())
    target = 3 * (source @ turn.mT)[..., :2] + 7
    rotation, scale, shift = orthographic_procrustes(source, target)
    assert error(rotation, turn) < 1e-6
    assert error(scale, torch.full((5,), 3.0, dtype=torch.float64)) < 1e-6
    assert error(shift, torch.full((5, 2), 7.0, dtype=torch.float64)) < 1e-6


def test_wrong_arguments_are_named() -> None:
    x = torch.zeros(2, 5, 3)
    with pytest.raises(ValueError, match=r"source must be \(\*batch, P, 3\) with P >= 1, got \(2, 5, 2\)"):
        procrustes(x[..., :2], x)
    with pytest.raises(ValueError, match=r"target must be \(2, 5, 3\), got \(2, 4, 3\)"):
        procrustes(x, x[:, :4])
    with pytest.raises(ValueError, match=r"weights must be \(2, 5\), got \(2, 4\)"):
        procrustes(x, x, weights=torch.ones(2, 4))
    with pytest.raises(ValueError, match=r"weights must be >= 0, got -1"):
        procrustes(x, x, weights=-torch.ones(2, 5))
    with pytest.raises(ValueError, match=r"kind must be one of rigid, similarity, rotation, got 'affine'"):
        procrustes(x, x, kind="affine")
    with pytest.raises(TypeError, match=r"source must be a floating-point tensor, got torch.int64"):
        procrustes(x.long(), x.long())
    with pytest.raises(ValueError, match=r"target must be \(2, 5, 2\)|target must be \(\*batch, P, 2\)"):
        orthographic_procrustes(x, x)
