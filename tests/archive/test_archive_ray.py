"""On a real Ray cluster of two nodes on loopback: results are those of one process, also where a node is lost."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from archives import archive_of, as_lifted_alone, records, table
from conftest import lift_with

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), *filter(None, sys.path)]))
    monkeypatch.setenv("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    store = {"object_store_memory": 100 * 2**20}
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, **store})
    made.add_node(num_cpus=1, **store)
    ray.init(address=made.address, log_to_driver=False, logging_level="error")
    yield made
    ray.shutdown()
    made.shutdown()


def test_two_nodes_lift_what_one_process_lifts(cluster: Any, model: str, tmp_path: Path) -> None:
    source, out = archive_of(tmp_path / "in"), tmp_path / "out"
    summary = lift_with(model, source, out, executor="ray", workers=2)
    assert (summary.done, summary.failed) == (5, 1)
    assert as_lifted_alone(out, summary, model)
    again = lift_with(model, source, out, executor="ray", workers=2)
    assert (again.done, again.skipped, again.failed_before) == (0, 5, 1)


def test_a_node_that_is_lost_costs_no_file(cluster: Any, model: str, tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    for number in range(12):
        table(source / f"{number}.csv", frames=3000, seed=number)
    lost = threading.Event()

    def lose(event: dict[str, Any]) -> None:
        if event["event"] == "file" and not lost.is_set():
            lost.set()
            cluster.remove_node(cluster.list_all_nodes()[-1], allow_graceful=False)

    summary = lift_with(model, source, out, executor="ray", workers=2, on_event=lose)
    assert lost.is_set() and (summary.done, summary.failed) == (12, 0)
    assert as_lifted_alone(out, summary, model)
    assert len(records(out)) == 12
