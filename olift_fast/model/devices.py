"""Moves a lifter to a device and a dtype given by name."""

from __future__ import annotations

import torch

from olift_fast.errors import InputError
from olift_fast.model.lifter import Lifter


def on_device(lifter: Lifter, device: str, dtype: str) -> Lifter:
    """`Lifter.optimize` with the device and the dtype given by name. On a CPU in float32, the lifter itself.

    Raises:
        InputError: the lifter can't run there; the message begins with "device" or "dtype".
    """
    if device == "cpu" and dtype == "float32":
        return lifter
    try:
        torch.device(device)
    except RuntimeError as error:
        raise InputError(f"device must be cpu, cuda, cuda:1 or another that torch knows, got {device!r}") from error
    try:
        return lifter.optimize(device, getattr(torch, dtype))
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(f"device {device}: {str(error).splitlines()[0]}") from error
