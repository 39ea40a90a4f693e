"""Procrustes fits against SciPy, the reference and the definition, with gradients, at and around degeneracy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation
from torch import Tensor

from olift_fast import reference
from olift_fast.ops import orthographic_procrustes, procrustes, procrustes_align, procrustes_mse
from olift_fast.ops._native import why_not_native

needs_native = pytest.mark.skipif(why_not_native() is not None, reason=str(why_not_native()))
BACKENDS = [
    pytest.param("native", torch.float32, 1e-5, marks=needs_native),
    pytest.param("native", torch.float64, 1e-12, marks=needs_native),
    pytest.param("reference", torch.float64, 1e-12),
]
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


def error(got: Tensor, wanted: Tensor) -> float:
    return float((got.detach().double() - wanted.detach()).norm() / wanted.detach().norm().clamp(min=1e-3))


@pytest.mark.parametrize(("backend", "dtype", "tolerance"), BACKENDS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("points", [4, 26, 133])
def test_matches_the_svd(backend, dtype, tolerance, kind, points) -> None:
    source, target, weights = problem(17, points)
    wanted = reference.procrustes(source, target, weights, kind=kind)
    got = procrustes(*(x.to(dtype) for x in (source, target)), weights=weights.to(dtype), kind=kind, backend=backend)
    for mine, theirs in zip(got[:3], wanted, strict=True):
        assert error(mine, theirs) < tolerance
    assert torch.allclose(torch.linalg.det(got.rotation).double(), torch.ones(17, dtype=torch.float64), atol=1e-5)


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
    got = procrustes(*(x.to(dtype) for x in (source, target)), weights=weights.to(dtype), kind="similarity",
                     backend=backend)  # fmt: skip
    # Stored in float32, a point a thousand units away is itself off by 3e-5.
    slack = 5e-5 if dtype == torch.float32 else 1e-12
    assert error(got.rotation, rotation) < slack
    assert error(got.scale, torch.full((6,), 2.5, dtype=torch.float64)) < slack
    assert error(got.translation, shift.expand(6, 3)) < slack


@pytest.mark.parametrize(("backend", "dtype", "tolerance"), BACKENDS)
def test_mirror_image_needs_reflection(backend, dtype, tolerance) -> None:
    source, _, _ = problem(8, 20)
    target = source * torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)
    proper = procrustes(source.to(dtype), target.to(dtype), backend=backend)
    assert (torch.linalg.det(proper.rotation) > 0.99).all()
    mirrored = procrustes(source.to(dtype), target.to(dtype), reflection=True, backend=backend)
    assert (torch.linalg.det(mirrored.rotation) < -0.99).all()
    assert error(source.to(dtype) @ mirrored.rotation.mT + mirrored.translation[:, None], target) < 1e-5


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
@pytest.mark.parametrize(("backend", "dtype", "tolerance"), BACKENDS[:2])
@pytest.mark.parametrize("kind", KINDS)
def test_degenerate_sets_give_proper_rotations_and_finite_gradients(case, backend, dtype, tolerance, kind) -> None:
    leaves = [x.to(dtype).clone().requires_grad_() for x in degenerate(case)]
    fit = procrustes(leaves[0], leaves[1], weights=leaves[2], kind=kind, backend=backend)
    assert all(x.isfinite().all() for x in fit)
    eye = torch.eye(3, dtype=dtype)
    assert torch.allclose(fit.rotation @ fit.rotation.mT, eye.expand(3, 3, 3), atol=1e-5)
    assert (torch.linalg.det(fit.rotation) > 0.99).all()
    (fit.rotation.sin().sum() + fit.scale.sum() + fit.translation.square().sum()).backward()
    assert all(x.grad.isfinite().all() for x in leaves)
    if case in ("collinear", "single point", "coincident") and kind == "rigid":
        assert (fit.conditioning < 1e-5).all()
    if case == "zero weights":
        assert torch.equal(fit.rotation, eye.expand(3, 3, 3))
        assert (leaves[0].grad == 0).all()


@pytest.mark.parametrize(("backend", "dtype", "tolerance"), BACKENDS)
def test_points_of_zero_weight_may_hold_nan(backend, dtype, tolerance) -> None:
    source, target, weights = problem(4, 15)
    wanted = reference.procrustes(source, target, weights, kind="similarity")
    poisoned = [torch.where(weights[..., None] > 0, x, torch.nan).to(dtype).requires_grad_() for x in (source, target)]
    fit = procrustes(*poisoned, weights=weights.to(dtype), kind="similarity", backend=backend)
    for mine, theirs in zip(fit[:3], wanted, strict=True):
        assert error(mine, theirs) < tolerance
    sum(x.sum() for x in fit[:3]).backward()
    assert all(x.grad.isfinite().all() for x in poisoned)


@needs_native
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weighted", [True, False])
def test_gradients_pass_gradcheck(kind, weighted) -> None:
    source, target, weights = problem(3, 6)
    leaves = [x.requires_grad_() for x in (source, target)] + ([(weights + 0.2).requires_grad_()] if weighted else [])

    def function(source: Tensor, target: Tensor, weights: Tensor | None = None) -> tuple[Tensor, ...]:
        fit = procrustes(source, target, weights=weights, kind=kind, backend="native")
        return (fit.rotation, *(x for x in (fit.scale, fit.translation) if x.requires_grad))

    assert torch.autograd.gradcheck(function, leaves)


@needs_native
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_match_those_through_the_svd(kind) -> None:
    source, target, weights = problem(9, 26)
    gradients = []
    for backend in ("native", "reference"):
        leaves = [x.clone().requires_grad_() for x in (source, target, weights)]
        fit = procrustes(leaves[0], leaves[1], weights=leaves[2], kind=kind, backend=backend)
        generator = torch.Generator().manual_seed(3)
        parts = {"rigid": fit[:3:2], "similarity": fit[:3], "rotation": fit[:1]}[kind]
        upstream = [torch.randn(x.shape, dtype=x.dtype, generator=generator) for x in parts]
        torch.autograd.backward(parts, upstream)
        gradients.append([x.grad for x in leaves])
    kept = weights > 0
    for mine, theirs in zip(*gradients, strict=True):
        assert error(mine[kept], theirs[kept]) < 1e-10


@needs_native
@pytest.mark.parametrize("weighted", [True, False])
def test_opcheck(weighted) -> None:
    source, target, weights = problem(4, 7)
    arguments = (source.requires_grad_(), target.requires_grad_(), weights if weighted else None, "similarity", False)
    torch.library.opcheck(torch.ops.olift.procrustes.default, arguments)


@needs_native
def test_batch_dimensions_strides_and_repeats() -> None:
    source, target, weights = problem(6, 11)
    flat = procrustes(source, target, weights=weights)
    shaped = procrustes(source.view(2, 3, 11, 3), target.view(2, 3, 11, 3), weights=weights.view(2, 3, 11))
    assert torch.equal(shaped.rotation.flatten(0, 1), flat.rotation)
    assert shaped.scale.shape == (2, 3)
    wide = torch.stack([source, target], dim=-1)
    assert torch.equal(procrustes(wide[..., 0], wide[..., 1], weights=weights).rotation, flat.rotation)
    assert procrustes(source[0], target[0], weights=weights[0]).rotation.shape == (3, 3)
    assert torch.equal(procrustes(source, target, weights=weights).rotation, flat.rotation)
    assert procrustes(source[:0], target[:0]).rotation.shape == (0, 3, 3)


def test_half_precision_is_computed_in_float32() -> None:
    source, target, _ = problem(4, 9)
    fit = procrustes(source.bfloat16(), target.bfloat16())
    wanted = procrustes(source.bfloat16().float(), target.bfloat16().float())
    assert fit.rotation.dtype == torch.float32
    assert torch.equal(fit.rotation, wanted.rotation)


@pytest.mark.parametrize("kind", KINDS)
def test_mse_is_the_error_after_alignment_with_its_exact_gradient(kind) -> None:
    source, target, weights = problem(5, 8)
    leaves = [x.clone().requires_grad_() for x in (source, target)]
    value = procrustes_mse(*leaves, weights=weights, kind=kind)
    moved = procrustes_align(source, target, weights=weights, kind=kind)
    by_hand = (weights * (moved - target).square().sum(-1)).sum(-1) / weights.sum(-1)
    assert torch.allclose(value, by_hand)
    value.sum().backward()
    through = [x.clone().requires_grad_() for x in (source, target)]
    reference.procrustes_mse(*through, weights, kind=kind).sum().backward()
    for mine, theirs in zip(leaves, through, strict=True):
        assert error(mine.grad, theirs.grad) < 1e-9


def test_descent_from_a_rank_one_start_converges() -> None:
    torch.manual_seed(0)
    target = torch.randn(4, 12, 3)
    source = torch.zeros(4, 12, 3)
    source[:, :, 0] = torch.linspace(-1, 1, 12)
    source.requires_grad_()
    optimizer = torch.optim.Adam([source], lr=0.02)
    for _ in range(1500):
        optimizer.zero_grad()
        loss = procrustes_mse(source, target).mean()
        loss.backward()
        assert source.grad is not None and source.grad.isfinite().all()
        optimizer.step()
    assert float(loss) < 1e-4


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
