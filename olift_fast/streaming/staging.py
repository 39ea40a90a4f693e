"""Copies a step's inputs from NumPy to the device."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor


class Staging:
    """Tensors on a device, and memory of the CPU that they are copied from.

    For a GPU this memory is page-locked, and `send` only queues the copies: they may wait for the work of the step
    before. So `arrays` waits until the last copies are done; the next step's numbers would overwrite them otherwise.

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
        """The memory on the CPU, to be written before `send`. It has the values that were written last."""
        if self._copied is not None:
            self._copied()
            self._copied = None
        return [x.numpy() for x in self._staged]

    def send(self) -> None:
        """Copies `arrays` into `tensors`, in order with the device's other work."""
        for held, staged in zip(self.tensors, self._staged, strict=True):
            held.copy_(staged, non_blocking=True)
        if self._mark is not None:
            self._copied = self._mark()


def _marker(device: torch.device) -> Callable[[], Callable[[], None]]:
    """A function that marks a point in the device's work and returns a function that waits until this point."""
    reached = torch.cuda.Event()

    def mark() -> Callable[[], None]:
        reached.record(torch.cuda.current_stream(device))
        return reached.synchronize

    return mark
