"""The plain-PyTorch backend of `banded_attention`: blocks of queries against the keys of their band, O(T) memory."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

DENSE_FRAMES = 64
BLOCK = 48

Window = tuple[int, int]


def blocked_attention(
    q: Tensor, k: Tensor, v: Tensor, window: Window, bias: Tensor | None, keys: Tensor | None, scale: float
) -> Tensor:
    """`olift_fast.reference.banded_attention` with ``keys`` bool ``(B, T, J)`` for all masks; any float dtype.

    Sequences of up to 64 frames are one block. Longer ones are cut into blocks of 48 queries, each with the
    ``48 + left + right`` keys that its band touches, so memory grows with T and not with T².
    """
    q, k, v, _, mask, offset = _prepare(q, k, v, window, keys)
    scores = _scores(_blocks(q, window), _spans(k, window), window, offset, bias, scale)
    scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    weights = scores.softmax(dim=-1).masked_fill(~mask, 0.0)
    return _unblock(weights @ _spans(v, window), q.shape[1])


def blocked_attention_backward(
    grad: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    lse: Tensor,
    window: Window,
    bias: Tensor | None,
    keys: Tensor | None,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """(dq, dk, dv, dbias) from the output and its log-sum-exp; each key gathers from the queries in its band.

    Args:
        grad: ``(B, T, J, H, Dh)``; 0 in the rows of queries that are padding.
        lse: ``(B, T, J, H)``, log-sum-exp of each query's scores, -inf in a row without any key.
    """
    left, right = window
    q, k, v, keys, mask, offset = _prepare(q, k, v, window, keys)
    lse = torch.where(lse.isfinite(), lse, 0.0).unsqueeze(-1)
    delta = (grad * out).sum(dim=-1, keepdim=True)

    # Queries by block, keys by span: dq and the bias.
    scores = _scores(_blocks(q, window), _spans(k, window), window, offset, bias, scale)
    weights = (scores - _blocks(lse, window)).exp().masked_fill(~mask, 0.0)
    dscores = weights * (_blocks(grad, window) @ _spans(v, window).mT - _blocks(delta, window))
    dq = _unblock(dscores @ _spans(k, window), q.shape[1]) * scale
    dbias = None
    if bias is not None:
        per_offset = dscores.sum(dim=(0, 1, 2)).flatten(1)
        band = (offset[None, :, :] == torch.arange(-left, right + 1, device=q.device)[:, None, None]).flatten(1)
        dbias = per_offset @ band.to(per_offset.dtype).T

    # Keys by block, the queries that see them by span: dk and dv. Seen from a key the window is turned round.
    window, offset = (right, left), _offsets(q, (right, left))
    real = _blocks(keys[..., None, None].expand(*keys.shape, 1, 1), window)
    mask = (offset >= -right) & (offset <= left) & real
    mask = mask & _spans(q.new_ones(1, q.shape[1], 1, 1, 1, dtype=torch.bool), window).mT
    scores = (_blocks(k, window) @ _spans(q, window).mT) * scale
    if bias is not None:
        scores = scores + bias[:, (left - offset).clamp(0, left + right)]
    weights = (scores - _spans(lse, window).mT).exp().masked_fill(~mask, 0.0)
    spans = _spans(grad, window)
    dv = _unblock(weights @ spans, q.shape[1])
    dscores = weights * (_blocks(v, window) @ spans.mT - _spans(delta, window).mT)
    dk = _unblock(dscores @ _spans(q, window), q.shape[1]) * scale
    return dq, dk, dv, dbias


def _prepare(
    q: Tensor, k: Tensor, v: Tensor, window: Window, keys: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """q, k, v with hidden keys zeroed; keys ``(B, T, J)``; mask ``(B, n, J, 1, block, span)`` and offsets s - t."""
    if keys is None:
        keys = q.new_ones(1, q.shape[1], 1, dtype=torch.bool)
    else:
        k = torch.where(keys[..., None, None], k, 0.0)
        v = torch.where(keys[..., None, None], v, 0.0)
    offset = _offsets(q, window)
    band = (offset >= -window[0]) & (offset <= window[1])
    return q, k, v, keys, band & _spans(keys[..., None, None], window).mT, offset


def _scores(queries: Tensor, keys: Tensor, window: Window, offset: Tensor, bias: Tensor | None, scale: float) -> Tensor:
    scores = (queries @ keys.mT) * scale
    if bias is None:
        return scores
    return scores + bias[:, (offset + window[0]).clamp(0, sum(window))]


def _layout(frames: int, window: Window) -> tuple[int, int, int]:
    """The frames of a block, and how many frames its span reaches before and after it."""
    if frames <= DENSE_FRAMES:
        return frames, 0, 0
    return BLOCK, window[0], window[1]


def _offsets(q: Tensor, window: Window) -> Tensor:
    """``(block, span)``: frame of the span less frame of the block."""
    block, before, after = _layout(q.shape[1], window)
    span = torch.arange(block + before + after, device=q.device) - before
    return span[None, :] - torch.arange(block, device=q.device)[:, None]


def _blocks(x: Tensor, window: Window) -> Tensor:
    """``(B, T, J, H, C)`` → ``(B, n, J, H, block, C)``, zeros (False) past the end."""
    block, _, _ = _layout(x.shape[1], window)
    tail = -x.shape[1] % block
    return functional.pad(x, (0, 0, 0, 0, 0, 0, 0, tail)).unflatten(1, (-1, block)).permute(0, 1, 3, 4, 2, 5)


def _spans(x: Tensor, window: Window) -> Tensor:
    """``(B, T, J, H, C)`` → ``(B, n, J, H, span, C)``, zeros (False) past both ends."""
    block, before, after = _layout(x.shape[1], window)
    tail = -x.shape[1] % block
    padded = functional.pad(x, (0, 0, 0, 0, 0, 0, before, after + tail))
    return padded.unfold(1, block + before + after, block).mT


def _unblock(x: Tensor, frames: int) -> Tensor:
    """``(B, n, J, H, block, C)`` → ``(B, T, J, H, C)``."""
    return x.permute(0, 1, 4, 2, 3, 5).flatten(1, 2)[:, :frames]
