"""The compiled kernels for CPUs, which this package does not have: plain PyTorch computes there."""

from __future__ import annotations

from typing import NoReturn

import torch
from torch import Tensor

WHY = "this package has Triton kernels alone; the package olift-fast has compiled kernels, too"


def native_module() -> None:
    """There is none."""


def loaded_module() -> NoReturn:
    """Is never called where `why_not_native` is heeded; raises RuntimeError."""
    raise RuntimeError(WHY)


def why_not_native() -> str:
    """One line: why the compiled kernels can't be used."""
    return WHY


def why_not_cuda() -> str:
    """One line: why the compiled CUDA kernels can't be used."""
    return WHY


def why_not_products(dtype: torch.dtype) -> str:
    """One line: why the compiled kernels can't multiply in this dtype."""
    return WHY


def ask_for_huge_pages(*fresh: Tensor) -> None:
    """Nothing: plain PyTorch takes care of its memory."""
