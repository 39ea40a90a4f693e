"""`joint_attention` on every backend against the float64 reference."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
import torch
from helpers import error, needs_native, needs_triton
from torch import Tensor

from olift_fast import reference
from olift_fast.ops import joint_attention, joint_attention_packed
from olift_fast.ops.joint_attention import triton_launch

DEVICE = {"triton": "cuda" if torch.cuda.is_available() else "cpu"}
BACKENDS = [
    pytest.param("native", torch.float32, 1e-5, marks=needs_native),
    pytest.param("native", torch.bfloat16, 1e-2, marks=needs_native),
    pytest.param("triton", torch.float32, 1e-5, marks=needs_triton),
    pytest.param("triton", torch.float16, 2e-3, marks=needs_triton),
    pytest.param("triton", torch.bfloat16, 1e-2, marks=pytest.mark.gpu),
    pytest.param("eager", torch.float32, 1e-5),
    pytest.param("eager", torch.float64, 1e-13),
]
FAST = [
    pytest.param("native", marks=needs_native),
    pytest.param("triton", marks=needs_triton),
]
MASKS = ["none", "graph of heads", "graph of samples", "visible", "all"]
SHAPES = [
    (3, 7, 1, 2, 8),
    (3, 7, 5, 3, 20),
    (3, 5, 17, 1, 13),
    (2, 5, 26, 4, 32),
    (1, 3, 40, 2, 64),
    (1, 3, 133, 2, 32),
]
# For the interpreter, which takes a second or two for each.
FEW_SHAPES = [(1, 3, 1, 2, 8), (1, 5, 5, 2, 20), (1, 1, 26, 2, 32), (1, 2, 32, 1, 16), (1, 1, 40, 1, 64)]


def cases() -> list:
    """Every backend with the shapes and masks that it has the time for."""
    found = []
    for backend in BACKENDS:
        name, dtype, _ = backend.values
        interpreted = name == "triton" and DEVICE["triton"] == "cpu"
        masks = MASKS if not interpreted else ["none", "graph of heads", "all"] if dtype == torch.float32 else ["all"]
        for case in itertools.product(FEW_SHAPES if interpreted else SHAPES, masks):
            found.append(pytest.param(*backend.values, *case, marks=backend.marks))
    return found


def inputs(shape: Sequence[int], masks: str = "none", seed: int = 0) -> tuple[Tensor, dict[str, Tensor], Tensor]:
    """qkv ``(B, T, J, 3, H, Dh)``, masks, upstream gradient; float64."""
    generator = torch.Generator().manual_seed(seed)
    batch, frames, joints, heads, width = shape
    qkv = torch.randn(batch, frames, joints, 3, heads, width, dtype=torch.float64, generator=generator)
    graph = torch.rand(batch, heads, joints, joints, generator=generator) > 0.5
    visible = torch.rand(batch, frames, joints, generator=generator) > 0.3
    upstream = torch.randn(batch, frames, joints, heads, width, dtype=torch.float64, generator=generator)
    options = {
        "none": {},
        "graph of heads": {"graph": graph[0]},
        "graph of samples": {"graph": graph},
        "visible": {"visible": visible},
        "all": {"graph": graph, "visible": visible},
    }[masks]
    return qkv, options, upstream


def run(
    qkv: Tensor, options: dict[str, Tensor], upstream: Tensor, dtype: torch.dtype, backend: str | None
) -> tuple[Tensor, Tensor]:
    """Output and the gradient of qkv; backend None is the float64 reference on the values rounded to `dtype`."""
    rounded = qkv.detach().to(dtype).clone()
    if backend is None:
        leaf = rounded.double().requires_grad_()
        out = reference.joint_attention(*leaf.unbind(3), **options)
        out.backward(upstream.to(dtype).double())
    else:
        device = DEVICE.get(backend, "cpu")
        leaf = rounded.to(device).requires_grad_()
        options = {name: mask.to(device) for name, mask in options.items()}
        out = joint_attention(*leaf.unbind(3), backend=backend, **options)
        out.backward(upstream.to(device, dtype))
    assert leaf.grad is not None
    return out.detach(), leaf.grad


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "dtype", "tolerance", "shape", "masks"), cases())
def test_matches_the_reference(backend, dtype, tolerance, shape, masks) -> None:
    qkv, options, upstream = inputs(shape, masks)
    wanted = run(qkv, options, upstream, dtype, None)
    got = run(qkv, options, upstream, dtype, backend)
    assert error(got[0], wanted[0]) < tolerance
    assert error(got[1], wanted[1]) < 2 * tolerance
    assert all(x.dtype == dtype for x in got)


def test_reference_is_scaled_dot_product_attention() -> None:
    qkv, options, _ = inputs((2, 3, 9, 4, 8), "graph of samples")
    graph = options["graph"] | torch.eye(9, dtype=torch.bool)
    q, k, v = (x.transpose(2, 3) for x in qkv.unbind(3))
    wanted = torch.nn.functional.scaled_dot_product_attention(q, k, v, graph[:, None]).transpose(2, 3)
    assert error(reference.joint_attention(*qkv.unbind(3), graph=graph), wanted) < 1e-13


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "dtype", "tolerance"), BACKENDS)
@pytest.mark.parametrize(("frames", "joints"), [(3, 7), (1, 35)])  # one tile, several
def test_what_is_masked_may_hold_nan_and_gets_zero(backend, dtype, tolerance, frames, joints) -> None:
    qkv, options, upstream = inputs((2, frames, joints, 2, 8), "all")
    graph, visible = options["graph"], options["visible"]
    visible[0, -1] = False
    graph[1, 0, 3] = False
    graph[:, 1, :, 5] = False
    seen = graph[:, None] & visible[:, :, None, None, :]
    unread, keyless = (~seen.any(dim=axis).transpose(2, 3) for axis in (-2, -1))
    poisoned, spoiled = qkv.clone(), upstream.clone()
    poisoned[:, :, :, 0][keyless] = torch.nan
    poisoned[:, :, :, 1][unread] = torch.inf
    poisoned[:, :, :, 2][unread] = torch.nan
    spoiled[keyless] = torch.nan
    wanted = run(qkv, options, upstream, dtype, None)
    got = run(poisoned, options, spoiled, dtype, backend)
    if backend == "eager":  # its gradient of what is masked is 0 · upstream
        got = (got[0], run(poisoned, options, upstream, dtype, backend)[1])
    assert error(got[0], wanted[0]) < tolerance
    assert error(got[1], wanted[1]) < 2 * tolerance
    assert (got[0].cpu()[keyless] == 0).all()
    assert (got[1].cpu()[:, :, :, 0][keyless] == 0).all()
    for gradient in got[1].cpu().unbind(3)[1:]:
        assert (gradient[unread] == 0).all()


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "dtype", "tolerance"), BACKENDS)
@pytest.mark.parametrize("part", [1, 2])  # a key, a value
def test_nan_in_a_visible_joint_stays_in_its_frame_and_head(backend, dtype, tolerance, part) -> None:
    qkv, _, upstream = inputs((1, 4, 6, 2, 8))
    qkv[0, 1, 2, part, 1] = torch.nan
    touched = torch.zeros(1, 4, 6, 2, dtype=torch.bool)
    touched[0, 1, :, 1] = True
    out, gradient = (x.isnan().any(dim=-1).cpu() for x in run(qkv, {}, upstream, dtype, backend))
    assert torch.equal(out, touched)
    assert not (gradient & ~touched[:, :, :, None]).any()


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "dtype", "tolerance"), BACKENDS)
def test_strided_and_expanded_views_are_read_where_they_lie(backend, dtype, tolerance) -> None:
    device = DEVICE.get(backend, "cpu")
    generator = torch.Generator().manual_seed(1)
    base = torch.randn(3, 2, 2, 5, 9, 2 * 20, generator=generator, dtype=torch.float64).to(dtype)
    q, k, v = (x[..., 3:23].permute(0, 2, 3, 1, 4) for x in base)  # from (B, H, T, J, 40)
    k = k[:1].expand(2, -1, -1, -1, -1)
    graph = (torch.rand(9, 1, 9, 2, generator=generator) > 0.4).permute(3, 1, 2, 0).expand(2, 2, 9, 9)
    visible = (torch.rand(9, 5, generator=generator) > 0.2).T.expand(2, 5, 9)
    upstream = torch.randn(9, 2, 20, generator=generator, dtype=torch.float64).to(dtype).expand(2, 5, 9, 2, 20)
    exact = [x.double().requires_grad_() for x in (q, k, v)]
    wanted = reference.joint_attention(*exact, graph=graph, visible=visible)
    wanted.backward(upstream.double())
    leaves = [x.to(device).detach().requires_grad_() for x in (q, k, v)]
    got = joint_attention(*leaves, graph=graph.to(device), visible=visible.to(device), backend=backend)
    got.backward(upstream.to(device))
    assert error(got, wanted) < tolerance
    for leaf, other in zip(leaves, exact, strict=True):
        assert error(leaf.grad, other.grad) < 2 * tolerance


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "dtype", "tolerance"), BACKENDS)
def test_repeats_bit_for_bit(backend, dtype, tolerance) -> None:
    case = inputs((1, 2, 26, 1, 32) if backend == "triton" else (3, 50, 26, 4, 32), "all")
    first, second = (run(*case, dtype, backend) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.slow
@needs_triton
@pytest.mark.parametrize("masks", ["all", "graph of heads"])
@pytest.mark.parametrize(("batch", "frames", "joints"), [(2, 11, 5), (5, 1, 17)])
def test_programs_of_several_frames_compute_what_those_of_one_do(masks, batch, frames, joints, monkeypatch) -> None:
    """With one graph for all clips a program goes on from clip to clip."""
    case = inputs((batch, frames, joints, 1, 8), masks)
    assert batch * frames < triton_launch._PROGRAMS
    alone = run(*case, torch.float32, "triton")
    monkeypatch.setattr(triton_launch, "_PROGRAMS", 1)
    together = run(*case, torch.float32, "triton")
    assert all(torch.equal(a, b) for a, b in zip(together, alone, strict=True))


@needs_triton
def test_graph_that_changes_in_place_is_read_anew() -> None:
    qkv, options, upstream = inputs((1, 2, 6, 2, 8), "graph of heads")
    graph = options["graph"].to(DEVICE["triton"])
    for _ in range(2):
        got = run(qkv, {"graph": graph}, upstream, torch.float32, "triton")
        wanted = run(qkv, {"graph": graph.cpu()}, upstream, torch.float32, None)
        assert error(got[0], wanted[0]) < 1e-5 and error(got[1], wanted[1]) < 2e-5
        graph.logical_not_()


def test_joints_too_far_apart_for_offsets_of_32_bits_go_tile_by_tile() -> None:
    near, far = (torch.empty_strided((2, 3, 26, 4, 32), (9, 3, s, 32, 1), device="meta") for s in (2**25, 2**27))
    plans = [triton_launch._plan(x, None, None, [x], 1, backward=False) for x in (near, far)]
    assert plans[0] is not None and plans[1] is None


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "dtype", "tolerance"), BACKENDS)
def test_permuting_joints_permutes_the_output(backend, dtype, tolerance) -> None:
    qkv, options, upstream = inputs((1, 3, 11, 2, 16), "all")
    order = torch.randperm(11, generator=torch.Generator().manual_seed(4))
    straight = run(qkv, options, upstream, dtype, backend)
    permuted = run(
        qkv[:, :, order],
        {"graph": options["graph"][:, :, order][..., order], "visible": options["visible"][:, :, order]},
        upstream[:, :, order],
        dtype,
        backend,
    )
    for a, b in zip(permuted, straight, strict=True):
        assert error(a, b[:, :, order].double().cpu()) < tolerance


@pytest.mark.slow
@pytest.mark.parametrize("backend", FAST)
def test_packed_projection_gets_the_same_gradient_in_one_tensor(backend) -> None:
    qkv, options, upstream = inputs((2, 3, 7, 2, 16), "all")
    wanted = run(qkv, options, upstream, torch.float32, backend)
    device = DEVICE.get(backend, "cpu")
    leaf = qkv.float().to(device).requires_grad_()
    out = joint_attention_packed(leaf, backend=backend, **{name: x.to(device) for name, x in options.items()})
    out.backward(upstream.float().to(device))
    assert all(torch.equal(a, b) for a, b in zip([out, leaf.grad], wanted, strict=True))
    with pytest.raises(ValueError, match=r"qkv must be \(B, T, J, 3, H, Dh\), got \(2, 3, 7, 16\)"):
        joint_attention_packed(leaf[:, :, :, 0, 0])


@pytest.mark.slow
def test_gradients_pass_gradcheck_in_float64() -> None:
    qkv, options, _ = inputs((1, 1, 3, 2, 2), "all")

    def function(qkv: Tensor) -> Tensor:
        return joint_attention(*qkv.unbind(3), backend="eager", **options)

    assert torch.autograd.gradcheck(function, (qkv.requires_grad_(),))
    assert torch.autograd.gradgradcheck(function, (qkv,))


@pytest.mark.parametrize("backend", FAST)
def test_second_derivative_is_a_clear_error(backend) -> None:
    qkv, _, upstream = inputs((1, 2, 3, 2, 4))
    device = DEVICE.get(backend, "cpu")
    leaf = qkv.float().to(device).requires_grad_()
    out = joint_attention_packed(leaf, backend=backend)
    (gradient,) = torch.autograd.grad(out, leaf, upstream.float().to(device), create_graph=True)
    with pytest.raises(RuntimeError, match=r"joint_attention has no second derivative .* backend='eager' has one"):
        torch.autograd.grad(gradient.sum(), leaf)


@pytest.mark.slow
@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize(("packed", "masks"), [(False, "none"), (True, "graph of heads"), (True, "all")])
def test_opcheck(backend, packed, masks) -> None:
    qkv, options, _ = inputs((2, 2, 3, 2, 8), masks)
    device = DEVICE.get(backend, "cpu")
    qkv = qkv.float().to(device)
    projection = [x.requires_grad_() for x in ([qkv] if packed else qkv.unbind(3))]
    graph, visible = (options[name].to(device) if name in options else None for name in ("graph", "visible"))
    name = "joint_attention" if backend == "native" else "joint_attention_triton"
    torch.library.opcheck(getattr(torch.ops.olift, name).default, (projection, graph, visible))


@pytest.mark.slow
@pytest.mark.parametrize("backend", [*FAST, "eager"])
def test_compiles_without_breaks_or_a_recompile_per_shape(backend) -> None:
    torch._dynamo.reset()
    compiles = 0

    def counting(graph: torch.fx.GraphModule, _: list[Tensor]):
        nonlocal compiles
        compiles += 1
        return graph.forward

    def function(qkv: Tensor, graph: Tensor, visible: Tensor) -> Tensor:
        return joint_attention_packed(qkv, graph=graph, visible=visible, backend=backend)

    compiled = torch.compile(function, backend=counting, fullgraph=True, dynamic=None)
    for frames, joints in ((2, 3), (3, 4), (4, 7), (5, 6), (6, 5), (7, 8), (3, 9), (4, 10), (2, 11), (3, 12)):
        qkv, options, _ = inputs((1, frames, joints, 2, 8), "all")
        arguments = [x.to(DEVICE.get(backend, "cpu")) for x in (qkv.float(), options["graph"], options["visible"])]
        assert torch.equal(compiled(*arguments), function(*arguments))
    assert compiles <= 2


def test_autocast_keeps_the_type_of_the_projection() -> None:
    qkv, options, upstream = inputs((1, 4, 11, 2, 16), "graph of samples")
    leaf = qkv.bfloat16().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = joint_attention_packed(leaf, **options)
    assert out.dtype == torch.bfloat16
    out.backward(upstream.bfloat16())
    wanted = run(qkv, options, upstream, torch.bfloat16, None)
    assert error(out, wanted[0]) < 1e-2
    assert error(leaf.grad, wanted[1]) < 2e-2


@pytest.mark.parametrize("backend", [None, *FAST])
def test_empty_batch_gives_an_empty_result(backend) -> None:
    q = torch.zeros(0, 5, 3, 2, 8, device=DEVICE.get(backend, "cpu"))
    assert joint_attention(q, q, q, backend=backend).shape == (0, 5, 3, 2, 8)


def test_wrong_arguments_are_named() -> None:
    q = torch.zeros(2, 4, 5, 2, 8)
    with pytest.raises(ValueError, match=r"k must be \(2, 4, 5, 2, 8\), got \(2, 4, 3, 2, 8\)"):
        joint_attention(q, q[:, :, :3], q)
    with pytest.raises(ValueError, match=r"q must have a last stride of 1, got 2"):
        joint_attention(q[..., ::2], q[..., ::2], q[..., ::2])
    with pytest.raises(TypeError, match=r"q must be a floating-point tensor, got torch.int64"):
        joint_attention(q.long(), q.long(), q.long())
    with pytest.raises(ValueError, match=r"graph must be \(5, 5\) or \(2, 5, 5\) or \(2, 2, 5, 5\), got \(5, 4\)"):
        joint_attention(q, q, q, graph=torch.ones(5, 4, dtype=torch.bool))
    with pytest.raises(TypeError, match=r"graph must be bool, got torch.float32"):
        joint_attention(q, q, q, graph=torch.ones(2, 5, 5))
    with pytest.raises(ValueError, match=r"visible must be \(2, 4, 5\), got \(2, 5\)"):
        joint_attention(q, q, q, visible=torch.ones(2, 5, dtype=torch.bool))


def test_backend_by_name_raises_where_it_can_not_run() -> None:
    q = torch.zeros(1, 2, 3, 2, 8, dtype=torch.float64)
    with pytest.raises(RuntimeError, match=r"joint_attention: backend 'native' can't run"):
        joint_attention(q, q, q, backend="native")
    with pytest.raises(RuntimeError, match=r"joint_attention: backend 'triton' can't run"):
        joint_attention(q, q, q, backend="triton")
    with pytest.raises(RuntimeError, match=r"joint_attention has no cuda backend"):
        joint_attention(q, q, q, backend="cuda")
    wide = torch.zeros(1, 2, 3, 2, 130)
    with pytest.raises(RuntimeError, match=r"Dh must be at most 128, got 130"):
        joint_attention(wide, wide, wide, backend="triton")
    assert joint_attention(q, q, q).dtype == torch.float64
