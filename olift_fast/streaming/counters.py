"""Counters of a live stream, in memory that does not grow: latencies, and the rate of messages."""

from __future__ import annotations

import math

import numpy as np

_SHORTEST, _BINS_PER_OCTAVE = 1e-6, 64


class LatencyHistogram:
    """Counts latencies in bins that are 1.1 % wide, from a microsecond to an hour."""

    def __init__(self) -> None:
        self.count, self.longest = 0, 0.0
        self._bins = np.zeros(32 * _BINS_PER_OCTAVE, dtype=np.int64)

    def add(self, seconds: float) -> None:
        """Counts one latency."""
        place = int(_BINS_PER_OCTAVE * math.log2(max(seconds, _SHORTEST) / _SHORTEST))
        self._bins[min(place, len(self._bins) - 1)] += 1
        self.count += 1
        self.longest = max(self.longest, seconds)

    def percentile(self, percent: float) -> float:
        """The percentile of the latencies in seconds, to the width of a bin; NaN before the first latency."""
        if not self.count:
            return math.nan
        place = int(np.searchsorted(np.cumsum(self._bins), math.ceil(percent / 100 * self.count)))
        return min(_SHORTEST * 2 ** ((place + 1) / _BINS_PER_OCTAVE), self.longest)

    def milliseconds(self) -> dict[str, float] | None:
        """p50, p95, p99 and max, to three digits; None before the first."""
        if not self.count:
            return None
        shown = {f"p{percent}": self.percentile(percent) for percent in (50, 95, 99)} | {"max": self.longest}
        return {name: float(f"{1e3 * seconds:.3g}") for name, seconds in shown.items()}


class RateLimit:
    """Lets `burst` messages through at once, then one every `seconds` (a token bucket)."""

    def __init__(self, burst: int = 10, seconds: float = 1.0) -> None:
        self._burst, self._seconds = burst, seconds
        self._tokens, self._last = float(burst), -math.inf
        self.withheld = 0
        """How many messages were withheld since the last one that was let through."""

    def allows(self, now: float) -> bool:
        """Whether `take` would let a message through."""
        gained = (now - self._last) / self._seconds
        self._tokens, self._last = min(self._tokens + gained, self._burst), now
        return self._tokens >= 1

    def take(self, now: float) -> int | None:
        """None if this message must not be sent, else how many were withheld before it."""
        if not self.allows(now):
            self.withheld += 1
            return None
        self._tokens -= 1
        withheld, self.withheld = self.withheld, 0
        return withheld
