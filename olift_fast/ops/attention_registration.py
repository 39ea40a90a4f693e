"""Registers a backend of an attention over whole sequences with ``torch.library``: one `register` for all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from olift_fast.ops.registration import (
    LIBRARY,
    NAMESPACE,
    Launch,
    differentiate,
    into_batch,
    operation,
    refuse_second_derivative,
    split_projection,
)

Attend = Callable[..., tuple[Tensor, Tensor]]


def register_attention(
    name: str,
    forward: Launch,
    backward: Launch,
    device: str | None,
    *,
    public: str,
    options: str,
    prepare: Callable[..., Sequence[Any]],
    fold: Callable[[Sequence[Any], Sequence[int | None], int], Sequence[Any]],
    bias_at: int | None = None,
) -> Attend:
    """Registers ``olift::{name}`` and its backward; returns ``attend(projection, *options)``, which gives out and lse.

    The projection is a list of q, k and v, or a list of one tensor ``(B, T, J, 3, H, Dh)`` with all three. Its gradient
    has the same form, so the gradient of a packed projection is one tensor, and nothing is stacked.

    Args:
        forward: ``forward(q, k, v, *options, out, lse)`` writes the output and the log-sum-exp of the scores, float32
            ``(B, T, J, H)``, -inf in a row without any key. It is to base 2, like the scores in all kernels: 2^x takes
            fewer steps than e^x, and the probability of a single key is exactly 1 in the backward, too.
        backward: ``backward(grad, q, k, v, out, lse, *options, dq, dk, dv)`` writes every gradient. If the attention
            takes a bias, dbias follows, which is None in a call without a bias.
        device: the device type that it runs on; None for any.
        public: the operation's public name, for errors.
        options: the arguments after the projection, in the form of a schema of ``torch.library``.
        prepare: ``prepare(q, *options)`` returns the options for forward and backward.
        fold: ``fold(options, dims, size)`` turns the options of a call of `torch.vmap` into those of one call with a
            batch `size` times as large; dims are the mapped dimensions, None where an option is not mapped.
        bias_at: the index of the bias among the options, the only one with a gradient; None if there is no bias.

    forward and backward get tensors with a unit last stride, and no empty ones.
    """
    devices = None if device is None else (device,)

    def bias_in(values: Sequence[Any]) -> Tensor | None:
        return None if bias_at is None else values[bias_at]

    @operation(
        name,
        devices,
        fake=lambda projection, *_: _outputs(split_projection(projection)[0]),
        schema=f"(Tensor[] projection, {options}) -> (Tensor, Tensor)",
    )
    def attend(projection: Sequence[Tensor], *values: Any) -> tuple[Tensor, Tensor]:
        q, k, v = split_projection(projection)
        out, lse = _outputs(q)
        if out.numel():
            forward(q, k, v, *prepare(q, *values), out, lse)
        return out, lse

    @operation(
        f"{name}_backward",
        devices,
        fake=lambda _grad, projection, _out, _lse, *values: _gradients(projection, bias_in(values)),
        schema=f"(Tensor grad, Tensor[] projection, Tensor out, Tensor lse, {options}) -> Tensor[]",
    )
    def attend_backward(
        grad: Tensor, projection: Sequence[Tensor], out: Tensor, lse: Tensor, *values: Any
    ) -> list[Tensor]:
        gradients = _gradients(projection, bias_in(values))
        of_projection, of_bias = gradients[: len(projection)], gradients[len(projection) :]
        if not out.numel():
            return [*of_projection, *(dbias.zero_() for dbias in of_bias)]
        q, k, v = split_projection(projection)
        grad = grad if grad.stride(-1) == 1 else grad.contiguous()
        rest = () if bias_at is None else of_bias or (None,)
        backward(grad, q, k, v, out, lse, *prepare(q, *values), *split_projection(of_projection), *rest)
        return gradients

    def save(ctx, inputs, outputs) -> None:  # type: ignore[no-untyped-def]
        projection, *values = inputs
        ctx.numbers = [None if isinstance(x, Tensor) else x for x in values]
        ctx.save_for_backward(*projection, *outputs, *(x if isinstance(x, Tensor) else None for x in values))
        ctx.mark_non_differentiable(outputs[1])
        ctx.set_materialize_grads(False)

    def gradient(ctx, grad: Tensor, _grad_lse: None):  # type: ignore[no-untyped-def]
        saved = ctx.saved_tensors
        first = len(saved) - len(ctx.numbers)
        *projection, out, lse = saved[:first]
        values = [x if number is None else number for x, number in zip(saved[first:], ctx.numbers, strict=True)]
        gradients = attend_backward(grad, projection, out, lse, *values)
        of_values: list[Tensor | None] = [None] * len(values)
        if bias_at is not None and values[bias_at] is not None:
            of_values[bias_at] = gradients[-1]
        return gradients[: len(projection)], *of_values

    def mapped(info, in_dims, projection, *values):  # type: ignore[no-untyped-def]
        size, (of_projection, *of_values) = info.batch_size, in_dims
        pairs = zip(projection, of_projection, strict=True)
        outputs = attend([into_batch(x, dim, size) for x, dim in pairs], *fold(values, of_values, size))
        return tuple(x.unflatten(0, (size, -1)) for x in outputs), (0, 0)

    differentiate(attend, gradient, save)
    torch.library.register_vmap(f"{NAMESPACE}::{name}", mapped, lib=LIBRARY)
    refuse_second_derivative(attend_backward, public)
    return lambda projection, *values: attend(list(projection), *values)


def _outputs(q: Tensor) -> tuple[Tensor, Tensor]:
    return q.new_empty(q.shape), q.new_empty(q.shape[:-1], dtype=torch.float32)


def _gradients(projection: Sequence[Tensor], bias: Tensor | None) -> list[Tensor]:
    gradients = [x.new_empty(x.shape) for x in projection]
    return gradients if bias is None else [*gradients, bias.new_empty(bias.shape)]
