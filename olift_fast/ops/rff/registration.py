"""Registers a backend of `rff_encode` and of `rff_linear` with ``torch.library``."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from olift_fast.ops.registration import (
    Launch,
    contiguous,
    differentiate,
    gradients_of,
    in_places,
    operation,
    refuse_second_derivative,
    rows_of,
)

Encode = Callable[[Tensor, Tensor, Tensor | None], Tensor]
Linear = Callable[..., Tensor]


def register_encode(name: str, forward: Launch, backward: Launch, device: str | None) -> Encode:
    """Registers ``olift::{name}`` and its backward; returns ``encode(x, freqs, visible)``.

    Args:
        forward: ``forward(x, freqs, visible, out)`` writes the features.
        backward: ``backward(grad, x, freqs, visible, dx, dfreqs)`` writes the gradients that are not None.
        device: the device type that it runs on; None for any.

    Both get x ``(N, C)``, freqs ``(C, F)``, visible ``(N,)`` or None, and out or grad ``(N, 2F)``; float32, contiguous
    (grad's rows may lie apart), and nothing empty.
    """
    devices = None if device is None else (device,)

    @operation(name, devices, fake=lambda x, freqs, _: _features(x, freqs))
    def encode(x: Tensor, freqs: Tensor, visible: Tensor | None) -> Tensor:
        out = _features(x, freqs)
        if out.numel():
            forward(rows_of(x), freqs.contiguous(), _flat(visible), out.view(-1, out.shape[-1]))
        return out

    @operation(
        f"{name}_backward", devices, fake=lambda _grad, x, freqs, _visible, wanted: gradients_of((x, freqs), wanted)
    )
    def encode_backward(
        grad: Tensor, x: Tensor, freqs: Tensor, visible: Tensor | None, wanted: Sequence[bool]
    ) -> list[Tensor]:
        gradients = gradients_of((x, freqs), wanted)
        if x.numel():
            dx, dfreqs = in_places(gradients, wanted)
            backward(_rows(grad), rows_of(x), freqs.contiguous(), _flat(visible), dx, dfreqs)
        return gradients if x.numel() else [gradient.zero_() for gradient in gradients]

    def save(ctx, inputs, outputs) -> None:  # type: ignore[no-untyped-def]
        ctx.save_for_backward(*inputs)

    def gradient(ctx, grad: Tensor):  # type: ignore[no-untyped-def]
        wanted = list(ctx.needs_input_grad[:2])
        return *in_places(encode_backward(grad, *ctx.saved_tensors, wanted), wanted), None

    differentiate(encode, gradient, save)
    refuse_second_derivative(encode_backward, "rff_encode")
    return encode


def register_linear(name: str, forward: Launch, backward: Launch, device: str | None) -> Linear:
    """Registers ``olift::{name}`` and its backward; returns ``linear(x, freqs, weight, bias, visible, token, dtype)``.

    Args:
        forward: ``forward(x, freqs, weight, bias, visible, token, out)`` writes the output, of the dtype asked for.
        backward: ``backward(grad, x, freqs, weight, visible, dx, dfreqs, dweight, dbias, dtoken)`` writes the gradients
            that are not None.
        device: the device type that it runs on; None for any.

    Both get what `register_encode`'s get, weight ``(D, 2F)``, bias and token ``(D,)`` or None, contiguous.
    """
    devices = None if device is None else (device,)

    @operation(name, devices, fake=lambda x, _freqs, weight, *rest: _projected(x, weight, rest[-1]))
    def linear(
        x: Tensor,
        freqs: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        visible: Tensor | None,
        token: Tensor | None,
        dtype: torch.dtype,
    ) -> Tensor:
        out = _projected(x, weight, dtype)
        if out.numel():
            bias, token = contiguous(bias, token)
            layer = (freqs.contiguous(), weight.contiguous(), bias, _flat(visible), token)
            forward(rows_of(x), *layer, out.view(-1, out.shape[-1]))
        return out

    @operation(
        f"{name}_backward",
        devices,
        fake=lambda _grad, x, freqs, weight, bias, _visible, token, wanted: gradients_of(
            (x, freqs, weight, bias, token), wanted
        ),
    )
    def linear_backward(
        grad: Tensor,
        x: Tensor,
        freqs: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        visible: Tensor | None,
        token: Tensor | None,
        wanted: Sequence[bool],
    ) -> list[Tensor]:
        gradients = gradients_of((x, freqs, weight, bias, token), wanted)
        if grad.numel():
            layer = (freqs.contiguous(), weight.contiguous(), _flat(visible))
            backward(_rows(grad), rows_of(x), *layer, *in_places(gradients, wanted))
        return gradients if grad.numel() else [gradient.zero_() for gradient in gradients]

    def save(ctx, inputs, outputs) -> None:  # type: ignore[no-untyped-def]
        ctx.save_for_backward(*inputs[:6])

    def gradient(ctx, grad: Tensor):  # type: ignore[no-untyped-def]
        x, freqs, weight, bias, _, token, _ = ctx.needs_input_grad[:7]
        wanted = [x, freqs, weight, bias, token]
        gradients = linear_backward(grad, *ctx.saved_tensors, wanted)
        dx, dfreqs, dweight, dbias, dtoken = in_places(gradients, wanted)
        return dx, dfreqs, dweight, dbias, None, dtoken, None

    differentiate(linear, gradient, save)
    refuse_second_derivative(linear_backward, "rff_linear")
    return linear


def _features(x: Tensor, freqs: Tensor) -> Tensor:
    return x.new_empty((*x.shape[:-1], 2 * freqs.shape[1]))


def _projected(x: Tensor, weight: Tensor, dtype: torch.dtype) -> Tensor:
    return x.new_empty((*x.shape[:-1], weight.shape[0]), dtype=dtype)


def _rows(grad: Tensor) -> Tensor:
    rows = grad.reshape(-1, grad.shape[-1])
    return rows if rows.stride(-1) == 1 else rows.contiguous()


def _flat(visible: Tensor | None) -> Tensor | None:
    return None if visible is None else visible.reshape(-1).contiguous()
