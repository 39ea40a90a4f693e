"""Registers a backend of `banded_attention` with ``torch.library``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from olift_fast.ops.attention_registration import register_attention
from olift_fast.ops.registration import Launch, contiguous, into_batch

Attend = Callable[..., Tensor]


def register(name: str, forward: Launch, backward: Launch, device: str | None) -> Attend:
    """Registers ``olift::{name}`` and its backward; returns ``attend(projection, left, right, bias, …)``.

    Args:
        forward: ``forward(q, k, v, left, right, bias, visible, lengths, scale, out, lse)``, see `register_attention`.
        backward: ``backward(grad, q, k, v, out, lse, left, right, bias, visible, lengths, scale, dq, dk, dv, dbias)``.
        device: the device type that it runs on; None for any.

    Both get bias float32 and contiguous, lengths int64 and contiguous.
    """
    attend = register_attention(
        name,
        forward,
        backward,
        device,
        public="banded_attention",
        options="SymInt left, SymInt right, Tensor? bias, Tensor? visible, Tensor? lengths, float scale",
        prepare=_prepare,
        fold=_fold,
        bias_at=2,
    )

    def call(
        projection: Sequence[Tensor],
        left: int,
        right: int,
        bias: Tensor | None,
        visible: Tensor | None,
        lengths: Tensor | None,
        scale: float,
    ) -> Tensor:
        bias = None if bias is None else bias.to(torch.float32)
        lengths = None if lengths is None else lengths.to(torch.int64)
        out, _ = attend(projection, left, right, bias, visible, lengths, scale)
        return out

    return call


def _fold(values: Sequence[Any], dims: Sequence[int | None], size: int) -> tuple[Any, ...]:
    left, right, bias, visible, lengths, scale = values
    if dims[2] is not None:
        raise RuntimeError("banded_attention can't be mapped over its bias, which all clips of a call share")
    visible = None if visible is None else into_batch(visible, dims[3], size)
    lengths = None if lengths is None else into_batch(lengths, dims[4], size)
    return left, right, bias, visible, lengths, scale


def _prepare(
    _q: Tensor,
    left: int,
    right: int,
    bias: Tensor | None,
    visible: Tensor | None,
    lengths: Tensor | None,
    scale: float,
) -> tuple[Any, ...]:
    bias, lengths = contiguous(bias, lengths)
    return left, right, bias, visible, lengths, scale
