"""The precision of a training's products: the one that is set, or the faster one on this machine."""

from __future__ import annotations

import copy
import time
import warnings
from typing import Literal

import torch

from olift_fast.model import Lifter
from olift_fast.ops.native_module import why_not_products

Precision = Literal["float32", "bfloat16"]

PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")


def resolved(wanted: Literal["auto", "float32", "bfloat16"], lifter: Lifter) -> Precision:
    """The precision to train a lifter in, on the device that its weights are on.

    "auto" is bfloat16 on GPUs. On CPUs both are timed with this lifter, because some processors multiply in bfloat16 at
    twice the rate of float32 and some at the same rate; "auto" is the faster one. On processors without instructions
    for bfloat16 it is float32.

    Warns:
        RuntimeWarning: "bfloat16" is wanted, and the processor has no instructions for it.
    """
    cuda = next(lifter.parameters()).is_cuda
    reason = None if cuda else why_not_products(torch.bfloat16)
    if wanted == "bfloat16" and reason is not None:
        slow = f"training in bfloat16 will be many times slower than in float32: {reason}"
        warnings.warn(f'{slow}; run.precision = "auto" chooses by itself', RuntimeWarning, stacklevel=3)
    if wanted != "auto":
        return wanted
    if reason is not None:
        return "float32"
    return "bfloat16" if cuda else faster(lifter)


def faster(lifter: Lifter, clips: int = 8, frames: int = 48, joints: int = 20, rounds: int = 3) -> Precision:
    """The precision whose forward and backward pass takes less time here, by the shortest of some rounds in turns."""
    lifter = copy.deepcopy(lifter).train()
    keypoints = torch.linspace(-2, 2, clips * frames * joints * 2).view(clips, frames, joints, 2)
    visible = torch.ones(clips, frames, joints, dtype=torch.bool)
    seconds: dict[Precision, list[float]] = {precision: [] for precision in PRECISIONS}
    for _ in range(rounds + 1):
        for precision, times in seconds.items():
            start = time.perf_counter()
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bfloat16"):
                lifted = lifter(keypoints, visible)
            lifted.float().square().mean().backward()
            times.append(time.perf_counter() - start)
    # The first round is left out, because it allocates buffers and starts threads.
    return min(PRECISIONS, key=lambda precision: min(seconds[precision][1:]))
