"""Attention over the joints of a frame, each head on its own graph."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from olift_fast.ops._checks import check_mask, check_projections
from olift_fast.ops._dispatch import Backend, choose_backend

__all__ = ["joint_attention"]


def joint_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    graph: Tensor | None = None,
    visible: Tensor | None = None,
    backend: Backend | None = None,
) -> Tensor:
    """``softmax(Dh^-½ q_i k_j) v_j`` over the joints j that head h's graph lets joint i see.

    Args:
        q, k, v: ``(B, T, J, H, Dh)``, any strides with a unit last one.
        graph: bool ``(H, J, J)`` or ``(B, H, J, J)``, True where a query (row) may see a key (column).
        visible: bool ``(B, T, J)``; joints that are not visible are left out as keys and never read into arithmetic.
        backend: "reference" is the only backend of this operation.

    Returns:
        ``(B, T, J, H, Dh)``; a row without any key is 0, with zero gradients.

    Raises:
        ValueError, TypeError: an argument has the wrong shape, dtype or device.
        RuntimeError: the backend asked for can't run.

    Equivalent to:
        ``scaled_dot_product_attention`` on ``(B·T, H, J, Dh)`` with a boolean mask; see
        `olift_fast.reference.joint_attention`. Source: arXiv 2412.01166, the dual graph of the space encoder.
    """
    _check(q, k, v, graph, visible)
    choose_backend("joint_attention", backend, {})
    batch, frames, joints, heads, _ = q.shape
    if visible is not None:
        k = torch.where(visible[..., None, None], k, 0.0)
        v = torch.where(visible[..., None, None], v, 0.0)
    if graph is None and visible is None:
        return _attend(q, k, v, None)
    mask = q.new_ones(batch, 1, heads, joints, joints, dtype=torch.bool)
    if graph is not None:
        mask = mask & (graph[None] if graph.dim() == 3 else graph)[:, None]
    if visible is not None:
        mask = mask & visible[:, :, None, None, :]
    seen = mask.any(dim=-1)
    # A row without keys attends everything here, so that no NaN arises in it, and is zeroed after.
    mask = (mask | ~seen[..., None]).expand(batch, frames, heads, joints, joints)
    out = _attend(q, k, v, mask.flatten(0, 1))
    return torch.where(seen.permute(0, 1, 3, 2)[..., None], out, 0.0)


def _attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    batch, frames = q.shape[:2]
    # Half-precision attention on the CPU is slower than float32, its backward by an order of magnitude.
    dtype = torch.promote_types(q.dtype, torch.float32) if q.device.type == "cpu" else q.dtype
    queries, keys, values = (x.to(dtype).flatten(0, 1).transpose(1, 2) for x in (q, k, v))
    with torch.autocast(q.device.type, enabled=False):
        out = functional.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
    return out.to(q.dtype).transpose(1, 2).unflatten(0, (batch, frames))


def _check(q: Tensor, k: Tensor, v: Tensor, graph: Tensor | None, visible: Tensor | None) -> None:
    check_projections(q, k, v)
    batch, frames, joints, heads, _ = q.shape
    per_head = (heads, joints, joints)
    check_mask("graph", graph, q, per_head, (batch, *per_head))
    check_mask("visible", visible, q, (batch, frames, joints))
