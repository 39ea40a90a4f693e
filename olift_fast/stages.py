"""Times of the stages of a run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stages:
    """Wall-clock seconds of the stages of a run, in order."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Adds the time of the block to the stage, even if the block raises."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start

    def line(self) -> str:
        """All stages in one line: "read 0.02 s · lift 0.41 s"."""
        return " · ".join(f"{stage} {seconds:.2f} s" for stage, seconds in self.seconds.items())

    def rounded(self, prefix: str = "") -> dict[str, float]:
        """Seconds, rounded to 0.1 ms, for JSON and tables; the keys are the prefix and the stage's name."""
        return {prefix + stage: round(seconds, 4) for stage, seconds in self.seconds.items()}
