"""The linear layers between two attentions in one native pass, against NumPy in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from native_calls import module, relative_error
from scipy.special import erf

Array = npt.NDArray[Any]


TOLERANCE = {"float32": 2e-6, "int16": 1e-3, "bfloat16": 1e-2}


@pytest.fixture(params=TOLERANCE)
def products(request: pytest.FixtureRequest) -> str:
    if request.param == "bfloat16" and not module().info()["bfloat16"]:
        pytest.skip("no AVX512-BF16")
    return str(request.param)


class Layers:
    """norm, linear, and where `second` is given GELU and a linear layer; random."""

    def __init__(self, random: np.random.Generator, width: int, first: int, second: int = 0) -> None:
        self.norm = random.normal(size=(2, width)).astype(np.float32)
        sizes = [(first, width), *([(second, first)] if second else [])]
        self.linears = [
            (random.normal(size=size).astype(np.float32), random.normal(size=size[0]).astype(np.float32))
            for size in sizes
        ]

    def packed(self, products: str = "float32") -> tuple[Any, ...]:
        """As the kernel takes them: the norm, the first layer and the second, if there is one."""
        first, *second = (pack(*layer, products) for layer in self.linears)
        return (*(torch.from_numpy(x) for x in self.norm), 1e-5), first, second[0] if second else None

    def __call__(self, x: Array) -> Array:
        off = x - x.mean(-1, keepdims=True)
        x = off / np.sqrt((off**2).mean(-1, keepdims=True) + 1e-5) * self.norm[0] + self.norm[1]
        for i, (weight, bias) in enumerate(self.linears):
            x = (x if i == 0 else 0.5 * x * (1 + erf(x / np.sqrt(2)))) @ weight.astype(np.float64).T + bias
        return x


def pack(weight: Array, bias: Array, products: str = "float32") -> tuple[torch.Tensor, torch.Tensor]:
    outputs, inputs = weight.shape
    size = module().packed_size(inputs, outputs, products)
    packed = torch.full((size,), 77 if products == "int16" else torch.nan, dtype=getattr(torch, products))
    module().pack_weight(torch.from_numpy(weight), packed)
    return packed, torch.from_numpy(bias)


def rounded(x: Array, products: str, exact: type, largest: int, total: float = np.inf) -> Array:
    """To bfloat16, ties to even; or each row to integers up to `largest`, of which each 256 add up to `total`.

    What is rounded to integers is the product of a value and a factor, in the dtype `exact`.
    """
    if products == "float32":
        return x
    if products == "int16":
        parts = [np.abs(x[:, first : first + 256]) for first in range(0, x.shape[1], 256)]
        most = np.max([part.max(-1, keepdims=True) for part in parts], axis=0)
        # In the kernel's order of summing, one by one in float32.
        sums = np.max([np.cumsum(part, axis=-1, dtype=np.float32)[:, -1:] for part in parts], axis=0)
        factor = np.minimum(np.float32(largest) / most, np.float32(total) / sums)
        return np.rint(x.astype(exact) * factor) / factor
    bits = x.astype(np.float32).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)


def run(
    tokens: Array,
    attended: Array | None = None,
    projection: tuple[Array, Array] | None = None,
    mlp: Layers | None = None,
    head: Layers | None = None,
    threads: int = 2,
    products: str = "float32",
) -> tuple[Array, Array | None]:
    """(tokens, head's output) of the native pass."""
    tokens = tokens.copy()
    dtype = torch.bfloat16 if products == "bfloat16" else torch.float32
    head = Layers(np.random.default_rng(0), tokens.shape[1], 1) if head is None else head
    out = torch.full((len(tokens), len(head.linears[-1][1])), torch.nan, dtype=dtype)
    out = out.float() if len(head.linears) == 2 else out
    module().token_block(
        torch.from_numpy(tokens),
        None if attended is None else torch.from_numpy(attended).to(dtype),
        out,
        None if projection is None else pack(*projection, products),
        None if mlp is None else mlp.packed(products),
        head.packed(products),
        threads,
    )
    return tokens, out.float().numpy()


@pytest.mark.parametrize("rows", [1, 11, 12, 13, 48, 97, 500])
@pytest.mark.parametrize("width", [4, 20, 33, 128])
def test_matches_float64(rows: int, width: int, products: str) -> None:
    random = np.random.default_rng(rows * width)
    tokens, attended = (random.normal(size=(rows, width)).astype(np.float32) for _ in range(2))
    projection = (random.normal(size=(width, width)).astype(np.float32), random.normal(size=width).astype(np.float32))
    mlp, head = Layers(random, width, 2 * width + 3, width), Layers(random, width, 3 * width)
    wanted = tokens + attended.astype(np.float64) @ projection[0].astype(np.float64).T + projection[1]
    wanted = wanted + mlp(wanted)
    got, out = run(tokens, attended, projection, mlp, head, products=products)
    assert relative_error(got, wanted) < TOLERANCE[products]
    assert out is not None and relative_error(out, head(wanted)) < TOLERANCE[products]


@pytest.mark.parametrize("width", [1, 2, 5, 31, 64, 129, 257, 515])
def test_factors_are_rounded_and_nothing_else(width: int, products: str) -> None:
    random = np.random.default_rng(width)
    tokens, attended = (random.normal(size=(29, width)).astype(np.float32) for _ in range(2))
    weight, bias = random.normal(size=(width, width)).astype(np.float32), random.normal(size=width).astype(np.float32)
    got = run(tokens, attended, (weight, bias), products=products)[0]

    def error(exact: type) -> float:
        row, column = rounded(attended, products, exact, 8191), rounded(weight, products, exact, 32767, 262_000)
        wanted = tokens + row.astype(np.float64) @ column.astype(np.float64).T + bias
        return relative_error(got, wanted)

    # With a fused multiply-add the exact product is rounded to an integer, else the product in float32: which of the
    # two also depends on the compiler's optimization.
    assert min(error(np.float64), error(np.float32)) < 1e-6


@pytest.mark.parametrize("width", [255, 256, 257, 511, 512, 513, 1030])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_largest_integers_do_not_overflow(width: int, sign: int) -> None:
    tokens, attended = np.zeros((7, width), np.float32), np.full((7, width), sign * 3.0, np.float32)
    weight, bias = np.full((width, width), 0.5, np.float32), np.zeros(width, np.float32)
    got = run(tokens, attended, (weight, bias), products="int16")[0]
    assert got == pytest.approx(sign * 1.5 * width, rel=1e-3)
    # In the first outputs, one weight in 256 counts: its integers are the largest that there are.
    weight[:5] = 0
    weight[:5, ::256] = 0.5
    got = run(tokens, attended, (weight, bias), products="int16")[0]
    assert got[:, :5] == pytest.approx(sign * 1.5 * len(range(0, width, 256)), rel=1e-4)


@pytest.mark.parametrize("size", [0.0, 1e-42, 1e-35, 1e-20, 1e20, 1e36])
def test_rows_of_integers_may_be_of_any_size(size: float) -> None:
    random = np.random.default_rng(9)
    attended = random.uniform(-1, 1, size=(9, 40)).astype(np.float32)
    weight, bias = random.uniform(-1, 1, size=(40, 40)).astype(np.float32), np.zeros(40, np.float32)
    wanted = attended.astype(np.float64) @ weight.astype(np.float64).T * size
    got = run(np.zeros((9, 40), np.float32), attended * np.float32(size), (weight, bias), products="int16")[0]
    assert np.abs(got - wanted).max() <= 1e-3 * np.abs(wanted).max() + 1e-28


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


@pytest.mark.parametrize("spoilt_by", [np.nan, np.inf, -np.inf])
def test_a_row_with_nan_harms_no_other(spoilt_by: float, products: str) -> None:
    random = np.random.default_rng(3)
    tokens = random.normal(size=(60, 20)).astype(np.float32)
    mlp, head = Layers(random, 20, 40, 20), Layers(random, 20, 60)
    clean, clean_out = run(tokens, mlp=mlp, head=head, products=products)
    tokens[17, 3] = spoilt_by
    spoilt, spoilt_out = run(tokens, mlp=mlp, head=head, products=products)
    others = np.arange(60) != 17
    assert clean_out is not None and spoilt_out is not None
    assert np.isnan(spoilt[17]).all() and np.isnan(spoilt_out[17]).all()
    assert np.array_equal(spoilt[others], clean[others]) and np.array_equal(spoilt_out[others], clean_out[others])


def test_threads_change_no_bit(products: str) -> None:
    random = np.random.default_rng(4)
    tokens = random.normal(size=(333, 36)).astype(np.float32)
    mlp, head = Layers(random, 36, 70, 36), Layers(random, 36, 108)
    first, first_out = run(tokens, mlp=mlp, head=head, threads=1, products=products)
    for threads in (2, 3, 8, 80):
        got, out = run(tokens, mlp=mlp, head=head, threads=threads, products=products)
        assert np.array_equal(got, first) and np.array_equal(np.asarray(out), np.asarray(first_out))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tokens": torch.zeros(0, 4)}, "rows and width must be > 0, got 0 and 4"),
        ({"tokens": torch.zeros(4, 2).T}, "tokens must be contiguous"),
        ({"projection": (torch.zeros(64), torch.zeros(4))}, "a projection needs attended"),
        ({"head_out": torch.zeros(2, 3)}, "head_out must hold what the head gives"),
        ({"head_out": torch.zeros(2, 5).bfloat16()}, "head_out must be float32, got bfloat16"),
        ({"threads": 0}, "threads must be > 0, got 0"),
    ],
)
def test_what_is_missing_is_named(change: dict[str, Any], message: str) -> None:
    head = Layers(np.random.default_rng(0), 4, 5).packed()
    call = {"tokens": torch.zeros(2, 4), "attended": None, "head_out": torch.zeros(2, 5), "projection": None}
    with pytest.raises(ValueError, match=message):
        module().token_block(**(call | {"mlp": None, "head": head, "threads": 1} | change))


def test_sizes_of_weights_are_named() -> None:
    with pytest.raises(ValueError, match="inputs and outputs must be > 0, got 0 and 3"):
        module().packed_size(0, 3, "float32")
    with pytest.raises(ValueError, match="products must be float32, bfloat16 or int16, got int8"):
        module().packed_size(4, 3, "int8")
    with pytest.raises(ValueError, match=r"packed must have shape \(\d+\), got \(5\)"):
        module().pack_weight(torch.zeros(3, 4), torch.zeros(5))
    with pytest.raises(ValueError, match="weight must be contiguous"):
        module().pack_weight(torch.zeros(4, 3).T, torch.zeros(module().packed_size(4, 3, "float32")))
