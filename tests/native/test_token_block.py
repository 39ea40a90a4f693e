"""The linear layers between two attentions in one native pass, against NumPy in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from native_calls import module, relative_error
from scipy.special import erf

Array = npt.NDArray[Any]


@pytest.fixture(params=[False, True], ids=["float32", "bfloat16"])
def bfloat16(request: pytest.FixtureRequest) -> bool:
    if request.param and not module().info()["bfloat16"]:
        pytest.skip("no AVX512-BF16")
    return bool(request.param)


class Layers:
    """norm, linear, and where `second` is given GELU and a linear layer; random."""

    def __init__(self, random: np.random.Generator, width: int, first: int, second: int = 0) -> None:
        self.norm = random.normal(size=(2, width)).astype(np.float32)
        sizes = [(first, width), *([(second, first)] if second else [])]
        self.linears = [
            (random.normal(size=size).astype(np.float32), random.normal(size=size[0]).astype(np.float32))
            for size in sizes
        ]

    def addresses(self, bfloat16: bool) -> tuple[int, ...]:
        self.packed = [pack(weight, bfloat16) for weight, _ in self.linears]
        layers = [x.ctypes.data for packed, (_, b) in zip(self.packed, self.linears, strict=True) for x in (packed, b)]
        return (self.norm[0].ctypes.data, self.norm[1].ctypes.data, *layers, *[0] * (4 - len(layers)))

    def __call__(self, x: Array) -> Array:
        off = x - x.mean(-1, keepdims=True)
        x = off / np.sqrt((off**2).mean(-1, keepdims=True) + 1e-5) * self.norm[0] + self.norm[1]
        for i, (weight, bias) in enumerate(self.linears):
            x = (x if i == 0 else 0.5 * x * (1 + erf(x / np.sqrt(2)))) @ weight.astype(np.float64).T + bias
        return x


def pack(weight: Array, bfloat16: bool = False) -> Array:
    outputs, inputs = weight.shape
    packed = np.full(module().packed_size(inputs, outputs, bfloat16), 255, np.uint8)
    module().pack_weight(weight.ctypes.data, inputs, outputs, packed.ctypes.data, bfloat16)
    return packed


def rounded(x: Array) -> Array:
    """To bfloat16, ties to even."""
    bits = x.astype(np.float32).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)


def run(
    tokens: Array,
    attended: Array | None = None,
    projection: tuple[Array, Array] | None = None,
    mlp: Layers | None = None,
    head: Layers | None = None,
    threads: int = 2,
    bfloat16: bool = False,
) -> tuple[Array, Array | None]:
    """(tokens, head's output) of the native pass."""
    rows, width = tokens.shape
    tokens = tokens.copy()
    out_width = len(head.linears[-1][1]) if head else 0
    half = bfloat16 and head is not None and len(head.linears) == 1
    out = np.full((rows, out_width), 0x7FC0 if half else np.nan, np.uint16 if half else np.float32) if head else None
    if bfloat16 and attended is not None:
        attended = (rounded(attended).view(np.uint32) >> 16).astype(np.uint16)
    packed = None if projection is None else pack(projection[0], bfloat16)
    module().token_block(
        tokens.ctypes.data,
        0 if attended is None else attended.ctypes.data,
        0 if out is None else out.ctypes.data,
        rows,
        (width, len(mlp.linears[0][1]) if mlp else 0, len(head.linears[0][1]) if head else 0, out_width),
        (0, 0) if packed is None or projection is None else (packed.ctypes.data, projection[1].ctypes.data),
        mlp.addresses(bfloat16) if mlp else (0,) * 6,
        head.addresses(bfloat16) if head else (0,) * 6,
        (1e-5, 1e-5),
        bfloat16,
        threads,
    )
    return tokens, (out.astype(np.uint32) << 16).view(np.float32) if half and out is not None else out


@pytest.mark.parametrize("rows", [1, 11, 12, 13, 48, 97, 500])
@pytest.mark.parametrize("width", [4, 20, 33, 128])
def test_matches_float64(rows: int, width: int, bfloat16: bool) -> None:
    random = np.random.default_rng(rows * width)
    tokens, attended = (random.normal(size=(rows, width)).astype(np.float32) for _ in range(2))
    projection = (random.normal(size=(width, width)).astype(np.float32), random.normal(size=width).astype(np.float32))
    mlp, head = Layers(random, width, 2 * width + 3, width), Layers(random, width, 3 * width)
    wanted = tokens + attended.astype(np.float64) @ projection[0].astype(np.float64).T + projection[1]
    wanted = wanted + mlp(wanted)
    got, out = run(tokens, attended, projection, mlp, head, bfloat16=bfloat16)
    tolerance = 1e-2 if bfloat16 else 2e-6
    assert relative_error(got, wanted) < tolerance
    assert out is not None and relative_error(out, head(wanted)) < tolerance


@pytest.mark.parametrize("width", [1, 2, 5, 31, 64, 129])
def test_bfloat16_rounds_the_factors_and_nothing_else(width: int, bfloat16: bool) -> None:
    random = np.random.default_rng(width)
    tokens, attended = (random.normal(size=(29, width)).astype(np.float32) for _ in range(2))
    weight, bias = random.normal(size=(width, width)).astype(np.float32), random.normal(size=width).astype(np.float32)
    factors = [rounded(x) if bfloat16 else x for x in (attended, weight)]
    wanted = tokens + factors[0].astype(np.float64) @ factors[1].astype(np.float64).T + bias
    got = run(tokens, attended, (weight, bias), bfloat16=bfloat16)[0]
    assert relative_error(got, wanted) < 1e-6


@pytest.mark.parametrize("outputs", [1, 3, 16, 31])
def test_head_of_two_layers_leaves_the_tokens_as_they_are(outputs: int) -> None:
    random = np.random.default_rng(outputs)
    tokens = random.normal(size=(50, 24)).astype(np.float32)
    head = Layers(random, 24, 40, outputs)
    got, out = run(tokens, head=head)
    assert np.array_equal(got, tokens)
    assert out is not None and relative_error(out, head(tokens.astype(np.float64))) < 2e-6


@pytest.mark.parametrize("part", ["projection", "mlp"])
def test_each_part_by_itself(part: str) -> None:
    random = np.random.default_rng(5)
    tokens, attended = (random.normal(size=(30, 16)).astype(np.float32) for _ in range(2))
    weight, bias = random.normal(size=(16, 16)).astype(np.float32), random.normal(size=16).astype(np.float32)
    mlp = Layers(random, 16, 32, 16)
    if part == "mlp":
        got, wanted = run(tokens, mlp=mlp)[0], tokens + mlp(tokens.astype(np.float64))
    else:
        got = run(tokens, attended, (weight, bias))[0]
        wanted = tokens + attended.astype(np.float64) @ weight.astype(np.float64).T + bias
    assert relative_error(got, wanted) < 2e-6


def test_gelu_is_the_exact_one_far_out_too() -> None:
    """Through a layer of ones: what comes out is GELU of each number from -30 to 30, and of NaN and infinity."""
    random = np.random.default_rng(0)
    mlp = Layers(random, 1, 1, 1)
    mlp.norm[:] = 0
    for value in (*np.linspace(-30, 30, 601), np.inf, -np.inf, np.nan):
        mlp.linears[0][1][:] = value
        mlp.linears[1][0][:], mlp.linears[1][1][:] = 1, 0
        got = float(run(np.zeros((1, 1), np.float32), mlp=mlp)[0][0, 0])
        x = float(np.float32(value))
        wanted = 0.5 * x * (1 + float(erf(x / np.sqrt(2))))
        assert got == pytest.approx(wanted, rel=1e-6, abs=3e-7 * max(1, abs(x)), nan_ok=True), value


def test_a_row_with_nan_harms_no_other(bfloat16: bool) -> None:
    random = np.random.default_rng(3)
    tokens = random.normal(size=(60, 20)).astype(np.float32)
    mlp, head = Layers(random, 20, 40, 20), Layers(random, 20, 60)
    clean, clean_out = run(tokens, mlp=mlp, head=head, bfloat16=bfloat16)
    tokens[17, 3] = np.nan
    spoilt, spoilt_out = run(tokens, mlp=mlp, head=head, bfloat16=bfloat16)
    others = np.arange(60) != 17
    assert clean_out is not None and spoilt_out is not None
    assert np.isnan(spoilt[17]).all() and np.isnan(spoilt_out[17]).all()
    assert np.array_equal(spoilt[others], clean[others]) and np.array_equal(spoilt_out[others], clean_out[others])


def test_threads_change_no_bit(bfloat16: bool) -> None:
    random = np.random.default_rng(4)
    tokens = random.normal(size=(333, 36)).astype(np.float32)
    mlp, head = Layers(random, 36, 70, 36), Layers(random, 36, 108)
    first, first_out = run(tokens, mlp=mlp, head=head, threads=1, bfloat16=bfloat16)
    for threads in (2, 3, 8):
        got, out = run(tokens, mlp=mlp, head=head, threads=threads, bfloat16=bfloat16)
        assert np.array_equal(got, first) and np.array_equal(np.asarray(out), np.asarray(first_out))


def test_what_is_missing_is_named() -> None:
    tokens = np.zeros((2, 4), np.float32)
    nothing = (0,) * 6
    common = {"mlp": nothing, "head": nothing, "epsilons": (1e-5, 1e-5), "bfloat16": False, "threads": 1}
    with pytest.raises(ValueError, match="rows and width must be > 0, got 0 and 4"):
        module().token_block(tokens.ctypes.data, 0, 0, 0, (4, 0, 0, 0), (0, 0), **common)
    with pytest.raises(ValueError, match="a projection needs attended"):
        module().token_block(tokens.ctypes.data, 0, 0, 2, (4, 0, 0, 0), (1, 1), **common)
    with pytest.raises(ValueError, match="inputs and outputs must be > 0, got 0 and 3"):
        module().packed_size(0, 3, False)
