"""Whether anybody listens to modules: what computes in its place would not call hooks."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.module import _has_any_global_hook


def is_unheard(*modules: nn.Module) -> bool:
    """Whether none of these has hooks of its own, and there are none of all modules, as FLOP counters set them."""
    for module in modules:
        if module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks:
            return False
    return not _has_any_global_hook()
