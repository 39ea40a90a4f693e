"""Norm, linear layers and GELU with their gradients, natively, against NumPy in float64."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from native_calls import module, relative_error, torch_threads
from scipy.special import erf

from olift_fast.ops.layers.native import _backward as layers_backward
from olift_fast.ops.layers.native import _forward as layers_forward

Array = npt.NDArray[Any]
KINDS = ["norm, layer", "layer, added", "norm, two layers, x added", "norm, two layers"]
PARAMETERS = ("norm_weight", "norm_bias", "weight", "bias", "second_weight", "second_bias")
EPSILON = 1e-5


@dataclass
class Layers:
    """Random parameters of one of `KINDS`, and what goes in."""

    kind: str
    rows: int
    width: int
    inner: int
    arrays: dict[str, Array] = field(init=False)

    def __post_init__(self) -> None:
        random = np.random.default_rng(self.rows * self.width)
        two = "two" in self.kind
        self.outer = self.width if "x added" in self.kind else 5 if two else self.inner
        shapes: dict[str, tuple[int, ...]] = {"x": (self.rows, self.width)}
        if "norm" in self.kind:
            shapes |= {"norm_weight": (self.width,), "norm_bias": (self.width,)}
        shapes |= {"weight": (self.inner, self.width), "bias": (self.inner,)}
        if two:
            shapes |= {"second_weight": (self.outer, self.inner), "second_bias": (self.outer,)}
        if self.kind == "layer, added":
            shapes["added"] = (self.rows, self.inner)
        self.arrays = {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
        self.grad = random.normal(size=(self.rows, self.outer)).astype(np.float32)

    def exact(self) -> tuple[Array, dict[str, Array]]:
        """The output, and the gradients of all that `arrays` holds."""
        a = {name: array.astype(np.float64) for name, array in self.arrays.items()}
        g, grads = self.grad.astype(np.float64), {}
        normed = x = a["x"]
        if "norm_weight" in a:
            std = np.sqrt(x.var(-1, keepdims=True) + EPSILON)
            standard = (x - x.mean(-1, keepdims=True)) / std
            normed = standard * a["norm_weight"] + a["norm_bias"]
        out = h = normed @ a["weight"].T + a["bias"]
        dh = g
        if "second_weight" in a:
            below = 0.5 * (1 + erf(h / np.sqrt(2)))
            out = (h * below) @ a["second_weight"].T + a["second_bias"]
            grads |= {"second_weight": g.T @ (h * below), "second_bias": g.sum(0)}
            dh = g @ a["second_weight"] * (below + h * np.exp(-0.5 * h * h) / np.sqrt(2 * np.pi))
        grads |= {"weight": dh.T @ normed, "bias": dh.sum(0)}
        dx = dh @ a["weight"]
        if "norm_weight" in a:
            grads |= {"norm_weight": (dx * standard).sum(0), "norm_bias": dx.sum(0)}
            s = dx * a["norm_weight"]
            dx = (s - s.mean(-1, keepdims=True) - standard * (s * standard).mean(-1, keepdims=True)) / std
        if "x added" in self.kind:
            out, dx = out + x, dx + g
        return out + a.get("added", 0), grads | {"x": dx}

    def run(
        self, bfloat16: bool = False, threads: int = 2, wanted: set[str] | None = None
    ) -> tuple[Array, dict[str, Array]]:
        """The native output and the wanted gradients, all by default."""
        a = {name: torch.from_numpy(array) for name, array in self.arrays.items()}
        norm, two = "norm" in self.kind, "two" in self.kind
        products = torch.bfloat16 if bfloat16 else torch.float32
        a["x"] = a["x"] if norm else a["x"].to(products)
        grad = torch.from_numpy(self.grad).to(torch.float32 if two or not norm else products)
        hidden = room((self.rows if two else 0, self.inner), products)
        out = room(self.grad.shape, grad.dtype)
        residual = "x added" in self.kind
        parameters = [a.get(name) for name in PARAMETERS]
        names = [name for name in a if name != "added" and (wanted is None or name in wanted)]
        grads = {name: room(a[name].shape, a[name].dtype) for name in names}
        gradients = [grads.get(name) for name in ("x", *PARAMETERS)]
        with torch_threads(threads):
            layers_forward(a["x"], a["x"] if residual else a.get("added"), *parameters, EPSILON, hidden, out)
            layers_backward(grad, a["x"], hidden, parameters, EPSILON, residual, gradients)
        return out.float().numpy(), {name: gradient.float().numpy() for name, gradient in grads.items()}


def room(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """Memory that holds NaN until it is written to."""
    return torch.full(shape, torch.nan, dtype=dtype)


@pytest.fixture(params=[False, True], ids=["float32", "bfloat16"])
def bfloat16(request: pytest.FixtureRequest) -> bool:
    if request.param and not module().info()["bfloat16"]:
        pytest.skip("no AVX512-BF16")
    return bool(request.param)


@pytest.mark.parametrize("rows", [1, 2, 23, 48, 97, 513, 1100])
@pytest.mark.parametrize(("width", "inner"), [(3, 1), (20, 33), (33, 20), (64, 129)])
@pytest.mark.parametrize("kind", KINDS)
def test_matches_float64(kind: str, width: int, inner: int, rows: int, bfloat16: bool) -> None:
    layers = Layers(kind, rows, width, inner)
    wanted, wanted_grads = layers.exact()
    got, grads = layers.run(bfloat16)
    assert relative_error(got, wanted) < (1.2e-2 if bfloat16 else 3e-6)
    for name, gradient in grads.items():
        # A single number's error is not averaged away.
        tolerance = (6e-2 if inner == 1 or rows < 3 else 2e-2) if bfloat16 else 1e-5
        off = np.linalg.norm(gradient - wanted_grads[name])
        assert off < tolerance * max(float(np.linalg.norm(wanted_grads[name])), 0.3), name


@pytest.mark.parametrize("kind", KINDS)
def test_threads_change_no_bit(kind: str, bfloat16: bool) -> None:
    layers = Layers(kind, 1500, 36, 70)
    first, first_grads = layers.run(bfloat16, threads=1)
    for threads in (2, 3, 8):
        got, grads = layers.run(bfloat16, threads=threads)
        assert np.array_equal(got, first)
        assert all(np.array_equal(grads[name], first_grads[name]) for name in first_grads)


@pytest.mark.parametrize("kind", KINDS)
def test_each_gradient_by_itself(kind: str, bfloat16: bool) -> None:
    layers = Layers(kind, 130, 20, 24)
    _, everything = layers.run(bfloat16)
    for name in everything:
        _, grads = layers.run(bfloat16, wanted={name})
        assert list(grads) == [name] and np.array_equal(grads[name], everything[name])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": torch.zeros(0, 4)}, "rows and threads must be > 0, got 0 and 1"),
        ({"threads": -1}, "rows and threads must be > 0, got 2 and -1"),
        ({"weight": torch.zeros(0, 4)}, "widths must be > 0, got 0"),
        ({"norm_weight": torch.zeros(4)}, "a norm must have a weight and a bias"),
        ({"second_weight": torch.zeros(4, 2)}, "hidden must hold what the first of two layers gives"),
        ({"residual": True}, "x must be as wide as the output that it is added to"),
        ({"grad": torch.zeros(2, 3)}, r"grad must have shape \(2, 2\), got \(2, 3\)"),
        ({"grad": torch.zeros(2, 2).bfloat16()}, "grad must be float32, got bfloat16"),
        ({"dweight": torch.zeros(4, 2).T}, "dweight must be contiguous"),
        ({"hidden": torch.zeros(0, 2).double()}, "x must be float64, got float32"),
    ],
)
def test_what_is_missing_is_named(change: dict[str, Any], message: str) -> None:
    call: dict[str, Any] = dict.fromkeys(PARAMETERS) | {f"d{name}": None for name in ("x", *PARAMETERS)}
    call |= {"grad": torch.zeros(2, 2), "x": torch.zeros(2, 4), "hidden": torch.zeros(0, 2)}
    call |= {"weight": torch.zeros(2, 4), "epsilon": EPSILON, "residual": False, "threads": 1}
    with pytest.raises(ValueError, match=message):
        module().layers_backward(**(call | change))
