"""`_native.procrustes_forward` against the singular value decomposition in float64."""

from __future__ import annotations

import numpy as np
import pytest
from native_calls import expected_procrustes, procrustes, relative_error
from scipy.spatial.transform import Rotation

TOLERANCE = {np.float32: 1e-5, np.float64: 1e-12}


def rotations(count: int, seed: int = 1) -> np.ndarray:
    return np.atleast_3d(Rotation.random(count, rng=seed).as_matrix()).reshape(count, 3, 3)


def pair(count: int, points: int, noise: float = 0.3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Point sets and the same ones turned, grown, moved and disturbed; float64."""
    random = np.random.default_rng(seed)
    source = random.standard_normal((count, points, 3)) + 2
    target = 1.7 * source @ rotations(count).transpose(0, 2, 1) + random.standard_normal((count, 1, 3))
    return source, target + noise * random.standard_normal(source.shape)


def assert_proper(rotation: np.ndarray, tolerance: float = 1e-5) -> None:
    np.testing.assert_allclose(
        rotation @ rotation.transpose(0, 2, 1), np.broadcast_to(np.eye(3), rotation.shape), atol=tolerance
    )
    np.testing.assert_allclose(np.linalg.det(rotation), 1, atol=tolerance)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["rigid", "similarity", "rotation"])
@pytest.mark.parametrize(("count", "points"), [(1, 3), (37, 26), (5, 17), (3, 1000), (20, 4)])
@pytest.mark.parametrize("weighted", [False, True])
def test_matches_svd(dtype: type, kind: str, count: int, points: int, weighted: bool) -> None:
    source, target = (x.astype(dtype) for x in pair(count, points))
    weights = np.random.default_rng(5).random((count, points)).astype(dtype) + dtype(0.2) if weighted else None
    got, wanted = procrustes(source, target, weights, kind), expected_procrustes(source, target, weights, kind)
    assert wanted["conditioning"].min() > 0.02, "the data are meant to be far from ambiguous"
    for name in got:
        assert relative_error(got[name], wanted[name]) < TOLERANCE[dtype], name
    assert_proper(got["rotation"])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["rigid", "similarity", "rotation"])
def test_mirrored_sets(dtype: type, kind: str) -> None:
    source, target = pair(40, 26, noise=0.1)
    target[::2, :, 0] *= -1
    source, target = source.astype(dtype), target.astype(dtype)
    for reflection in (False, True):
        got = procrustes(source, target, None, kind, reflection)
        wanted = expected_procrustes(source, target, None, kind, reflection)
        clear = wanted["conditioning"] > 0.05
        assert clear.sum() >= 20
        assert relative_error(got["rotation"][clear], wanted["rotation"][clear]) < TOLERANCE[dtype]
        assert relative_error(got["scale"][clear], wanted["scale"][clear]) < TOLERANCE[dtype]
    assert (np.linalg.det(procrustes(source, target, None, kind, True)["rotation"])[::2] < 0).all()
    assert_proper(procrustes(source, target, None, kind, False)["rotation"])


def test_set_a_kilometre_from_the_origin_loses_no_accuracy() -> None:
    """Moving a set on a grid of 1/64 by 1000 is exact in float32, so the answer must not change at all."""
    random = np.random.default_rng(0)
    source = random.integers(-64, 64, (50, 26, 3)) / 64
    target = np.round(source @ rotations(50).transpose(0, 2, 1) * 64) / 64
    near = procrustes(source.astype(np.float32), target.astype(np.float32))
    far = procrustes((source + 1000).astype(np.float32), (target - [1000, -2000, 500]).astype(np.float32))
    exact = expected_procrustes(source, target)
    assert relative_error(near["rotation"], exact["rotation"]) < 1e-6
    assert relative_error(far["rotation"], exact["rotation"]) < 1e-6


def test_first_point_far_from_the_others_loses_no_accuracy() -> None:
    source, target = pair(20, 26, noise=0.05)
    weights = np.ones((20, 26))
    weights[:, 0] = 1e-6
    source[:, 0] += 500
    source, target, weights = (x.astype(np.float32) for x in (source, target, weights))
    got, wanted = procrustes(source, target, weights), expected_procrustes(source, target, weights)
    assert relative_error(got["rotation"], wanted["rotation"]) < 1e-5


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_flat_set(dtype: type) -> None:
    source, target = pair(30, 12, noise=0)
    source[..., 2] = 2
    target = source @ rotations(30).transpose(0, 2, 1)
    source, target = source.astype(dtype), target.astype(dtype)
    for reflection in (False, True):
        got = procrustes(source, target, reflection=reflection)
        assert_proper(got["rotation"])
        assert relative_error(got["rotation"], rotations(30)) < TOLERANCE[dtype]
        assert (got["conditioning"] > 0.05).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ambiguous_sets_give_a_proper_rotation_and_no_conditioning(dtype: type) -> None:
    random = np.random.default_rng(0)
    line = random.standard_normal((8, 1, 3)) * random.standard_normal((8, 15, 1))
    turned = line @ rotations(8).transpose(0, 2, 1)
    cases = {
        "collinear": (line, turned),
        "coincident": (np.repeat(random.standard_normal((8, 1, 3)), 15, 1), turned),
        "both coincident": tuple(np.repeat(random.standard_normal((8, 1, 3)), 15, 1) for _ in range(2)),
        "one point": (random.standard_normal((8, 1, 3)), random.standard_normal((8, 1, 3))),
        "two points": (line[:, :2], turned[:, :2]),
    }
    for name, (source, target) in cases.items():
        for kind in ("rigid", "similarity"):
            got = procrustes(source.astype(dtype), target.astype(dtype), kind=kind)
            assert_proper(got["rotation"])
            assert (got["conditioning"] == 0).all(), (name, kind)
            assert all(np.isfinite(x).all() for x in got.values()), (name, kind)
            centre = (
                np.einsum("nij,nj->ni", got["rotation"], source.mean(1)) * got["scale"][:, None] + got["translation"]
            )
            np.testing.assert_allclose(centre, target.mean(1), atol=1e-5)
    got = procrustes(line.astype(dtype), turned.astype(dtype))
    fitted = np.einsum("nij,npj->npi", got["rotation"], line) + got["translation"][:, None]
    np.testing.assert_allclose(fitted, turned, atol=1e-5, err_msg="a line must still be laid on its image")


@pytest.mark.parametrize("kind", ["rigid", "similarity", "rotation"])
def test_no_weight_at_all_is_the_identity(kind: str) -> None:
    source = np.full((2, 5, 3), np.nan, np.float32)
    got = procrustes(source, source, np.zeros((2, 5), np.float32), kind)
    assert np.array_equal(got["rotation"], np.broadcast_to(np.eye(3), (2, 3, 3)))
    assert (got["scale"] == 1).all() and (got["translation"] == 0).all() and (got["conditioning"] == 0).all()


def test_points_without_weight_are_never_read_into_arithmetic() -> None:
    source, target = (x.astype(np.float32) for x in pair(9, 26))
    weights = np.random.default_rng(1).random((9, 26)).astype(np.float32)
    weights[:, [0, 5, 25]] = 0
    clean = procrustes(source, target, weights)
    source[:, [0, 25]] = np.nan
    target[:, 5] = np.inf
    assert all(np.array_equal(clean[name], x) for name, x in procrustes(source, target, weights).items())


def test_nan_in_a_point_that_counts_stays_with_its_problem() -> None:
    source, target = (x.astype(np.float32) for x in pair(9, 26))
    clean = procrustes(source, target)
    source[4, 7, 1] = np.nan
    got = procrustes(source, target)
    others = np.arange(9) != 4
    assert np.isnan(got["rotation"][4]).all() and np.isnan(got["translation"][4]).all()
    assert all(np.array_equal(x[others], clean[name][others]) for name, x in got.items())


@pytest.mark.parametrize("factor", [1e-12, 1e12])
def test_size_of_the_sets_does_not_matter(factor: float) -> None:
    source, target = pair(20, 26)
    wanted = expected_procrustes(source, target, kind="similarity")
    got = procrustes((source * factor).astype(np.float32), target.astype(np.float32), kind="similarity")
    assert relative_error(got["rotation"], wanted["rotation"]) < 1e-5
    assert relative_error(got["scale"] * factor, wanted["scale"]) < 1e-5


def test_strided_views_and_shared_targets() -> None:
    source, target = (x.astype(np.float32) for x in pair(6, 26))
    weights = np.random.default_rng(1).random((26, 6)).astype(np.float32).T
    wanted = procrustes(source, np.repeat(target[:1], 6, 0), np.ascontiguousarray(weights))
    wide = np.full((26, 6, 5), 9, np.float32).transpose(1, 0, 2)
    wide[..., 1:4] = source
    got = procrustes(wide[..., 1:4], np.broadcast_to(target[:1], source.shape), weights)
    assert all(np.array_equal(got[name], x) for name, x in wanted.items())


@pytest.mark.slow
def test_a_million_points_add_up() -> None:
    source, target = (x.astype(np.float32) for x in pair(1, 1_000_000))
    got, wanted = procrustes(source, target, kind="similarity"), expected_procrustes(source, target, kind="similarity")
    for name in ("rotation", "scale", "translation"):
        assert relative_error(got[name], wanted[name]) < 1e-6, name


def test_same_bits_for_any_number_of_threads_and_every_time() -> None:
    source, target = (x.astype(np.float32) for x in pair(3001, 26))
    first = procrustes(source, target)
    for threads in (1, 2, 3, 16):
        again = procrustes(source, target, threads=threads)
        assert all(np.array_equal(first[name], x) for name, x in again.items())
