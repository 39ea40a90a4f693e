"""Attention over the joints of a frame, each head on its own graph."""

from __future__ import annotations

from torch import Tensor

from olift_fast.ops.backends import Backend, choose_backend, refuse_native_attention, refuse_triton_attention
from olift_fast.ops.checks import check_mask, check_packed, check_projections
from olift_fast.ops.joint_attention.eager import eager_attention
from olift_fast.ops.joint_attention.native import native_attention
from olift_fast.ops.joint_attention.triton_launch import triton_attention
from olift_fast.ops.registration import in_autocast_dtype, split_projection

__all__ = ["joint_attention", "joint_attention_packed"]


def joint_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    graph: Tensor | None = None,
    visible: Tensor | None = None,
    backend: Backend | None = None,
) -> Tensor:
    """``softmax(Dh^-½ q_i k_j) v_j`` over the joints j that joint i may see by the graph of head h.

    Args:
        q, k, v: ``(B, T, J, H, Dh)``, any strides with a unit last one; views of one projection are read in place.
            Under autocast they are cast to its dtype first, as in `scaled_dot_product_attention`.
        graph: bool ``(J, J)`` for all heads, ``(H, J, J)`` or ``(B, H, J, J)``, any strides; True where a query (row)
            may see a key (column).
        visible: bool ``(B, T, J)``; joints that are not visible are left out as keys.
        backend: "triton" (GPU; float32, float16, bfloat16; Dh to 128), "native" (CPU; float32, bfloat16) or
            "eager"; by default the one of `use_backend` or ``OLIFT_BACKEND``, else the fastest that can run.

    Returns:
        ``(B, T, J, H, Dh)``; a row without any key is 0, with zero gradients. A key that is not visible, or that no
        query sees, is never read into arithmetic: it may be NaN.

    Raises:
        ValueError, TypeError: an argument has the wrong shape, dtype or device.
        RuntimeError: the backend asked for can't run; the message says why.

    Equivalent to:
        ``scaled_dot_product_attention`` on ``(B·T, H, J, Dh)`` with a boolean mask; see
        `olift_fast.reference.joint_attention`. Source: arXiv 2412.01166, the dual graph of the space encoder.
    """
    q, k, v = in_autocast_dtype(q, k, v)
    check_projections(q, k, v)
    graph = _of_heads(q, graph, visible)
    return _attend([q, k, v], graph, visible, backend)


def joint_attention_packed(
    qkv: Tensor,
    *,
    graph: Tensor | None = None,
    visible: Tensor | None = None,
    backend: Backend | None = None,
) -> Tensor:
    """`joint_attention` for one projection ``(B, T, J, 3, H, Dh)`` with q, k and v.

    Its gradient is written into one tensor of that shape; the gradients of three views would be copied to be stacked.

    Equivalent to ``joint_attention(*qkv.unbind(3), …)``; the other arguments and errors are the same.
    """
    check_packed(qkv)
    (qkv,) = in_autocast_dtype(qkv)
    graph = _of_heads(qkv[:, :, :, 0], graph, visible)
    return _attend([qkv], graph, visible, backend)


def _attend(projection: list[Tensor], graph: Tensor | None, visible: Tensor | None, backend: Backend | None) -> Tensor:
    first = projection[0]
    refusals = {"triton": refuse_triton_attention(first), "native": refuse_native_attention(first)}
    chosen = choose_backend("joint_attention", backend, refusals)
    if chosen == "triton":
        return triton_attention(projection, graph, visible)
    if chosen == "native":
        return native_attention(projection, graph, visible)
    return eager_attention(*split_projection(projection), graph, visible)


def _of_heads(q: Tensor, graph: Tensor | None, visible: Tensor | None) -> Tensor | None:
    """The graph of each head, after a check of both masks."""
    batch, frames, joints, heads, _ = q.shape
    per_head = (heads, joints, joints)
    check_mask("graph", graph, q, (joints, joints), per_head, (batch, *per_head))
    check_mask("visible", visible, q, (batch, frames, joints))
    return graph.expand(per_head) if graph is not None and graph.dim() == 2 else graph
