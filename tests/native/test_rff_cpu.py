"""The native Fourier features and their layer against the formulas in float64 NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from native_calls import Array, relative_error, tensors, torch_threads

from olift_fast.ops.rff.native import _linear_backward as linear_backward
from olift_fast.ops.rff.native import linear_into

# N, C, F, D: around the sizes of a block, a vector, a tile and a run
SHAPES = [
    (1, 1, 1, 1),
    (5, 2, 3, 7),
    (24, 2, 8, 16),
    (49, 3, 9, 17),
    (97, 2, 64, 128),
    (1100, 2, 20, 13),
    (60, 17, 31, 6),
]
TOLERANCE = 2e-6


def inputs(points: int, channels: int, frequencies: int, width: int) -> dict[str, Array]:
    random = np.random.default_rng(points)

    def normal(*shape: int) -> Array:
        return random.standard_normal(shape, np.float32)

    return {
        "x": normal(points, channels),
        "freqs": normal(channels, frequencies),
        "weight": normal(width, 2 * frequencies),
        "bias": normal(width),
        "token": normal(width),
        "visible": random.random(points) > 0.3,
        "grad_out": normal(points, width),
    }


def forward(
    x: Array,
    freqs: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    token: Array | None = None,
    visible: Array | None = None,
    threads: int = 1,
) -> Array:
    width = 2 * freqs.shape[1] if weight is None else weight.shape[0]
    out = np.full((len(x), width), np.nan, np.float32)
    with torch_threads(threads):
        linear_into(*tensors(x, freqs, weight, bias, visible, token, out))
    return out


def backward(
    grad_out: Array,
    x: Array,
    freqs: Array,
    weight: Array | None = None,
    visible: Array | None = None,
    threads: int = 1,
    wanted: tuple[str, ...] = ("x", "freqs", "weight", "bias", "token"),
) -> dict[str, Array]:
    shapes: dict[str, tuple[int, ...]] = {"x": x.shape, "freqs": freqs.shape}
    if weight is not None:
        shapes |= {"weight": weight.shape, "bias": weight.shape[:1], "token": weight.shape[:1]}
    grads = {name: np.full(shape, np.nan, np.float32) for name, shape in shapes.items() if name in wanted}
    outputs = (grads.get(name) for name in ("x", "freqs", "weight", "bias", "token"))
    with torch_threads(threads):
        linear_backward(*tensors(grad_out, x, freqs, weight, visible, *outputs))
    return grads


def expected(
    grad_out: Array,
    x: Array,
    freqs: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    token: Array | None = None,
    visible: Array | None = None,
) -> tuple[Array, dict[str, Array]]:
    """Output and gradients; without a weight those of the features."""
    seen = np.ones(len(x), bool) if visible is None else visible
    x, freqs, upstream = (a.astype(np.float64) for a in (x, freqs, grad_out))
    phase = 2 * np.pi * x[seen] @ freqs
    cosine, sine = np.cos(phase), np.sin(phase)
    features = np.concatenate([cosine, sine], axis=1)
    out = np.zeros(grad_out.shape)
    slopes = upstream[seen]
    grads = {}
    if weight is None:
        out[seen] = features
    else:
        out[:] = 0 if token is None else token
        out[seen] = features @ weight.T.astype(np.float64) + (0 if bias is None else bias)
        grads["weight"] = slopes.T @ features
        grads["bias"], grads["token"] = slopes.sum(axis=0), upstream[~seen].sum(axis=0)
        slopes = slopes @ weight
    by_cosine, by_sine = np.split(slopes, 2, axis=1)
    turns = 2 * np.pi * (cosine * by_sine - sine * by_cosine)
    grads["x"], grads["freqs"] = np.zeros(x.shape), x[seen].T @ turns
    grads["x"][seen] = turns @ freqs.T
    return out, grads


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("masked", [False, True])
def test_matches_float64(shape: tuple[int, int, int, int], masked: bool) -> None:
    data = inputs(*shape)
    mask = {"visible": data.pop("visible")} if masked else {}
    if not masked:
        del data["visible"]
    grad_out, x, freqs = data.pop("grad_out"), data["x"], data["freqs"]
    wanted, wanted_grads = expected(grad_out, **data, **mask)
    assert relative_error(forward(**data, **mask), wanted) < TOLERANCE
    grads = backward(grad_out, x, freqs, data["weight"], **mask)
    assert {name for name, grad in wanted_grads.items() if relative_error(grads[name], grad) > TOLERANCE} == set()

    grad_out = np.random.default_rng(1).standard_normal((shape[0], 2 * shape[2]), np.float32)
    wanted, wanted_grads = expected(grad_out, x, freqs, **mask)
    assert relative_error(forward(x, freqs, **mask), wanted) < TOLERANCE
    grads = backward(grad_out, x, freqs, **mask)
    assert {name for name, grad in wanted_grads.items() if relative_error(grads[name], grad) > TOLERANCE} == set()


@pytest.mark.parametrize("turns", [0.0, 1.0, 1e4, 1e7])
def test_a_phase_s_whole_turns_cost_no_accuracy(turns: float) -> None:
    """Half a unit in the last place of float32, 6e-8, is all that a feature loses at any phase."""
    random = np.random.default_rng(2)
    x = (turns + random.random((300, 2))).astype(np.float32)
    freqs = random.uniform(-1, 1, (2, 33)).astype(np.float32)
    exact = x.astype(np.longdouble) @ freqs.astype(np.longdouble)
    phase = (2 * np.pi * (exact - np.round(exact))).astype(np.float64)
    wanted = np.concatenate([np.cos(phase), np.sin(phase)], axis=1)
    assert np.abs(forward(x, freqs) - wanted).max() < 3e-7


def test_cosine_and_sine_over_a_fine_grid_of_a_turn() -> None:
    x = np.linspace(-1, 1, 200_001, dtype=np.float32)[:, None]
    got = forward(x, np.ones((1, 1), np.float32))
    phase = 2 * np.pi * x.astype(np.float64)
    assert np.abs(got - np.concatenate([np.cos(phase), np.sin(phase)], axis=1)).max() < 2e-7
    small = np.float32(2.0) ** np.arange(-120, -8, dtype=np.float32)[:, None]
    sine = forward(small, np.ones((1, 1), np.float32))[:, 1:]
    np.testing.assert_allclose(sine, np.sin(2 * np.pi * small.astype(np.float64)), rtol=3e-7)


def test_a_phase_without_end_is_a_number_and_infinity_is_none() -> None:
    x = np.array([[1e30, 1.0], [-3e38, 3e38], [np.inf, 0.0], [np.nan, 1.0]], np.float32)
    features = forward(x, np.array([[0.5, 1e8], [1.0, 3.0]], np.float32))
    assert (np.abs(features[:2]) <= 1).all()
    assert np.isnan(features[2:]).all()


def test_what_is_hidden_is_never_read() -> None:
    data = inputs(150, 2, 9, 14)
    grad_out = data.pop("grad_out")
    hidden = ~data["visible"]
    clean = forward(**data)
    weight, visible = data["weight"], data["visible"]
    clean_grads = backward(grad_out, data["x"], data["freqs"], weight, visible)
    data["x"][hidden] = np.nan
    assert np.array_equal(forward(**data), clean)
    grads = backward(grad_out, data["x"], data["freqs"], weight, visible)
    assert all(np.array_equal(grads[name], grad) for name, grad in clean_grads.items())
    assert (grads["x"][hidden] == 0).all()
    grad_out[hidden] = np.nan
    grads = backward(grad_out, data["x"], data["freqs"], weight, visible)
    assert all(np.array_equal(grads[name], grad) for name, grad in clean_grads.items() if name != "token")
    assert np.isnan(grads["token"]).all()


def test_rows_of_the_gradient_may_lie_apart() -> None:
    data = inputs(70, 2, 9, 14)
    grad_out = np.random.default_rng(3).standard_normal((70, 40), np.float32)[:, 5:19]
    given = (data["x"], data["freqs"], data["weight"], data["visible"])
    grads, wanted = backward(grad_out, *given), backward(np.ascontiguousarray(grad_out), *given)
    assert all(np.array_equal(grads[name], grad) for name, grad in wanted.items())


@pytest.mark.parametrize("wanted", [("x",), ("freqs",), ("weight",), ("bias",), ("token",), ("weight", "bias")])
def test_a_gradient_alone_is_the_same(wanted: tuple[str, ...]) -> None:
    data = inputs(600, 2, 9, 14)
    given = (data["grad_out"], data["x"], data["freqs"], data["weight"], data["visible"])
    every, some = backward(*given), backward(*given, wanted=wanted)
    assert set(some) == set(wanted)
    assert all(np.array_equal(grad, every[name]) for name, grad in some.items())


@pytest.mark.parametrize("shape", [(3000, 2, 16, 24), (40, 2, 5, 7)])
def test_same_bits_for_any_number_of_threads(shape: tuple[int, int, int, int]) -> None:
    data = inputs(*shape)
    grad_out = data.pop("grad_out")
    given = (grad_out, data["x"], data["freqs"], data["weight"], data["visible"])
    first, first_grads = forward(**data), backward(*given)
    for threads in (1, 2, 5):
        assert np.array_equal(forward(**data, threads=threads), first)
        again = backward(*given, threads=threads)
        assert all(np.array_equal(first_grads[name], grad) for name, grad in again.items())


def test_sizes_and_missing_arguments_are_named() -> None:
    data = inputs(4, 2, 3, 5)
    with pytest.raises(ValueError, match="every size of shape must be > 0, got 0"):
        forward(data["x"][:0], data["freqs"])
    with pytest.raises(ValueError, match=r"freqs must have shape \(2, 3\), got \(3, 3\)"):
        forward(data["x"], np.zeros((3, 3), np.float32))
    with pytest.raises(ValueError, match="x must be float32, got float64"):
        forward(data["x"].astype(np.float64), data["freqs"])
    with pytest.raises(ValueError, match="weight must be contiguous"):
        forward(data["x"], data["freqs"], np.asfortranarray(data["weight"]))
    with pytest.raises(ValueError, match="need a weight"):
        grad_out, x, freqs, bias = tensors(*(data[name] for name in ("grad_out", "x", "freqs", "bias")))
        linear_backward(grad_out[:, :1].repeat(1, 6), x, freqs, None, None, None, None, None, bias, None)
