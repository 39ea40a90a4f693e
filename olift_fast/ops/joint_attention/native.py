"""The native CPU backend of `joint_attention`: one frame and head at a time, with torch's number of threads."""

from __future__ import annotations

import torch
from torch import Tensor

from olift_fast.ops.joint_attention.registration import register
from olift_fast.ops.native_module import ask_for_huge_pages, loaded_module


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

    graph is ``(B, H, J, J)``. lse float32 ``(B, T, J, H)``, contiguous, gets log2 of each row's
    sum of exponentials, -inf without any key.
    """
    native = loaded_module()
    ask_for_huge_pages(out)
    scale, threads = q.shape[-1] ** -0.5, torch.get_num_threads()
    native.joint_attention_forward(q, k, v, graph, visible, scale, out, lse, threads)


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
    native = loaded_module()
    ask_for_huge_pages(dq, dk, dv)
    scale, threads = q.shape[-1] ** -0.5, torch.get_num_threads()
    native.joint_attention_backward(grad, q, k, v, lse, graph, visible, scale, dq, dk, dv, threads)


native_attention = register("joint_attention", attend_into, _backward, "cpu")
