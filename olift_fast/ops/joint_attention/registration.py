"""Registers a backend of `joint_attention` with ``torch.library``."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from olift_fast.ops.attention_registration import register_attention
from olift_fast.ops.registration import Launch, into_batch

Attend = Callable[[Sequence[Tensor], Tensor | None, Tensor | None], Tensor]


def register(name: str, forward: Launch, backward: Launch, device: str | None) -> Attend:
    """Registers ``olift::{name}`` and its backward; returns ``attend(projection, graph, visible)``.

    Args:
        forward: ``forward(q, k, v, graph, visible, out, lse)``, see `register_attention`.
        backward: ``backward(grad, q, k, v, out, lse, graph, visible, dq, dk, dv)``.
        device: the device type that it runs on; None for any.

    Both get graph bool ``(B, H, J, J)`` with any strides, expanded where one graph serves every sample, and visible
    bool ``(B, T, J)``.
    """
    attend = register_attention(
        name,
        forward,
        backward,
        device,
        public="joint_attention",
        options="Tensor? graph, Tensor? visible",
        prepare=_prepare,
        fold=_fold,
    )

    def call(projection: Sequence[Tensor], graph: Tensor | None, visible: Tensor | None) -> Tensor:
        out, _ = attend(projection, graph, visible)
        return out

    return call


def _fold(
    values: Sequence[Tensor | None], dims: Sequence[int | None], size: int
) -> tuple[Tensor | None, Tensor | None]:
    (graph, visible), (of_graph, of_visible) = values, dims
    if graph is not None and (of_graph is not None or graph.dim() == 4):
        whole = graph.dim() - (of_graph is not None) == 4
        if not whole:
            raise RuntimeError("joint_attention can be mapped over a graph (B, H, J, J) only, one for each clip")
        graph = into_batch(graph, of_graph, size)
    return graph, None if visible is None else into_batch(visible, of_visible, size)


def _prepare(q: Tensor, graph: Tensor | None, visible: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
    return None if graph is None else graph.expand(q.shape[0], -1, -1, -1), visible
