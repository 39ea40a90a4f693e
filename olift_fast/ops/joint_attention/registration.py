"""Registers a backend of `joint_attention` with ``torch.library``."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from olift_fast.ops.registration import Launch, differentiate, operation, refuse_second_derivative, split_projection

Attend = Callable[[Sequence[Tensor], Tensor | None, Tensor | None], Tensor]


def register(name: str, forward: Launch, backward: Launch, device: str | None) -> Attend:
    """Registers ``olift::{name}`` and its backward; returns ``attend(projection, graph, visible)``.

    The projection is a list of q, k, v, or of one tensor ``(B, T, J, 3, H, Dh)`` that holds them; its gradient has the
    same form, so a packed projection gets its gradient in one tensor, with nothing to stack.

    Args:
        forward: ``forward(q, k, v, graph, visible, out, lse)`` writes the output and the log-sum-exp of the scores,
            float32 ``(B, T, J, H)``, -inf in a row without any key.
        backward: ``backward(grad, q, k, v, out, lse, graph, visible, dq, dk, dv)`` writes every gradient.
        device: the device type that it runs on; None for any.

    Both get q, k, v and grad with a unit last stride, graph bool ``(B, H, J, J)`` with any strides, expanded where one
    graph serves every sample, visible bool ``(B, T, J)``; nothing empty.
    """
    devices = None if device is None else (device,)

    @operation(name, devices, fake=lambda projection, *_: _outputs(split_projection(projection)[0]))
    def attend(projection: Sequence[Tensor], graph: Tensor | None, visible: Tensor | None) -> tuple[Tensor, Tensor]:
        q, k, v = split_projection(projection)
        out, lse = _outputs(q)
        if out.numel():
            forward(q, k, v, _per_sample(graph, q), visible, out, lse)
        return out, lse

    @operation(f"{name}_backward", devices, fake=lambda _grad, projection, *_: _gradients(projection))
    def attend_backward(
        grad: Tensor,
        projection: Sequence[Tensor],
        out: Tensor,
        lse: Tensor,
        graph: Tensor | None,
        visible: Tensor | None,
    ) -> list[Tensor]:
        gradients = _gradients(projection)
        if out.numel():
            q, k, v = split_projection(projection)
            grad = grad if grad.stride(-1) == 1 else grad.contiguous()
            backward(grad, q, k, v, out, lse, _per_sample(graph, q), visible, *split_projection(gradients))
        return gradients

    def save(ctx, inputs, outputs) -> None:  # type: ignore[no-untyped-def]
        projection, graph, visible = inputs
        ctx.save_for_backward(*projection, *outputs, graph, visible)
        ctx.mark_non_differentiable(outputs[1])
        ctx.set_materialize_grads(False)

    def gradient(ctx, grad: Tensor, _grad_lse: None):  # type: ignore[no-untyped-def]
        *projection, out, lse, graph, visible = ctx.saved_tensors
        return attend_backward(grad, projection, out, lse, graph, visible), None, None

    differentiate(attend, gradient, save)
    refuse_second_derivative(attend_backward, "joint_attention")

    def call(projection: Sequence[Tensor], graph: Tensor | None, visible: Tensor | None) -> Tensor:
        out, _ = attend(list(projection), graph, visible)
        return out

    return call


def _outputs(q: Tensor) -> tuple[Tensor, Tensor]:
    return q.new_empty(q.shape), q.new_empty(q.shape[:-1], dtype=torch.float32)


def _gradients(projection: Sequence[Tensor]) -> list[Tensor]:
    return [x.new_empty(x.shape) for x in projection]


def _per_sample(graph: Tensor | None, q: Tensor) -> Tensor | None:
    return None if graph is None else graph.expand(q.shape[0], -1, -1, -1)
