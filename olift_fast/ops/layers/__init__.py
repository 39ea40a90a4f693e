"""The linear layers of a transformer layer, fused with the norm, the GELU and the residual sum."""

from __future__ import annotations

import torch
from torch import Tensor

from olift_fast.ops.backends import Backend, choose_backend
from olift_fast.ops.checks import check_floating, check_shape
from olift_fast.ops.layers.eager import eager_linear_residual, eager_norm_linear, eager_norm_mlp
from olift_fast.ops.layers.native import native_layers, product_dtype, refuse_native_layers, slower_than_eager

__all__ = ["linear_residual", "norm_linear", "norm_mlp"]


def norm_linear(
    x: Tensor,
    norm_weight: Tensor,
    norm_bias: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    epsilon: float = 1e-5,
    backend: Backend | None = None,
) -> Tensor:
    """``layer_norm(x) @ weight.T + bias``, the norm over the last axis.

    The normed rows are never written to memory; the backward computes them again.

    Args:
        x: ``(..., D)``.
        norm_weight, norm_bias: ``(D,)``.
        weight: ``(E, D)``.
        bias: ``(E,)``.
        epsilon: what the norm adds to the variance.
        backend: "native" (CPU; float32, or bfloat16 under autocast) or "eager"; by default "native" where it can,
            and has AVX2 or better.

    Returns:
        ``(..., E)`` in x's dtype, under autocast in autocast's.

    Raises:
        ValueError, TypeError: an argument has the wrong shape, dtype or device.
        RuntimeError: the backend asked for can't run, or a second derivative is asked of a fast one.

    Equivalent to `olift_fast.reference.norm_linear`.
    """
    _check(x, {"norm_weight": norm_weight, "norm_bias": norm_bias}, weight, bias)
    refusal = refuse_native_layers(x, norm_weight, norm_bias, weight, bias)
    if choose_backend("norm_linear", backend, {"native": refusal}, slower_than_eager()) == "eager":
        return eager_norm_linear(x, norm_weight, norm_bias, weight, bias, epsilon=epsilon)
    return native_layers(
        _float(x), None, (norm_weight, norm_bias), (weight, bias), (None, None), epsilon, False, product_dtype()
    )


def linear_residual(
    x: Tensor, weight: Tensor, bias: Tensor | None, residual: Tensor, *, backend: Backend | None = None
) -> Tensor:
    """``residual + x @ weight.T + bias``.

    Args:
        x: ``(..., D)``.
        weight: ``(E, D)``.
        bias: ``(E,)``.
        residual: ``(..., E)``.
        backend: "native" (CPU; float32, or bfloat16 under autocast) or "eager"; by default "native" where it can,
            and has AVX2 or better.

    Returns:
        ``(..., E)`` in residual's dtype.

    Raises:
        ValueError, TypeError: an argument has the wrong shape, dtype or device.
        RuntimeError: the backend asked for can't run, or a second derivative is asked of a fast one.

    Equivalent to `olift_fast.reference.linear_residual`.
    """
    _check(x, {}, weight, bias)
    check_floating("residual", residual)
    check_shape("residual", residual, (*x.shape[:-1], weight.shape[0]))
    refusal = refuse_native_layers(x, weight, bias, residual)
    if choose_backend("linear_residual", backend, {"native": refusal}, slower_than_eager()) == "eager":
        return eager_linear_residual(x, weight, bias, residual)
    dtype = product_dtype()
    return native_layers(x.to(dtype), residual, (None, None), (weight, bias), (None, None), 0.0, False, dtype)


def norm_mlp(
    x: Tensor,
    norm_weight: Tensor,
    norm_bias: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    second_weight: Tensor,
    second_bias: Tensor | None,
    *,
    residual: bool = True,
    epsilon: float = 1e-5,
    backend: Backend | None = None,
) -> Tensor:
    """``x + gelu(layer_norm(x) @ weight.T + bias) @ second_weight.T + second_bias``, the exact GELU (with erf).

    The GELU's input is kept for the backward; its output and the normed rows are computed again.

    Args:
        x: ``(..., D)``.
        norm_weight, norm_bias: ``(D,)``.
        weight, bias: of the first layer, ``(E, D)`` and ``(E,)``.
        second_weight, second_bias: of the second layer, ``(D, E)`` and ``(D,)``; without `residual` of any width.
        residual: whether to add x.
        epsilon: what the norm adds to the variance.
        backend: "native" (CPU; float32, or bfloat16 under autocast) or "eager"; by default "native" where it can,
            and has AVX2 or better.

    Returns:
        ``(..., D)`` in x's dtype.

    Raises:
        ValueError, TypeError: an argument has the wrong shape, dtype or device.
        RuntimeError: the backend asked for can't run, or a second derivative is asked of a fast one.

    Equivalent to `olift_fast.reference.norm_mlp`.
    """
    _check(x, {"norm_weight": norm_weight, "norm_bias": norm_bias}, weight, bias)
    check_floating("second_weight", second_weight)
    width = second_weight.shape[0] if second_weight.dim() else 0
    check_shape("second_weight", second_weight, (x.shape[-1] if residual else width, weight.shape[0]))
    if second_bias is not None:
        check_shape("second_bias", second_bias, (width,))
    parameters = (norm_weight, norm_bias, weight, bias, second_weight, second_bias)
    refusal = refuse_native_layers(x, *parameters)
    if choose_backend("norm_mlp", backend, {"native": refusal}, slower_than_eager()) == "eager":
        return eager_norm_mlp(x, *parameters, residual=residual, epsilon=epsilon).to(x.dtype)
    norm, first, second = (norm_weight, norm_bias), (weight, bias), (second_weight, second_bias)
    return native_layers(_float(x), None, norm, first, second, epsilon, residual, product_dtype())


def _float(x: Tensor) -> Tensor:
    """x in the norm's dtype: under autocast, it may be a layer's output in autocast's dtype."""
    return x.to(torch.float32)


def _check(x: Tensor, norm: dict[str, Tensor], weight: Tensor, bias: Tensor | None) -> None:
    check_floating("x", x)
    check_floating("weight", weight)
    if x.dim() < 1 or weight.dim() != 2 or weight.shape[1] != x.shape[-1] or weight.numel() == 0:
        raise ValueError(f"weight must be (E, D) for x (..., D), got {tuple(weight.shape)} for {tuple(x.shape)}")
    for name, vector in norm.items():
        check_shape(name, vector, (x.shape[-1],))
    if bias is not None:
        check_shape("bias", bias, (weight.shape[0],))
