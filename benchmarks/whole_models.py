"""The lifter as others would build it: the same weights, with PyTorch's fused attention where ours has its own."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from olift_fast import reference
from olift_fast.model import Lifter, LifterConfig
from olift_fast.nn import JointAttention, TemporalProximityAttention
from olift_fast.ops.backends import use_backend
from olift_fast.tracks.rigs import rig


class MaskedTime(nn.Module):
    """Attention over all frames with a band (and its bias) added to the scores; without a window, over all frames."""

    def __init__(self, attention: TemporalProximityAttention, banded: bool) -> None:
        super().__init__()
        self.attention, self.banded = attention, banded

    def forward(self, x: Tensor, _visible: Tensor | None = None, _lengths: Tensor | None = None) -> Tensor:
        own, frames = self.attention, x.shape[1]
        qkv = own.qkv(x).unflatten(-1, (3, own.heads, -1))
        q, k, v = (y.permute(0, 2, 3, 1, 4).flatten(0, 1) for y in qkv.unbind(dim=3))
        out = functional.scaled_dot_product_attention(q, k, v, attn_mask=self.mask(frames, x) if self.banded else None)
        out = out.unflatten(0, (x.shape[0], -1)).permute(0, 3, 1, 2, 4)
        return own.projection(out.flatten(-2))

    def mask(self, frames: int, x: Tensor) -> Tensor:
        left, right = self.attention.window
        time = torch.arange(frames, device=x.device)
        offset = time[None, :] - time[:, None]
        inside = (offset >= -left) & (offset <= right)
        bias = x.new_zeros(1, left + right + 1) if self.attention.time_bias is None else self.attention.time_bias()
        return bias[:, (offset + left).clamp(0, left + right)].masked_fill(~inside, -torch.inf)


class MaskedJoints(nn.Module):
    """Attention over joints with the graph as a mask; one graph for the whole batch."""

    def __init__(self, attention: JointAttention) -> None:
        super().__init__()
        self.attention = attention

    def forward(self, x: Tensor, graph: Tensor | None = None, _visible: Tensor | None = None) -> Tensor:
        own = self.attention
        qkv = own.qkv(x).unflatten(-1, (3, own.heads, -1))
        q, k, v = (y.transpose(2, 3).flatten(0, 1) for y in qkv.unbind(dim=3))
        out = functional.scaled_dot_product_attention(q, k, v, attn_mask=None if graph is None else graph[:1])
        return own.projection(out.unflatten(0, x.shape[:2]).transpose(2, 3).flatten(-2))


def with_fused_attention_of_torch(lifter: Lifter, banded: bool = True) -> Lifter:
    """A copy that holds the same weights; with `banded`, the same results where all keypoints are visible."""
    other = copy.deepcopy(lifter)
    for layer in other.motion:
        layer.attention = MaskedTime(layer.attention, banded)  # type: ignore[assignment]
    for layer in other.space:
        layer.attention = MaskedJoints(layer.attention)  # type: ignore[assignment]
    return other


def as_in_the_paper(lifter: Lifter) -> nn.Module:
    """`reference.Lifter` with the same weights: all T×T scores of each attention, masked afterwards."""
    config = {name: value for name, value in asdict(lifter.config).items() if name != "hops"}
    plain = reference.Lifter(**config)
    plain.load_state_dict(lifter.state_dict())
    return plain.train(lifter.training)


def layer_by_layer(lifter: Lifter) -> Lifter:
    """A copy whose layers are called one by one, as in training."""
    other = copy.deepcopy(lifter)
    other.decoder.register_forward_hook(lambda *_: None)
    return other


def eager_backend(way: Callable[[], Any]) -> Callable[[], Any]:
    """The same call on the eager backend, plain PyTorch, of every operation."""

    def run() -> Any:
        with use_backend("eager"):
            return way()

    return run


def clip(frames: int, joints: int, batch: int = 1, device: str = "cpu") -> tuple[Tensor, dict[str, Any]]:
    """Random keypoints of a skeleton with this many joints, all visible, and the other arguments of a lifter."""
    skeleton = rig("animalsyn3d_dog")
    graph = torch.eye(joints, dtype=torch.bool)
    for a, b in skeleton.edges:
        if max(a, b) < joints:
            graph[a, b] = graph[b, a] = True
    sides = torch.tensor([skeleton.sides[j % skeleton.num_joints] for j in range(joints)], dtype=torch.float32)
    keypoints = torch.randn(batch, frames, joints, 2)
    visible = torch.ones(batch, frames, joints, dtype=torch.bool)
    given = {"visible": visible, "graph": graph, "sides": sides}
    return keypoints.to(device), {name: value.to(device) for name, value in given.items()}


def operations(config: LifterConfig, tokens: int) -> int:
    """Floating-point operations of the linear layers, two for each multiply-add; attention is not counted."""
    width, inner = config.width, config.mlp_ratio * config.width
    layer = 4 * width * width + 2 * width * inner
    ends = 2 * config.frequencies * width + width * width + 3 * width
    return 2 * tokens * ((config.motion_layers + config.space_layers) * layer + ends)
