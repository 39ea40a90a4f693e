"""Frames per second of what is done to lifted joints: steady bones, smoothing, angles; 26 joints, 10,000 frames."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from olift_fast.bodies import angles_of, smooth_joints, steady_bones, trust
from olift_fast.tracks import LiftedTracks, rig

FRAMES = 10_000
DO: dict[str, Callable[[LiftedTracks], object]] = {
    "steady bones": steady_bones,
    "smoothing": lambda result: smooth_joints(result, 0.3),
    "trust": trust,
    "angles": angles_of,
}


def body() -> LiftedTracks:
    """A fox of 26 joints that waves about, whose bones stretch by some 5 %."""
    skeleton, rng = rig("animalsyn3d_fox"), np.random.default_rng(0)
    time, joints = np.arange(FRAMES)[:, None, None] / 30, skeleton.num_joints
    place, wave, phase = (rng.normal(0, size, (1, joints, 3)) for size in (60, 8, 3))
    points = place + wave * np.sin(3 * time + phase) + rng.normal(0, 1, (FRAMES, joints, 3))
    seen = np.ones((1, FRAMES, joints), dtype=bool)
    return LiftedTracks(
        joints=points[None],
        keypoints=points[None, ..., :2],
        confidence=seen,
        visible=seen,
        skeleton=skeleton,
        tracks=("fox",),
        fps=30,
        scale=np.ones(1),
        centers=np.zeros((1, FRAMES, 2)),
        rotation=np.eye(3)[None],
        model="none",
        version="0",
    )


@pytest.mark.parametrize("way", DO)
def test_frames_per_second(benchmark: Any, way: str) -> None:
    result = body()
    benchmark.pedantic(lambda: DO[way](result), rounds=5, warmup_rounds=1)
    if benchmark.stats is not None:
        benchmark.extra_info["frames_per_second"] = FRAMES / benchmark.stats.stats.min
