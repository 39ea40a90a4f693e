"""The whole model on one recording: frames lifted a second by `small`, native beside the plain-PyTorch backend."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from olift_fast.data.rigs import rig
from olift_fast.model import Lifter, LifterConfig, lift_in_chunks
from olift_fast.ops._native import why_not_native


@pytest.mark.parametrize("frames", [48, 2000])
@pytest.mark.parametrize("backend", ["auto", "reference"])
def test_frames_per_second(benchmark: Any, monkeypatch: pytest.MonkeyPatch, backend: str, frames: int) -> None:
    if backend == "auto" and why_not_native() is not None:
        pytest.skip(str(why_not_native()))
    torch.manual_seed(0)
    skeleton = rig("animalsyn3d_dog")
    lifter = Lifter(LifterConfig.preset("small")).eval()
    keypoints = torch.randn(frames, skeleton.num_joints, 2)
    visible = torch.rand(frames, skeleton.num_joints) > 0.1
    wanted = lift_in_chunks(lifter, keypoints[:48], visible[:48], skeleton)
    monkeypatch.setenv("OLIFT_BACKEND", backend)
    torch.testing.assert_close(
        lift_in_chunks(lifter, keypoints[:48], visible[:48], skeleton), wanted, atol=1e-4, rtol=1e-4
    )
    benchmark.pedantic(lambda: lift_in_chunks(lifter, keypoints, visible, skeleton), rounds=5, warmup_rounds=1)
    if benchmark.stats is not None:
        benchmark.extra_info.update(frames=frames, frames_per_second=frames / benchmark.stats.stats.median)
