"""Joint attention, forward and forward + backward, beside PyTorch's attention and the compiled reference."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from conftest import DEVICES
from torch import Tensor
from torch.nn import functional

from benchmarks import floors
from olift_fast import reference
from olift_fast.ops import joint_attention, joint_attention_packed
from olift_fast.ops.native_module import why_not_native

SHAPES = [(5, 48, 26, 4, 32), (1, 2000, 26, 4, 32), (1, 1000, 5, 4, 32), (1, 500, 17, 4, 32), (1, 60, 133, 4, 32)]


@pytest.mark.parametrize("backward", [False, True], ids=["forward", "forward_backward"])
@pytest.mark.parametrize("masked", [False, True], ids=["all", "masked"])
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
def test_joint_attention(
    side_by_side: Callable[..., None], device: str, shape: tuple[int, ...], masked: bool, backward: bool
) -> None:
    """`masked` is a graph for each head, and joints that are hidden in some frames."""
    if device == "cpu" and why_not_native() is not None:
        pytest.skip(str(why_not_native()))
    torch.manual_seed(0)
    batch, frames, joints, heads, width = shape
    qkv = torch.randn(batch, frames, joints, 3, heads, width, device=device, requires_grad=backward)
    graph = torch.rand(heads, joints, joints, device=device) > 0.4
    visible = torch.rand(batch, frames, joints, device=device) > 0.1
    # One joint that all see: what PyTorch gives a row without any key is NaN.
    graph[..., 0] = True
    visible[..., 0] = True
    masks = {"graph": graph, "visible": visible} if masked else {}
    upstream = torch.randn(shape, device=device)
    torch._dynamo.reset()
    compiled = torch.compile(reference.joint_attention)

    def way(function: Callable[..., Tensor]) -> Callable[[], Tensor]:
        def run() -> Tensor:
            out = function(qkv, **masks)
            if backward:
                qkv.grad = None
                out.backward(upstream)
            return out

        return run

    ways = {
        "olift_fast": way(joint_attention_packed),
        "scaled_dot_product_attention": way(sdpa),
        "compiled reference": way(lambda qkv, **masks: compiled(*qkv.unbind(3), **masks)),
        "plain PyTorch": way(lambda qkv, **masks: joint_attention(*qkv.unbind(3), backend="eager", **masks)),
    }
    first, *others = (run().detach() for run in ways.values())
    for other in others:
        torch.testing.assert_close(first, other, atol=1e-4, rtol=1e-4)
    work = floors.attention(joints, width, 4)
    if backward:
        work = work.plus(floors.attention_backward(joints, width, 4, device == "cuda" and joints > 32))
    traffic = work.times(upstream.numel() // width).bytes
    side_by_side(ways, device=device, traffic=traffic, shape=shape, masked=masked)


def sdpa(qkv: Tensor, graph: Tensor | None = None, visible: Tensor | None = None) -> Tensor:
    """`scaled_dot_product_attention` with all the masks in one."""
    batch, frames, joints, _, heads, _ = qkv.shape
    mask = None
    if graph is not None and visible is not None:
        mask = (graph & visible[:, :, None, None, :]).flatten(0, 1)
        assert mask.shape == (batch * frames, heads, joints, joints)
    q, k, v = (x.flatten(0, 1).transpose(1, 2) for x in qkv.unbind(3))
    out = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    return out.transpose(1, 2).unflatten(0, (batch, frames))
