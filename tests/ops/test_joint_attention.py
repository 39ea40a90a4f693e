"""`joint_attention` against the reference and against PyTorch's own attention."""

from __future__ import annotations

import pytest
import torch

from olift_fast import reference
from olift_fast.ops import joint_attention


def inputs(shape: tuple[int, ...], seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    batch, frames, joints, heads, width = shape
    qkv = torch.randn(batch, frames, joints, 3, heads, width, dtype=torch.float64, generator=generator)
    graph = torch.rand(batch, heads, joints, joints, generator=generator) > 0.5
    visible = torch.rand(batch, frames, joints, generator=generator) > 0.3
    upstream = torch.randn(batch, frames, joints, heads, width, dtype=torch.float64, generator=generator)
    return qkv, graph, visible, upstream


def relative(got: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((got.detach().double() - wanted.detach()).norm() / wanted.detach().norm().clamp(min=1e-3))


@pytest.mark.parametrize("shape", [(2, 3, 1, 2, 8), (1, 7, 5, 4, 20), (2, 4, 26, 2, 32), (1, 2, 133, 2, 16)])
@pytest.mark.parametrize("masks", ["none", "shared graph", "graph", "visible", "both"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-13)])
def test_matches_the_reference(shape, masks, dtype, tolerance) -> None:
    qkv, graph, visible, upstream = inputs(shape)
    options = {
        "none": {},
        "shared graph": {"graph": graph[0]},
        "graph": {"graph": graph},
        "visible": {"visible": visible},
        "both": {"graph": graph, "visible": visible},
    }[masks]
    exact, fast = qkv.clone().requires_grad_(), qkv.to(dtype).clone().requires_grad_()
    wanted = reference.joint_attention(*exact.unbind(3), **options)
    got = joint_attention(*fast.unbind(3), **options)
    wanted.backward(upstream)
    got.backward(upstream.to(dtype))
    assert relative(got, wanted) < tolerance
    assert relative(fast.grad, exact.grad) < 2 * tolerance


def test_reference_is_scaled_dot_product_attention() -> None:
    qkv, graph, _, _ = inputs((2, 3, 9, 4, 8))
    graph |= torch.eye(9, dtype=torch.bool)
    q, k, v = (x.transpose(2, 3) for x in qkv.unbind(3))
    wanted = torch.nn.functional.scaled_dot_product_attention(q, k, v, graph[:, None]).transpose(2, 3)
    assert relative(reference.joint_attention(*qkv.unbind(3), graph=graph), wanted) < 1e-13


def test_hidden_keys_may_hold_nan_and_rows_without_keys_are_zero() -> None:
    qkv, graph, visible, upstream = inputs((2, 5, 7, 2, 8))
    visible[0, 2] = False
    graph[1, 0, 3] = False
    poisoned = qkv.clone()
    poisoned[:, :, :, 1:][~visible] = torch.nan
    poisoned = poisoned.float().requires_grad_()
    out = joint_attention(*poisoned.unbind(3), graph=graph, visible=visible)
    assert relative(out, reference.joint_attention(*qkv.unbind(3), graph=graph, visible=visible)) < 1e-5
    assert (out[0, 2] == 0).all()
    assert (out[1, :, 3, 0] == 0).all()
    out.backward(upstream.float())
    assert poisoned.grad.isfinite().all()
    assert (poisoned.grad[0, 2] == 0).all()


def test_permuting_joints_permutes_the_output() -> None:
    qkv, graph, visible, _ = inputs((1, 4, 11, 2, 16))
    order = torch.randperm(11, generator=torch.Generator().manual_seed(4))
    straight = joint_attention(*qkv.unbind(3), graph=graph, visible=visible)
    permuted = joint_attention(
        *qkv[:, :, order].unbind(3), graph=graph[:, :, order][..., order], visible=visible[:, :, order]
    )
    assert relative(permuted, straight[:, :, order]) < 1e-13


def test_autocast_and_compile() -> None:
    qkv, graph, _, _ = inputs((1, 4, 11, 2, 16))
    q, k, v = qkv.bfloat16().unbind(3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = joint_attention(q, k, v, graph=graph)
    assert out.dtype == torch.bfloat16
    assert relative(out, reference.joint_attention(*(x.double() for x in (q, k, v)), graph=graph)) < 1e-2
    compiled = torch.compile(joint_attention, fullgraph=True, backend="aot_eager", dynamic=True)
    for frames in (2, 3, 4):
        part = [x[:, :frames].float() for x in qkv.unbind(3)]
        assert relative(compiled(*part, graph=graph), joint_attention(*part, graph=graph).double()) < 1e-6


def test_wrong_arguments_are_named() -> None:
    q = torch.zeros(2, 4, 5, 2, 8)
    with pytest.raises(ValueError, match=r"graph must be \(2, 5, 5\) or \(2, 2, 5, 5\), got \(5, 5\)"):
        joint_attention(q, q, q, graph=torch.ones(5, 5, dtype=torch.bool))
    with pytest.raises(TypeError, match=r"graph must be bool, got torch.float32"):
        joint_attention(q, q, q, graph=torch.ones(2, 5, 5))
    with pytest.raises(ValueError, match=r"visible must be \(2, 4, 5\), got \(2, 5\)"):
        joint_attention(q, q, q, visible=torch.ones(2, 5, dtype=torch.bool))
    with pytest.raises(RuntimeError, match=r"joint_attention has no native backend"):
        joint_attention(q, q, q, backend="native")
