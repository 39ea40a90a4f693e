"""Registers a backend of `banded_attention_step` with ``torch.library``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import torch
from torch import Tensor

from olift_fast.ops.registration import Launch, differentiate, operation

Attend = Callable[..., Tensor]


def register(name: str, forward: Launch, device: str | None) -> Attend:
    """Registers ``olift::{name}``; returns ``attend(q, k, v, frames, lengths, left, right, bias, visible, scale)``.

    Args:
        forward: the same arguments and ``out`` ``(B, J, H, Dh)``, contiguous, which it writes. It gets tensors with a
            unit last stride; bias float32, frames and lengths contiguous; nothing empty.
        device: the device type that it runs on; None for any.
    """

    @operation(name, None if device is None else (device,), fake=lambda q, *_: _output(q))
    def step(
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
        out = _output(q)
        if out.numel():
            bias = None if bias is None else bias.contiguous()
            forward(q, k, v, frames.contiguous(), lengths.contiguous(), left, right, bias, visible, scale, out)
        return out

    def refuse(_context: Any, *_gradients: Any) -> NoReturn:
        raise RuntimeError("banded_attention_step has no gradient")

    differentiate(step, refuse)

    def call(
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
        bias = None if bias is None else bias.to(torch.float32)
        return step(q, k, v, frames, lengths, left, right, bias, visible, scale)

    return call


def _output(q: Tensor) -> Tensor:
    return q.new_empty(q.shape[:1] + q.shape[2:])
