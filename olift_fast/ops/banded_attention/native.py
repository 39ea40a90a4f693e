"""The native CPU backend of `banded_attention`, registered as ``olift::banded_attention``."""

from __future__ import annotations

import torch
from torch import Tensor

from olift_fast.ops._dispatch import refuse_native
from olift_fast.ops._native import native_module


def refuse_native_attention(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> str | None:
    """Why the native backend can't run this call, or None when it can."""
    dtypes = (torch.float32, torch.bfloat16) if torch.is_autocast_enabled("cpu") else (torch.float32,)
    return refuse_native(dtypes, q, k, v, bias)


def native_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    left: int,
    right: int,
    bias: Tensor | None,
    visible: Tensor | None,
    lengths: Tensor | None,
    scale: float,
) -> Tensor:
    """`banded_attention` by the C++ kernel: one pass over q, k, v where they lie, threads as torch has them."""
    if lengths is not None:
        lengths = lengths.to(torch.int64)
    out, _ = _forward(q, k, v, left, right, bias, visible, lengths, scale)
    return out


@torch.library.custom_op("olift::banded_attention", mutates_args=(), device_types="cpu")
def _forward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    left: int,
    right: int,
    bias: Tensor | None,
    visible: Tensor | None,
    lengths: Tensor | None,
    scale: float,
) -> tuple[Tensor, Tensor]:
    """(out ``(B, T, J, H, Dh)``, log-sum-exp ``(B, T, J, H)``, -inf in a row without any key)."""
    out, lse = _outputs(q)
    if out.numel():
        native = native_module()
        assert native is not None
        bias = None if bias is None else bias.contiguous()
        lengths = None if lengths is None else lengths.contiguous()
        native.banded_attention_forward(
            q.data_ptr(),
            k.data_ptr(),
            v.data_ptr(),
            out.data_ptr(),
            lse.data_ptr(),
            _address(bias),
            _address(visible),
            _address(lengths),
            shape=tuple(q.shape),
            q_strides=q.stride()[:4],
            k_strides=k.stride()[:4],
            v_strides=v.stride()[:4],
            out_strides=out.stride()[:4],
            visible_strides=(0, 0, 0) if visible is None else visible.stride(),
            left=left,
            right=right,
            scale=scale,
            threads=torch.get_num_threads(),
        )
    return out, lse


@_forward.register_fake
def _(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    left: int,
    right: int,
    bias: Tensor | None,
    visible: Tensor | None,
    lengths: Tensor | None,
    scale: float,
) -> tuple[Tensor, Tensor]:
    return _outputs(q)


def _outputs(q: Tensor) -> tuple[Tensor, Tensor]:
    return q.new_empty(q.shape), q.new_empty(q.shape[:-1])


def _address(tensor: Tensor | None) -> int:
    return 0 if tensor is None else tensor.data_ptr()


@torch.library.custom_op("olift::banded_attention_backward", mutates_args=(), device_types="cpu")
def _backward(
    grad: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    lse: Tensor,
    left: int,
    right: int,
    bias: Tensor | None,
    visible: Tensor | None,
    lengths: Tensor | None,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(dq, dk, dv, dbias), the last one empty without a bias."""
    gradients = _gradients(q, bias)
    if q.numel():
        native = native_module()
        assert native is not None
        if grad.stride(-1) != 1:
            grad = grad.contiguous()
        bias = None if bias is None else bias.contiguous()
        lengths = None if lengths is None else lengths.contiguous()
        dq, dk, dv, dbias = gradients
        native.banded_attention_backward(
            *(x.data_ptr() for x in (q, k, v, lse, grad, dq, dk, dv)),
            _address(bias),
            0 if bias is None else dbias.data_ptr(),
            _address(visible),
            _address(lengths),
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
            threads=torch.get_num_threads(),
        )
    return gradients


@_backward.register_fake
def _(
    grad: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    lse: Tensor,
    left: int,
    right: int,
    bias: Tensor | None,
    visible: Tensor | None,
    lengths: Tensor | None,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return _gradients(q, bias)


def _gradients(q: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    dbias = q.new_empty(0) if bias is None else q.new_empty(bias.shape)
    return q.new_empty(q.shape), q.new_empty(q.shape), q.new_empty(q.shape), dbias


def _setup_context(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    q, k, v, left, right, bias, visible, lengths, scale = inputs
    ctx.save_for_backward(q, k, v, output[1], bias, visible, lengths)
    ctx.left, ctx.right, ctx.scale = left, right, scale


def _autograd(ctx, grad: Tensor, _grad_lse: Tensor):  # type: ignore[no-untyped-def]
    q, k, v, lse, bias, visible, lengths = ctx.saved_tensors
    dq, dk, dv, dbias = _backward(grad, q, k, v, lse, ctx.left, ctx.right, bias, visible, lengths, ctx.scale)
    return dq, dk, dv, None, None, None if bias is None else dbias, None, None, None


_forward.register_autograd(_autograd, setup_context=_setup_context)
torch.library.register_autocast("olift::banded_attention", "cpu", torch.float32)
