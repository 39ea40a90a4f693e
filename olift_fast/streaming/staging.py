"""Inputs of a step on their way from NumPy to the device."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor


class Staging:
    """Tensors on a device, and memory of the CPU that they are copied from.

    For a GPU that memory is page-locked, and `send` only asks for the copies: they may wait behind the work of the step
    before. So `arrays` waits until the last copies have been made, lest the next step's numbers take their place.

    Args:
        shapes: shape and dtype of each tensor.
        device: where the tensors are.
    """

    def __init__(self, shapes: list[tuple[tuple[int, ...], torch.dtype]], device: torch.device) -> None:
        on_gpu = device.type == "cuda"
        self._staged = [torch.zeros(shape, dtype=dtype, pin_memory=on_gpu) for shape, dtype in shapes]
        self.tensors: list[Tensor] = [x.to(device, copy=True) for x in self._staged]
        self._mark = _marker(device) if on_gpu else None
        self._copied: Callable[[], None] | None = None

    def arrays(self) -> list[np.ndarray]:
        """The CPU's memory, to be written before `send`; it holds what was written last."""
        if self._copied is not None:
            self._copied()
            self._copied = None
        return [x.numpy() for x in self._staged]

    def send(self) -> None:
        """Copies what was written into `tensors`, in order with the device's other work."""
        for held, staged in zip(self.tensors, self._staged, strict=True):
            held.copy_(staged, non_blocking=True)
        if self._mark is not None:
            self._copied = self._mark()


def _marker(device: torch.device) -> Callable[[], Callable[[], None]]:
    """A function that marks a point in the device's work, and returns what waits until the device has come there."""
    reached = torch.cuda.Event()

    def mark() -> Callable[[], None]:
        reached.record(torch.cuda.current_stream(device))
        return reached.synchronize

    return mark
