"""The plain-PyTorch backend of `banded_attention_step`: frames taken out of the rings, then softmax."""

from __future__ import annotations

import torch
from torch import Tensor


def eager_step(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    frames: Tensor,
    lengths: Tensor,
    left: int,
    right: int,
    bias: Tensor | None,
    visible: Tensor | None,
    scale: float,
) -> Tensor:
    """`banded_attention_step` in any float dtype on any device, without synchronization."""
    wanted = frames[:, None] + torch.arange(-left, right + 1, device=q.device)
    held = (wanted >= 0) & (wanted < lengths[:, None]) & (wanted >= lengths[:, None] - k.shape[1])
    asked = (frames >= 0) & (frames < lengths)
    seen = (held & asked[:, None])[:, :, None].expand(-1, -1, q.shape[2])
    if visible is not None:
        seen = seen & _taken(visible, wanted)

    query = _taken(q, frames[:, None])[:, 0]
    query = torch.where(asked[:, None, None, None], query, 0.0)
    keys = torch.where(seen[..., None, None], _taken(k, wanted), 0.0)
    values = torch.where(seen[..., None, None], _taken(v, wanted), 0.0)
    scores = torch.einsum("bjhd,bsjhd->bjhs", query, keys) * scale
    if bias is not None:
        scores = scores + bias.to(scores.dtype)
    mask = seen.permute(0, 2, 1)[:, :, None, :]
    weights = scores.masked_fill(~mask, torch.finfo(scores.dtype).min).softmax(dim=-1).masked_fill(~mask, 0.0)
    return torch.einsum("bjhs,bsjhd->bjhd", weights, values)


def _taken(ring: Tensor, frames: Tensor) -> Tensor:
    """Takes frames ``(B, N)`` from a ring ``(B, slots, …)`` → ``(B, N, …)``; for a missing frame, any slot."""
    batch = torch.arange(ring.shape[0], device=ring.device)
    return ring[batch[:, None], frames % ring.shape[1]]
