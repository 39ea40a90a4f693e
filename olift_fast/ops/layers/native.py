"""The native CPU backend of the layers between two attentions: a few rows at a time go through all layers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from olift_fast.ops.backends import constant, refuse_native
from olift_fast.ops.layers.registration import register
from olift_fast.ops.native_module import ask_for_huge_pages, loaded_module, native_module, why_not_products


def refuse_native_layers(x: Tensor, *parameters: Tensor | None) -> str | None:
    """Why the native backend can't run these layers; None if it can."""
    refusal = refuse_native((torch.float32,), *parameters)
    if refusal is not None or not torch.is_autocast_enabled("cpu"):
        return refusal or refuse_native((torch.float32,), x)
    if torch.get_autocast_dtype("cpu") != torch.bfloat16:
        return f"autocast's dtype must be torch.bfloat16, got {torch.get_autocast_dtype('cpu')}"
    return _why_not_bfloat16() or refuse_native((torch.float32, torch.bfloat16), x)


def product_dtype() -> torch.dtype:
    """The dtype of products, if `refuse_native_layers` returns None."""
    return torch.bfloat16 if torch.is_autocast_enabled("cpu") else torch.float32


def slower_than_eager() -> tuple[str, ...]:
    """("native",) if it is slower than plain PyTorch here, for `choose_backend`; else ().

    Without AVX2 its products use vectors of four numbers, and PyTorch's are faster.
    """
    return ("native",) if _instruction_set() == "baseline" else ()


@constant
def _instruction_set() -> str | None:
    native = native_module()
    return None if native is None else str(native.info()["simd"])


@constant
def _why_not_bfloat16() -> str | None:
    return why_not_products(torch.bfloat16)


def _forward(
    x: Tensor,
    added: Tensor | None,
    norm_weight: Tensor | None,
    norm_bias: Tensor | None,
    weight: Tensor,
    bias: Tensor | None,
    second_weight: Tensor | None,
    second_bias: Tensor | None,
    epsilon: float,
    hidden: Tensor,
    out: Tensor,
) -> None:
    native = loaded_module()
    ask_for_huge_pages(hidden, out)
    parameters = (norm_weight, norm_bias, weight, bias, second_weight, second_bias)
    native.layers_forward(x, added, *parameters, epsilon, hidden, out, torch.get_num_threads())


def _backward(
    grad: Tensor,
    x: Tensor,
    hidden: Tensor,
    parameters: Sequence[Tensor | None],
    epsilon: float,
    residual: bool,
    gradients: Sequence[Tensor | None],
) -> None:
    native = loaded_module()
    dx, *rest = gradients
    if dx is not None:
        ask_for_huge_pages(dx)
        dx = dx.view(x.shape)
    native.layers_backward(grad, x, hidden, *parameters, epsilon, residual, dx, *rest, torch.get_num_threads())


# Exported programs use the names "olift::dense" and "olift::dense_backward", so they must stay.
native_layers = register("dense", _forward, _backward, "cpu")
