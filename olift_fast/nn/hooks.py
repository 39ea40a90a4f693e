"""Whether modules have hooks. Code that computes a module's result without calling the module must ask this first."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.module import _has_any_global_hook


def has_hooks(*modules: nn.Module) -> bool:
    """Whether one of the modules has a hook, or a hook is set for all modules, as FLOP counters set them."""
    for module in modules:
        if module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks:
            return True
    return bool(_has_any_global_hook())
