"""Ways that are timed by turns: who is called when, and what is told of each."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import torch

from benchmarks.side_by_side import run_side_by_side

CPU = torch.device("cpu")


class Benchmark:
    """As much of pytest-benchmark's fixture as is used."""

    def __init__(self) -> None:
        self.extra_info: dict[str, Any] = {}

    def pedantic(self, way: Callable[[], object], *, setup: Callable[[], None], rounds: int, **_: int) -> None:
        for _ in range(rounds):
            setup()
            way()


@pytest.mark.parametrize("seconds", [0.006, 0.0], ids=["one call a turn", "more calls a turn"])
def test_ways_take_turns(seconds: float) -> None:
    called: list[str] = []

    def way(name: str, slower: float) -> Callable[[], None]:
        def run() -> None:
            called.append(name)
            time.sleep(slower * seconds)

        return run

    benchmark = Benchmark()
    ways = {"ours": way("ours", 1), "peer": way("peer", 2), "other": way("other", 1.5)}
    rows = run_side_by_side(benchmark, ways, rounds=3, device=CPU, traffic=10**6)
    turns = [name for name, before in zip(called, [None, *called], strict=False) if name != before]
    assert turns[-9:] == ["peer", "other", "ours"] * 3
    assert list(rows) == list(ways) and benchmark.extra_info["ways"] is rows
    for row in rows.values():
        assert 0 <= row["p20_ms"] <= row["p50_ms"] <= row["p80_ms"] and row["GB/s"] == pytest.approx(1 / row["p50_ms"])
    if seconds:
        assert rows["ours"]["p50_ms"] >= 6 and rows["peer"]["p50_ms"] >= 12
        assert called[-3:] == ["peer", "other", "ours"]
    else:
        # A first call and ten that find the caches warm.
        assert called[-11:] == ["ours"] * 11 and called[-12] == "other"
