"""The executor on a Ray cluster: Ray Data gives packs of files to a pool of actors that hold the model."""

from __future__ import annotations

import importlib
import importlib.util
import pickle
import sys
import threading
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from olift_fast.archive.lifting import Lifting, Setup, failed, started
from olift_fast.archive.local import ATTEMPTS
from olift_fast.archive.plan import Job
from olift_fast.archive.records import Record
from olift_fast.errors import InputError, MissingExtraError
from olift_fast.runtime.threads import set_thread_count


class Attempts:
    """An actor that counts how often others have begun with something, and outlives them."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def begin(self, key: str) -> int:
        """How often it has been begun, this time included."""
        self._counts[key] += 1
        return self._counts[key]


class RayLifting:
    """An actor of Ray Data's pool: it holds the model, and turns rows of packs into rows of records.

    Ray gives a pack anew, without end, where the actor or its node is lost. A pack that comes again is lifted file by
    file, so that one that ends the process is found: it has failed after `ATTEMPTS` more.

    Args:
        setup: a pickled `Setup`.
        begin: `Attempts.begin`, or a handle of such an actor.
    """

    def __init__(self, setup: bytes, begin: Any) -> None:
        # As many as `num_cpus` of the actor: one.
        set_thread_count(1)
        self._setup: Setup = pickle.loads(setup)
        self._lifting = Lifting(self._setup)
        self._begin = begin if callable(begin) else lambda key: _answer(begin, key)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[bytes]]:
        """Lifts the packs of a batch.

        Args:
            batch: "pack" has pickled lists of jobs.
        """
        packs = (pickle.loads(pack) for pack in batch["pack"])
        return {"record": [pickle.dumps(record) for pack in packs for record in self._records(pack)]}

    def _records(self, pack: list[Job]) -> Iterator[Record]:
        if self._begin(f"pack of {pack[0].entry.path}") == 1:
            yield from self._lifting.lift(pack)
            return
        for job in pack:
            if self._begin(job.entry.path) <= ATTEMPTS:
                yield from self._lifting.lift([job])
            else:
                told = f"{ATTEMPTS} actors ended while they lifted it (not enough memory?)"
                yield failed(started(job, self._setup), told)


def _answer(counter: Any, key: str) -> int:
    ray = importlib.import_module("ray")
    return int(ray.get(counter.begin.remote(key)))


def _counter(ray: Any) -> Any:
    """An actor of `Attempts` on this node, which outlives all others: without it there is nobody to keep records."""
    here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
        node_id=ray.get_runtime_context().get_node_id(), soft=False
    )
    return ray.remote(num_cpus=0, scheduling_strategy=here)(Attempts).remote()


def lift_on_ray(
    packs: Iterable[Sequence[Job]], setup: Setup, workers: int, stop: threading.Event, address: str | None = None
) -> Generator[Record]:
    """The record of each job, as `lift_locally` gives them, from actors on a Ray cluster.

    Files and DEST must be where every node finds them: on a shared file system, or in a store. An actor takes one CPU,
    or one GPU where the settings' device is a GPU. Where a node is lost, Ray gives its packs to others.

    Args:
        packs: jobs that go to an actor together.
        setup: of the actors.
        workers: the most actors; the pool begins with one, and grows to what the cluster has room for.
        stop: once it is set, no more records are waited for.
        address: of the cluster; by default that of RAY_ADDRESS, or else a cluster on this machine alone.

    Raises:
        MissingExtraError: Ray is not installed.
        InputError: there is no cluster at the address, or Ray gave up.
    """
    if importlib.util.find_spec("ray") is None:
        raise MissingExtraError("the executor ray", "ray")
    todo = [list(pack) for pack in packs]
    if not todo:
        return
    ray = importlib.import_module("ray")
    ours = _connect(ray, address)
    try:
        for record in _records(ray, todo, setup, workers):
            yield record
            if stop.is_set():
                return
    except ray.exceptions.RayError as error:
        told = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(f"Ray gave up: {told[0]:.300}; the same call goes on from there") from error
    finally:
        if ours:
            ray.shutdown()


def _records(ray: Any, todo: list[list[Job]], setup: Setup, workers: int) -> Generator[Record]:
    data = importlib.import_module("ray.data")
    data.DataContext.get_current().enable_progress_bars = False
    on_gpu = setup.settings.device != "cpu"
    rows = [{"pack": pickle.dumps(pack)} for pack in todo]
    blocks = min(len(rows), 20 * workers)
    lifted = data.from_items(rows, override_num_blocks=blocks).map_batches(
        RayLifting,
        fn_constructor_args=(pickle.dumps(setup), _counter(ray)),
        # A pack at a time, so that its records are known as soon as it is done.
        batch_size=1,
        compute=data.ActorPoolStrategy(min_size=1, max_size=workers),
        num_cpus=0 if on_gpu else 1,
        num_gpus=1 if on_gpu else 0,
    )
    for row in lifted.iter_rows():
        yield pickle.loads(row["record"])


def _connect(ray: Any, address: str | None) -> bool:
    """Connects to the cluster; whether this call has done so."""
    if ray.is_initialized():
        return False
    # Workers on this machine find the package where this process has found it.
    package = str(Path(__file__).resolve().parents[2])
    paths = [package, *(path for path in sys.path if path)]
    environment = {"env_vars": {"PYTHONPATH": ":".join(dict.fromkeys(paths)), "OMP_NUM_THREADS": "1"}}
    try:
        ray.init(address=address, runtime_env=environment, log_to_driver=False, logging_level="error")
    except (ConnectionError, RuntimeError, ValueError) as error:
        where = address or "RAY_ADDRESS"
        raise InputError(f"no Ray cluster at {where}: {' '.join(str(error).split()):.200}") from error
    return True
