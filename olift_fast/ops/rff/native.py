"""The native CPU backend of the Fourier features: computes blocks of features that stay in the cache."""

from __future__ import annotations

import torch
from torch import Tensor

from olift_fast.ops.backends import refuse_native
from olift_fast.ops.native_module import ask_for_huge_pages, loaded_module
from olift_fast.ops.registration import LIBRARY, NAMESPACE
from olift_fast.ops.rff.registration import register_encode, register_linear

_UPCAST = (torch.float32, torch.float16, torch.bfloat16)


def refuse_native_encode(x: Tensor, freqs: Tensor) -> str | None:
    """Why the native backend can't encode these points; None if it can."""
    return refuse_native(_UPCAST, x, freqs)


def refuse_native_linear(
    x: Tensor, freqs: Tensor, weight: Tensor, bias: Tensor | None, token: Tensor | None
) -> str | None:
    """Why the native backend can't run this layer; None if it can. Under autocast it stays in float32."""
    dtypes = _UPCAST if torch.is_autocast_enabled("cpu") else (torch.float32,)
    return refuse_native_encode(x, freqs) or refuse_native(dtypes, weight, bias, token)


def native_linear(
    x: Tensor, freqs: Tensor, weight: Tensor, bias: Tensor | None, visible: Tensor | None, token: Tensor | None
) -> Tensor:
    """`rff_linear` in float32 for a layer of any dtype."""
    bias, token = (None if vector is None else vector.to(torch.float32) for vector in (bias, token))
    return _linear(x, freqs, weight.to(torch.float32), bias, visible, token, torch.float32)


def _encode_forward(x: Tensor, freqs: Tensor, visible: Tensor | None, out: Tensor) -> None:
    linear_into(x, freqs, None, None, visible, None, out)


def _encode_backward(
    grad: Tensor, x: Tensor, freqs: Tensor, visible: Tensor | None, dx: Tensor | None, dfreqs: Tensor | None
) -> None:
    _linear_backward(grad, x, freqs, None, visible, dx, dfreqs, None, None, None)


def linear_into(
    x: Tensor,
    freqs: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    visible: Tensor | None,
    token: Tensor | None,
    out: Tensor,
) -> None:
    """`rff_linear` of points ``(N, C)`` without gradients into `out` ``(N, D)``; nothing is checked.

    All are float32 and contiguous; without a weight, `rff_encode`.
    """
    native = loaded_module()
    ask_for_huge_pages(out)
    native.rff_forward(x, freqs, weight, bias, visible, token, out, torch.get_num_threads())


def _linear_backward(
    grad: Tensor,
    x: Tensor,
    freqs: Tensor,
    weight: Tensor | None,
    visible: Tensor | None,
    dx: Tensor | None,
    dfreqs: Tensor | None,
    dweight: Tensor | None,
    dbias: Tensor | None,
    dtoken: Tensor | None,
) -> None:
    native = loaded_module()
    gradients = (None if dx is None else dx.view(x.shape), dfreqs, dweight, dbias, dtoken)
    native.rff_backward(grad, x, freqs, weight, visible, *gradients, torch.get_num_threads())


native_encode = register_encode("rff_encode", _encode_forward, _encode_backward, "cpu")
_linear = register_linear("rff_linear", linear_into, _linear_backward, "cpu")
torch.library.register_autocast(f"{NAMESPACE}::rff_encode", "cpu", torch.float32, lib=LIBRARY)
torch.library.register_autocast(f"{NAMESPACE}::rff_linear", "cpu", torch.float32, lib=LIBRARY)
