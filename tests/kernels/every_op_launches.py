"""Launches of every operation that has a Triton kernel, for `compiling.compile_launches`."""

from __future__ import annotations

import torch
from compiling import take_cpu_tensors
from every_op import cases


def bfloat16() -> None:
    """As `every_op.py cuda bfloat16` launches them; results are what was in the memory."""
    take_cpu_tensors()
    for case in cases("cpu", torch.bfloat16).values():
        case.step()
