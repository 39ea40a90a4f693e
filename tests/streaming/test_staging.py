"""What is copied to a GPU late is what was written for that step."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from olift_fast.model import Lifter, LifterConfig
from olift_fast.streaming.rings import Indices
from olift_fast.streaming.staging import Staging
from olift_fast.streaming.steps import Inputs, Told
from olift_fast.streaming.steps_modules import ModuleSteps

CPU = torch.device("cpu")


class LateDevice:
    """Copies only when something waits for it, as a GPU that is busy with the step before."""

    def __init__(self) -> None:
        self.asked: list[torch.Tensor] = []
        self.seen: list[list[float]] = []

    def copy_(self, staged: torch.Tensor, *, non_blocking: bool) -> None:
        assert non_blocking
        self.asked.append(staged)

    def work(self) -> None:
        self.seen += [staged.tolist() for staged in self.asked]
        self.asked.clear()


def test_memory_is_not_written_before_it_was_copied() -> None:
    staging, device = Staging([((2,), torch.float32)], CPU), LateDevice()
    staging.tensors = [device]  # type: ignore[list-item]
    staging._mark = lambda: device.work
    for step in range(3):
        (array,) = staging.arrays()
        array[:] = step
        staging.send()
    device.work()
    assert device.seen == [[0, 0], [1, 1], [2, 2]]


def test_a_step_waits_once_and_keeps_what_was_written() -> None:
    staging, waits = Staging([((1,), torch.int64)], CPU), []
    staging._mark = lambda: lambda: waits.append(1)
    staging.arrays()[0][:] = 7
    staging.send()
    assert [int(staging.arrays()[0][0]) for _ in range(3)] == [7, 7, 7]
    assert waits == [1]
    assert staging.tensors[0].item() == 7


@pytest.mark.gpu
@torch.inference_mode()
def test_frames_pushed_while_the_gpu_is_busy_are_lifted_as_they_were() -> None:
    """No result is due in the first ``right × motion_layers`` frames, so nothing else waits for the GPU there."""
    torch.manual_seed(0)
    lifter = Lifter(LifterConfig(width=24, heads=3, motion_layers=2, space_layers=1, window=(3, 2), frequencies=7))
    lifter.eval().cuda()
    frames = np.random.default_rng(0).standard_normal((20, 1, 5, 2)).astype(np.float32)
    track: Indices = np.zeros(1, dtype=np.int64)
    results = []
    for busy in (False, True):
        steps = ModuleSteps(lifter, None, Told(torch.zeros(1, 5, device="cuda"), None, None), 1)
        steps.warmup()
        decoded = []
        for time, keypoints in enumerate(frames):
            if busy:
                torch.cuda._sleep(20_000_000)
            answers = steps.step(track, track + time, track + 20, Inputs(keypoints, np.ones((1, 5), dtype=np.bool_)))
            if not busy:
                torch.cuda.synchronize()
            if answers is not None:
                decoded.append(answers.decoded)
        results.append(np.stack(decoded))
    assert len(results[0]) == 16 and np.array_equal(*results)
