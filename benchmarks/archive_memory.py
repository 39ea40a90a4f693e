"""Whether `olift archive` takes more memory the more files it has done.

    python -m benchmarks.archive_memory --files 20000

Each file is a short table of keypoints. Memory is what the command and each of its workers have to themselves
(RssAnon of /proc, so on Linux alone), read whenever so many files are done, after the first hundred, and before
the last hundred. A load of the machine does not disturb it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

NAMES = ("nose", "left_paw", "right_paw", "tail")
MARGIN = 100
"""Files after which memory is read first, and files that are left when it is read last: workers end with the last."""


def write_files(folder: Path, files: int, frames: int) -> None:
    """Tables of animals that walk, in folders of a thousand."""
    rng = np.random.default_rng(0)
    head = ",".join(f"{name}_{axis}" for name in NAMES for axis in "xy")
    for number in range(files):
        steps = rng.normal(size=(frames, 2 * len(NAMES))).cumsum(axis=0) + 50 * np.arange(2 * len(NAMES))
        path = folder / f"{number // 1000}" / f"{number:06d}.csv"
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join([head, *(",".join(f"{value:.2f}" for value in row) for row in steps)]) + "\n")


def own_bytes(process: int) -> int:
    """What the process has in memory, without what it shares with a file; 0 once it has ended."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0
    found = [line.split()[1] for line in status.splitlines() if line.startswith("RssAnon:")]
    return 1024 * int(found[0]) if found else 0


def children(process: int) -> list[int]:
    """The processes that it has started."""
    return sorted(int(child) for task in Path(f"/proc/{process}/task").glob("*/children") for child in _words(task))


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []


def measured(files: int, frames: int, workers: int, every: int) -> list[dict[str, object]]:
    """By files done: the bytes of the command, and those of each worker."""
    found: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "in"
        source.mkdir()
        write_files(source, files, frames)
        command = [sys.executable, "-m", "olift_fast", "archive", str(source), "--out", f"{scratch}/out", "--json"]
        command += ["--workers", str(workers)]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        start, done = time.perf_counter(), 0
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as running:
            assert running.stdout is not None
            for line in running.stdout:
                if json.loads(line)["event"] != "file":
                    continue
                done += 1
                if done in (MARGIN, files - MARGIN) or (done % every == 0 and done < files):
                    own = {"command": own_bytes(running.pid), "workers": [*map(own_bytes, children(running.pid))]}
                    found.append({"files": done, "seconds": round(time.perf_counter() - start, 1)} | own)
                    print(json.dumps(found[-1]), file=sys.stderr, flush=True)
        if running.returncode or done != files:
            raise SystemExit(f"olift archive ended with code {running.returncode} after {done} of {files} files")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=20000)
    parser.add_argument("--frames", type=int, default=5)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--every", type=int, default=1000, help="files from one reading to the next")
    options = parser.parse_args()
    readings = measured(options.files, options.frames, options.workers, options.every)
    print(json.dumps(vars(options) | {"readings": readings}, indent=2))


if __name__ == "__main__":
    main()
