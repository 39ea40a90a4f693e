"""What a GPU would launch, counted here; and a lifter as `Lifter.optimize` makes it for a GPU, on any device."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from olift_fast.model import Lifter
from olift_fast.model.lifter import OptimizedLifter

NO_LAUNCH = {
    "view",
    "_unsafe_view",
    "expand",
    "slice",
    "select",
    "unbind",
    "alias",
    "detach",
    "unsqueeze",
    "t",
    "empty",
    "promote_types",
}
"""Operations that launch nothing: views, and room for results."""


class Launches(TorchDispatchMode):
    """Counts the operations that a GPU would launch a kernel for.

    Called under ``torch.no_grad()``: under inference_mode it would see operations that are made of others, as `to`, and
    not those.
    """

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = function._schema.name.split("::")[1]
        if name not in NO_LAUNCH:
            self.names.append(name)
        return function(*args, **(kwargs or {}))

    def ours(self) -> dict[str, int]:
        """How often each Triton operation was launched."""
        names = [name for name in self.names if name.endswith("_triton")]
        return {name: names.count(name) for name in names}

    def others(self) -> list[str]:
        """PyTorch's own launches, sorted."""
        return sorted(name for name in self.names if not name.endswith("_triton"))


def in_half(lifter: Lifter, dtype: torch.dtype = torch.float16) -> Lifter:
    """A copy as `Lifter.optimize` makes it for a GPU in half precision, where the lifter is."""
    device = next(lifter.parameters()).device
    optimized = OptimizedLifter(lifter, device, torch.float32, compile=False)
    optimized.dtype = dtype
    optimized._round_weights()
    return optimized
