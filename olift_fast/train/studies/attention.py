"""What a trained lifter attends to: frames by their distance in time, joints by their distance along the skeleton."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from olift_fast.model import Lifter
from olift_fast.nn import JointAttention, TemporalProximityAttention
from olift_fast.nn.masked import masked_softmax
from olift_fast.train.batches import Batch, collate
from olift_fast.train.held_out import held_out
from olift_fast.train.studies.rows import Row

FARTHEST = 6
"""Hops along the skeleton. Joints that are farther away are counted at this distance."""


def attention(lifter: Lifter, data: Path) -> Iterator[Row]:
    """Rows: for each head of each layer and each distance, the weight that a query gives to the keys at that distance.

    The weight is summed over those keys, and it is a mean over queries. Of attention over time, only queries whose
    whole window is in the clip and visible count. The clips are held-out motion with a detector's faults, each seen by
    one random upright camera.
    """
    for source, clips in held_out(data, noise=True, cameras=1, paired=False).items():
        batch = collate([clips], lifter.config.hops)
        hops = torch.from_numpy(clips.skeleton.hop_distances()).clamp(max=FARTHEST)
        for number, (module, inputs) in enumerate(_inputs(lifter, batch)):
            if isinstance(module, TemporalProximityAttention):
                over, distances = "frames", module_offsets(module)
                weights = _over_frames(module, inputs[0], batch.visible)
            else:
                over, distances = "hops", list(range(FARTHEST + 1))
                weights = _over_joints(module, inputs[0], inputs[1], hops)
            for head, shares in enumerate(weights.tolist()):
                for distance, weight in zip(distances, shares, strict=True):
                    yield {
                        "source": source,
                        "layer": number,
                        "head": head,
                        "over": over,
                        "distance": distance,
                        "weight": round(weight, 5),
                    }


def module_offsets(module: TemporalProximityAttention) -> list[int]:
    """Frames from the query to each key of the window."""
    left, right = module.window
    return list(range(-left, right + 1))


def _inputs(
    lifter: Lifter, batch: Batch
) -> list[tuple[TemporalProximityAttention | JointAttention, tuple[Tensor, ...]]]:
    """The attention modules in the order of their calls, each with its inputs."""
    seen: list[tuple[TemporalProximityAttention | JointAttention, tuple[Tensor, ...]]] = []

    def keep(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(module, TemporalProximityAttention | JointAttention)
        seen.append((module, inputs))

    handles = [
        module.register_forward_pre_hook(keep)
        for module in lifter.modules()
        if isinstance(module, TemporalProximityAttention | JointAttention)
    ]
    try:
        with torch.no_grad():
            lifter(batch.keypoints, batch.visible, **batch.told(lifter.config))
    finally:
        for handle in handles:
            handle.remove()
    return seen


@torch.no_grad()
def _over_frames(module: TemporalProximityAttention, tokens: Tensor, visible: Tensor) -> Tensor:
    """Mean weights by frame offset, ``(H, left + right + 1)``."""
    q, k, _ = module.qkv(tokens).unflatten(-1, (3, module.heads, -1)).unbind(dim=-3)
    size = sum(module.window) + 1
    frames = tokens.shape[1]
    near = k.unfold(1, size, 1)  # (B, T', J, H, Dh, window)
    queries = q[:, module.window[0] : frames - module.window[1]]
    scores = torch.einsum("btjhd,btjhdw->btjhw", queries, near) * q.shape[-1] ** -0.5
    if module.time_bias is not None:
        scores = scores + module.time_bias()
    keys = visible.unfold(1, size, 1)[:, :, :, None]
    # A hidden key has weight 0. The mean is over queries whose whole window is visible.
    weights = masked_softmax(scores, keys.expand_as(scores))
    return weights[keys.all(dim=-1).expand(scores.shape[:-1])].reshape(-1, module.heads, size).mean(dim=0)


@torch.no_grad()
def _over_joints(module: JointAttention, tokens: Tensor, graph: Tensor, hops: Tensor) -> Tensor:
    """Mean weights by hops along the skeleton, ``(H, FARTHEST + 1)``."""
    q, k, _ = module.qkv(tokens).unflatten(-1, (3, module.heads, -1)).unbind(dim=-3)
    scores = torch.einsum("btihd,btjhd->bthij", q, k) * q.shape[-1] ** -0.5
    mask = graph[None] if graph.dim() == 3 else graph
    weights = masked_softmax(scores, mask[:, None].expand_as(scores)).mean(dim=(0, 1))
    at = [torch.where(hops == distance, weights, 0.0).sum(dim=-1) for distance in range(FARTHEST + 1)]
    return torch.stack(at, dim=-1).mean(dim=1)
