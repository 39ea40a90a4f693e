"""`banded_attention` on every backend against the float64 reference."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from helpers import error, needs_native, needs_triton
from torch import Tensor

from olift_fast import reference
from olift_fast.ops import banded_attention, banded_attention_packed
from olift_fast.ops.triton_runtime import interpreted

BACKENDS = [
    pytest.param("native", torch.float32, 1e-5, marks=needs_native),
    pytest.param("native", torch.bfloat16, 1e-2, marks=needs_native),
    pytest.param("eager", torch.float32, 1e-5),
    pytest.param("eager", torch.float64, 1e-13),
]
# All shapes and types on a GPU; through the interpreter, which is slow, what is small.
ON_GPU = [
    pytest.param("triton", torch.float32, 1e-5, marks=pytest.mark.gpu),
    pytest.param("triton", torch.float16, 2e-3, marks=pytest.mark.gpu),
    pytest.param("triton", torch.bfloat16, 1e-2, marks=pytest.mark.gpu),
]
INTERPRETED = [pytest.param("triton", torch.float32, 1e-5, marks=needs_triton)]
SHAPES = [
    (2, 1, 1, 1, 8),
    (1, 7, 5, 2, 20),
    (2, 17, 3, 4, 32),
    (1, 48, 26, 2, 32),
    (2, 64, 3, 1, 64),
    (1, 65, 2, 3, 16),
    (2, 243, 2, 2, 13),
]
WINDOWS = [(8, 8), (0, 0), (3, 0), (0, 5), (300, 300)]


def inputs(
    shape: Sequence[int], window: tuple[int, int], seed: int = 0
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """qkv ``(B, T, J, 3, H, Dh)``, bias, visible, lengths, upstream gradient; float64."""
    generator = torch.Generator().manual_seed(seed)
    batch, frames, joints, heads, width = shape
    qkv = torch.randn(batch, frames, joints, 3, heads, width, dtype=torch.float64, generator=generator)
    bias = torch.randn(heads, sum(window) + 1, dtype=torch.float64, generator=generator)
    visible = torch.rand(batch, frames, joints, generator=generator) > 0.3
    lengths = torch.randint(1, frames + 1, (batch,), generator=generator)
    upstream = torch.randn(batch, frames, joints, heads, width, dtype=torch.float64, generator=generator)
    return qkv, bias, visible, lengths, upstream


def device(backend: str | None) -> str:
    return "cuda" if backend == "triton" and not interpreted() else "cpu"


def run(qkv: Tensor, bias: Tensor | None, upstream: Tensor, window: tuple[int, int], dtype: torch.dtype, **options):
    """Output and gradients of qkv and bias, on the CPU; backend None is the float64 reference."""
    backend = options.pop("backend")
    place = device(backend)
    options = {name: x.to(place) if isinstance(x, Tensor) else x for name, x in options.items()}
    qkv = qkv.to(place, dtype).clone().requires_grad_()
    bias = None if bias is None else bias.to(place, dtype).clone().requires_grad_()
    q, k, v = qkv.unbind(dim=3)
    if backend is None:
        out = reference.banded_attention(q, k, v, window, bias=bias, **options)
    else:
        out = banded_attention(q, k, v, window, bias=bias, backend=backend, **options)
    out.backward(upstream.to(place, dtype))
    return [x.detach().cpu() for x in (out, qkv.grad, None if bias is None else bias.grad) if x is not None]


@pytest.mark.parametrize(("backend", "dtype", "tolerance"), BACKENDS + ON_GPU)
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("masked", [False, True])
def test_matches_the_reference(backend, dtype, tolerance, window, shape, masked) -> None:
    qkv, bias, visible, lengths, upstream = inputs(shape, window)
    qkv, bias, upstream = (x.to(dtype).double() for x in (qkv, bias, upstream))
    options = {"visible": visible, "lengths": lengths} if masked else {}
    wanted = run(qkv, bias, upstream, window, torch.float64, backend=None, **options)
    got = run(qkv, bias, upstream, window, dtype, backend=backend, **options)
    assert error(got[0], wanted[0]) < tolerance
    assert error(got[1], wanted[1]) < 2 * tolerance
    # With one offset the softmax ignores the bias: its gradient is 0, a sum of terms that cancel.
    assert error(got[2], wanted[2], least=float(upstream.norm()) if sum(window) == 0 else 1e-3) < 2 * tolerance
    assert all(x.dtype == dtype for x in got)


def test_reference_is_scaled_dot_product_attention_with_a_band() -> None:
    qkv, bias, visible, _, _ = inputs((2, 30, 3, 2, 16), (4, 2))
    visible[:, 10] = True
    q, k, v = qkv.unbind(dim=3)
    out = reference.banded_attention(q, k, v, (4, 2), bias=bias, visible=visible)
    time = torch.arange(30)
    offset = time[None] - time[:, None]
    band = (offset >= -4) & (offset <= 2)
    mask = bias[:, (offset + 4).clamp(0, 6)].masked_fill(~band, -torch.inf)
    mask = mask[None, None].masked_fill(~visible.permute(0, 2, 1)[:, :, None, None], -torch.inf)
    wanted = torch.nn.functional.scaled_dot_product_attention(*(x.permute(0, 2, 3, 1, 4) for x in (q, k, v)), mask)
    seen = mask.isfinite().any(dim=-1)[..., None]
    wanted = torch.where(seen, wanted, 0.0).permute(0, 3, 1, 2, 4)
    assert error(out, wanted) < 1e-13


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "dtype", "tolerance"), BACKENDS + INTERPRETED)
def test_hidden_keys_may_hold_nan(backend, dtype, tolerance) -> None:
    qkv, bias, visible, lengths, upstream = inputs((2, 40, 4, 2, 24), (8, 8))
    keys = visible & (torch.arange(40) < lengths[:, None])[:, :, None]
    poisoned = qkv.clone()
    poisoned[:, :, :, 1:][~keys] = torch.nan
    options = {"visible": visible, "lengths": lengths}
    wanted = run(qkv, bias, upstream, (8, 8), torch.float64, backend=None, **options)
    got = run(poisoned, bias, upstream, (8, 8), dtype, backend=backend, **options)
    assert error(got[0], wanted[0]) < tolerance
    assert error(got[1], wanted[1]) < 2 * tolerance
    assert (got[1][:, :, :, 1:][~keys] == 0).all()


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "dtype", "tolerance"), BACKENDS + INTERPRETED)
def test_row_without_visible_key_is_zero(backend, dtype, tolerance) -> None:
    qkv, bias, visible, _, upstream = inputs((1, 30, 3, 2, 16), (2, 2))
    visible[:] = True
    visible[:, 10:20, 1] = False
    out, gradient, _ = run(qkv, bias, upstream, (2, 2), dtype, backend=backend, visible=visible)
    assert (out[:, 12:18, 1] == 0).all()
    assert (gradient[:, 12:18, 1, 0] == 0).all()
    assert gradient.isfinite().all()
    assert out[:, 11, 1].abs().min() > 0


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "dtype", "tolerance"), BACKENDS + INTERPRETED)
def test_nan_in_a_visible_key_reaches_its_band_only(backend, dtype, tolerance) -> None:
    qkv, _, _, _, _ = inputs((1, 200, 2, 1, 8), (3, 1))
    qkv[0, 100, 1, 1] = torch.nan
    q, k, v = qkv.to(device(backend), dtype).unbind(dim=3)
    out = banded_attention(q, k, v, (3, 1), backend=backend).cpu()
    touched = out.isnan().any(dim=(-1, -2))[0, :, 1]
    assert touched[99:104].all()
    if backend != "eager":
        assert touched.sum() == 5
    assert not out[:, :, 0].isnan().any()


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "dtype", "tolerance"), BACKENDS + INTERPRETED)
def test_strided_views_are_read_where_they_lie(backend, dtype, tolerance) -> None:
    generator = torch.Generator().manual_seed(1)
    base = torch.randn(3, 2, 5, 33, 2, 40, dtype=torch.float64, generator=generator)
    q, k, v = (x[..., 3:23].permute(0, 2, 1, 3, 4) for x in base)
    wanted = reference.banded_attention(q, k, v, 4)
    base = base.to(device(backend), dtype)
    q, k, v = (x[..., 3:23].permute(0, 2, 1, 3, 4) for x in base)
    assert error(banded_attention(q, k, v, 4, backend=backend).cpu(), wanted) < tolerance
    expanded = q[:1].expand(2, -1, -1, -1, -1)
    wanted = reference.banded_attention(*(x.cpu().double() for x in (expanded, k, v)), 4)
    assert error(banded_attention(expanded, k, v, 4, backend=backend).cpu(), wanted) < tolerance


@pytest.mark.parametrize(("backend", "dtype", "tolerance"), BACKENDS + ON_GPU)
def test_repeats_bit_for_bit(backend, dtype, tolerance) -> None:
    qkv, bias, visible, lengths, upstream = inputs((2, 100, 7, 2, 32), (8, 8))
    options = {"backend": backend, "visible": visible, "lengths": lengths}
    first = run(qkv, bias, upstream, (8, 8), dtype, **options)
    second = run(qkv, bias, upstream, (8, 8), dtype, **options)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.slow
def test_gradients_pass_gradcheck_in_float64() -> None:
    qkv, bias, visible, lengths, _ = inputs((1, 9, 2, 2, 3), (2, 1))

    def function(qkv: Tensor, bias: Tensor) -> Tensor:
        q, k, v = qkv.unbind(dim=3)
        return banded_attention(q, k, v, (2, 1), bias=bias, visible=visible, lengths=lengths, backend="eager")

    leaves = (qkv.requires_grad_(), bias.requires_grad_())
    assert torch.autograd.gradcheck(function, leaves)
    assert torch.autograd.gradgradcheck(function, leaves)


@pytest.mark.slow
@needs_native
@pytest.mark.parametrize("masked", [False, True])
def test_opcheck(masked) -> None:
    qkv, bias, visible, lengths, _ = inputs((2, 20, 3, 2, 8), (3, 2))
    q, k, v = (x.float().requires_grad_() for x in qkv.unbind(dim=3))
    options = (bias.float().requires_grad_(), visible, lengths) if masked else (None, None, None)
    torch.library.opcheck(torch.ops.olift.banded_attention.default, ([q, k, v], 3, 2, *options, 0.3))


@pytest.mark.slow
@pytest.mark.parametrize("backend, most", [pytest.param("native", 2, marks=needs_native), ("eager", 4)])
def test_compiles_without_breaks_or_a_recompile_per_length(backend, most) -> None:
    torch._dynamo.reset()
    compiles = 0

    def counting(graph: torch.fx.GraphModule, _: list[Tensor]):
        nonlocal compiles
        compiles += 1
        return graph.forward

    def function(qkv: Tensor) -> Tensor:
        q, k, v = qkv.unbind(dim=3)
        return banded_attention(q, k, v, 8, backend=backend)

    compiled = torch.compile(function, backend=counting, fullgraph=True, dynamic=None)
    for frames in (20, 33, 48, 50, 60, 64, 65, 100, 129, 243):
        qkv = inputs((1, frames, 2, 2, 8), (8, 8))[0].float()
        assert torch.equal(compiled(qkv), function(qkv))
    assert compiles <= most


@needs_native
def test_bfloat16_is_as_exact_as_attention_of_torch_under_autocast_too() -> None:
    qkv, _, _, _, upstream = inputs((1, 30, 2, 2, 16), (8, 8))
    half = qkv.bfloat16()
    exact = half.double().requires_grad_()
    wanted = reference.banded_attention(*exact.unbind(dim=3), 8)
    wanted.backward(upstream.bfloat16().double())

    def native(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return banded_attention(q, k, v, 8, backend="native")

    def plain(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        time = torch.arange(30)
        band = (time[None] - time[:, None]).abs() <= 8
        flat = (x.permute(0, 2, 3, 1, 4) for x in (q, k, v))
        return torch.nn.functional.scaled_dot_product_attention(*flat, attn_mask=band).permute(0, 3, 1, 2, 4)

    errors = []
    for function in (native, plain):
        leaf = half.clone().requires_grad_()
        out = function(*leaf.unbind(dim=3))
        assert out.dtype == torch.bfloat16
        out.backward(upstream.bfloat16())
        errors.append((error(out, wanted.detach()), error(leaf.grad, exact.grad)))
    (own, own_gradient), (theirs, their_gradient) = errors
    assert own < 1e-2 and own_gradient < 2e-2
    assert own <= 2 * theirs and own_gradient <= 2 * their_gradient


@needs_native
def test_packed_projection_gets_the_same_gradient_in_one_tensor() -> None:
    qkv, bias, visible, lengths, upstream = inputs((2, 40, 3, 2, 16), (3, 5))
    options = {"visible": visible, "lengths": lengths, "backend": "native"}
    wanted = run(qkv, bias, upstream, (3, 5), torch.float32, **options)
    leaf, bias_leaf = qkv.float().requires_grad_(), bias.float().requires_grad_()
    out = banded_attention_packed(leaf, (3, 5), bias=bias_leaf, **options)
    out.backward(upstream.float())
    assert all(torch.equal(a, b) for a, b in zip([out, leaf.grad, bias_leaf.grad], wanted, strict=True))
    with pytest.raises(ValueError, match=r"qkv must be \(B, T, J, 3, H, Dh\), got \(2, 40, 3, 16\)"):
        banded_attention_packed(leaf[:, :, :, 0, 0], 8)


@needs_native
def test_second_derivative_is_a_clear_error() -> None:
    qkv, _, _, _, upstream = inputs((1, 9, 2, 2, 4), (2, 1))
    leaf = qkv.float().requires_grad_()
    out = banded_attention_packed(leaf, 2, backend="native")
    (gradient,) = torch.autograd.grad(out, leaf, upstream.float(), create_graph=True)
    with pytest.raises(RuntimeError, match=r"banded_attention has no second derivative .* backend='eager' has one"):
        torch.autograd.grad(gradient.sum(), leaf)


def test_empty_batch_gives_an_empty_result() -> None:
    q = torch.zeros(0, 5, 3, 2, 8)
    assert banded_attention(q, q, q, 8).shape == (0, 5, 3, 2, 8)


def test_wrong_arguments_are_named() -> None:
    q = torch.zeros(2, 5, 3, 2, 8)
    mask = torch.ones(2, 5, 3, dtype=torch.bool)
    with pytest.raises(ValueError, match=r"window .* >= 0, got \(-1, 8\)"):
        banded_attention(q, q, q, (-1, 8))
    with pytest.raises(ValueError, match=r"q must be \(B, T, J, H, Dh\), got \(2, 5\)"):
        banded_attention(q[:, :, 0, 0, 0], q, q, 8)
    with pytest.raises(ValueError, match=r"k must be \(2, 5, 3, 2, 8\), got \(2, 4, 3, 2, 8\)"):
        banded_attention(q, q[:, :4], q, 8)
    with pytest.raises(TypeError, match=r"v must be torch.float32, got torch.float64"):
        banded_attention(q, q, q.double(), 8)
    with pytest.raises(TypeError, match=r"q must be a floating-point tensor, got torch.int64"):
        banded_attention(q.long(), q.long(), q.long(), 8)
    with pytest.raises(ValueError, match=r"bias must be \(2, 17\), got \(2, 16\)"):
        banded_attention(q, q, q, 8, bias=torch.zeros(2, 16))
    with pytest.raises(ValueError, match=r"visible must be \(2, 5, 3\), got \(2, 5\)"):
        banded_attention(q, q, q, 8, visible=mask[:, :, 0])
    with pytest.raises(TypeError, match=r"visible must be bool, got torch.float32"):
        banded_attention(q, q, q, 8, visible=mask.float())
    with pytest.raises(ValueError, match=r"lengths must be \(2,\), got \(3,\)"):
        banded_attention(q, q, q, 8, lengths=torch.ones(3, dtype=torch.long))
    with pytest.raises(TypeError, match=r"lengths must be integers, got torch.float32"):
        banded_attention(q, q, q, 8, lengths=torch.ones(2))
    with pytest.raises(ValueError, match=r"q must have a last stride of 1, got 2"):
        banded_attention(q[..., ::2], q[..., ::2], q[..., ::2], 8)


def test_backend_by_name_raises_where_it_can_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    q = torch.zeros(1, 5, 3, 2, 8, dtype=torch.float64)
    with pytest.raises(RuntimeError, match=r"banded_attention: backend 'native' can't run"):
        banded_attention(q, q, q, 8, backend="native")
    with pytest.raises(
        ValueError, match=r"backend must be one of auto, triton, cuda, native, eager, reference, got 'nope'"
    ):
        banded_attention(q, q, q, 8, backend="nope")
    monkeypatch.setenv("OLIFT_BACKEND", "native")
    with pytest.raises(
        RuntimeError,
        match=r"dtype must be one of torch.float32, torch.bfloat16, got torch.float64|not built|switched off",
    ):
        banded_attention(q, q, q, 8)
    assert banded_attention(q, q, q, 8, backend="auto").shape == q.shape
