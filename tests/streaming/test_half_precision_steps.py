"""A stream by modules in half precision, as on a GPU, on the CPU: autocast, with the layers' weights rounded."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from launches import in_half

from olift_fast import Lifter, LifterConfig, Skeleton, StreamingLifter
from olift_fast.model import Normalization
from olift_fast.streaming.steps_modules import ModuleSteps

CONFIG = LifterConfig(width=24, heads=3, motion_layers=2, space_layers=1, window=(3, 2), frequencies=7)
TOLERANCE = {torch.bfloat16: 2e-2, torch.float16: 5e-3}


@pytest.mark.parametrize("dtype", list(TOLERANCE))
def test_gives_what_float32_gives_to_its_precision(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    lifter = Lifter(CONFIG).eval()
    half = in_half(lifter, dtype)
    half.fused_layers = lambda _: None  # type: ignore[method-assign]
    keypoints = np.random.default_rng(0).normal(300, 40, (30, 4, 2)).astype(np.float32)
    skeleton = Skeleton(("a", "b", "c", "d"), ((0, 1), (1, 2), (2, 3)))
    results = []
    for model in (half, lifter):
        stream = StreamingLifter(model, skeleton, frame="object", normalization=Normalization(40.0))
        assert model is lifter or isinstance(stream._steps, ModuleSteps)
        results.append(np.stack([result.joints for result in stream.push(keypoints) + stream.flush()]))
    got, wanted = results
    assert 1e-5 < np.linalg.norm(got - wanted) / np.linalg.norm(wanted) < TOLERANCE[dtype]
