"""What a live stream tells of itself, in memory that does not grow: delays, and how often something may be said."""

from __future__ import annotations

import math

import numpy as np

_FIRST, _PER_OCTAVE = 1e-6, 64


class Delays:
    """Counts seconds in bins that are 1.1 % wide, from a microsecond up to an hour."""

    def __init__(self) -> None:
        self.count, self.longest = 0, 0.0
        self._bins = np.zeros(32 * _PER_OCTAVE, dtype=np.int64)

    def add(self, seconds: float) -> None:
        """Counts one delay."""
        place = int(_PER_OCTAVE * math.log2(max(seconds, _FIRST) / _FIRST))
        self._bins[min(place, len(self._bins) - 1)] += 1
        self.count += 1
        self.longest = max(self.longest, seconds)

    def percentile(self, percent: float) -> float:
        """Seconds that `percent` of the delays don't exceed, to the width of a bin; NaN where there are none."""
        if not self.count:
            return math.nan
        place = int(np.searchsorted(np.cumsum(self._bins), math.ceil(percent / 100 * self.count)))
        return min(_FIRST * 2 ** ((place + 1) / _PER_OCTAVE), self.longest)

    def milliseconds(self) -> dict[str, float] | None:
        """p50, p95, p99 and the longest, for people and JSON; None where there are none."""
        if not self.count:
            return None
        figures = {f"p{percent}": self.percentile(percent) for percent in (50, 95, 99)} | {"max": self.longest}
        return {name: float(f"{1e3 * seconds:.3g}") for name, seconds in figures.items()}


class Allowance:
    """How often something may be said: `burst` times at once, then once every `seconds`."""

    def __init__(self, burst: int = 10, seconds: float = 1.0) -> None:
        self._burst, self._seconds = burst, seconds
        self._left, self._last = float(burst), -math.inf
        self.withheld = 0
        """How many were refused since the last that was allowed."""

    def take(self, now: float) -> int | None:
        """How many were withheld before this one, which may be said; None where it may not."""
        gained = (now - self._last) / self._seconds
        self._left, self._last = min(self._left + gained, self._burst), now
        if self._left < 1:
            self.withheld += 1
            return None
        self._left -= 1
        withheld, self.withheld = self.withheld, 0
        return withheld
