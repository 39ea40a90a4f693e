"""The plain-PyTorch backend of `joint_attention`: all pairs of joints of a frame, hidden ones masked."""

from __future__ import annotations

import torch
from torch import Tensor

from olift_fast.ops.registration import without_autocast


def eager_attention(q: Tensor, k: Tensor, v: Tensor, graph: Tensor | None, visible: Tensor | None) -> Tensor:
    """`olift_fast.reference.joint_attention`; any float dtype, differentiable twice."""
    mask = q.new_ones(1, 1, 1, 1, 1, dtype=torch.bool)
    if graph is not None:
        mask = mask & (graph[None] if graph.dim() == 3 else graph)[:, None]
    if visible is not None:
        mask = mask & visible[:, :, None, None, :]
    q, k, v = (x.transpose(2, 3) for x in (q, k, v))
    masked = graph is not None or visible is not None
    if masked:
        seen, read = mask.any(dim=-1)[..., None], mask.any(dim=-2)[..., None]
        q, k, v = torch.where(seen, q, 0.0), torch.where(read, k, 0.0), torch.where(read, v, 0.0)
    # Half-precision products on the CPU are slower than float32.
    dtype = torch.promote_types(q.dtype, torch.float32) if q.device.type == "cpu" else q.dtype
    with without_autocast(q.device):
        scores = (q.to(dtype) * q.shape[-1] ** -0.5) @ k.to(dtype).mT
        if masked:
            scores = scores.masked_fill(~mask, torch.finfo(dtype).min)
        weights = scores.softmax(dim=-1)
        if masked:
            weights = weights.masked_fill(~mask, 0.0)
        out = weights @ v.to(dtype)
    return out.to(v.dtype).transpose(2, 3)
