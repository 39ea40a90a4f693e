"""How fast `olift archive` is beside a loop over `olift lift`, and beside one process, in one run on this machine.

    python -m benchmarks.archive_speed --files 200 --frames 300
    build/others/bin/python -m benchmarks.archive_speed --ray      # Ray is there after `make others`

The ways take turns, so that a disturbance hits all of them. Each file is DeepLabCut's csv of 20 joints. The loop, which
pays for the start of a process with every file, is timed on a few files alone. Ray's cluster, of this machine alone,
runs before the clock does: an archive joins a cluster and starts none.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from statistics import median

import numpy as np

JOINTS = 20
LOOP = 3
"""Files that the loop lifts in a turn."""


def write_files(folder: Path, files: int, frames: int) -> None:
    rng = np.random.default_rng(0)
    names = [name for joint in range(JOINTS) for name in [f"joint{joint}"] * 3]
    heads = [["scorer", *["net"] * len(names)], ["bodyparts", *names], ["coords", *["x", "y", "likelihood"] * JOINTS]]
    time_axis = np.arange(frames)[:, None]
    for number in range(files):
        phase = rng.uniform(0, 6, JOINTS)
        x = 300 + 10 * np.arange(JOINTS) + 40 * np.sin(0.1 * time_axis + phase)
        y = 200 + 8 * np.arange(JOINTS) + 30 * np.cos(0.13 * time_axis + phase)
        cells = np.stack([x, y, rng.uniform(0.5, 1, x.shape)], axis=-1).reshape(frames, -1)
        rows = [",".join(head) for head in heads]
        rows += [f"{t}," + ",".join(f"{value:.2f}" for value in row) for t, row in enumerate(cells)]
        path = folder / f"{number % 7}" / f"{number:05d}.csv"
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(rows) + "\n")


def olift(*arguments: str) -> None:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-m", "olift_fast", *arguments], check=True, env=environment, capture_output=True)


def seconds_of(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def loop(files: Iterable[Path], out: Path) -> None:
    for file in files:
        olift("lift", str(file), "-o", str(out / f"{file.stem}.npz"))


@contextmanager
def cluster(cores: int) -> Iterator[str]:
    """The address of a Ray cluster on this machine, with an actor for each core."""
    from ray.cluster_utils import Cluster

    running = Cluster(initialize_head=True, head_node_args={"num_cpus": cores + 1, "include_dashboard": False})
    try:
        yield running.address
    finally:
        running.shutdown()


def measured(files: int, frames: int, turns: int, workers: int, address: str | None = None) -> dict[str, float]:
    """Seconds a file of each way, the median of the turns; and the peak memory of the largest child in bytes."""
    ways: dict[str, tuple[str, ...]] = {
        "one process": ("--workers", "1"),
        f"{workers} processes": ("--workers", str(workers)),
    }
    if address is not None:
        ways[f"{workers} actors of Ray"] = ("--workers", str(workers), "--executor", "ray", "--ray-address", address)
    found: dict[str, list[float]] = {way: [] for way in ("loop over olift lift", *ways)}
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "in"
        source.mkdir()
        write_files(source, files, frames)
        few = sorted(source.rglob("*.csv"))[:LOOP]
        for turn in range(turns):
            out = Path(scratch) / f"out{turn}"
            out.mkdir()
            found["loop over olift lift"].append(seconds_of(lambda out=out: loop(few, out)) / LOOP)
            for way, how in ways.items():
                arguments = ("archive", str(source), "--out", str(out / way), *how)
                found[way].append(seconds_of(lambda arguments=arguments: olift(*arguments)) / files)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024.0
    return {way: median(seconds) for way, seconds in found.items()} | {"peak_bytes": peak}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--ray", action="store_true", help="and by as many actors of Ray")
    options = parser.parse_args()
    with cluster(options.workers) if options.ray else nullcontext() as address:
        found = measured(options.files, options.frames, options.turns, options.workers, address)
    print(json.dumps(vars(options) | found, indent=2))


if __name__ == "__main__":
    main()
