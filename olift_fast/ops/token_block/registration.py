"""Registers a backend of `token_block` with ``torch.library``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import torch
from torch import Tensor

from olift_fast.ops.registration import Launch, autocast_dtype, contiguous, differentiate, operation, rows_of

Norm = tuple[Tensor, Tensor]
"""A norm's weight and bias, ``(D,)`` both."""
Linear = tuple[Tensor, Tensor | None]
"""A layer's weight ``(outputs, inputs)`` and bias ``(outputs,)``."""
Mlp = tuple[Norm, Linear, Linear]
Head = tuple[Norm, Linear, Linear | None]
Block = Callable[..., tuple[Tensor | None, Tensor]]


def tensors_of(projection: Linear | None, mlp: Mlp | None, head: Head) -> list[Tensor | None]:
    """All parameters as the operation takes them: a weight and a bias for each norm and layer."""
    nothing = (None, None)
    norm, inner, outer = (nothing, nothing, nothing) if mlp is None else mlp
    head_norm, first, last = head
    pairs = (projection or nothing, norm, inner, outer, head_norm, first, last or nothing)
    return [tensor for pair in pairs for tensor in pair]


def product_dtype(head: Head) -> torch.dtype:
    """The dtype of the products: that of the weights, or autocast's under autocast."""
    weight = head[1][0]
    return autocast_dtype(weight.device) or weight.dtype


def register(name: str, forward: Launch, device: str | None) -> Block:
    """Registers ``olift::{name}``; returns ``block(tokens, attended, projection, mlp, head, epsilon, keep)``.

    Args:
        forward: ``forward(tokens, attended, parameters, epsilon, changed, out)`` writes the tokens, unless `changed` is
            None, and the head's output. Rows are ``(N, D)``; all is contiguous, and nothing empty. Weights have one
            dtype, and so has `attended`.
        device: the device type that it runs on; None for any.
    """

    @operation(name, None if device is None else (device,), fake=lambda tokens, *rest: _outputs(tokens, *rest))
    def block(
        tokens: Tensor,
        attended: Tensor | None,
        projection: Tensor | None,
        projection_bias: Tensor | None,
        norm: Tensor | None,
        norm_bias: Tensor | None,
        inner: Tensor | None,
        inner_bias: Tensor | None,
        outer: Tensor | None,
        outer_bias: Tensor | None,
        head_norm: Tensor,
        head_norm_bias: Tensor,
        head: Tensor,
        head_bias: Tensor | None,
        last: Tensor | None,
        last_bias: Tensor | None,
        epsilon: float,
        keep: bool,
    ) -> tuple[Tensor, Tensor]:
        of_layer = (projection, projection_bias, norm, norm_bias, inner, inner_bias, outer, outer_bias)
        of_head = (head_norm, head_norm_bias, head, head_bias, last, last_bias)
        changed, out = _outputs(tokens, attended, *of_layer, *of_head, epsilon, keep)
        if out.numel():
            rows = changed.view(-1, changed.shape[-1]) if changed.numel() else None
            given = None if attended is None else rows_of(attended)
            parameters = contiguous(*of_layer, *of_head)
            forward(rows_of(tokens), given, parameters, epsilon, rows, out.view(-1, out.shape[-1]))
        return changed, out

    def refuse(_context: Any, *_gradients: Any) -> NoReturn:
        raise RuntimeError("token_block has no gradient on this backend; backend='eager' has one")

    differentiate(block, refuse)

    def call(
        tokens: Tensor,
        attended: Tensor | None,
        projection: Linear | None,
        mlp: Mlp | None,
        head: Head,
        epsilon: float,
        keep: bool,
    ) -> tuple[Tensor | None, Tensor]:
        dtype = product_dtype(head)
        given = None if attended is None else attended.to(dtype)
        changes = keep and not (projection is None and mlp is None)
        parameters = tensors_of(
            None if projection is None else _as(projection, dtype),
            None if mlp is None else (mlp[0], _as(mlp[1], dtype), _as(mlp[2], dtype)),
            (head[0], _as(head[1], dtype), None if head[2] is None else _as(head[2], dtype)),
        )
        changed, out = block(tokens, given, *parameters, epsilon, changes)
        return (changed if changes else tokens) if keep else None, out

    return call


def _as(layer: Linear, dtype: torch.dtype) -> Linear:
    """The layer in the dtype of the products, as autocast casts it."""
    weight, bias = layer
    return weight.to(dtype), None if bias is None else bias.to(dtype)


def _outputs(tokens: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    """Empty tensors for the tokens (of size 0 if they are not kept) and for the head's output."""
    *_, head, _head_bias, last, _last_bias, _epsilon, keep = rest
    outputs, dtype = (head.shape[0], head.dtype) if last is None else (last.shape[0], tokens.dtype)
    kept = tokens.shape if keep else (0, tokens.shape[-1])
    return tokens.new_empty(kept), tokens.new_empty((*tokens.shape[:-1], outputs), dtype=dtype)
