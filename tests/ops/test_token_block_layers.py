"""`token_block` on every backend against the float64 reference: all between two attentions in one pass."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from helpers import error, needs_triton
from torch import Tensor

from olift_fast import ops, reference
from olift_fast.ops.token_block import triton_launch
from olift_fast.ops.token_block.registration import tensors_of
from olift_fast.ops.triton_runtime import interpreted

DEVICE = {"triton": "cuda" if torch.cuda.is_available() else "cpu"}
BACKENDS = [
    pytest.param("triton", torch.float32, 1e-5, marks=needs_triton),
    pytest.param("triton", torch.float16, 2e-3, marks=needs_triton),
    # The interpreter multiplies no bfloat16.
    pytest.param("triton", torch.bfloat16, 1e-2, marks=pytest.mark.gpu),
    pytest.param("eager", torch.float32, 1e-5),
    pytest.param("eager", torch.float64, 1e-13),
]
KINDS = ["first", "middle", "last", "decoder alone", "no projection", "no MLP"]
# rows, D, hidden width, F of queries, keys and values, G of the last layer
SHAPES = [((1,), 8, 16, 24, 3), ((3, 7), 13, 37, 5, 1), ((2, 9, 5), 70, 20, 210, 5)]
LARGE = [((67,), 128, 256, 384, 3), ((131,), 256, 512, 768, 5)]
Given = Any


def inputs(kind: str, shape: tuple[Any, ...], seed: int = 0) -> Given:
    """The arguments in float64, of numbers that are exact in float32."""
    rows, width, hidden, projected, outputs = shape
    generator = torch.Generator().manual_seed(seed)

    def draw(*sizes: int) -> Tensor:
        return torch.randn(*sizes, generator=generator).double()

    def layer(inputs: int, outputs: int) -> tuple[Tensor, Tensor | None]:
        weight = (draw(outputs, inputs) / inputs**0.5).float().double()
        return weight, draw(outputs)

    def norm() -> tuple[Tensor, Tensor]:
        return draw(width), draw(width)

    tokens, attended = draw(*rows, width), draw(*rows, width)
    projection, mlp = layer(width, width), (norm(), layer(width, hidden), layer(hidden, width))
    head = (norm(), layer(width, projected), None)
    decoder = (norm(), layer(width, width), layer(width, outputs))
    return {
        "first": (tokens, None, None, None, head),
        "middle": (tokens, attended, projection, mlp, head),
        "last": (tokens, attended, projection, mlp, decoder),
        "decoder alone": (tokens, None, None, None, decoder),
        "no projection": (tokens, None, None, mlp, head),
        "no MLP": (tokens, attended, projection, None, (head[0], (head[1][0], None), None)),
    }[kind]


def mapped(given: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The arguments with every tensor changed."""
    if isinstance(given, tuple):
        return tuple(mapped(part, change) for part in given)
    return given if given is None else change(given)


def run(given: Given, backend: str, dtype: torch.dtype = torch.float32, **options: Any) -> tuple[Tensor | None, Tensor]:
    device = DEVICE.get(backend, "cpu")
    with torch.inference_mode():
        return ops.token_block(*mapped(given, lambda x: x.to(device, dtype)), backend=backend, **options)


def close(got: tuple[Tensor | None, Tensor], wanted: tuple[Tensor, Tensor], tolerance: float) -> None:
    assert got[0] is not None
    for mine, exact in zip(got, wanted, strict=True):
        assert mine.shape == exact.shape
        assert error(mine, exact, least=0.1) < tolerance


@pytest.mark.parametrize(("backend", "dtype", "tolerance"), BACKENDS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_matches_the_reference(backend: str, dtype: torch.dtype, tolerance: float, kind: str, shape: Any) -> None:
    """Of the numbers that the dtype holds; eager rounds between the layers, too."""
    given = mapped(inputs(kind, shape), lambda x: x.to(dtype).double())
    got = run(given, backend, dtype)
    assert got[0] is not None and got[0].dtype == got[1].dtype == dtype
    close(got, reference.token_block(*given), tolerance)


@pytest.mark.slow
@needs_triton
@pytest.mark.parametrize(
    ("shape", "kind"), [(LARGE[0], "first"), (LARGE[0], "middle"), (LARGE[0], "last"), (LARGE[1], "middle")], ids=str
)
@pytest.mark.parametrize(("dtype", "few"), [(torch.float32, True), (torch.float16, False)], ids=str)
def test_presets_widths_in_both_configurations(
    shape: Any, kind: str, dtype: torch.dtype, few: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(triton_launch, "FEW", 4096 if few else 0)
    given = mapped(inputs(kind, shape), lambda x: x.to(dtype).double())
    close(run(given, "triton", dtype), reference.token_block(*given), 1e-5 if dtype == torch.float32 else 2e-3)


@needs_triton
@pytest.mark.parametrize("shape", [((5, 13), 24, 48, 72, 3)])
def test_autocast_multiplies_in_its_dtype_and_keeps_tokens_in_float32(shape: Any) -> None:
    """Float32 weights are rounded; weights that were rounded before give the same bits."""
    device = DEVICE["triton"]
    given = mapped(inputs("middle", shape), lambda x: x.to(device, torch.float32))
    tokens, attended, projection, mlp, head = given
    halves = mapped((attended, projection), Tensor.half)
    rounded = (tokens, *halves, (mlp[0], *mapped(mlp[1:], Tensor.half)), (head[0], *mapped(head[1:], Tensor.half)))
    with torch.inference_mode(), torch.autocast(device, torch.float16):
        got = ops.token_block(*given, backend="triton")
        again = ops.token_block(*rounded, backend="triton")
        last = ops.token_block(tokens, None, None, None, (head[0], head[1], (head[1][0][:3, :1].repeat(1, 72), None)))
    assert got[0] is not None and got[0].dtype == torch.float32 and got[1].dtype == torch.float16
    assert last[1].dtype == torch.float32
    assert all(torch.equal(a, b) for a, b in zip(got, again, strict=True))
    close(got, reference.token_block(*mapped(given, Tensor.double)), 2e-3)


@needs_triton
def test_strided_views_are_read_and_left_as_they_are() -> None:
    given = inputs("middle", ((4, 6), 24, 48, 72, 3))
    spread = mapped(given, lambda x: torch.stack([x, x.new_full(x.shape, torch.nan)], dim=-1)[..., 0])
    before = mapped(spread, Tensor.clone)
    close(run(spread, "triton"), reference.token_block(*given), 1e-5)
    assert torch.equal(spread[0], before[0]) and torch.equal(spread[1], before[1])


@pytest.mark.parametrize("backend", [pytest.param("triton", marks=needs_triton), "eager"])
@pytest.mark.parametrize("kind", ["middle", "last"])
def test_nan_in_a_token_reaches_no_other(backend: str, kind: str) -> None:
    given = inputs(kind, ((37,), 20, 40, 60, 3))
    clean = run(given, backend)
    tokens, attended, *rest = mapped(given, Tensor.clone)
    tokens[5], attended[20, 3] = torch.nan, torch.inf
    spoiled = run((tokens, attended, *rest), backend)
    others = torch.tensor([row not in (5, 20) for row in range(37)])
    for good, bad in zip(clean, spoiled, strict=True):
        assert good is not None and bad is not None
        assert torch.equal(good.cpu()[others], bad.cpu()[others])
        assert not bad.cpu()[~others].isfinite().all(dim=-1).any()


@needs_triton
def test_repeats_bit_for_bit_and_whatever_the_other_rows_are() -> None:
    given = inputs("middle", ((70,), 40, 80, 120, 3))
    first, second = run(given, "triton"), run(given, "triton")
    part = run((given[0][16:51], given[1][16:51], *given[2:]), "triton")
    for a, b, c in zip(first, second, part, strict=True):
        assert a is not None and b is not None and c is not None
        assert torch.equal(a, b) and torch.equal(a[16:51], c)


@pytest.mark.parametrize("backend", [pytest.param("triton", marks=needs_triton), "eager"])
def test_keeps_what_is_asked_for(backend: str) -> None:
    given = inputs("last", ((3,), 8, 16, 24, 3))
    nothing, out = run(given, backend, keep=False)
    assert nothing is None and torch.equal(out, run(given, backend)[1])
    empty = mapped(inputs("middle", ((2, 0, 5), 8, 16, 24, 3)), lambda x: x)
    changed, out = run(empty, backend)
    assert changed is not None
    assert changed.shape == (2, 0, 5, 8) and out.shape == (2, 0, 5, 24)
    tokens = inputs("first", ((3,), 8, 16, 24, 3))
    with torch.inference_mode():
        assert ops.token_block(*tokens)[0] is tokens[0]


@needs_triton
@pytest.mark.parametrize("kind", ["first", "middle", "last"])
def test_opcheck_and_compile(kind: str) -> None:
    device = DEVICE["triton"]
    given = mapped(inputs(kind, ((2, 5), 16, 32, 48, 3)), lambda x: x.to(device, torch.float32))
    parameters = tensors_of(*given[2:])
    op = torch.ops.olift.token_block_triton.default
    torch.library.opcheck(op, (*given[:2], *parameters, 1e-5, kind != "first"))

    def function(*given: Any) -> tuple[Tensor | None, Tensor]:
        return ops.token_block(*given, backend="triton")

    with torch.no_grad():
        compiled = torch.compile(function, fullgraph=True, backend="aot_eager")(*given)
        for got, wanted in zip(compiled, function(*given), strict=True):
            assert torch.equal(got, wanted)


@needs_triton
def test_takes_gradients_by_plain_pytorch_alone() -> None:
    device = DEVICE["triton"]
    given = mapped(inputs("middle", ((4,), 8, 16, 24, 3)), lambda x: x.to(device, torch.float32))
    given[2][0].requires_grad_()
    with pytest.raises(RuntimeError, match=r"'triton' can't run: .*no gradient: call it under"):
        ops.token_block(*given, backend="triton")
    assert ops.token_block(*given)[1].requires_grad
    op = torch.ops.olift.token_block_triton.default
    out = op(*given[:2], *tensors_of(*given[2:]), 1e-5, True)[1]
    with pytest.raises(RuntimeError, match="token_block has no gradient on this backend"):
        out.sum().backward()


def test_wrong_arguments_are_named() -> None:
    tokens, attended, projection, mlp, head = inputs("middle", ((4,), 8, 16, 24, 3))
    cases: list[tuple[type[Exception], str, tuple[Any, ...]]] = [
        (ValueError, r"attended must be \(4, 8\), got \(3, 8\)", (tokens, attended[:3], projection, mlp, head)),
        (ValueError, "given together", (tokens, attended, None, mlp, head)),
        (ValueError, r"projection must be \(8, 8\), got \(24, 8\)", (tokens, attended, head[1], mlp, head)),
        (ValueError, r"mlp's norm must be \(8,\)", (tokens, None, None, ((mlp[0][0][:3],) * 2, *mlp[1:]), head)),
        (ValueError, r"second layer must be \(8, 16\)", (tokens, None, None, (mlp[0], mlp[1], mlp[1]), head)),
        (ValueError, r"head's first layer must be \(24, 8\), got \(24, 3\)",
         (tokens, None, None, None, (head[0], (head[1][0][:, :3], None), None))),
        (TypeError, "weights must be torch.float32, as the tokens are", (tokens.float(), None, None, None, head)),
        (TypeError, "tokens must be a floating-point", (tokens.int(), None, None, None, head)),
    ]  # fmt: skip
    for kind, message, given in cases:
        with pytest.raises(kind, match=message):
            ops.token_block(*given)


@pytest.mark.parametrize(
    ("width", "outputs", "reason"), [(257, 3, "width of at most 256, got 257"), (8, 65, "64 outputs, got 65")]
)
def test_says_what_is_too_large_for_triton(width: int, outputs: int, reason: str) -> None:
    given = mapped(inputs("last", ((2,), width, 16, 24, outputs)), Tensor.float)
    with pytest.raises(RuntimeError, match=reason), torch.no_grad():
        ops.token_block(*given, backend="triton")


def test_three_products_of_tf32_are_as_exact_as_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """As tensor cores make them: operands cut to 10 bits of mantissa, sums in float32. The interpreter cuts nothing."""

    def cut(x: Tensor) -> Tensor:
        return (x.view(torch.int32) & -8192).view(torch.float32)

    def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        (x_big, x_rest), (w_big, w_rest) = ((cut(y), cut(y - cut(y))) for y in (x.contiguous(), weight.contiguous()))
        out = (x_rest @ w_big.T + x_big @ w_rest.T) + x_big @ w_big.T
        return out if bias is None else out + bias

    given = inputs("middle", ((300,), 256, 512, 768, 3))
    wanted = reference.token_block(*given)
    functional = torch.nn.functional
    emulated = SimpleNamespace(linear=linear, layer_norm=functional.layer_norm, gelu=functional.gelu)
    monkeypatch.setattr(reference, "functional", emulated)
    close(reference.token_block(*mapped(given, Tensor.float)), wanted, 2e-6)


def test_many_wide_tokens_in_float32_are_for_pytorch() -> None:
    wide = torch.empty(4097, 256, device="meta")
    assert triton_launch.slower_than_eager(wide, torch.float32) == ("triton",)
    assert triton_launch.slower_than_eager(wide, torch.bfloat16) == ()
    assert triton_launch.slower_than_eager(wide[1:], torch.float32) == ()
    assert triton_launch.slower_than_eager(wide[:, :128], torch.float32) == ()


@needs_triton
def test_is_not_chosen_for_the_interpreter_alone() -> None:
    given = mapped(inputs("first", ((2,), 8, 16, 24, 3)), Tensor.float)
    with torch.no_grad(), torch.autograd.profiler.profile() as profile:
        ops.token_block(*given)
    assert interpreted() == (not torch.cuda.is_available())
    assert not any("token_block" in event.name for event in profile.function_events)
