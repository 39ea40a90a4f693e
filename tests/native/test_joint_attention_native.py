"""The native `joint_attention` on NumPy arrays: what the kernels promise beyond the contract of the operation."""

from __future__ import annotations

import numpy as np
import pytest
from native_calls import Array, relative_error, tensors, torch_threads

from olift_fast.ops.joint_attention.native import _backward as joint_backward
from olift_fast.ops.joint_attention.native import attend_into

SHAPES = [(1, 1, 1, 1, 1), (2, 3, 5, 2, 20), (1, 4, 6, 3, 7), (2, 2, 26, 2, 32), (1, 2, 67, 1, 33), (1, 1, 133, 2, 64)]
TOLERANCE = 2e-6


def inputs(shape: tuple[int, ...]) -> dict[str, Array]:
    random = np.random.default_rng(5)
    batch, frames, joints, heads, _ = shape
    arrays = {name: random.standard_normal(shape, np.float32) for name in ("q", "k", "v", "grad_out")}
    graph = random.random((batch, heads, joints, joints)) > 0.4
    return arrays | {"graph": graph, "visible": random.random((batch, frames, joints)) > 0.2}


def forward(data: dict[str, Array], threads: int = 1) -> tuple[Array, Array]:
    q = data["q"]
    out, lse = np.full(q.shape, np.nan, np.float32), np.full(q.shape[:4], np.nan, np.float32)
    with torch_threads(threads):
        attend_into(*tensors(q, data["k"], data["v"], data.get("graph"), data.get("visible"), out, lse))
    return out, lse


def backward(data: dict[str, Array], lse: Array, holder: Array, threads: int = 1) -> dict[str, Array]:
    """Gradients as views of ``holder (B, T, J, 3, H, Dh)``."""
    grads = {name: holder[:, :, :, i] for i, name in enumerate("qkv")}
    given = (data["grad_out"], data["q"], data["k"], data["v"], None, lse, data.get("graph"), data.get("visible"))
    with torch_threads(threads):
        joint_backward(*tensors(*given, *grads.values()))
    return grads


def empty_gradients(shape: tuple[int, ...]) -> Array:
    return np.full((*shape[:3], 3, *shape[3:]), np.nan, np.float32)


def expected(data: dict[str, Array]) -> dict[str, Array]:
    """Output, log-sum-exp and gradients, query by query over the keys that it has, in float64."""
    batch, frames, joints, heads, width = data["q"].shape
    results = {name: np.zeros(data["q"].shape) for name in ("out", "q", "k", "v")}
    results["lse"] = np.full(data["q"].shape[:4], -np.inf)
    for b, t, i, h in np.ndindex(batch, frames, joints, heads):
        seen = np.ones(joints, bool)
        if "graph" in data:
            seen &= data["graph"][b, h, i]
        if "visible" in data:
            seen &= data["visible"][b, t]
        if not seen.any():
            continue
        query, upstream = (data[name][b, t, i, h].astype(np.float64) for name in ("q", "grad_out"))
        keys, values = (data[name][b, t, seen, h].astype(np.float64) for name in ("k", "v"))
        scores = keys @ query * width**-0.5
        weights = np.exp(scores - scores.max())
        results["lse"][b, t, i, h] = (scores.max() + np.log(weights.sum())) / np.log(2)
        weights /= weights.sum()
        results["out"][b, t, i, h] = weights @ values
        dp = values @ upstream
        ds = weights * (dp - weights @ dp) * width**-0.5
        results["q"][b, t, i, h] = ds @ keys
        results["k"][b, t, seen, h] += np.outer(ds, query)
        results["v"][b, t, seen, h] += np.outer(weights, upstream)
    return results


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_matches_float64(shape: tuple[int, ...], masked: bool) -> None:
    data = inputs(shape)
    if not masked:
        del data["graph"], data["visible"]
    wanted = expected(data)
    out, lse = forward(data)
    assert relative_error(out, wanted["out"]) < TOLERANCE
    assert np.array_equal(np.isinf(lse), np.isinf(wanted["lse"]))
    assert relative_error(lse[np.isfinite(lse)], wanted["lse"][np.isfinite(lse)]) < TOLERANCE
    for name, gradient in backward(data, lse, empty_gradients(shape)).items():
        assert relative_error(gradient, wanted[name]) < TOLERANCE, name


def test_only_the_gradients_own_places_are_written() -> None:
    data = inputs((2, 3, 9, 2, 12))
    _, lse = forward(data)
    holder = np.full((2, 3, 9, 3, 2, 20), 7, np.float32)
    got = backward(data, lse, holder[..., 3:15])
    wanted = backward(data, lse, empty_gradients((2, 3, 9, 2, 12)))
    assert all(np.array_equal(got[name], gradient) for name, gradient in wanted.items())
    assert (holder[..., :3] == 7).all() and (holder[..., 15:] == 7).all()


def test_large_scores_neither_overflow_nor_vanish() -> None:
    data = inputs((1, 2, 11, 1, 16))
    data["q"] *= 300
    out, lse = forward(data)
    wanted = expected(data)
    assert relative_error(out, wanted["out"]) < 1e-4  # a score of 1e3 is known to 1e-4
    assert np.isfinite(backward(data, lse, empty_gradients(data["q"].shape))["q"]).all()


@pytest.mark.parametrize("shape", [(5, 1, 26, 2, 32), (1, 40, 7, 3, 16), (1, 1, 133, 5, 24)])
def test_same_bits_for_any_number_of_threads_and_every_time(shape: tuple[int, ...]) -> None:
    data = inputs(shape)
    first, lse = forward(data)
    gradients = backward(data, lse, empty_gradients(shape))
    for threads in (1, 2, 3, 16):
        assert np.array_equal(forward(data, threads)[0], first)
        again = backward(data, lse, empty_gradients(shape), threads)
        assert all(np.array_equal(again[name], gradient) for name, gradient in gradients.items())


def test_wrong_sizes_are_named() -> None:
    with pytest.raises(ValueError, match=r"every size of shape must be > 0, got 0"):
        forward({name: np.zeros((1, 0, 3, 2, 4), np.float32) for name in "qkv"})
