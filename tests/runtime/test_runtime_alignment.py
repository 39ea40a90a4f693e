"""The rotations and scales of the runtime against those of the reference, in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import needs_native

from olift_fast import reference
from olift_fast.runtime.alignment import orthographic_fit, similar
from olift_fast.runtime.asked_backend import Backend, use_backend


def points(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((*shape, 3))


@pytest.mark.parametrize(("backend", "steps"), [("eager", 64), pytest.param("auto", 2000, marks=needs_native)])
@pytest.mark.parametrize("places", [4, 5, 26])
def test_orthographic_fit_equals_the_references(backend: Backend, steps: int, places: int) -> None:
    """The native module's arrives, where the reference may need many more than its 64 steps."""
    source, target = points(7, places), points(7, places, seed=1)[..., :2]
    pair = torch.from_numpy(source), torch.from_numpy(target)
    wanted = reference.orthographic_procrustes(*pair, iterations=steps)
    source, target = (x - x.mean(axis=1, keepdims=True) for x in (source, target))
    with use_backend(backend):
        rotation, scale = orthographic_fit(source.swapaxes(1, 2) @ source, source.swapaxes(1, 2) @ target)
    np.testing.assert_allclose(rotation, wanted[0].numpy(), atol=1e-9)
    np.testing.assert_allclose(scale, wanted[1].numpy(), atol=1e-9)
    np.testing.assert_allclose(np.linalg.det(rotation), 1, atol=1e-12)


def test_orthographic_fit_finds_the_rotation_that_was_put_in() -> None:
    source = points(3, 12)
    source -= source.mean(axis=1, keepdims=True)
    turn, _ = np.linalg.qr(points(3, 3, seed=2))
    turn[np.linalg.det(turn) < 0] *= -1
    target = 2.5 * (source @ turn.swapaxes(1, 2))[..., :2]
    rotation, scale = orthographic_fit(source.swapaxes(1, 2) @ source, source.swapaxes(1, 2) @ target)
    np.testing.assert_allclose(rotation, turn, atol=1e-9)
    np.testing.assert_allclose(scale, 2.5, atol=1e-9)


def test_orthographic_fit_of_many_is_that_of_each() -> None:
    source, target = points(9, 8), points(9, 8, seed=1)[..., :2]
    spread, cross = source.swapaxes(1, 2) @ source, source.swapaxes(1, 2) @ target
    together = orthographic_fit(spread, cross)
    for index in range(9):
        alone = orthographic_fit(spread[[index]], cross[[index]])
        assert all(np.array_equal(many[index], one[0]) for many, one in zip(together, alone, strict=True))


def test_nothing_to_fit_gives_a_rotation_and_the_scale_zero() -> None:
    rotation, scale = orthographic_fit(np.zeros((1, 3, 3)), np.zeros((1, 3, 2)))
    np.testing.assert_allclose(rotation @ rotation.swapaxes(1, 2), np.eye(3)[None], atol=1e-12)
    assert scale == 0


@pytest.mark.parametrize("flat", [False, True])
def test_similar_equals_the_references(flat: bool) -> None:
    source, target = points(30), points(30, seed=1)
    if flat:
        source[:, 2] = 0
    pair = torch.from_numpy(source), torch.from_numpy(target)
    wanted = reference.procrustes_align(*pair, kind="similarity")
    np.testing.assert_allclose(similar(source, target), wanted.numpy(), atol=1e-10)


def test_similar_of_one_place_is_the_middle_of_the_target() -> None:
    target = points(5)
    np.testing.assert_allclose(similar(np.ones((5, 3)), target), np.tile(target.mean(axis=0), (5, 1)))
