"""Registers a backend of `banded_attention` with ``torch.library``."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from olift_fast.ops.registration import Launch, differentiate, operation, refuse_second_derivative, split_projection

Attend = Callable[..., Tensor]


def register(name: str, forward: Launch, backward: Launch, device: str | None) -> Attend:
    """Registers ``olift::{name}`` and its backward; returns ``attend(projection, left, right, bias, …)``.

    The projection is a list of q, k, v, or of one tensor ``(B, T, J, 3, H, Dh)`` that holds them; its gradient has the
    same form, so a packed projection gets its gradient in one tensor, with nothing to stack.

    Args:
        forward: ``forward(q, k, v, left, right, bias, visible, lengths, scale, out, lse)`` writes the output and the
            log-sum-exp of the scores, float32 ``(B, T, J, H)``, to a base that its backward knows, -inf in a row
            without any key.
        backward: ``backward(grad, q, k, v, out, lse, left, right, bias, visible, lengths, scale, dq, dk, dv, dbias)``
            writes every gradient; dbias is None without a bias.
        device: the device type that it runs on; None for any.

    Both get tensors with a unit last stride, bias float32 and contiguous, lengths int64 and contiguous; nothing empty.
    """
    devices = None if device is None else (device,)

    @operation(name, devices, fake=lambda projection, *_: _outputs(split_projection(projection)[0]))
    def attend(
        projection: Sequence[Tensor],
        left: int,
        right: int,
        bias: Tensor | None,
        visible: Tensor | None,
        lengths: Tensor | None,
        scale: float,
    ) -> tuple[Tensor, Tensor]:
        q, k, v = split_projection(projection)
        out, lse = _outputs(q)
        if out.numel():
            forward(q, k, v, left, right, _dense(bias), visible, _dense(lengths), scale, out, lse)
        return out, lse

    @operation(
        f"{name}_backward",
        devices,
        fake=lambda _grad, projection, _out, _lse, _left, _right, bias, *_: _gradients(projection, bias),
    )
    def attend_backward(
        grad: Tensor,
        projection: Sequence[Tensor],
        out: Tensor,
        lse: Tensor,
        left: int,
        right: int,
        bias: Tensor | None,
        visible: Tensor | None,
        lengths: Tensor | None,
        scale: float,
    ) -> list[Tensor]:
        gradients = _gradients(projection, bias)
        if out.numel():
            q, k, v = split_projection(projection)
            dq, dk, dv = split_projection(gradients[: len(projection)])
            dbias = None if bias is None else gradients[-1]
            grad = grad if grad.stride(-1) == 1 else grad.contiguous()
            bias, lengths = _dense(bias), _dense(lengths)
            backward(grad, q, k, v, out, lse, left, right, bias, visible, lengths, scale, dq, dk, dv, dbias)
        elif bias is not None:
            gradients[-1].zero_()
        return gradients

    def save(ctx, inputs, outputs) -> None:  # type: ignore[no-untyped-def]
        projection, ctx.left, ctx.right, bias, visible, lengths, ctx.scale = inputs
        ctx.save_for_backward(*projection, *outputs, bias, visible, lengths)
        ctx.mark_non_differentiable(outputs[1])
        ctx.set_materialize_grads(False)

    def gradient(ctx, grad: Tensor, _grad_lse: None):  # type: ignore[no-untyped-def]
        *projection, out, lse, bias, visible, lengths = ctx.saved_tensors
        gradients = attend_backward(grad, projection, out, lse, ctx.left, ctx.right, bias, visible, lengths, ctx.scale)
        dbias = None if bias is None else gradients[-1]
        return gradients[: len(projection)], None, None, dbias, None, None, None

    differentiate(attend, gradient, save)
    refuse_second_derivative(attend_backward, "banded_attention")

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
        out, _ = attend(list(projection), left, right, bias, visible, lengths, scale)
        return out

    return call


def _outputs(q: Tensor) -> tuple[Tensor, Tensor]:
    return q.new_empty(q.shape), q.new_empty(q.shape[:-1], dtype=torch.float32)


def _gradients(projection: Sequence[Tensor], bias: Tensor | None) -> list[Tensor]:
    gradients = [x.new_empty(x.shape) for x in projection]
    return gradients if bias is None else [*gradients, bias.new_empty(bias.shape)]


def _dense(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.contiguous()
