"""Registers a backend of `banded_attention` with ``torch.library``."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from olift_fast.ops._registration import Launch, refuse_second_derivative, split_projection

Attend = Callable[..., Tensor]


def register(name: str, forward: Launch, backward: Launch, device: str | None) -> Attend:
    """Registers ``olift::{name}`` and its backward; returns ``attend(projection, left, right, bias, …)``.

    The projection is a list of q, k, v, or of one tensor ``(B, T, J, 3, H, Dh)`` that holds them; its gradient has the
    same form, so a packed projection gets its gradient in one tensor, with nothing to stack.

    Args:
        forward: ``forward(q, k, v, left, right, bias, visible, lengths, scale, out, lse)`` writes the output and the
            log-sum-exp of the scores, float32 ``(B, T, J, H)``, -inf in a row without any key.
        backward: ``backward(grad, q, k, v, out, lse, left, right, bias, visible, lengths, scale, dq, dk, dv, dbias)``
            writes every gradient; dbias is None without a bias.
        device: the device type that it runs on; None for any.

    Both get tensors with a unit last stride, bias float32 and contiguous, lengths int64 and contiguous; nothing empty.
    """

    @torch.library.custom_op(f"olift::{name}", mutates_args=(), device_types=device)
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

    @attend.register_fake
    def _(
        projection: Sequence[Tensor],
        left: int,
        right: int,
        bias: Tensor | None,
        visible: Tensor | None,
        lengths: Tensor | None,
        scale: float,
    ) -> tuple[Tensor, Tensor]:
        return _outputs(split_projection(projection)[0])

    @torch.library.custom_op(f"olift::{name}_backward", mutates_args=(), device_types=device)
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

    @attend_backward.register_fake
    def _(
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
        return _gradients(projection, bias)

    def setup_context(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
        projection, ctx.left, ctx.right, bias, visible, lengths, ctx.scale = inputs
        ctx.tensors = len(projection)
        ctx.save_for_backward(*projection, *output, bias, visible, lengths)

    def autograd(ctx, grad: Tensor, _grad_lse: Tensor):  # type: ignore[no-untyped-def]
        *projection, out, lse, bias, visible, lengths = ctx.saved_tensors
        gradients = attend_backward(grad, projection, out, lse, ctx.left, ctx.right, bias, visible, lengths, ctx.scale)
        dbias = None if bias is None else gradients[-1]
        return gradients[: ctx.tensors], None, None, dbias, None, None, None

    attend.register_autograd(autograd, setup_context=setup_context)
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
