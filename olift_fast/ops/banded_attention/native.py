"""The native CPU backend of `banded_attention`: one pass over q, k, v where they lie, threads as torch has them."""

from __future__ import annotations

import torch
from torch import Tensor

from olift_fast.ops.backends import refuse_native
from olift_fast.ops.banded_attention.registration import register
from olift_fast.ops.native_module import ask_for_huge_pages, native_module

DTYPES = (torch.float32, torch.bfloat16)
"""As the kernels number them; the arithmetic is float32 in either."""


def refuse_native_attention(q: Tensor) -> str | None:
    """Why the native backend can't run this call, or None when it can."""
    return refuse_native(DTYPES, q)


def attend_into(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    left: int,
    right: int,
    bias: Tensor | None,
    visible: Tensor | None,
    lengths: Tensor | None,
    scale: float,
    out: Tensor,
    lse: Tensor | None,
) -> None:
    """`banded_attention` without gradients into `out`, any strides with a unit last one; nothing is checked.

    bias is float32 and contiguous, lengths int64 and contiguous. lse float32 ``(B, T, J, H)``, contiguous, gets log2 of
    each row's sum of exponentials, -inf without any key.
    """
    native = native_module()
    assert native is not None
    ask_for_huge_pages(out)
    native.banded_attention_forward(
        *(_address(x) for x in (q, k, v, out, lse, bias, visible, lengths)),
        shape=tuple(q.shape),
        q_strides=q.stride()[:4],
        k_strides=k.stride()[:4],
        v_strides=v.stride()[:4],
        out_strides=out.stride()[:4],
        visible_strides=(0, 0, 0) if visible is None else visible.stride(),
        left=left,
        right=right,
        scale=scale,
        element=DTYPES.index(q.dtype),
        threads=torch.get_num_threads(),
    )


def _backward(
    grad: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    lse: Tensor,
    left: int,
    right: int,
    bias: Tensor | None,
    visible: Tensor | None,
    lengths: Tensor | None,
    scale: float,
    dq: Tensor,
    dk: Tensor,
    dv: Tensor,
    dbias: Tensor | None,
) -> None:
    native = native_module()
    assert native is not None
    ask_for_huge_pages(dq, dk, dv)
    native.banded_attention_backward(
        *(_address(x) for x in (q, k, v, lse, grad, dq, dk, dv, bias, dbias, visible, lengths)),
        shape=tuple(q.shape),
        q_strides=q.stride()[:4],
        k_strides=k.stride()[:4],
        v_strides=v.stride()[:4],
        grad_out_strides=grad.stride()[:4],
        grad_q_strides=dq.stride()[:4],
        grad_k_strides=dk.stride()[:4],
        grad_v_strides=dv.stride()[:4],
        visible_strides=(0, 0, 0) if visible is None else visible.stride(),
        left=left,
        right=right,
        scale=scale,
        element=DTYPES.index(q.dtype),
        threads=torch.get_num_threads(),
    )


def _address(tensor: Tensor | None) -> int:
    return 0 if tensor is None else tensor.data_ptr()


native_attention = register("banded_attention", attend_into, _backward, "cpu")
