"""`norm_linear`, `linear_residual` and `norm_mlp` on every backend against the float64 reference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import helpers
import pytest
import torch
from helpers import needs_bfloat16, needs_native
from torch import Tensor

from olift_fast import ops, reference

BACKENDS = [
    pytest.param("native", torch.float32, 2e-6, marks=needs_native),
    pytest.param("eager", torch.float32, 2e-6),
    pytest.param("eager", torch.float64, 1e-13),
]
NAMES = {
    "norm_linear": ("x", "norm_weight", "norm_bias", "weight", "bias"),
    "linear_residual": ("x", "weight", "bias", "residual"),
    "norm_mlp": ("x", "norm_weight", "norm_bias", "weight", "bias", "second_weight", "second_bias"),
    "norm_mlp, no residual": ("x", "norm_weight", "norm_bias", "weight", "bias", "second_weight", "second_bias"),
}
OPS = list(NAMES)
# the rows' shape, D, E; a norm of one number or two has no slope, and a gradient that is of rounding alone
SHAPES = [
    ((), 8, 12),
    ((1, 1, 1), 3, 1),
    ((3, 7), 13, 37),
    ((2, 9, 5), 70, 20),
    ((1300,), 33, 65),
    ((4, 600), 128, 256),
]


def function(op: str, module: object = ops) -> Callable[..., Tensor]:
    name, *options = op.split(", ")
    found: Callable[..., Tensor] = getattr(module, name)
    return partial(found, residual=False) if options else found


def error(got: Tensor, wanted: Tensor) -> float:
    """Where the numbers are not all small: in a tail of GELU nothing is exact but the sum."""
    return helpers.error(got, wanted, least=0.1)


def inputs(op: str, rows: Sequence[int], width: int, inner: int, seed: int = 0) -> tuple[list[Tensor], Tensor]:
    """The arguments by `NAMES` and an upstream gradient, float64, but exact in float32."""
    generator = torch.Generator().manual_seed(seed)
    outer = inner if op == "norm_linear" or op == "linear_residual" else width if op == "norm_mlp" else 3
    shapes = {
        "x": (*rows, width),
        "norm_weight": (width,),
        "norm_bias": (width,),
        "weight": (inner, width),
        "bias": (inner,),
        "second_weight": (outer, inner),
        "second_bias": (outer,),
        "residual": (*rows, inner),
    }
    made = [torch.randn(shapes[name], generator=generator).double() for name in NAMES[op]]
    return made, torch.randn((*rows, outer), generator=generator).double()


def run(op: Callable[..., Tensor], given: Sequence[Tensor | None], upstream: Tensor, dtype: torch.dtype, **options):
    """The output and the gradients of the arguments."""
    leaves = [None if x is None else x.detach().to(dtype).requires_grad_() for x in given]
    out = op(*leaves, **options)
    out.backward(upstream.to(out.dtype))
    return out, [None if leaf is None else leaf.grad for leaf in leaves]


@pytest.mark.parametrize(("backend", "dtype", "tolerance"), BACKENDS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("op", OPS)
def test_matches_the_reference(op, shape, backend, dtype, tolerance) -> None:
    given, upstream = inputs(op, *shape)
    wanted, wanted_gradients = run(function(op, reference), given, upstream, torch.float64)
    got, gradients = run(function(op), given, upstream, dtype, backend=backend)
    assert got.dtype == dtype and got.shape == wanted.shape == upstream.shape
    assert error(got, wanted) < tolerance
    for name, a, b in zip(NAMES[op], gradients, wanted_gradients, strict=True):
        assert a.dtype == dtype and error(a, b) < 2 * tolerance, name


@needs_bfloat16
@pytest.mark.parametrize("shape", [*SHAPES[2:], ((5, 11), 31, 7)], ids=str)
@pytest.mark.parametrize("op", OPS)
def test_autocast_gives_the_reference_s_dtypes_and_no_more_error(op, shape) -> None:
    given, upstream = inputs(op, *shape)
    exact, exact_gradients = run(function(op, reference), given, upstream, torch.float64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got, gradients = run(function(op), given, upstream, torch.float32, backend="native")
        plain, plain_gradients = run(function(op), given, upstream, torch.float32, backend="eager")
    assert got.dtype == plain.dtype == (torch.bfloat16 if op == "norm_linear" else torch.float32)
    assert error(got, exact) < max(1.3 * error(plain, exact), 5e-3)
    for name, a, b, c in zip(NAMES[op], gradients, plain_gradients, exact_gradients, strict=True):
        assert a.dtype == b.dtype == torch.float32, name
        assert error(a, c) < max(1.3 * error(b, c), 1e-2), name


@needs_bfloat16
def test_under_autocast_a_layer_takes_what_attention_gives() -> None:
    (x, *rest), upstream = inputs("linear_residual", (40,), 24, 24)
    half = x.bfloat16().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = ops.linear_residual(half, *(tensor.float() for tensor in rest), backend="native")
    out.backward(upstream.float())
    _, gradients = run(reference.linear_residual, [half.detach().double(), *rest], upstream, torch.float64)
    assert out.dtype == torch.float32 and half.grad.dtype == torch.bfloat16
    assert error(half.grad, gradients[0]) < 1e-2


@pytest.mark.parametrize(("backend", "dtype", "tolerance"), BACKENDS)
@pytest.mark.parametrize("op", OPS)
def test_strided_and_expanded_inputs(op, backend, dtype, tolerance) -> None:
    given, upstream = inputs(op, (4, 6, 5), 24, 30)

    def strided(name: str, x: Tensor) -> Tensor:
        if x.dim() == 4:
            return x.transpose(0, 1)[:, ::2]
        return x.T.contiguous().T if x.dim() == 2 else torch.stack([x, x], dim=1)[:, 0]

    given = [strided(name, x) for name, x in zip(NAMES[op], given, strict=True)]
    given[0] = given[0][:, :, :1].expand(-1, -1, 5, -1)
    upstream = upstream.transpose(0, 1)[:, ::2, :1].expand(-1, -1, 5, -1)
    wanted, wanted_gradients = run(function(op, reference), given, upstream, torch.float64)
    got, gradients = run(function(op), given, upstream, dtype, backend=backend)
    assert error(got, wanted) < tolerance
    assert all(error(a, b) < 2 * tolerance for a, b in zip(gradients, wanted_gradients, strict=True))


@pytest.mark.parametrize(("backend", "dtype", "tolerance"), BACKENDS)
@pytest.mark.parametrize("op", OPS)
def test_layers_without_a_bias(op, backend, dtype, tolerance) -> None:
    given, upstream = inputs(op, (50,), 20, 24)
    given = [None if name in ("bias", "second_bias") else x for name, x in zip(NAMES[op], given, strict=True)]
    wanted, wanted_gradients = run(function(op, reference), given, upstream, torch.float64)
    got, gradients = run(function(op), given, upstream, dtype, backend=backend)
    assert error(got, wanted) < tolerance
    for a, b in zip(gradients, wanted_gradients, strict=True):
        assert (a is None) == (b is None) and (b is None or error(a, b) < 2 * tolerance)


@pytest.mark.parametrize("autocast", [False, pytest.param(True, marks=needs_bfloat16)], ids=["float32", "autocast"])
@pytest.mark.parametrize("op", OPS)
@needs_native
def test_a_gradient_is_the_same_whatever_else_is_wanted(op, autocast) -> None:
    given, upstream = inputs(op, (101,), 20, 24)

    def gradients_of(wanted: Sequence[int]) -> list[Tensor | None]:
        leaves = [x.float().requires_grad_(index in wanted) for index, x in enumerate(given)]
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            out = function(op)(*leaves, backend="native")
        out.backward(upstream.to(out.dtype))
        return [leaf.grad for leaf in leaves]

    everything = gradients_of(range(len(given)))
    for wanted in [*((index,) for index in range(len(given))), (0, 3)]:
        found = gradients_of(wanted)
        assert [index for index, gradient in enumerate(found) if gradient is not None] == list(wanted)
        assert all(torch.equal(found[index], everything[index]) for index in wanted)


@pytest.mark.parametrize("autocast", [False, pytest.param(True, marks=needs_bfloat16)], ids=["float32", "autocast"])
@pytest.mark.parametrize("op", OPS)
@needs_native
def test_repeats_bit_for_bit_on_any_number_of_threads(op, autocast) -> None:
    given, upstream = inputs(op, (3, 777), 36, 50)
    threads = torch.get_num_threads()
    results = []
    try:
        for count in (1, 2, 1, 3):
            torch.set_num_threads(count)
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
                results.append(run(function(op), given, upstream, torch.float32, backend="native"))
    finally:
        torch.set_num_threads(threads)
    for out, gradients in results[1:]:
        assert torch.equal(out, results[0][0])
        assert all(torch.equal(a, b) for a, b in zip(gradients, results[0][1], strict=True))


@pytest.mark.parametrize(("backend", "dtype", "tolerance"), BACKENDS)
@pytest.mark.parametrize("op", OPS)
def test_nan_and_infinity_reach_their_row_only(op, backend, dtype, tolerance) -> None:
    given, _ = inputs(op, (60,), 20, 24)
    clean = function(op)(*(x.to(dtype) for x in given), backend=backend)
    given[0][20, 1], given[0][50, 0] = torch.nan, torch.inf
    out = function(op)(*(x.to(dtype) for x in given), backend=backend)
    spoilt = ~out.isfinite().all(dim=-1)
    assert spoilt.nonzero().flatten().tolist() == [20, 50]
    assert torch.equal(out[~spoilt], clean[~spoilt])


@pytest.mark.parametrize(("backend", "dtype", "tolerance"), BACKENDS)
@pytest.mark.parametrize("op", OPS)
def test_empty_batch(op, backend, dtype, tolerance) -> None:
    given, upstream = inputs(op, (0, 5), 8, 12)
    out, gradients = run(function(op), given, upstream, dtype, backend=backend)
    assert out.shape == upstream.shape
    assert all((gradient == 0).all() for gradient in gradients)


@pytest.mark.slow
@pytest.mark.parametrize("op", OPS)
def test_gradcheck(op) -> None:
    given, _ = inputs(op, (3,), 4, 5)
    leaves = [x.requires_grad_() for x in given]
    assert torch.autograd.gradcheck(function(op), leaves)
    assert torch.autograd.gradgradcheck(function(op), leaves)


@needs_native
@pytest.mark.parametrize("op", OPS)
def test_a_second_derivative_of_the_native_backend_is_refused(op) -> None:
    given, _ = inputs(op, (3,), 4, 5)
    leaves = [x.float().requires_grad_() for x in given]
    (gradient,) = torch.autograd.grad(
        function(op)(*leaves, backend="native").square().sum(), leaves[0], create_graph=True
    )
    with pytest.raises(RuntimeError, match="has no second derivative on this backend; backend='eager' has one"):
        gradient.sum().backward()


@pytest.mark.slow
@needs_native
@pytest.mark.parametrize("dtype", [torch.float32, pytest.param(torch.bfloat16, marks=needs_bfloat16)], ids=str)
@pytest.mark.parametrize("op", OPS)
def test_opcheck(op, dtype) -> None:
    given, _ = inputs(op, (3, 4), 6, 10)
    x, *rest = (tensor.float().requires_grad_() for tensor in given)
    if op == "linear_residual":
        weight, bias, residual = rest
        arguments = (x.detach().to(dtype).requires_grad_(), residual, None, None, weight, bias, None, None, 0.0, False)
    else:
        second = rest[4:] or (None, None)
        arguments = (x, None, *rest[:4], *second, 1e-5, op == "norm_mlp")
    dense = torch.ops.olift.dense.default
    torch.library.opcheck(dense, (*arguments, dtype))
    torch.library.opcheck(dense, (*(a.detach() if isinstance(a, Tensor) else a for a in arguments), dtype))


@pytest.mark.slow
@needs_native
@pytest.mark.parametrize("autocast", [False, pytest.param(True, marks=needs_bfloat16)], ids=["float32", "autocast"])
def test_compiles_without_breaks_or_a_recompile_per_length(autocast) -> None:
    torch._dynamo.reset()
    compiles = 0

    def counting(graph: torch.fx.GraphModule, _: list[Tensor]):
        nonlocal compiles
        compiles += 1
        return graph.forward

    given = {op: [x.float() for x in inputs(op, (1,), 8, 8)[0][1:]] for op in OPS}

    def layers(x: Tensor) -> Tensor:
        attended = ops.norm_linear(x, *given["norm_linear"])
        return ops.norm_mlp(ops.linear_residual(attended, *given["linear_residual"][:2], x), *given["norm_mlp"])

    compiled = torch.compile(layers, backend=counting, fullgraph=True, dynamic=None)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        for frames in (20, 33, 48, 64, 65, 100, 129, 243, 300, 301):
            x = torch.randn(2, frames, 3, 8)
            assert torch.equal(compiled(x), layers(x))
    assert compiles <= 2


def test_wrong_arguments_are_named() -> None:
    x, norm, bias = torch.zeros(2, 8), torch.ones(8), torch.zeros(8)
    weight, back = torch.zeros(12, 8), torch.zeros(8, 12)
    with pytest.raises(ValueError, match=r"weight must be \(E, D\) for x \(..., D\), got \(8, 12\) for \(2, 8\)"):
        ops.norm_linear(x, norm, bias, back)
    with pytest.raises(ValueError, match=r"norm_bias must be \(8,\), got \(12,\)"):
        ops.norm_linear(x, norm, torch.zeros(12), weight)
    with pytest.raises(ValueError, match=r"bias must be \(12,\), got \(8,\)"):
        ops.norm_linear(x, norm, bias, weight, bias)
    with pytest.raises(ValueError, match=r"residual must be \(2, 12\), got \(2, 8\)"):
        ops.linear_residual(x, weight, None, x)
    with pytest.raises(ValueError, match=r"second_weight must be \(8, 12\), got \(3, 12\)"):
        ops.norm_mlp(x, norm, bias, weight, None, torch.zeros(3, 12), None)
    with pytest.raises(ValueError, match=r"second_bias must be \(8,\), got \(3,\)"):
        ops.norm_mlp(x, norm, bias, weight, None, back, torch.zeros(3))
    with pytest.raises(TypeError, match=r"x must be a floating-point tensor, got torch.int64"):
        ops.norm_linear(x.long(), norm, bias, weight)


@needs_native
def test_what_the_native_backend_can_not_do_is_said() -> None:
    x, norm, bias, weight = torch.zeros(2, 8), torch.ones(8), torch.zeros(8), torch.zeros(12, 8)
    with pytest.raises(
        RuntimeError, match=r"norm_linear: backend 'native' can't run: dtype must be one of torch\.float32"
    ):
        ops.norm_linear(*(tensor.double() for tensor in (x, norm, bias, weight)), backend="native")
    with (
        torch.autocast("cpu", dtype=torch.float16),
        pytest.raises(RuntimeError, match=r"autocast's dtype must be torch\.bf"),
    ):
        ops.norm_linear(x, norm, bias, weight, backend="native")
    with pytest.raises(RuntimeError, match="norm_linear has no triton backend; it has native, eager"):
        ops.norm_linear(x, norm, bias, weight, backend="triton")


@needs_native
def test_a_processor_on_which_pytorch_is_faster_leaves_it_to_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    given = [x.float() for x in inputs("norm_mlp", (50,), 20, 24)[0]]
    native, plain = (ops.norm_mlp(*given, backend=backend) for backend in ("native", "eager"))
    assert not torch.equal(native, plain)
    monkeypatch.setattr("olift_fast.ops.layers.native._instruction_set", lambda: "avx2")
    assert torch.equal(ops.norm_mlp(*given), native)
    monkeypatch.setattr("olift_fast.ops.layers.native._instruction_set", lambda: "baseline")
    assert torch.equal(ops.norm_mlp(*given), plain)
    assert torch.equal(ops.norm_mlp(*given, backend="native"), native)
