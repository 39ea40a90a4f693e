"""A lifter for inference alone, on one device, with its products in the precision that was asked for."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from olift_fast.errors import InputError
from olift_fast.model.lifter import Lifter
from olift_fast.ops.native_module import why_not_bfloat16


class OptimizedLifter(Lifter):
    """What `Lifter.optimize` returns: a copy that computes no gradients.

    Args:
        lifter: what to copy.
        device, dtype, compile: see `Lifter.optimize`.
    """

    def __init__(self, lifter: Lifter, device: torch.device, dtype: torch.dtype, compile: bool) -> None:
        nn.Module.__init__(self)
        _check_dtype(device, dtype, compile)
        self.config, self.name, self.dtype = lifter.config, lifter.name, dtype
        for name, part in lifter.named_children():
            self.add_module(name, copy.deepcopy(part))
        self.eval().requires_grad_(False).to(device)
        self._fused, self._products = None, torch.float32
        self._compiled: Callable[..., Tensor] | None = None
        self._device, self._compile = device, compile
        if device.type == "cpu" and not compile:
            self._products = dtype
        elif dtype != torch.float32:
            self._round_weights()

    def forward(self, keypoints: Tensor, visible: Tensor | None = None, **given: Any) -> Tensor:
        """As `Lifter.forward`, which has the arguments; without gradients."""
        with torch.no_grad(), self._autocast():
            if not self._compile:
                return super().forward(keypoints, visible, **given).to(keypoints.dtype)
            # A CUDA graph writes its next result to the same place.
            return self._compiled_forward()(keypoints, visible, **given).to(keypoints.dtype, copy=True)

    def extra_repr(self) -> str:
        """Device, dtype, and whether it is compiled."""
        return f"device={self._device}, dtype={self.dtype}, compile={self._compile}"

    def __getstate__(self) -> dict[str, Any]:
        """Copies and pickles compile anew."""
        return {**super().__getstate__(), "_compiled": None}

    def _autocast(self) -> torch.autocast:
        enabled = self.dtype not in (torch.float32, self._products)
        return torch.autocast(self._device.type, dtype=self.dtype if enabled else None, enabled=enabled)

    def _round_weights(self) -> None:
        """Holds the layers' weights as autocast would round them at each call."""
        for layers in (self.motion, self.space, self.decoder):
            for module in layers.modules():
                if isinstance(module, nn.Linear):
                    module.to(self.dtype)

    def _compiled_forward(self) -> Callable[..., Tensor]:
        if self._compiled is None:
            mode = "reduce-overhead" if self._device.type == "cuda" else None
            self._compiled = torch.compile(super().forward, fullgraph=True, dynamic=True, mode=mode)
        return self._compiled


def _check_dtype(device: torch.device, dtype: torch.dtype, compile: bool) -> None:
    """Raises InputError where products in `dtype` don't run on the device."""
    if dtype not in (torch.float32, torch.bfloat16, torch.float16):
        raise InputError(f"dtype must be torch.float32, torch.bfloat16 or torch.float16, got {dtype}")
    if device.type != "cpu" or dtype == torch.float32:
        return
    if dtype == torch.float16:
        raise InputError("dtype torch.float16 is for GPUs; on the CPU there are torch.float32 and torch.bfloat16")
    reason = None if compile else why_not_bfloat16()
    if reason is not None:
        raise InputError(f"dtype torch.bfloat16 does not run on this CPU: {reason}; torch.float32 does")
