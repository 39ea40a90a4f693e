"""Prints the kernels that a lifter launches and `ops.warmup` does not: a line for each, an empty one for none.

``python warmup_launches.py inference|training`` in a process with the interpreter off.
"""

from __future__ import annotations

import sys

import torch
from compiling import claim, kernels_asked_for, take_cpu_tensors

from olift_fast import Lifter, LifterConfig, ops
from olift_fast.model.lifter import OptimizedLifter
from olift_fast.streaming.steps import Told
from olift_fast.streaming.steps_modules import ModuleSteps

CONFIG = LifterConfig(width=64, heads=2, motion_layers=1, space_layers=1, window=(3, 2), frequencies=16)
CPU = torch.device("cpu")


def clip(batch: int, frames: int, joints: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    graph = torch.rand(joints, joints) > 0.5
    sides, lengths = torch.zeros(joints), torch.full((batch,), frames)
    mask = torch.ones(batch, joints, dtype=torch.bool)
    given = {"graph": graph, "sides": sides, "lengths": lengths, "joint_mask": mask}
    return torch.randn(batch, frames, joints, 2), given


def infer(dtype: torch.dtype) -> None:
    """A recording, a padded batch, and a stream's step, by a copy as `Lifter.optimize` makes it for a GPU."""
    lifter = OptimizedLifter(Lifter(CONFIG), CPU, torch.float32, compile=False)
    if dtype != torch.float32:
        lifter.dtype = dtype
        lifter._round_weights()
    for shape in ((1, 40, 17), (3, 33, 26)):
        keypoints, given = clip(*shape)
        lifter(keypoints)
        lifter(keypoints, **given)
    with torch.inference_mode():
        steps = ModuleSteps(lifter, None, Told(torch.zeros(1, 26), None, None), 2)
        steps.warmup()


def train(dtype: torch.dtype) -> None:
    for config in (CONFIG, LifterConfig(**{**CONFIG.__dict__, "encoding": "learnable_rff"})):
        lifter = Lifter(config)
        keypoints, given = clip(3, 33, 26)
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            lifted = lifter(keypoints, **given)
        lifted.square().mean().backward()


if __name__ == "__main__":
    claim(90)
    take_cpu_tensors()
    training = sys.argv[1] == "training"
    missing: set[str] = set()
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        with kernels_asked_for() as warm:
            ops.warmup(1, 20, 26, 2, 32, window=(3, 2), frequencies=16, dtype=dtype, device="cpu", backward=training)
        with kernels_asked_for() as asked:
            (train if training else infer)(dtype)
        assert asked, "no launch"
        missing |= asked - warm
    print("\n".join(sorted(missing)))
