"""The plain-PyTorch backend of `banded_attention`: blocks of queries against the keys of their band, O(T) memory."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

DENSE_FRAMES = 64
BLOCK = 48


def blocked_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    window: tuple[int, int],
    bias: Tensor | None,
    keys: Tensor | None,
    scale: float,
) -> Tensor:
    """`olift_fast.reference.banded_attention` with ``keys`` bool ``(B, T, J)`` for all masks; any float dtype.

    Sequences of up to 64 frames are one block. Longer ones are cut into blocks of 48 queries, each with the
    ``48 + left + right`` keys that its band touches, so memory grows with T and not with T².
    """
    left, right = window
    frames = q.shape[1]
    if keys is not None:
        k = torch.where(keys[..., None, None], k, 0.0)
        v = torch.where(keys[..., None, None], v, 0.0)
    if frames <= DENSE_FRAMES:
        block, blocks, before, after = frames, 1, 0, 0
    else:
        block, before, after = BLOCK, left, right
        blocks = -(-frames // block)
    tail = blocks * block - frames
    span = block + before + after

    queries = functional.pad(q, (0, 0, 0, 0, 0, 0, 0, tail)).unflatten(1, (blocks, block)).permute(0, 1, 3, 4, 2, 5)
    key_blocks, value_blocks = (
        functional.pad(x, (0, 0, 0, 0, 0, 0, before, after + tail)).unfold(1, span, block) for x in (k, v)
    )

    offset = torch.arange(span, device=q.device)[None, :] - before - torch.arange(block, device=q.device)[:, None]
    mask = (offset >= -left) & (offset <= right)
    real = q.new_ones(1, frames, 1, dtype=torch.bool) if keys is None else keys
    real = functional.pad(real, (0, 0, before, after + tail)).unfold(1, span, block)
    mask = mask & real[:, :, :, None, None, :]

    scores = (queries @ key_blocks) * scale
    if bias is not None:
        scores = scores + bias[:, (offset + left).clamp(0, left + right)]
    scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    weights = scores.softmax(dim=-1).masked_fill(~mask, 0.0)
    out = weights @ value_blocks.transpose(-1, -2)
    return out.permute(0, 1, 4, 2, 3, 5).flatten(1, 2)[:, :frames]
