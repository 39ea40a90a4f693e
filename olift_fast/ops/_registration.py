"""What the registration of every operation with ``torch.library`` shares."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NoReturn

import torch
from torch import Tensor

Launch = Callable[..., None]
"""Writes an operation's results into the tensors that it is given last."""


def split_projection(projection: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """q, k, v from a list of the three, or from a list of one ``(B, T, J, 3, H, Dh)`` that holds them."""
    q, k, v = projection[0].unbind(dim=3) if len(projection) == 1 else projection
    return q, k, v


def without_autocast(device: torch.device) -> AbstractContextManager[Any]:
    """Switches autocast off where it is on; elsewhere nothing, which a compiled or exported graph need not carry."""
    if torch.is_autocast_enabled(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def refuse_second_derivative(backward_op: Any, name: str) -> None:
    """Makes the gradient of `backward_op`, the registered backward of the operation `name`, a clear error."""

    def refuse(_context: Any, *_gradients: Any) -> NoReturn:
        raise RuntimeError(f"{name} has no second derivative on this backend; backend='reference' has one")

    backward_op.register_autograd(refuse)
