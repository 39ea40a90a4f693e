"""Norms and linear layers as one operation each, where they are PyTorch's own and nobody listens in."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from olift_fast.ops import linear_residual, norm_linear, norm_mlp


def through_norm_linear(x: Tensor, norm: nn.Module, linear: nn.Module) -> Tensor:
    """``linear(norm(x))``."""
    if not (_is_plain_norm(norm) and _is_plain(linear, nn.Linear)):
        return cast(Tensor, linear(norm(x)))
    norm, linear = cast(nn.LayerNorm, norm), cast(nn.Linear, linear)
    return norm_linear(x, norm.weight, norm.bias, linear.weight, linear.bias, epsilon=norm.eps)


def through_linear_residual(x: Tensor, linear: nn.Module, residual: Tensor) -> Tensor:
    """``residual + linear(x)``."""
    if not _is_plain(linear, nn.Linear):
        return residual + linear(x)
    linear = cast(nn.Linear, linear)
    return linear_residual(x, linear.weight, linear.bias, residual)


def through_norm_mlp(x: Tensor, norm: nn.Module, mlp: nn.Module, residual: bool = True) -> Tensor:
    """``x + mlp(norm(x))``, or without the sum; the mlp two linear layers with a GELU between them."""
    parts = list(mlp) if _is_plain(mlp, nn.Sequential) else []  # type: ignore[call-overload]
    plain = [_is_plain(part, kind) for part, kind in zip(parts, (nn.Linear, nn.GELU, nn.Linear), strict=False)]
    if not (_is_plain_norm(norm) and len(parts) == len(plain) == 3 and all(plain) and parts[1].approximate == "none"):
        out = mlp(norm(x))
        return x + out if residual else cast(Tensor, out)
    norm, (first, _, second) = cast(nn.LayerNorm, norm), cast(list[nn.Linear], parts)
    layers = (first.weight, first.bias, second.weight, second.bias)
    return norm_mlp(x, norm.weight, norm.bias, *layers, residual=residual, epsilon=norm.eps)


def is_unheard(module: nn.Module) -> bool:
    """Whether the module has no hooks, so that what it computes may be computed without calling it."""
    return not (
        module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks
    )


def _is_plain(module: nn.Module, kind: type[nn.Module]) -> bool:
    return type(module) is kind and is_unheard(module)


def _is_plain_norm(norm: nn.Module) -> bool:
    if not _is_plain(norm, nn.LayerNorm):
        return False
    norm = cast(nn.LayerNorm, norm)
    return norm.weight is not None and norm.bias is not None and len(norm.normalized_shape) == 1
