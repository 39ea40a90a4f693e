"""The simulation of a cluster does all the work once, and gives the rows that are committed."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import replace

import numpy as np
import pytest

from benchmarks import archive_simulation as simulation


def test_one_worker_takes_the_sum_and_many_take_the_longest() -> None:
    works = [3.0, 2.0, 1.0]
    rng = np.random.default_rng(0)
    assert simulation.simulated([deque(works)], 1, rng, shared=True) == pytest.approx(simulation.START + 6)
    assert simulation.simulated([deque(works)], 9, rng, shared=True) == pytest.approx(simulation.START + 3)
    own = [deque([3.0]), deque([2.0, 2.0])]
    assert simulation.simulated(own, 2, rng, shared=False) == pytest.approx(simulation.START + 4)


def test_lost_nodes_and_slow_ones_cost_time_but_no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    case = replace(simulation.CASES[0], files=500)
    before = simulation.one(case, 64, "queue")["wall_s"]
    monkeypatch.setattr(simulation, "FAILURES_PER_NODE_HOUR", 60.0)
    lossy = simulation.one(case, 64, "queue")["wall_s"]
    monkeypatch.setattr(simulation, "FAILURES_PER_NODE_HOUR", 0.05)
    monkeypatch.setattr(simulation, "SLOW_SHARE", 1.0)
    slow = simulation.one(case, 64, "queue")["wall_s"]
    assert before < lossy and before < slow


def test_committed_rows_are_those_that_it_gives() -> None:
    content = json.loads(simulation.RESULTS.read_text())
    for workers in (100, 1000):
        row = simulation.one(simulation.CASES[0], workers, "queue")
        assert row in content["rows"]
    queued = [row for row in content["rows"] if row["way"] == "queue"]
    assert len(queued) == 10 and max(row["ratio"] for row in queued) < 1.2
