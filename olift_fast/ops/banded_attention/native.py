"""The native CPU backend of `banded_attention`: one pass over q, k and v in place, with torch's number of threads."""

from __future__ import annotations

import torch
from torch import Tensor

from olift_fast.ops.banded_attention.registration import register
from olift_fast.ops.native_module import ask_for_huge_pages, loaded_module


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
    native = loaded_module()
    ask_for_huge_pages(out)
    threads = torch.get_num_threads()
    native.banded_attention_forward(q, k, v, left, right, bias, visible, lengths, scale, out, lse, threads)


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
    native = loaded_module()
    ask_for_huge_pages(dq, dk, dv)
    native.banded_attention_backward(
        grad, q, k, v, lse, left, right, bias, visible, lengths, scale, dq, dk, dv, dbias, torch.get_num_threads()
    )


native_attention = register("banded_attention", attend_into, _backward, "cpu")
