"""`_native.banded_attention_forward` against a plain float64 loop over queries."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from native_calls import banded_attention, expected_attention, module, relative_error

# (B, T, J, H, Dh)
SHAPES = [
    (1, 1, 1, 1, 1),
    (2, 1, 5, 2, 32),
    (1, 7, 3, 2, 20),
    (2, 16, 2, 1, 8),
    (1, 17, 1, 3, 13),
    (2, 48, 3, 2, 32),
    (1, 65, 2, 2, 64),
    (1, 130, 1, 1, 72),
    (1, 67, 1, 1, 130),
]
WINDOWS = [(8, 8), (0, 0), (3, 0), (0, 5), (200, 1), (1000, 1000)]


def inputs(shape: tuple[int, ...], window: tuple[int, int], seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    batch, frames, joints, heads, _ = shape
    q, k, v = (random.standard_normal(shape, np.float32) for _ in range(3))
    return {
        "q": q,
        "k": k,
        "v": v,
        "bias": random.standard_normal((heads, sum(window) + 1), np.float32),
        "visible": random.random((batch, frames, joints)) > 0.3,
        "lengths": random.integers(1, frames + 1, batch),
    }


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("shape", SHAPES)
def test_matches_float64(shape: tuple[int, ...], window: tuple[int, int]) -> None:
    data = inputs(shape, window)
    q, k, v = data.pop("q"), data.pop("k"), data.pop("v")
    for options in ({}, data):
        out, lse = banded_attention(q, k, v, window, **options)
        wanted, wanted_lse = expected_attention(q, k, v, window, **options)
        assert relative_error(out, wanted) < 1e-6
        assert np.array_equal(np.isneginf(lse), np.isneginf(wanted_lse))
        np.testing.assert_allclose(lse, wanted_lse, rtol=1e-6, atol=2e-6)


def test_runs_the_instruction_set_that_was_asked_for() -> None:
    wanted = os.environ.get("OLIFT_SIMD")
    assert module().info()["simd"] in ((wanted,) if wanted else ("avx512", "avx2", "baseline"))


def test_what_is_masked_is_never_read_into_arithmetic() -> None:
    window = (4, 6)
    data = inputs((2, 37, 3, 2, 32), window)
    q, k, v, lengths = data["q"], data["k"], data["v"], data["lengths"]
    clean, clean_lse = banded_attention(**data, window=window)
    hidden = ~data["visible"] | (np.arange(37)[None, :, None] >= lengths[:, None, None])
    k[hidden] = np.nan
    v[hidden] = np.inf
    for b in range(2):
        q[b, lengths[b] :] = np.nan
    out, lse = banded_attention(**data, window=window)
    assert np.array_equal(out, clean)
    assert np.array_equal(lse, clean_lse)
    assert np.isfinite(out).all()


@pytest.mark.parametrize("name", ["q", "k", "v"])
def test_visible_nan_reaches_the_queries_that_see_it_and_no_others(name: str) -> None:
    window = (2, 3)
    data = inputs((1, 20, 2, 2, 16), window)
    q, k, v = data["q"], data["k"], data["v"]
    clean, _ = banded_attention(q, k, v, window)
    {"q": q, "k": k, "v": v}[name][0, 9, 1, 0, 3] = np.nan
    out, _ = banded_attention(q, k, v, window)
    seen = np.zeros(out.shape, bool)
    if name == "q":
        seen[0, 9, 1, 0] = True
    else:
        seen[0, 9 - 3 : 9 + 2 + 1, 1, 0, slice(None) if name == "k" else 3] = True
    assert np.isnan(out[seen]).all()
    assert np.array_equal(out[~seen], clean[~seen])


def test_query_without_any_key_gives_zero_and_minus_infinity() -> None:
    data = inputs((1, 12, 2, 2, 8), (1, 1))
    visible = np.ones((1, 12, 2), bool)
    visible[0, 4:8, 0] = False
    out, lse = banded_attention(data["q"], data["k"], data["v"], (1, 1), visible=visible)
    none = np.zeros((1, 12, 2, 2), bool)
    none[0, 5:7, 0] = True
    assert np.array_equal(np.isneginf(lse), none)
    assert (out[none] == 0).all()
    assert (out[~none] != 0).any(axis=-1).all()


def test_strided_views_are_read_and_written_in_place() -> None:
    random = np.random.default_rng(3)
    window = (5, 2)
    qkv = random.standard_normal((2, 19, 4, 3, 2, 24), np.float32)
    q, k, v = (qkv[:, :, :, i] for i in range(3))
    visible = (random.random((4, 2, 19)) > 0.2).transpose(1, 2, 0)
    shared = np.broadcast_to(random.standard_normal((1, 19, 4, 2, 24), np.float32), q.shape)
    holder = np.full((2, 2, 4, 19, 40), 7, np.float32)
    out = holder.transpose(0, 3, 2, 1, 4)[..., :24]
    banded_attention(q, shared, v, window, visible=visible, out=out)
    assert relative_error(out, expected_attention(q, shared, v, window, visible=visible)[0]) < 1e-6
    assert (holder[..., 24:] == 7).all()
    assert relative_error(*(f(q, k, v, window)[0] for f in (banded_attention, expected_attention))) < 1e-6


def test_scores_far_apart_stay_finite() -> None:
    data = inputs((1, 30, 1, 1, 16), (8, 8))
    q, k, v = data["q"] * 200, data["k"] * 200, data["v"]
    out, lse = banded_attention(q, k, v, (8, 8), scale=1.0)
    wanted, wanted_lse = expected_attention(q, k, v, (8, 8), scale=1.0)
    assert np.isfinite(out).all()
    np.testing.assert_allclose(lse, wanted_lse, rtol=1e-6)
    assert relative_error(out, wanted) < 1e-3  # scores near 1e5 have steps of 0.01


@pytest.mark.parametrize("shape", [(1, 500, 2, 2, 32), (3, 33, 7, 2, 16)])
def test_same_bits_for_any_number_of_threads_and_every_time(shape: tuple[int, ...]) -> None:
    data = inputs(shape, (8, 8))
    first = banded_attention(**data, window=(8, 8))
    for threads in (1, 2, 3, 16):
        again = banded_attention(**data, window=(8, 8), threads=threads)
        assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(first, again, strict=True))


def zeros(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.zeros(shape, dtype=dtype)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"q": zeros(1, 0, 2, 1, 8)}, ValueError, "must be > 0, got 0"),
        ({"left": -1}, ValueError, r"must be >= 0, got \(-1, 0\)"),
        ({"q": None}, TypeError, "must be torch.Tensor or numpy.ndarray, got NoneType"),
        ({"k": 0}, TypeError, "must be torch.Tensor or numpy.ndarray, got int"),
        ({"q": zeros(1, 3, 2, 1, 8, dtype=torch.float64)}, ValueError, "q must be float32 or bfloat16, got float64"),
        ({"k": zeros(1, 3, 2, 1, 8, dtype=torch.bfloat16)}, ValueError, "k must be float32, got bfloat16"),
        ({"v": zeros(1, 4, 2, 1, 8)}, ValueError, r"v must have shape \(1, 3, 2, 1, 8\), got \(1, 4, 2, 1, 8\)"),
        ({"out": zeros(1, 3, 2, 1, 16)[..., ::2]}, ValueError, "out must have a last stride of 1"),
        ({"visible": zeros(1, 3, 2)}, ValueError, "visible must be bool, got float32"),
        ({"bias": zeros(1, 2)}, ValueError, r"bias must have shape \(1, 1\), got \(1, 2\)"),
        ({"lse": zeros(1, 2, 3, 1).transpose(1, 2)}, ValueError, "lse must be contiguous"),
        ({"lengths": zeros(2, dtype=torch.int64)}, ValueError, r"lengths must have shape \(1\), got \(2\)"),
        ({"k": zeros(1, 3, 2, 1, 8).to("meta")}, RuntimeError, "meta"),
        ({"visible": zeros(1, 0, 2, dtype=torch.bool)}, ValueError, "visible must not be empty: None leaves it out"),
        ({"threads": 0}, ValueError, "threads must be > 0, got 0"),
    ],
)
def test_impossible_arguments_are_refused(change: dict[str, object], error: type, message: str) -> None:
    arguments: dict[str, object] = {name: zeros(1, 3, 2, 1, 8) for name in ("q", "k", "v", "out")}
    arguments |= dict.fromkeys(("lse", "bias", "visible", "lengths")) | {"left": 0, "right": 0, "scale": 1.0}
    with pytest.raises(error, match=message):
        module().banded_attention_forward(**(arguments | {"threads": 1} | change))
