"""A norm, linear layers and a sum as one native operation, if the modules are PyTorch's own and have no hooks.

If not, each function calls the modules that it is given. So modules of other classes, hooks and other backends have
their effect.
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from olift_fast.nn.hooks import has_hooks
from olift_fast.ops import linear_residual, norm_linear, norm_mlp
from olift_fast.ops.backends import asked_backend
from olift_fast.ops.layers.native import refuse_native_layers, slower_than_eager


def apply_norm_linear(x: Tensor, norm: nn.Module, linear: nn.Module) -> Tensor:
    """``linear(norm(x))``."""
    if not (is_plain_norm(norm) and is_plain(linear, nn.Linear) and _runs_natively(x, norm, linear)):
        return cast(Tensor, linear(norm(x)))
    norm, linear = cast(nn.LayerNorm, norm), cast(nn.Linear, linear)
    return norm_linear(x, norm.weight, norm.bias, linear.weight, linear.bias, epsilon=norm.eps, backend="native")


def apply_linear_residual(x: Tensor, linear: nn.Module, residual: Tensor) -> Tensor:
    """``residual + linear(x)``."""
    if not (is_plain(linear, nn.Linear) and _runs_natively(x, linear, residual=residual)):
        return residual + linear(x)
    linear = cast(nn.Linear, linear)
    return linear_residual(x, linear.weight, linear.bias, residual, backend="native")


def apply_norm_mlp(x: Tensor, norm: nn.Module, mlp: nn.Module, residual: bool = True) -> Tensor:
    """``x + mlp(norm(x))``, or ``mlp(norm(x))`` without `residual`."""
    if not (is_plain_norm(norm) and is_plain_mlp(mlp) and _runs_natively(x, norm, mlp)):
        out = mlp(norm(x))
        return x + out if residual else cast(Tensor, out)
    norm = cast(nn.LayerNorm, norm)
    first, _, second = cast(tuple[nn.Linear, nn.Module, nn.Linear], tuple(cast(nn.Sequential, mlp)))
    layers = (first.weight, first.bias, second.weight, second.bias)
    return norm_mlp(x, norm.weight, norm.bias, *layers, residual=residual, epsilon=norm.eps, backend="native")


def is_plain(module: nn.Module, kind: type[nn.Module]) -> bool:
    """Whether the module is of this class, not of a subclass, and has no hooks."""
    return type(module) is kind and not has_hooks(module)


def is_plain_mlp(mlp: nn.Module) -> bool:
    """Whether it is an `nn.Sequential` of a linear layer, a GELU (with erf) and a linear layer."""
    if not is_plain(mlp, nn.Sequential):
        return False
    parts = list(cast(nn.Sequential, mlp))
    kinds = (nn.Linear, nn.GELU, nn.Linear)
    plain = [is_plain(part, kind) for part, kind in zip(parts, kinds, strict=False)]
    return len(parts) == len(plain) == 3 and all(plain) and parts[1].approximate == "none"


def is_plain_norm(norm: nn.Module) -> bool:
    """Whether it is a LayerNorm over the last axis with a weight and a bias."""
    if not is_plain(norm, nn.LayerNorm):
        return False
    norm = cast(nn.LayerNorm, norm)
    return norm.weight is not None and norm.bias is not None and len(norm.normalized_shape) == 1


def _runs_natively(x: Tensor, *modules: nn.Module, residual: Tensor | None = None) -> bool:
    """Whether the native backend is chosen, and takes these tensors and the modules' parameters."""
    asked = asked_backend()
    if asked not in ("auto", "native") or (asked == "auto" and slower_than_eager()):
        return False
    parameters = [parameter for module in modules for parameter in module.parameters()]
    return refuse_native_layers(x, *parameters, residual) is None
