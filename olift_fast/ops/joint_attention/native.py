"""The native CPU backend of `joint_attention`: one frame and head at a time, threads as torch has them."""

from __future__ import annotations

import torch
from torch import Tensor

from olift_fast.ops.backends import refuse_native
from olift_fast.ops.joint_attention.registration import register
from olift_fast.ops.native_module import ask_for_huge_pages, native_module


def refuse_native_attention(q: Tensor) -> str | None:
    """Why the native backend can't run this call, or None when it can."""
    return refuse_native((torch.float32, torch.bfloat16), q)


def attend_into(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    graph: Tensor | None,
    visible: Tensor | None,
    out: Tensor,
    lse: Tensor | None,
) -> None:
    """`joint_attention` without gradients into `out`, any strides with a unit last one; nothing is checked.

    graph is ``(B, H, J, J)``. lse float32 ``(B, T, J, H)``, contiguous, gets each row's log-sum-exp.
    """
    native = native_module()
    assert native is not None
    ask_for_huge_pages(out)
    native.joint_attention_forward(
        *(_address(x) for x in (q, k, v, out, lse, graph, visible)),
        shape=tuple(q.shape),
        q_strides=q.stride()[:4],
        k_strides=k.stride()[:4],
        v_strides=v.stride()[:4],
        out_strides=out.stride()[:4],
        graph_strides=(0, 0, 0, 0) if graph is None else graph.stride(),
        visible_strides=(0, 0, 0) if visible is None else visible.stride(),
        scale=q.shape[-1] ** -0.5,
        bfloat16=q.dtype == torch.bfloat16,
        threads=torch.get_num_threads(),
    )


def _backward(
    grad: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    _out: Tensor,
    lse: Tensor,
    graph: Tensor | None,
    visible: Tensor | None,
    dq: Tensor,
    dk: Tensor,
    dv: Tensor,
) -> None:
    native = native_module()
    assert native is not None
    ask_for_huge_pages(dq, dk, dv)
    native.joint_attention_backward(
        *(_address(x) for x in (q, k, v, lse, grad, dq, dk, dv, graph, visible)),
        shape=tuple(q.shape),
        q_strides=q.stride()[:4],
        k_strides=k.stride()[:4],
        v_strides=v.stride()[:4],
        grad_out_strides=grad.stride()[:4],
        grad_q_strides=dq.stride()[:4],
        grad_k_strides=dk.stride()[:4],
        grad_v_strides=dv.stride()[:4],
        graph_strides=(0, 0, 0, 0) if graph is None else graph.stride(),
        visible_strides=(0, 0, 0) if visible is None else visible.stride(),
        scale=q.shape[-1] ** -0.5,
        bfloat16=q.dtype == torch.bfloat16,
        threads=torch.get_num_threads(),
    )


def _address(tensor: Tensor | None) -> int:
    return 0 if tensor is None else tensor.data_ptr()


native_attention = register("joint_attention", attend_into, _backward, "cpu")
