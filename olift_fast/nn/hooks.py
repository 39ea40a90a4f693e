"""Whether anybody listens to a module: what computes in its place would not call hooks."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.module import _has_any_global_hook


def is_unheard(module: nn.Module) -> bool:
    """Whether the module has no hooks of its own, and there are none of all modules, as FLOP counters set them."""
    return not (
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
        or _has_any_global_hook()
    )
