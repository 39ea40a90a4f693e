"""The plain-PyTorch backend of `banded_attention`: blocks of queries against the keys of their band, O(T) memory."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

ONE_BLOCK = 64
BLOCK = 48

Window = tuple[int, int]


def eager_attention(
    q: Tensor, k: Tensor, v: Tensor, window: Window, bias: Tensor | None, keys: Tensor | None, scale: float
) -> Tensor:
    """`olift_fast.reference.banded_attention` with ``keys`` bool ``(B, T, J)`` for all masks; any float dtype.

    Sequences of up to 64 frames are one block. Longer ones are cut into blocks of 48 queries, each with the
    ``48 + left + right`` keys in its band, so memory grows with T and not with T². In a program of `torch.export` there
    is one block for any T; otherwise the example's T would fix the number of blocks.
    """
    left, right = window
    if keys is None:
        keys = q.new_ones(1, q.shape[1], 1, dtype=torch.bool)
    else:
        k = torch.where(keys[..., None, None], k, 0.0)
        v = torch.where(keys[..., None, None], v, 0.0)
    blocks, block, before, after = layout = _layout(q.shape[1], window)
    span = torch.arange(block + before + after, device=q.device) - before
    offset = span[None, :] - torch.arange(block, device=q.device)[:, None]
    mask = (offset >= -left) & (offset <= right) & _cut(keys[..., None, None], *layout).mT

    scores = (_cut(q, blocks, block) @ _cut(k, *layout).mT) * scale
    if bias is not None:
        scores = scores + bias[:, (offset + left).clamp(0, left + right)]
    scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    weights = scores.softmax(dim=-1).masked_fill(~mask, 0.0)
    return _unblock(weights @ _cut(v, *layout), q.shape[1])


def _layout(frames: int, window: Window) -> tuple[int, int, int, int]:
    """The number of blocks, the frames of a block, and the frames before and after a block that its keys include."""
    if torch.compiler.is_exporting() or frames <= ONE_BLOCK:
        return 1, frames, 0, 0
    return (frames + BLOCK - 1) // BLOCK, BLOCK, *window


def _cut(x: Tensor, blocks: int, block: int, before: int = 0, after: int = 0) -> Tensor:
    """``(B, T, J, H, C)`` → ``(B, n, J, H, before + block + after, C)``, zeros (False) past both ends."""
    if blocks == 1:
        return x[:, None].permute(0, 1, 3, 4, 2, 5)
    padded = functional.pad(x, (0, 0, 0, 0, 0, 0, before, after + blocks * block - x.shape[1]))
    return padded.unfold(1, block + before + after, block).mT


def _unblock(x: Tensor, frames: int) -> Tensor:
    """``(B, n, J, H, block, C)`` → ``(B, T, J, H, C)``."""
    return x.permute(0, 1, 4, 2, 3, 5).flatten(1, 2)[:, :frames]
