"""What a training script expects of the operations: autocast, scaled gradients, checkpointing, vmap, plain errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from helpers import error, needs_native
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from olift_fast import ops
from olift_fast.nn import ProcrustesLoss, swap_attention

WINDOW = (3, 2)
ATTENTIONS = {
    "banded": lambda q, k, v, **options: ops.banded_attention(q, k, v, WINDOW, **options),
    "joint": ops.joint_attention,
}


def projections(*batch: int, seed: int = 0, frames: int = 7, joints: int = 5) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(*batch, frames, joints, 2, 8, generator=generator) for _ in range(3))


def by_pytorch(name: str, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The same with `scaled_dot_product_attention`."""
    if name == "joint":
        return F.scaled_dot_product_attention(*(x.transpose(2, 3) for x in (q, k, v))).transpose(2, 3)
    time = torch.arange(q.shape[1])
    ahead = time[None] - time[:, None]
    band = (ahead >= -WINDOW[0]) & (ahead <= WINDOW[1])
    moved = (x.permute(0, 2, 3, 1, 4) for x in (q, k, v))
    return F.scaled_dot_product_attention(*moved, attn_mask=band).permute(0, 3, 1, 2, 4)


@pytest.mark.parametrize("backend", ["eager", pytest.param("native", marks=needs_native)])
@pytest.mark.parametrize("name", ATTENTIONS)
@pytest.mark.parametrize("mixed", [False, True])
def test_autocast_rounds_as_it_does_for_pytorchs_attention(name: str, backend: Any, mixed: bool) -> None:
    q, k, v = (x.requires_grad_() for x in projections(2))
    exact = by_pytorch(name, q, k, v)
    with torch.autocast("cpu", torch.bfloat16), ops.use_backend(backend):
        first = q.bfloat16() if mixed else q
        out, theirs = ATTENTIONS[name](first, k, v), by_pytorch(name, first, k, v)
        packed = ops.banded_attention_packed if name == "banded" else ops.joint_attention_packed
        of_one = packed(torch.stack([q, k, v], dim=3), *([WINDOW] if name == "banded" else []))
    assert out.dtype == theirs.dtype == of_one.dtype == torch.bfloat16
    assert error(out, exact) < 1e-2 and error(of_one, exact) < 1e-2
    gradients = torch.autograd.grad(out.float().square().sum(), (q, k, v))
    wanted = torch.autograd.grad(exact.square().sum(), (q, k, v))
    for got, right in zip(gradients, wanted, strict=True):
        assert got.dtype == torch.float32 and error(got, right) < 2e-2


@pytest.mark.parametrize("name", ATTENTIONS)
def test_autocast_leaves_float64_as_it_is_and_mixed_dtypes_need_it(name: str) -> None:
    q, k, v = projections(2)
    with torch.autocast("cpu", torch.bfloat16):
        assert ATTENTIONS[name](q.double(), k.double(), v.double()).dtype == torch.float64
    with pytest.raises(TypeError, match=r"k must be torch\.bfloat16, got torch\.float32"):
        ATTENTIONS[name](q.bfloat16(), k, v)


@needs_native
def test_gradients_that_a_scaler_scales_come_back() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(6, 3)
    x, target = torch.randn(2, 4, 5, 6), torch.randn(2, 4, 5, 3)
    plain = torch.autograd.grad(ProcrustesLoss()(layer(x), target), layer.weight)[0]
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**12)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    with torch.autocast("cpu", torch.bfloat16):
        loss = ProcrustesLoss()(layer(x), target)
    assert loss.dtype == torch.float32
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    assert error(layer.weight.grad, plain) < 2e-2
    scaler.step(optimizer)


@pytest.mark.parametrize("name", ATTENTIONS)
def test_activation_checkpointing_changes_no_bit(name: str) -> None:
    inputs = [x.requires_grad_() for x in projections(2)]

    def block(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return ATTENTIONS[name](q.sin(), k, v).square()

    plain = torch.autograd.grad(block(*inputs).sum(), inputs)
    again = torch.autograd.grad(checkpoint(block, *inputs, use_reentrant=False).sum(), inputs)
    assert all(torch.equal(one, other) for one, other in zip(plain, again, strict=True))


@needs_native
@pytest.mark.parametrize("name", ATTENTIONS)
def test_vmap_is_a_larger_batch(name: str) -> None:
    q, k, v = projections(3, 2)
    visible = torch.rand(3, 2, 7, 5, generator=torch.Generator().manual_seed(1)) < 0.7
    flat = [x.flatten(0, 1) for x in (q, k, v, visible)]
    wanted = ATTENTIONS[name](*flat[:3], visible=flat[3]).unflatten(0, (3, 2))
    mapped = torch.vmap(lambda *x: ATTENTIONS[name](*x[:3], visible=x[3]))(q, k, v, visible)
    assert torch.equal(mapped, wanted)
    shared = torch.vmap(lambda q: ATTENTIONS[name](q, k[0], v[0]), in_dims=1, out_dims=1)(q.transpose(0, 1))
    wanted = torch.stack([ATTENTIONS[name](one, k[0], v[0]) for one in q], dim=1)
    assert torch.equal(shared, wanted)


@needs_native
def test_vmap_over_what_clips_share() -> None:
    q, k, v = projections(2)
    graphs = torch.rand(3, 2, 2, 5, 5, generator=torch.Generator().manual_seed(1)) < 0.6
    mapped = torch.vmap(lambda graph: ops.joint_attention(q, k, v, graph=graph))(graphs)
    assert torch.equal(mapped, torch.stack([ops.joint_attention(q, k, v, graph=graph) for graph in graphs]))
    lengths = torch.tensor([[7, 3], [2, 5]])
    mapped = torch.vmap(lambda lengths: ops.banded_attention(q, k, v, 2, lengths=lengths))(lengths)
    assert torch.equal(mapped, torch.stack([ops.banded_attention(q, k, v, 2, lengths=one) for one in lengths]))
    with pytest.raises(RuntimeError, match="can't be mapped over its bias"):
        torch.vmap(lambda bias: ops.banded_attention(q, k, v, WINDOW, bias=bias))(torch.zeros(3, 2, 6))
    with pytest.raises(RuntimeError, match=r"a graph \(B, H, J, J\) only"):
        torch.vmap(lambda graph: ops.joint_attention(q, k, v, graph=graph))(graphs[:, 0])


@needs_native
def test_nodes_of_the_graph_are_named_after_their_operation() -> None:
    q, k, v = (x.requires_grad_() for x in projections(1))
    assert "BandedAttention" in ops.banded_attention(q, k, v, 1).grad_fn.next_functions[0][0].name() + (
        ops.banded_attention(q, k, v, 1).grad_fn.name()
    )
    assert "JointAttention" in ops.joint_attention(q, k, v).grad_fn.name()


@pytest.mark.parametrize("backend", ["eager", pytest.param("native", marks=needs_native)])
def test_a_graph_without_heads_is_that_of_all_heads(backend: Any) -> None:
    q, k, v = projections(2)
    graph = torch.rand(5, 5, generator=torch.Generator().manual_seed(1)) < 0.5
    packed = torch.stack([q, k, v], dim=3)
    with ops.use_backend(backend):
        wanted = ops.joint_attention(q, k, v, graph=graph.expand(2, 5, 5))
        assert torch.equal(ops.joint_attention(q, k, v, graph=graph), wanted)
        assert torch.equal(ops.joint_attention_packed(packed, graph=graph), wanted)
    with pytest.raises(ValueError, match=r"graph must be \(5, 5\) or \(2, 5, 5\) or \(2, 2, 5, 5\), got \(4, 5\)"):
        ops.joint_attention(q, k, v, graph=graph[:4])


@pytest.mark.parametrize("window", [8.0, "8", True, (1, 2.0), (1, 2, 3), None])
def test_a_window_that_is_no_int_is_a_type_error(window: Any) -> None:
    with pytest.raises(TypeError, match="window must be an int or a pair of ints, got "):
        ops.banded_attention(*projections(1), window)


def test_negative_windows_are_value_errors() -> None:
    with pytest.raises(ValueError, match=r"window must be >= 0, got \(2, -1\)"):
        ops.banded_attention(*projections(1), (2, -1))


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("of_target", [False, True])
def test_procrustes_takes_half_precision_beside_float32(half: torch.dtype, of_target: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    joints, target = (torch.randn(2, 4, 5, 3, generator=generator) for _ in range(2))
    pair = (joints, target.to(half)) if of_target else (joints.to(half), target)
    exact = tuple(x.float() for x in pair)
    assert torch.equal(ops.procrustes_mse(*pair), ops.procrustes_mse(*exact))
    assert torch.equal(ops.procrustes_align(*pair), ops.procrustes_align(*exact))
    loss = ProcrustesLoss()(*pair)
    assert loss.dtype == torch.float32 and torch.equal(loss, ProcrustesLoss()(*exact))
    predicted = pair[0].clone().requires_grad_()
    ProcrustesLoss()(predicted, pair[1]).backward()
    assert predicted.grad.dtype == predicted.dtype and predicted.grad.isfinite().all()


@pytest.mark.parametrize("weighted", [False, True])
def test_one_fit_for_a_clip_or_for_each_frame(weighted: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    source, target = (torch.randn(2, 4, 5, 3, generator=generator) for _ in range(2))
    weights = torch.rand(2, 4, 5, generator=generator) if weighted else None
    options = {"weights": weights, "kind": "similarity"}
    flat = {"weights": None if weights is None else weights.flatten(1), "kind": "similarity"}
    of_clip = ops.procrustes(source, target, alignment="sequence", **options)
    assert of_clip.rotation.shape == (2, 3, 3)
    assert torch.equal(of_clip.rotation, ops.procrustes(source.flatten(1, 2), target.flatten(1, 2), **flat).rotation)
    assert ops.procrustes(source, target, **options).rotation.shape == (2, 4, 3, 3)
    moved = ops.procrustes_align(source, target, alignment="sequence", **options)
    assert torch.equal(moved, ops.procrustes_align(source.flatten(1, 2), target.flatten(1, 2), **flat).view_as(source))
    errors = ops.procrustes_mse(source, target, alignment="sequence", **options)
    assert torch.equal(errors, ops.procrustes_mse(source.flatten(1, 2), target.flatten(1, 2), **flat))
    pose = ops.orthographic_procrustes(source, target[..., :2], alignment="sequence", weights=weights)
    assert pose[0].shape == (2, 3, 3) and pose[2].shape == (2, 2)
    with pytest.raises(ValueError, match="alignment must be one of sequence, frame, got 'clip'"):
        ops.procrustes(source, target, alignment="clip")
    with pytest.raises(ValueError, match=r"source must be \(\*batch, T, J, 3\) with T and J >= 1, got \(5, 3\)"):
        ops.procrustes(source[0, 0], target[0, 0], alignment="sequence")


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("alignment", ["frame", "sequence"])
def test_the_function_reduces_as_the_module(reduction: Any, alignment: Any) -> None:
    generator = torch.Generator().manual_seed(0)
    source, target = (torch.randn(2, 4, 5, 3, generator=generator) for _ in range(2))
    weights = torch.rand(2, 4, 5, generator=generator)
    for given in (None, weights):
        got = ops.procrustes_mse(source, target, weights=given, alignment=alignment, reduction=reduction)
        assert torch.equal(got, ProcrustesLoss(alignment=alignment, reduction=reduction)(source, target, given))
        errors = ops.procrustes_mse(source, target, weights=given, alignment=alignment)
        of_fit = torch.ones(2, 4, 5) if given is None else given
        of_fit = of_fit.sum(dim=-1) if alignment == "frame" else of_fit.sum(dim=(-1, -2))
        total = (errors * of_fit).sum()
        wanted = {"none": errors, "sum": total, "mean": total / of_fit.sum()}[reduction]
        torch.testing.assert_close(got, wanted)
    with pytest.raises(ValueError, match="reduction must be one of mean, sum, none, got 'median'"):
        ops.procrustes_mse(source, target, reduction="median")


class SelfAttention(nn.Module):
    """Attention of a class of its own."""


def test_the_swap_of_a_model_with_its_own_attention_names_the_way() -> None:
    model = nn.Sequential(nn.Linear(2, 2), SelfAttention())
    wanted = r"no nn\.MultiheadAttention.* \(these may be: 1\), give predicate and convert"
    with pytest.raises(ValueError, match=wanted):
        swap_attention(model, 8)


def test_warmup_of_a_model_leaves_it_as_it_was() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))
    x, calls = torch.randn(6, 4), []
    model.register_forward_hook(lambda *_: calls.append(torch.is_grad_enabled()))
    model(x).sum().backward()
    before = [x.clone() for x in (*model.parameters(), *model.buffers(), *(p.grad for p in model.parameters()))]
    random = torch.get_rng_state()
    ops.warmup_model(model, x)
    ops.warmup_model(model, x, backward=True)
    assert calls == [True, False, True]
    after = (*model.parameters(), *model.buffers(), *(p.grad for p in model.parameters()))
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    assert torch.equal(random, torch.get_rng_state())
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    with pytest.raises(ValueError, match="no output of the model depends on a parameter"):
        ops.warmup_model(model, x, backward=True)


X = torch.randn(2, 5, 3, 2, 8)
LIST: Any = [1, 2]


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: ops.banded_attention(LIST, X, X, 2), "q"),
        (lambda: ops.banded_attention(X, X, LIST, 2), "v"),
        (lambda: ops.banded_attention(X, X, X, 2, lengths=LIST), "lengths"),
        (lambda: ops.banded_attention(X, X, X, 2, visible=LIST), "visible"),
        (lambda: ops.banded_attention_packed(LIST, 2), "qkv"),
        (lambda: ops.joint_attention(X, X, X, graph=LIST), "graph"),
        (lambda: ops.rff_encode(LIST, X), "x"),
        (lambda: ops.procrustes_align(LIST, X), "source"),
        (lambda: ops.norm_linear(LIST, X, X, X), "x"),
    ],
)
def test_a_list_in_place_of_a_tensor_is_told(call: Callable[[], object], name: str) -> None:
    for autocast in (False, True):
        with torch.autocast("cpu", enabled=autocast), pytest.raises(TypeError, match=f"^{name} must be a tensor, got"):
            call()
