"""Clips per second of the animal generator in one process; a batch has 64 clips of 48 frames of one skeleton."""

from __future__ import annotations

from typing import Any

import pytest

from olift_fast.data.generator import FAMILIES, AnimalGenerator

CLIPS, FRAMES = 64, 48


@pytest.mark.parametrize("family", [*FAMILIES, "mixed"])
def test_clips_per_second(benchmark: Any, family: str) -> None:
    generator = AnimalGenerator(0)
    named = None if family == "mixed" else family
    benchmark.pedantic(lambda: generator.batch(CLIPS, FRAMES, named), rounds=30, warmup_rounds=3)
    if benchmark.stats is not None:
        benchmark.extra_info["clips_per_second"] = CLIPS / benchmark.stats.stats.mean
