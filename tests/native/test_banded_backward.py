"""`_native.banded_attention_backward` against the textbook gradients in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from native_calls import (
    banded_attention,
    banded_attention_gradients,
    expected_attention_gradients,
    module,
    relative_error,
)
from test_banded_forward import SHAPES, WINDOWS, inputs
from torch._subclasses.fake_tensor import FakeTensorMode

TOLERANCE = 2e-6


def upstream(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(11).standard_normal(shape, np.float32)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("shape", SHAPES)
def test_matches_float64(shape: tuple[int, ...], window: tuple[int, int]) -> None:
    data = inputs(shape, window)
    q, k, v = data.pop("q"), data.pop("k"), data.pop("v")
    for options in ({}, data):
        got = banded_attention_gradients(upstream(shape), q, k, v, window, **options)
        wanted = expected_attention_gradients(upstream(shape), q, k, v, window, **options)
        assert set(got) == set(wanted)
        for name, gradient in wanted.items():
            assert relative_error(got[name], gradient) < TOLERANCE, name


def test_gradient_is_the_slope_of_the_forward() -> None:
    """A finite difference of the kernel's own forward, in the direction of a random change."""
    window = (3, 5)
    data = inputs((2, 21, 2, 2, 16), window)
    grad_out = upstream((2, 21, 2, 2, 16))
    got = banded_attention_gradients(grad_out, **data, window=window)
    random = np.random.default_rng(2)
    for name, gradient in got.items():
        change = random.standard_normal(gradient.shape).astype(np.float32)
        moved = [
            banded_attention(**(data | {name: data[name] + step * change}), window=window)[0] for step in (0.01, -0.01)
        ]
        slope = float(((moved[0].astype(np.float64) - moved[1]) * grad_out).sum() / 0.02)
        predicted = float((gradient.astype(np.float64) * change).sum())
        assert abs(slope - predicted) < 0.005 * float(np.linalg.norm(gradient)), name


def test_what_is_masked_is_never_read_and_gets_zero() -> None:
    window = (4, 6)
    shape = (2, 71, 3, 2, 32)
    data = inputs(shape, window)
    grad_out, lengths = upstream(shape), data["lengths"]
    clean = banded_attention_gradients(grad_out, **data, window=window)
    beyond = np.broadcast_to(np.arange(71)[None, :, None] >= lengths[:, None, None], shape[:3])
    hidden = ~data["visible"] | beyond
    data["k"][hidden] = np.nan
    data["v"][hidden] = np.inf
    data["q"][beyond] = np.nan
    grad_out[beyond] = np.nan
    got = banded_attention_gradients(grad_out, **data, window=window)
    assert all(np.array_equal(got[name], gradient) for name, gradient in clean.items())
    assert (got["k"][hidden] == 0).all() and (got["v"][hidden] == 0).all() and (got["q"][beyond] == 0).all()


def test_query_without_any_key_has_no_gradient() -> None:
    shape = (1, 12, 2, 2, 8)
    data = inputs(shape, (1, 1))
    visible = np.ones(shape[:3], bool)
    visible[0, 4:8, 0] = False
    got = banded_attention_gradients(upstream(shape), data["q"], data["k"], data["v"], (1, 1), visible=visible)
    assert (got["q"][0, 5:7, 0] == 0).all()
    assert all(np.isfinite(gradient).all() for gradient in got.values())


def test_nan_upstream_reaches_the_band_and_no_further() -> None:
    shape = (1, 80, 1, 1, 16)
    data = inputs(shape, (2, 3))
    q, k, v, grad_out = data["q"], data["k"], data["v"], upstream(shape)
    clean = banded_attention_gradients(grad_out, q, k, v, (2, 3))
    grad_out[0, 63] = np.nan
    got = banded_attention_gradients(grad_out, q, k, v, (2, 3))
    frames = np.arange(80)
    assert np.array_equal(np.isnan(got["q"]).any(axis=(0, 2, 3, 4)), frames == 63)
    for name in "kv":
        assert np.array_equal(np.isnan(got[name]).any(axis=(0, 2, 3, 4)), (frames >= 61) & (frames <= 66))
    untouched = (frames < 61) | (frames > 66)
    assert all(np.array_equal(got[name][:, untouched], gradient[:, untouched]) for name, gradient in clean.items())


def test_views_of_one_projection_are_read_and_their_gradients_written_in_place() -> None:
    random = np.random.default_rng(3)
    window = (5, 2)
    qkv = random.standard_normal((2, 70, 3, 3, 2, 24), np.float32)
    q, k, v = (qkv[:, :, :, i] for i in range(3))
    grad_out = np.broadcast_to(random.standard_normal((1, 1, 3, 2, 24), np.float32), q.shape)
    visible = (random.random((3, 2, 70)) > 0.2).transpose(1, 2, 0)
    holder = np.full((2, 70, 3, 3, 2, 30), 7, np.float32)
    got = banded_attention_gradients(grad_out, q, k, v, window, visible=visible, grads=holder[..., 2:26])
    wanted = expected_attention_gradients(grad_out, q, k, v, window, visible=visible)
    assert all(relative_error(got[name], gradient) < TOLERANCE for name, gradient in wanted.items())
    assert (holder[..., :2] == 7).all() and (holder[..., 26:] == 7).all()


@pytest.mark.parametrize("shape", [(1, 500, 2, 2, 32), (3, 33, 30, 2, 16)])
def test_same_bits_for_any_number_of_threads_and_every_time(shape: tuple[int, ...]) -> None:
    data = inputs(shape, (8, 8))
    first = banded_attention_gradients(upstream(shape), **data, window=(8, 8))
    for threads in (1, 2, 3, 16):
        again = banded_attention_gradients(upstream(shape), **data, window=(8, 8), threads=threads)
        assert all(np.array_equal(first[name], gradient) for name, gradient in again.items())


def test_log_sum_exp_left_out_is_refused() -> None:
    q = torch.zeros(2, 7, 3, 2, 8)
    rest = (1, 1, None, None, None, 1.0, q.clone(), q.clone(), q.clone(), None, 1)
    with pytest.raises(ValueError, match=r"lse must have shape \(2, 7, 3, 2\), got \(0\)"):
        module().banded_attention_backward(q, q, q, q, torch.zeros(0), *rest)


def test_tensor_without_memory_is_refused() -> None:
    with FakeTensorMode():
        fake = torch.zeros(2, 7, 3, 2, 8)
    q = torch.zeros(2, 7, 3, 2, 8)
    with pytest.raises(ValueError, match="must have memory"):
        module().banded_attention_forward(fake, q, q, 1, 1, None, None, None, 1.0, q.clone(), None, 1)
