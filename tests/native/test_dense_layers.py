"""Norm, linear layers and GELU with their gradients, natively, against NumPy in float64."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from native_calls import address, module, relative_error
from scipy.special import erf

Array = npt.NDArray[Any]
KINDS = ["norm, layer", "layer, added", "norm, two layers, x added", "norm, two layers"]
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
        a = dict(self.arrays)
        norm, two = "norm" in self.kind, "two" in self.kind
        half_x, half_out = bfloat16 and not norm, bfloat16 and norm and not two
        given = as_bfloat16(a["x"]) if half_x else a["x"]
        hidden = room((self.rows, self.inner), bfloat16) if two else None
        out = room((self.rows, self.outer), half_out)
        layers = {
            "norm": (address(a.get("norm_weight")), address(a.get("norm_bias"))),
            "first": (address(a["weight"]), address(a["bias"])),
            "second": (address(a.get("second_weight")), address(a.get("second_bias"))),
            "hidden": address(hidden),
            "rows": self.rows,
            "widths": (self.width, self.inner, self.outer),
            "epsilon": EPSILON,
            "bfloat16": bfloat16,
            "threads": threads,
        }
        added = given if "x added" in self.kind else a.get("added")
        module().dense_forward(x=address(given), added=address(added), out=address(out), **layers)
        names = [name for name in a if name != "added" and (wanted is None or name in wanted)]
        grads = {name: room(a[name].shape, half_x and name == "x") for name in names}
        grad = as_bfloat16(self.grad) if half_out else self.grad
        module().dense_backward(
            grad=address(grad),
            x=address(given),
            residual="x added" in self.kind,
            grad_x=address(grads.get("x")),
            grad_norm=(address(grads.get("norm_weight")), address(grads.get("norm_bias"))),
            grad_first=(address(grads.get("weight")), address(grads.get("bias"))),
            grad_second=(address(grads.get("second_weight")), address(grads.get("second_bias"))),
            **layers,
        )
        return as_float(out), {name: as_float(gradient) for name, gradient in grads.items()}


def room(shape: tuple[int, ...], half: bool) -> Array:
    """Memory that holds NaN until it is written to."""
    return np.full(shape, 0x7FC0 if half else np.nan, np.uint16 if half else np.float32)


def as_bfloat16(x: Array) -> Array:
    """Rounded, ties to even, as bits."""
    bits = x.view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def as_float(x: Array) -> Array:
    return (x.astype(np.uint32) << 16).view(np.float32) if x.dtype == np.uint16 else x


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


@pytest.mark.parametrize("bad", ["rows", "threads", "widths", "weight", "norm", "hidden", "residual"])
def test_what_is_missing_is_named(bad: str) -> None:
    x = np.zeros((2, 4), np.float32)
    good: dict[str, Any] = {
        "grad": address(x),
        "x": address(x),
        "hidden": address(x),
        "norm": (0, 0),
        "first": (address(x), 0),
        "second": (0, 0),
        "residual": False,
        "grad_x": 0,
        "grad_norm": (0, 0),
        "grad_first": (0, 0),
        "grad_second": (0, 0),
        "rows": 2,
        "widths": (4, 2, 2),
        "epsilon": EPSILON,
        "bfloat16": False,
        "threads": 1,
    }
    changes: dict[str, tuple[dict[str, Any], str]] = {
        "rows": ({"rows": 0}, "rows and threads must be > 0, got 0 and 1"),
        "threads": ({"threads": -1}, "rows and threads must be > 0, got 2 and -1"),
        "widths": ({"widths": (4, 0, 2)}, "widths must be > 0, got 0"),
        "weight": ({"first": (0, 0)}, "the first layer must have a weight"),
        "norm": ({"norm": (address(x), 0)}, "a norm must have a weight and a bias"),
        "hidden": ({"second": (address(x), 0), "hidden": 0}, "two layers need what lies between them"),
        "residual": ({"residual": True}, "x must be as wide as the output that it is added to"),
    }
    change, message = changes[bad]
    with pytest.raises(ValueError, match=message):
        module().dense_backward(**(good | change))
