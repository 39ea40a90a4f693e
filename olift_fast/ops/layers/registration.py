"""Registers a backend of the layers between two attentions with ``torch.library``."""

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

Layers = Callable[..., Tensor]


def register(name: str, forward: Launch, backward: Launch, device: str | None) -> Layers:
    """Registers ``olift::{name}`` and its backward; returns ``layers(x, added, norm, first, second, ...)``.

    It computes ``second(gelu(first(norm(x)))) + added``; norm, second and added may be left out (None, or a pair of
    None). With `residual`, x itself is added. norm, first and second are pairs of weight and bias. Parameters are
    float32. Products are computed in `dtype`. If that is bfloat16, x is bfloat16 unless a norm follows, and the output
    is bfloat16 if it comes from one layer after a norm.

    Args:
        forward: ``forward(x, added, norm_weight, norm_bias, weight, bias, second_weight, second_bias, epsilon, hidden,
            out)`` writes the output and, into `hidden` unless that is empty, the first layer's output, in `dtype`.
        backward: ``backward(grad, x, hidden, parameters, epsilon, residual, gradients)`` writes the gradients that are
            not None: of x and of the six parameters.
        device: the device type that it runs on; None for any.

    Both get x ``(N, D)`` and all else contiguous, and nothing empty.
    """
    devices = None if device is None else (device,)

    @operation(
        name,
        devices,
        fake=lambda x, _, norm, _b, weight, _c, second, *rest: _outputs(x, norm, weight, second, rest[-1]),
    )
    def layers(
        x: Tensor,
        added: Tensor | None,
        norm_weight: Tensor | None,
        norm_bias: Tensor | None,
        weight: Tensor,
        bias: Tensor | None,
        second_weight: Tensor | None,
        second_bias: Tensor | None,
        epsilon: float,
        residual: bool,
        dtype: torch.dtype,
    ) -> tuple[Tensor, Tensor]:
        out, hidden = _outputs(x, norm_weight, weight, second_weight, dtype)
        if out.numel():
            rows = rows_of(x)
            plus = rows if residual else None if added is None else rows_of(added)
            parameters = contiguous(norm_weight, norm_bias, weight, bias, second_weight, second_bias)
            forward(rows, plus, *parameters, epsilon, _flat(hidden), out.view(-1, out.shape[-1]))
        return out, hidden

    def fake_gradients(
        _grad: Tensor, x: Tensor, _hidden: Tensor, parameters: Sequence[Tensor | None], *rest: object
    ) -> list[Tensor]:
        return gradients_of((x, *parameters), rest[-1])  # type: ignore[arg-type]

    @operation(f"{name}_backward", devices, fake=fake_gradients)
    def layers_backward(
        grad: Tensor,
        x: Tensor,
        hidden: Tensor,
        parameters: Sequence[Tensor | None],
        epsilon: float,
        residual: bool,
        wanted: Sequence[bool],
    ) -> list[Tensor]:
        gradients = gradients_of((x, *parameters), wanted)
        if not grad.numel():
            return [gradient.zero_() for gradient in gradients]
        given = contiguous(*parameters)
        backward(rows_of(grad), rows_of(x), _flat(hidden), given, epsilon, residual, in_places(gradients, wanted))
        return gradients

    def save(ctx, inputs, outputs) -> None:  # type: ignore[no-untyped-def]
        x, _, *parameters, epsilon, residual, _ = inputs
        ctx.save_for_backward(x, outputs[1], *parameters)
        ctx.options = epsilon, residual
        ctx.mark_non_differentiable(outputs[1])
        ctx.set_materialize_grads(False)

    def gradient(ctx, grad: Tensor, _grad_hidden: None):  # type: ignore[no-untyped-def]
        x, hidden, *parameters = ctx.saved_tensors
        of_x, of_added, *of_parameters = ctx.needs_input_grad[:8]
        wanted = [of_x, *of_parameters]
        found = layers_backward(grad, x, hidden, parameters, *ctx.options, wanted) if any(wanted) else []
        dx, *rest = in_places(found, wanted)
        return dx, grad if of_added else None, *rest, None, None, None

    differentiate(layers, gradient, save)
    refuse_second_derivative(layers_backward, name)

    def call(
        x: Tensor,
        added: Tensor | None,
        norm: tuple[Tensor | None, Tensor | None],
        first: tuple[Tensor, Tensor | None],
        second: tuple[Tensor | None, Tensor | None],
        epsilon: float,
        residual: bool,
        dtype: torch.dtype,
    ) -> Tensor:
        out, _ = layers(x, added, *norm, *first, *second, epsilon, residual, dtype)
        return out

    return call


def _outputs(
    x: Tensor, norm: Tensor | None, weight: Tensor, second: Tensor | None, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Empty tensors for the output, and for the values between two layers (of size 0 if there is one layer)."""
    inner = weight.shape[0]
    if second is None:
        given = dtype if norm is not None else torch.float32
        return x.new_empty((*x.shape[:-1], inner), dtype=given), x.new_empty((0, inner), dtype=dtype)
    out = x.new_empty((*x.shape[:-1], second.shape[0]), dtype=torch.float32)
    return out, x.new_empty((*x.shape[:-1], inner), dtype=dtype)


def _flat(hidden: Tensor) -> Tensor:
    """`hidden` with its rows along one dimension, as x has; it is always contiguous."""
    return hidden.flatten(0, -2) if hidden.dim() > 2 else hidden
