"""`rff_encode` and `rff_linear` on every backend against the float64 reference."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from helpers import error, needs_native, needs_triton
from torch import Tensor

from olift_fast import reference
from olift_fast.ops import rff_encode, rff_linear
from olift_fast.ops.triton_runtime import interpreted

DEVICE = {"triton": "cuda" if torch.cuda.is_available() else "cpu"}
FAST = [
    pytest.param("native", torch.float32, 1e-5, marks=needs_native),
    pytest.param("triton", torch.float32, 1e-5, marks=needs_triton),
]
BACKENDS = [*FAST, pytest.param("eager", torch.float32, 1e-5), pytest.param("eager", torch.float64, 1e-13)]
# the points' shape, C, F, D
SHAPES = [((), 2, 8, 16), ((1, 1), 1, 1, 1), ((3, 7), 3, 13, 37), ((2, 9), 1, 70, 20)]
LARGE = [
    ((2, 5, 13), 2, 64, 128),
    ((97,), 16, 33, 65),
    ((1300,), 2, 5, 20),
]  # Triton's interpreter takes long for these
CASES = [
    pytest.param(*backend.values, shape, marks=backend.marks, id=f"{backend.values[0]}-{backend.values[1]}-{shape}")
    for backend in BACKENDS
    for shape in (SHAPES if backend.values[0] == "triton" and interpreted() else SHAPES + LARGE)
]
NAMES = ("x", "freqs", "weight", "bias", "token")


def inputs(points: Sequence[int], channels: int, frequencies: int, width: int, seed: int = 0):
    """x, freqs, weight, bias, token; visible; upstream gradients of the layer and of the features: float64 all."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    leaves = [
        normal(*points, channels),
        normal(channels, frequencies),
        normal(width, 2 * frequencies),
        normal(width),
        normal(width),
    ]
    # What a float32 backend gets is exactly what the reference gets: the error is the computation's alone.
    leaves = [leaf.float().double() for leaf in leaves]
    visible = torch.rand(points, generator=generator) > 0.3
    return leaves, visible, normal(*points, width), normal(*points, 2 * frequencies)


def run(function: Callable[..., Tensor], leaves: Sequence[Tensor], upstream: Tensor, dtype: torch.dtype, **options):
    """The output and the gradients of the leaves (None where there is none)."""
    device = DEVICE.get(options.get("backend"), "cpu")
    leaves = [leaf.detach().to(device, dtype).requires_grad_() for leaf in leaves]
    options = {name: x.to(device) if isinstance(x, Tensor) else x for name, x in options.items()}
    token = {"token": leaves[4]} if len(leaves) == 5 else {}
    out = function(*leaves[:4], **options, **token)
    out.backward(upstream.to(device, dtype))
    return out, [leaf.grad for leaf in leaves]


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "dtype", "tolerance", "shape"), CASES)
@pytest.mark.parametrize("masked", [False, True], ids=["all", "masked"])
def test_matches_the_reference(backend, dtype, tolerance, shape, masked) -> None:
    leaves, visible, upstream, upstream_features = inputs(*shape)
    options = {"visible": visible} if masked else {}
    count = 5 if masked else 4
    ways = [
        (reference.rff_linear, rff_linear, leaves[:count], upstream),
        (reference.rff_encode, rff_encode, leaves[:2], upstream_features),
    ]
    for plain, function, given, gradient in ways:
        wanted, wanted_gradients = run(plain, given, gradient, torch.float64, **options)
        got, gradients = run(function, given, gradient, dtype, backend=backend, **options)
        assert got.dtype == dtype and got.shape == wanted.shape
        assert error(got, wanted) < tolerance
        for name, a, b in zip(NAMES, gradients, wanted_gradients, strict=False):
            assert a.dtype == dtype and error(a, b) < 2 * tolerance, name


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES if interpreted() else SHAPES + LARGE, ids=str)
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [
        pytest.param(torch.float16, 2e-3, marks=needs_triton),
        # The interpreter multiplies the bits of bfloat16 as if they were whole numbers.
        pytest.param(torch.bfloat16, 1e-2, marks=pytest.mark.gpu),
    ],
)
@pytest.mark.parametrize("wide_token", [False, True], ids=["half", "float32 token"])
def test_layer_in_half_precision_on_a_gpu(wide_token, dtype, tolerance, shape) -> None:
    """Weights in half precision; the token too, or in float32 as a lifter under autocast has it."""
    leaves, visible, upstream, _ = inputs(shape[0], *shape[1:])
    dtypes = [torch.float32, torch.float32, dtype, dtype, torch.float32 if wide_token else dtype]
    given = [x.to(DEVICE["triton"], of).requires_grad_() for x, of in zip(leaves, dtypes, strict=True)]
    out = rff_linear(*given[:4], visible=visible.to(DEVICE["triton"]), token=given[4], backend="triton")
    assert out.dtype == dtypes[4]
    out.backward(upstream.to(out))
    rounded = [leaf.detach().cpu().double() for leaf in given]
    wanted, gradients = run(reference.rff_linear, rounded, upstream, torch.float64, visible=visible)
    assert error(out, wanted) < tolerance
    for name, leaf, gradient in zip(NAMES, given, gradients, strict=True):
        assert leaf.grad.dtype == leaf.dtype and error(leaf.grad, gradient) < 2 * tolerance, name


@pytest.mark.slow
@needs_triton
def test_sums_over_more_points_than_a_program_takes_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs of three blocks of points each: what a long clip on a GPU does."""
    monkeypatch.setattr("olift_fast.ops.rff.triton_launch._RUNS", 2)
    leaves, visible, upstream, _ = inputs((165,), 2, 5, 6)
    wanted, wanted_gradients = run(reference.rff_linear, leaves, upstream, torch.float64, visible=visible)
    got, gradients = run(rff_linear, leaves, upstream, torch.float32, visible=visible, backend="triton")
    assert error(got, wanted) < 1e-5
    assert all(error(a, b) < 2e-5 for a, b in zip(gradients, wanted_gradients, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "dtype", "tolerance"), FAST)
def test_phases_of_ten_thousand_turns_stay_accurate(backend, dtype, tolerance) -> None:
    """Against float64 on the same float32 numbers; the same sum in float32 is a thousand times worse."""
    generator = torch.Generator().manual_seed(4)
    x = (torch.rand(60, 2, generator=generator) * 2 - 1) * 7000
    freqs, upstream = torch.randn(2, 20, generator=generator), torch.randn(60, 40, generator=generator)
    assert (x @ freqs).abs().max() > 1e4
    wanted, wanted_gradients = run(reference.rff_encode, (x, freqs), upstream, torch.float64)
    got, gradients = run(rff_encode, (x, freqs), upstream, dtype, backend=backend)
    assert error(got, wanted) < 1e-5
    assert all(error(a, b) < 2e-5 for a, b in zip(gradients, wanted_gradients, strict=True))
    weight = torch.randn(16, 40, generator=generator)
    layer = rff_linear(*(t.to(DEVICE.get(backend, "cpu")) for t in (x, freqs, weight)), backend=backend)
    assert error(layer, wanted @ weight.double().T) < 1e-5
    assert error(reference.rff_encode(x, freqs), wanted) > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "dtype", "tolerance"), BACKENDS)
def test_hidden_points_may_hold_nan(backend, dtype, tolerance) -> None:
    leaves, visible, upstream, upstream_features = inputs((6, 17), 2, 8, 24)
    wanted, wanted_gradients = run(reference.rff_linear, leaves, upstream, torch.float64, visible=visible)
    leaves[0][~visible] = torch.nan
    got, gradients = run(rff_linear, leaves, upstream, dtype, backend=backend, visible=visible)
    assert error(got, wanted) < tolerance
    assert torch.equal(got[~visible].cpu(), leaves[4].to(dtype).expand_as(got[~visible]))
    assert all(error(a, b) < 2 * tolerance for a, b in zip(gradients, wanted_gradients, strict=True))
    assert (gradients[0][~visible] == 0).all()
    upstream_features[~visible] = torch.nan
    features, gradients = run(rff_encode, leaves[:2], upstream_features, dtype, backend=backend, visible=visible)
    assert (features[~visible] == 0).all() and (gradients[0][~visible] == 0).all()
    assert gradients[1].isfinite().all()


@pytest.mark.parametrize(("backend", "dtype", "tolerance"), BACKENDS)
def test_nan_and_infinity_in_a_visible_point_reach_its_row_only(backend, dtype, tolerance) -> None:
    leaves, *_ = inputs((60,), 2, 8, 24)
    leaves[0][20, 1], leaves[0][50, 0] = torch.nan, torch.inf
    out = rff_linear(*(leaf.to(DEVICE.get(backend, "cpu"), dtype) for leaf in leaves[:4]), backend=backend)
    assert out.isnan().all(dim=-1).nonzero().flatten().tolist() == [20, 50]
    assert out.isnan().any(dim=-1).sum() == 2


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "dtype", "tolerance"), BACKENDS)
def test_every_point_hidden_gives_tokens_and_zero_gradients(backend, dtype, tolerance) -> None:
    leaves, visible, upstream, _ = inputs((40,), 2, 8, 24)
    hidden = torch.zeros_like(visible)
    out, gradients = run(rff_linear, leaves, upstream, dtype, backend=backend, visible=hidden)
    assert torch.equal(out.cpu(), leaves[4].to(dtype).expand(40, -1))
    assert all((gradient == 0).all() for gradient in gradients[:4])
    assert error(gradients[4], upstream.sum(dim=0)) < 2 * tolerance
    without = rff_linear(*(x.to(out) for x in leaves[:4]), visible=hidden.to(out.device), backend=backend)
    assert (without == 0).all()


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "dtype", "tolerance"), BACKENDS)
def test_strided_and_expanded_inputs(backend, dtype, tolerance) -> None:
    leaves, visible, _, _ = inputs((5, 3, 4), 2, 8, 24)
    base, freqs, weight, bias, token = (leaf.to(DEVICE.get(backend, "cpu"), dtype) for leaf in leaves)
    visible = visible.to(base.device)
    x = base.transpose(0, 1)[..., ::2, :].flip(-1).transpose(-1, -2).transpose(-1, -2)
    seen = visible.transpose(0, 1)[..., ::2]
    wide = torch.stack([weight, weight], dim=1)[:, 0]
    upstream = torch.randn(24, 3, 5, 2, dtype=torch.float64).permute(1, 2, 3, 0)
    for points, mask in ((x, seen), (x[:, :1].expand(-1, 4, -1, -1), seen[:, :1].expand(-1, 4, -1))):
        given = (points, freqs.T.contiguous().T, wide, bias, token)
        gradient = upstream[:, :1].expand((*points.shape[:-1], 24))
        doubles = [t.cpu().double() for t in given]
        wanted, wanted_gradients = run(reference.rff_linear, doubles, gradient, torch.float64, visible=mask.cpu())
        got, gradients = run(rff_linear, given, gradient, dtype, visible=mask, backend=backend)
        assert error(got, wanted) < tolerance
        assert all(error(a, b) < 2 * tolerance for a, b in zip(gradients, wanted_gradients, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "dtype", "tolerance"), BACKENDS)
def test_repeats_bit_for_bit(backend, dtype, tolerance) -> None:
    leaves, visible, upstream, _ = inputs((50,) if backend == "triton" else (13, 90), 2, 16, 24)
    first, first_gradients = run(rff_linear, leaves, upstream, dtype, visible=visible, backend=backend)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3 - min(threads, 2) if backend == "native" else threads)
        second, second_gradients = run(rff_linear, leaves, upstream, dtype, visible=visible, backend=backend)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(first, second)
    assert all(torch.equal(a, b) for a, b in zip(first_gradients, second_gradients, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "dtype", "tolerance"), BACKENDS)
@pytest.mark.parametrize("wanted", [(0,), (1,), (2,), (3,), (4,), (0, 3)], ids=str)
def test_a_gradient_is_the_same_whatever_else_is_wanted(backend, dtype, tolerance, wanted) -> None:
    leaves, visible, upstream, _ = inputs((21,), 2, 8, 24)
    _, gradients = run(rff_linear, leaves, upstream, torch.float64, visible=visible, backend="eager")
    device = DEVICE.get(backend, "cpu")
    given = [leaf.to(device, dtype).requires_grad_(i in wanted) for i, leaf in enumerate(leaves)]
    out = rff_linear(*given[:4], token=given[4], visible=visible.to(device), backend=backend)
    out.backward(upstream.to(out))
    assert [i for i, leaf in enumerate(given) if leaf.grad is not None] == list(wanted)
    assert all(error(given[i].grad, gradients[i]) < 2 * tolerance for i in wanted)


@pytest.mark.parametrize(("backend", "dtype", "tolerance"), BACKENDS)
def test_empty_batch(backend, dtype, tolerance) -> None:
    leaves, visible, upstream, upstream_features = inputs((0, 5), 2, 4, 6)
    out, gradients = run(rff_linear, leaves, upstream, dtype, visible=visible, backend=backend)
    assert out.shape == (0, 5, 6)
    assert all((gradient == 0).all() for gradient in gradients)
    features, gradients = run(rff_encode, leaves[:2], upstream_features, dtype, backend=backend)
    assert features.shape == (0, 5, 8) and (gradients[1] == 0).all()


def test_encode_is_cosines_then_sines() -> None:
    rng = np.random.default_rng(0)
    x, freqs = rng.normal(size=(4, 7, 2)), rng.normal(size=(2, 5))
    phase = 2 * math.pi * x @ freqs
    wanted = np.concatenate([np.cos(phase), np.sin(phase)], axis=-1)
    got = rff_encode(torch.from_numpy(x), torch.from_numpy(freqs))
    assert np.abs(got.numpy() - wanted).max() < 1e-12


def test_linear_is_encode_then_linear_with_a_token_for_what_is_hidden() -> None:
    (x, freqs, weight, bias, token), visible, _, _ = inputs((3, 6), 2, 8, 5)
    x[~visible] = torch.nan
    out = rff_linear(x, freqs, weight, bias, visible=visible, token=token)
    wanted = rff_encode(x[visible], freqs) @ weight.T + bias
    assert torch.allclose(out[visible], wanted, atol=1e-13)
    assert torch.equal(out[~visible], token.expand(int((~visible).sum()), 5))


@pytest.mark.slow
def test_gradcheck() -> None:
    leaves, visible, _, _ = inputs((2, 3), 2, 4, 3)

    def function(x, freqs, weight, bias, token):
        return rff_linear(x, freqs, weight, bias, visible=visible, token=token)

    leaves = [leaf.requires_grad_() for leaf in leaves]
    assert torch.autograd.gradcheck(function, leaves)
    assert torch.autograd.gradgradcheck(function, leaves)


@pytest.mark.parametrize("backend", [pytest.param("native", marks=needs_native), "eager"])
def test_whole_turns_do_not_matter_to_float32(backend) -> None:
    freqs = torch.tensor([[1.0, 2.0, 5.0]])
    x = torch.tensor([[0.25], [0.125]])
    near, far = (rff_encode(points, freqs, backend=backend) for points in (x, x + 1024))
    assert torch.allclose(near, far, atol=1e-6)


@pytest.mark.parametrize("backend", [pytest.param("native", marks=needs_native), "eager"])
def test_half_precision_points_have_float32_phases(backend) -> None:
    leaves, _, upstream, _ = inputs((60,), 2, 16, 8)
    x, freqs = (leaf.bfloat16() for leaf in leaves[:2])
    wanted = reference.rff_encode(x.double(), freqs.double())
    got = rff_encode(x, freqs, backend=backend)
    assert got.dtype == torch.bfloat16 and error(got, wanted) < 3e-3
    given = [leaf.bfloat16().requires_grad_() for leaf in leaves[:4]]
    out = rff_linear(*given)  # no fast CPU backend multiplies in bfloat16
    out.backward(upstream.bfloat16())
    doubles = [leaf.detach().double() for leaf in given]
    wanted, gradients = run(reference.rff_linear, doubles, upstream, torch.float64)
    assert out.dtype == torch.bfloat16 and error(out, wanted) < 1e-2
    assert all(error(leaf.grad, gradient) < 2e-2 for leaf, gradient in zip(given, gradients, strict=True))


@pytest.mark.parametrize("backend", [pytest.param("native", marks=needs_native), "eager"])
def test_autocast_keeps_phases_float32_and_the_reference_s_dtypes(backend) -> None:
    leaves, visible, upstream, _ = inputs((50,), 2, 16, 8)
    x, freqs, weight, bias, token = (leaf.float().requires_grad_() for leaf in leaves)
    exact, exact_gradients = run(reference.rff_linear, leaves, upstream, torch.float64, visible=visible)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        features = rff_encode(x, freqs, backend=backend)
        full = rff_linear(x, freqs, weight, bias, visible=visible, token=token, backend=backend)
        bare = rff_linear(x, freqs, weight, bias, backend=backend)
        wanted = reference.rff_linear(x, freqs, weight, bias, visible=visible, token=token)
        wanted_bare = reference.rff_linear(x, freqs, weight, bias)
    assert torch.equal(features, rff_encode(x, freqs, backend=backend))
    assert (full.dtype, bare.dtype) == (wanted.dtype, wanted_bare.dtype) == (torch.float32, torch.bfloat16)
    full.backward(upstream.float())
    assert error(full, exact) < 1e-2
    gradients = [leaf.grad for leaf in (x, freqs, weight, bias, token)]
    assert all(a.dtype == torch.float32 and error(a, b) < 2e-2 for a, b in zip(gradients, exact_gradients, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [pytest.param("", marks=needs_native), pytest.param("_triton", marks=needs_triton)],
    ids=["native", "triton"],
)
@pytest.mark.parametrize("masked", [False, True], ids=["all", "masked"])
def test_opcheck(name, masked) -> None:
    leaves, visible, _, _ = inputs((3, 4), 2, 4, 6)
    device = DEVICE["triton"] if name else "cpu"
    x, freqs, weight, bias, token = (leaf.to(device, torch.float32).requires_grad_() for leaf in leaves)
    visible = visible.to(device) if masked else None
    rest = (bias, visible, token) if masked else (None, None, None)
    linear = getattr(torch.ops.olift, f"rff_linear{name}").default
    torch.library.opcheck(linear, (x, freqs, weight, *rest, torch.float32))
    torch.library.opcheck(linear, (x.detach(), freqs.detach(), weight, *rest, torch.float32))
    torch.library.opcheck(getattr(torch.ops.olift, f"rff_encode{name}").default, (x, freqs, visible))


@pytest.mark.slow
@needs_native
def test_compiles_without_breaks_or_a_recompile_per_length() -> None:
    torch._dynamo.reset()
    compiles = 0

    def counting(graph: torch.fx.GraphModule, _: list[Tensor]):
        nonlocal compiles
        compiles += 1
        return graph.forward

    leaves, *_ = inputs((1,), 2, 8, 12)
    layer = [leaf.float() for leaf in leaves[1:]]

    def function(x: Tensor, visible: Tensor) -> Tensor:
        freqs, weight, bias, token = layer
        return rff_linear(x, freqs, weight, bias, visible=visible, token=token) + rff_encode(x, freqs).sum()

    compiled = torch.compile(function, backend=counting, fullgraph=True, dynamic=None)
    for frames in (20, 33, 48, 64, 65, 100, 129, 243, 300, 301):
        (x, *_), visible, _, _ = inputs((2, frames, 3), 2, 1, 1)
        assert torch.equal(compiled(x.float(), visible), function(x.float(), visible))
    assert compiles <= 2


@pytest.mark.slow
@needs_native
def test_compiled_gradients_are_the_eager_ones() -> None:
    torch._dynamo.reset()
    leaves, visible, upstream, _ = inputs((2, 11), 2, 8, 12)
    compiled = torch.compile(rff_linear, backend="aot_eager", fullgraph=True)
    wanted, wanted_gradients = run(rff_linear, leaves, upstream, torch.float32, visible=visible)
    got, gradients = run(compiled, leaves, upstream, torch.float32, visible=visible)
    assert torch.equal(got, wanted)
    assert all(torch.equal(a, b) for a, b in zip(gradients, wanted_gradients, strict=True))


@pytest.mark.slow
@needs_native
def test_exports() -> None:
    class Layer(torch.nn.Module):
        def forward(self, x: Tensor, freqs: Tensor, weight: Tensor, visible: Tensor) -> Tensor:
            return rff_linear(x, freqs, weight, visible=visible)

    leaves, visible, _, _ = inputs((2, 11), 2, 8, 12)
    given = (*(leaf.float() for leaf in leaves[:3]), visible)
    frames = torch.export.Dim("frames")
    shapes = ({1: frames}, None, None, {1: frames})
    program = torch.export.export(Layer(), given, dynamic_shapes=shapes)
    leaves, visible, _, _ = inputs((2, 30), 2, 8, 12, seed=1)
    given = (*(leaf.float() for leaf in leaves[:3]), visible)
    assert torch.equal(program.module()(*given), Layer()(*given))


@pytest.mark.parametrize(("backend", "dtype", "tolerance"), FAST)
def test_second_derivative_is_a_clear_error(backend, dtype, tolerance) -> None:
    leaves, _, upstream, _ = inputs((5,), 2, 3, 4)
    x, freqs, weight = (leaf.to(DEVICE.get(backend, "cpu"), dtype).requires_grad_() for leaf in leaves[:3])
    out = rff_linear(x, freqs, weight, backend=backend)
    (gradient,) = torch.autograd.grad(out, x, upstream.to(out), create_graph=True)
    with pytest.raises(RuntimeError, match=r"rff_linear has no second derivative .* backend='eager' has one"):
        torch.autograd.grad(gradient.sum(), freqs)


def test_wrong_arguments_are_named() -> None:
    x, freqs, weight = torch.zeros(4, 2), torch.zeros(2, 3), torch.zeros(5, 6)
    with pytest.raises(ValueError, match=r"freqs must be \(C, F\) for x \(..., C\), got \(3, 3\) for \(4, 2\)"):
        rff_encode(x, torch.zeros(3, 3))
    with pytest.raises(ValueError, match=r"freqs must be \(C, F\) for x \(..., C\), got \(2, 0\) for \(4, 2\)"):
        rff_encode(x, torch.zeros(2, 0))
    with pytest.raises(ValueError, match=r"visible must be \(4,\), got \(3,\)"):
        rff_encode(x, freqs, visible=torch.ones(3, dtype=torch.bool))
    with pytest.raises(TypeError, match=r"visible must be bool, got torch.float32"):
        rff_encode(x, freqs, visible=torch.ones(4))
    with pytest.raises(TypeError, match=r"x must be a floating-point tensor, got torch.int64"):
        rff_encode(x.long(), freqs)
    with pytest.raises(ValueError, match=r"weight must be \(5, 6\), got \(5, 4\)"):
        rff_linear(x, freqs, torch.zeros(5, 4))
    with pytest.raises(ValueError, match=r"token must be \(5,\), got \(4,\)"):
        rff_linear(x, freqs, weight, token=torch.zeros(4))
    with pytest.raises(TypeError, match=r"bias must be torch.float32, got torch.float64"):
        rff_linear(x, freqs, weight, torch.zeros(5, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"weight must be on cpu, got meta"):
        rff_linear(x, freqs, weight.to("meta"))


def test_backend_by_name_raises_where_it_can_not_run() -> None:
    x, freqs, weight = torch.zeros(4, 2), torch.zeros(2, 3), torch.zeros(5, 6)
    with pytest.raises(
        RuntimeError, match=r"rff_linear: backend 'native' can't run: (dtype must be|.*not built|.*off)"
    ):
        rff_linear(x, freqs, weight.bfloat16(), backend="native")
    with pytest.raises(RuntimeError, match=r"rff_encode: backend 'native' can't run"):
        rff_encode(x.double(), freqs, backend="native")
    with pytest.raises(RuntimeError, match=r"rff_encode has no cuda backend; it has .*native, eager"):
        rff_encode(x, freqs, backend="cuda")
