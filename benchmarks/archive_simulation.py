"""How long an archive takes on a cluster: a simulation of workers, node failures and slow nodes, event by event.

    python -m benchmarks.archive_simulation        # writes results/archive-simulation.json, in seconds

A file takes `fixed + frames / speed` seconds of a core. Lengths are lognormal around the median, and cut off at 24
times it. Nodes have 32 cores. A node is lost after an exponential time; its files in work go back to the queue, and a
new node comes after `RETURN` seconds. A share of the nodes is slow. Workers start for `START` seconds before their
first file. The ideal is the work of all files over the number of workers, without failures, slow nodes, or starts.

Two ways to give out work are compared. "queue": whoever is free takes the next pack, long files first, as the executors
`local` and `ray` do. "shards": file by file beforehand, by the hash of its name, as `--shard K/N` does with a job for
each core.
"""

from __future__ import annotations

import heapq
import json
import sys
from collections import deque
from dataclasses import asdict, dataclass
from itertools import count, pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

RESULTS = Path(__file__).resolve().parent / "results" / "archive-simulation.json"
CORES = 32
START, RETURN = 10.0, 120.0
SLOW_SHARE, SLOW = 0.02, 2.0
"""The share of nodes that are slow, and how much longer they take."""
FAILURES_PER_NODE_HOUR = 0.05


@dataclass(frozen=True)
class Case:
    """An archive and the cost of a file.

    Args:
        name: of the case.
        files: how many.
        median_frames, spread: of the lognormal distribution of lengths.
        fixed: seconds that a file takes beside its frames.
        speed: frames that a core lifts a second, with reading and writing.
        pack: files that go to a worker together.
    """

    name: str
    files: int
    median_frames: float
    spread: float
    fixed: float
    speed: float
    pack: int


CASES = (
    Case("10,000 recordings of ten minutes", 10_000, 18_000, 0.5, 0.03, 1500, 1),
    Case("1,000,000 clips of ten seconds", 1_000_000, 300, 0.5, 0.03, 1500, 32),
)


def works(case: Case, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Seconds of a core for each pack, longest first; the last packs hold what is left."""
    frames = case.median_frames * np.exp(case.spread * rng.standard_normal(case.files))
    seconds = case.fixed + np.minimum(frames, 24 * case.median_frames) / case.speed
    if case.pack == 1:
        return np.sort(seconds)[::-1]
    padded = np.concatenate([seconds, np.zeros(-len(seconds) % case.pack)])
    return padded.reshape(-1, case.pack).sum(axis=1)


def simulated(queues: list[deque[float]], workers: int, rng: np.random.Generator, shared: bool) -> float:
    """Seconds until all work is done.

    Args:
        queues: the work; one that all take from where `shared`, else one for each worker.
        workers: the number of cores; the last node may have fewer than `CORES`.
        shared: see `queues`.
    """
    nodes = -(-workers // CORES)
    slow = np.where(rng.random(nodes) < SLOW_SHARE, SLOW, 1.0)
    number = count()
    events: list[tuple[float, int, str, int, float]] = []
    alive = [0] * nodes
    busy: dict[int, float] = {}
    idle: set[int] = set()
    finished = 0.0

    def queue_of(worker: int) -> deque[float]:
        return queues[0] if shared else queues[worker]

    def begin(worker: int, now: float) -> None:
        queue = queue_of(worker)
        if not queue:
            idle.add(worker)
            return
        work = queue.popleft()
        busy[worker] = work
        node = worker // CORES
        heapq.heappush(events, (now + work * slow[node], next(number), "done", worker, alive[node]))

    for worker in range(workers):
        heapq.heappush(events, (START, next(number), "free", worker, 0))
    for node in range(nodes):
        lost = rng.exponential(3600 / FAILURES_PER_NODE_HOUR)
        heapq.heappush(events, (lost, next(number), "lost", node, 0))
    left = sum(map(len, queues))
    while left:
        now, _, kind, who, generation = heapq.heappop(events)
        if kind == "lost":
            alive[who] += 1
            for worker in range(who * CORES, min((who + 1) * CORES, workers)):
                idle.discard(worker)
                if worker in busy:
                    queue_of(worker).appendleft(busy.pop(worker))
                heapq.heappush(events, (now + RETURN + START, next(number), "free", worker, alive[who]))
            if shared:
                # What came back is taken by those that wait.
                for worker in sorted(idle)[: len(queues[0])]:
                    idle.discard(worker)
                    begin(worker, now)
            lost = now + RETURN + rng.exponential(3600 / FAILURES_PER_NODE_HOUR)
            heapq.heappush(events, (lost, next(number), "lost", who, 0))
        elif generation == alive[who // CORES]:
            if kind == "done":
                del busy[who]
                left -= 1
                finished = now
            begin(who, now)
    return finished


def one(case: Case, workers: int, way: str, seed: int = 0) -> dict[str, object]:
    """The wall time of a case, its ideal, and their ratio."""
    rng = np.random.default_rng(seed)
    seconds = works(case, rng)
    ideal = float(seconds.sum()) / workers
    if way == "queue":
        queues = [deque(seconds.tolist())]
    else:
        shards = rng.integers(0, workers, len(seconds))
        order = np.argsort(shards, kind="stable")
        bounds = np.searchsorted(shards[order], np.arange(workers + 1))
        queues = [deque(seconds[order[a:b]].tolist()) for a, b in pairwise(bounds)]
    wall = simulated(queues, workers, rng, shared=way == "queue")
    told = {"case": case.name, "workers": workers, "way": way}
    return told | {"ideal_s": round(ideal, 1), "wall_s": round(wall, 1), "ratio": round(wall / ideal, 3)}


def main() -> None:
    rows = []
    for case in CASES:
        for workers in (10, 32, 100, 320, 1000):
            for way in ("queue", "shards"):
                rows.append(one(case, workers, way))
                print(json.dumps(rows[-1]), file=sys.stderr)
    facts = {"cores_of_a_node": CORES, "start_s": START, "return_s": RETURN, "slow_share": SLOW_SHARE, "slow": SLOW}
    facts |= {"failures_per_node_hour": FAILURES_PER_NODE_HOUR}
    content = {"facts": facts, "cases": [asdict(case) for case in CASES], "rows": rows}
    RESULTS.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
