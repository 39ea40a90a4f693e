"""On a real Ray cluster of two nodes on loopback: results are those of one process, also where a node is lost."""

from __future__ import annotations

import importlib.util
import os
import pickle
import runpy
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from archives import Run, archive_of, as_lifted_alone, lift_with, records, same, table

from olift_fast.archive import LiftSettings, WorldOptions
from olift_fast.archive.lifting import Setup
from olift_fast.archive.on_ray import Attempts, RayLifting
from olift_fast.archive.plan import Facts, Job
from olift_fast.archive.sources import entry_of
from olift_fast.errors import MissingExtraError
from olift_fast.io import read_lifted

ROOT = Path(__file__).resolve().parents[2]


def test_a_pack_that_comes_again_is_lifted_file_by_file(model: str, tmp_path: Path) -> None:
    """As after the loss of an actor: a file that has ended two more has failed, and others are lifted."""
    setup = Setup(settings=LiftSettings(model=model), facts=Facts("random", "", ""), place=str(tmp_path / "out"))
    entries = [entry_of(table(tmp_path / f"{number}.csv", seed=number), tmp_path) for number in range(3)]
    pack = [Job(entry, f"{entry.name}.lifted.npz", "new") for entry in entries]
    counted = Attempts()
    actor = RayLifting(pickle.dumps(setup), counted.begin)

    def statuses() -> list[str]:
        found = actor({"pack": [pickle.dumps(pack)]})["record"]
        return [pickle.loads(record)["status"] for record in found]

    assert statuses() == ["done"] * 3
    for _ in range(2):
        counted.begin(entries[1].path)
    assert statuses() == ["done", "failed", "done"]


def test_an_actor_holds_bones_as_one_process_does(run: Run, model: str, tmp_path: Path) -> None:
    """What a result's finishing needs goes to an actor with the settings."""
    settings = {"rigid": True, "world": WorldOptions(up="0,-1,0", bones=("nose-tail=35mm",))}
    path = table(tmp_path / "in" / "0.csv")
    setup = Setup(
        settings=LiftSettings(model=model, **settings), facts=Facts("random", "", ""), place=str(tmp_path / "ray")
    )
    job = Job(entry_of(path, tmp_path / "in"), "0.lifted.npz", "new")
    actor = RayLifting(pickle.dumps(setup), Attempts().begin)
    (record,) = map(pickle.loads, actor({"pack": [pickle.dumps([job])]})["record"])
    assert run(tmp_path / "in", tmp_path / "out", **settings).done == 1
    result = read_lifted(tmp_path / "ray" / record["output"])
    assert result.units == "meters" and same(result, read_lifted(tmp_path / "out" / "0.lifted.npz"))


def test_without_ray_the_extra_is_named(tmp_path: Path, model: str) -> None:
    if importlib.util.find_spec("ray"):
        pytest.skip("ray is installed")
    with pytest.raises(MissingExtraError, match=r"olift-fast\[ray\]"):
        lift_with(model, archive_of(tmp_path / "in", count=1), tmp_path / "out", executor="ray")


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), *filter(None, sys.path)]))
    monkeypatch.setenv("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    node = {"num_cpus": 1, "object_store_memory": 100 * 2**20, "include_dashboard": False}
    made = Cluster(initialize_head=True, head_node_args=node)
    made.add_node(**node)
    ray.init(address=made.address, log_to_driver=False, logging_level="error")
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.mark.slow
def test_two_nodes_lift_what_one_process_lifts(
    cluster: Any, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the executor, and by the example of a job."""
    source, out = archive_of(tmp_path / "in"), tmp_path / "out"
    summary = lift_with(model, source, out, executor="ray", workers=2)
    assert (summary.done, summary.failed) == (5, 1)
    assert as_lifted_alone(out, summary, model)
    again = lift_with(model, source, out, executor="ray", workers=2)
    assert (again.done, again.skipped, again.failed_before) == (0, 5, 1)
    job = runpy.run_path(str(ROOT / "examples" / "archives" / "ray_job.py"))
    assert job["main"]([str(source), str(tmp_path / "job"), "--workers", "2"]) == 3
    assert "5 files lifted, 1 failed" in capsys.readouterr().out
    assert {name: one["status"] for name, one in records(tmp_path / "job").items()} == {
        name: one["status"] for name, one in records(out).items()
    }


@pytest.mark.slow
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
