"""Reads damaged files and lines of live streams by the thousand: each must be read, or refused in one line.

    python tests/io/fuzz.py --minutes 45 --out benchmarks/results/fuzz/DATE.json
    python tests/io/fuzz.py --seed 7 --format coco --number 123    # makes that input again, and reads it

A reader fails on an input that it reads to tracks which don't fit together, or refuses with an unfit message; that
ends in any other exception or warning, or ends the process; that takes over 5 s of a CPU or 1 GB; or that makes it
unpickle, write, or open other files. The formats "stream" and "websocket" are lines of a live stream, cut anywhere:
`judging_streams` says what may become of them. Failing inputs are saved, and the exit code is 1. Inputs are made by
`mutations` from the files of `seeds` and `seeds_of_lines`, and read in child processes.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import multiprocessing
import os
import platform
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from judging import Outcome, limit_memory, peak_memory, place_of, prepare, read_input, write_input
from mutations import Input, make_input
from mutations_of_arrays import CANARY
from mutations_of_text import make_bomb
from seeds import Seed, write_seeds
from seeds_of_lines import STREAMS, seeds_of_lines

from olift_fast.child_processes import ends_with_this_process
from olift_fast.errors import InputError, MissingExtraError
from olift_fast.io import read_keypoints

ROOT = Path(__file__).resolve().parents[2]
_fork = multiprocessing.get_context("fork")
SILENCE = 90.0
"""A worker that says nothing for this many seconds hangs where no signal reaches it."""
SHARE = 0.002
"""The least share of the inputs that a format gets. The rest goes by time: formats that are quick to read get most."""
JOB, RECYCLE = 20, 3000
"""Inputs that a worker gets at once, and those after which a fresh one replaces it."""


def _work(
    pipe: Connection, run: int, seeds: dict[str, list[Seed]], folder: Path, end_with_fuzzer: Callable[..., None]
) -> None:
    """A worker: reads the inputs that it is told, and tells of each what became of it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.disable()
    end_with_fuzzer()
    folder.mkdir(exist_ok=True)
    os.chdir(folder)
    prepare()
    limit_memory()
    base = peak_memory()
    while (job := pipe.recv()) is not None:
        format, numbers = job
        for number in numbers:
            try:
                made = make_input(run, format, number, seeds)
            except Exception as error:  # noqa: BLE001 - a fault of the mutations, not of a reader
                pipe.send(Outcome("failed", f"making the input: {error!r}", place_of(error), 0.0, 0))
                continue
            pipe.send(_take(format, folder / "input", made, base))


def _take(format: str, folder: Path, made: Input, base: int) -> Outcome:
    """Reads an input of this format, and judges what happens."""
    if format not in STREAMS:
        return read_input(folder, made, base)
    import judging_streams

    return judging_streams.take(format, made, base)


@dataclass
class _Worker:
    """A child process and what it is doing: the numbers of `format` from `number` on, `left` of them."""

    process: Any
    pipe: Connection
    heard: float
    format: str = ""
    number: int = 0
    left: int = 0
    served: int = 0


@dataclass
class Tally:
    """What the inputs of one format came to."""

    read: int = 0
    refused: int = 0
    failed: int = 0
    seconds: float = 0.0
    slowest_ms: float = 0.0
    begun: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    @property
    def done(self) -> int:
        return self.read + self.refused + self.failed

    def add(self, outcome: Outcome) -> None:
        setattr(self, outcome.kind, getattr(self, outcome.kind) + 1)
        self.seconds += outcome.ms / 1e3
        self.slowest_ms = max(self.slowest_ms, outcome.ms)
        if outcome.kind == "refused" and len(self.reasons) < 5000:
            self.reasons[re.sub(r"'[^']*'|\"[^\"]*\"|[-\d.]+", "…", outcome.message)[:60]] += 1


class Fuzzer:
    """A run: workers, the tallies of the formats, and the failures.

    Args:
        run: the seed that all inputs follow from.
        seeds: the files that are damaged, by format.
        folder: an empty folder for the inputs while they are read.
        save: where failing inputs go.
    """

    def __init__(self, run: int, seeds: dict[str, list[Seed]], folder: Path, save: Path) -> None:
        self.run, self.seeds, self.folder, self.save = run, seeds, folder, save
        self.tallies = {format: Tally() for format in seeds}
        self.failures: dict[str, dict[str, Any]] = {}
        self.memory = 0
        self.workers: list[_Worker] = []
        with h5py.File(folder / "canary.h5", "w") as file:
            file["values"] = np.full((10, 10, 10, 10), CANARY)
        (folder / "canary.raw").write_bytes(np.full(10_000, CANARY).tobytes())

    def fuzz(self, workers: int, seconds: float, inputs: int) -> None:
        """Reads inputs until that time is over, that many are read, or Ctrl-C; what was counted stays."""
        end = time.monotonic() + seconds
        self.workers = [self._start(place) for place in range(workers)]
        try:
            while time.monotonic() < end and sum(tally.done for tally in self.tallies.values()) < inputs:
                self._step()
        except KeyboardInterrupt:
            print("stopped early", file=sys.stderr)
        finally:
            for worker in self.workers:
                worker.process.kill()
                worker.process.join()

    def _step(self) -> None:
        for place, worker in enumerate(self.workers):
            if not worker.left:
                if worker.served >= RECYCLE:
                    worker.pipe.send(None)
                    worker.process.join()
                    worker = self.workers[place] = self._start(place)
                self._employ(worker)
        ready = wait([worker.pipe for worker in self.workers], timeout=1)
        for place, worker in enumerate(self.workers):
            if worker.pipe in ready:
                self._hear(place, worker)
            elif time.monotonic() - worker.heard > SILENCE:
                worker.process.kill()
                self._lost(place, worker, f"hangs: nothing for {SILENCE:g} s")

    def _start(self, place: int) -> _Worker:
        ours, theirs = multiprocessing.Pipe()
        own = self.folder / f"worker{place}"
        ends = ends_with_this_process()
        process = _fork.Process(target=_work, args=(theirs, self.run, self.seeds, own, ends))
        process.start()
        theirs.close()
        return _Worker(process, ours, time.monotonic())

    def _employ(self, worker: _Worker) -> None:
        """The next inputs: of a format that is short of its share, or of the one that had the least time so far."""
        total = sum(tally.begun for tally in self.tallies.values())
        least = min(SHARE, 1 / len(self.tallies))
        format = min(self.tallies, key=lambda name: self.tallies[name].begun)
        if self.tallies[format].begun >= least * total:
            format = min(self.tallies, key=lambda name: self.tallies[name].seconds)
        tally = self.tallies[format]
        worker.format, worker.number, worker.left = format, tally.begun, JOB
        worker.heard = time.monotonic()
        tally.begun += JOB
        worker.pipe.send((format, range(worker.number, worker.number + JOB)))

    def _hear(self, place: int, worker: _Worker) -> None:
        try:
            outcome = worker.pipe.recv()
        except (EOFError, ConnectionResetError):
            worker.process.join()
            code = worker.process.exitcode
            self._lost(
                place, worker, f"the process ends: {signal.strsignal(-code) if code < 0 else f'exit code {code}'}"
            )
            return
        self._count(worker, outcome)

    def _count(self, worker: _Worker, outcome: Outcome) -> None:
        self.tallies[worker.format].add(outcome)
        self.memory = max(self.memory, outcome.memory)
        if outcome.kind == "failed":
            self._keep(worker.format, worker.number, outcome)
        worker.number, worker.left, worker.served = worker.number + 1, worker.left - 1, worker.served + 1
        worker.heard = time.monotonic()

    def _lost(self, place: int, worker: _Worker, why: str) -> None:
        """A worker ended: what it was reading is at fault, and a new one goes on after it."""
        worker.process.join()
        if not worker.left:
            raise RuntimeError(f"a worker ended before it got work: {why}")
        self._count(worker, Outcome("failed", why, "", 0.0, 0))
        fresh = self.workers[place] = self._start(place)
        fresh.format, fresh.number, fresh.left = worker.format, worker.number, worker.left
        if fresh.left:
            fresh.pipe.send((fresh.format, range(fresh.number, fresh.number + fresh.left)))

    def _keep(self, format: str, number: int, outcome: Outcome) -> None:
        """Counts a failure with those of its kind; the first inputs of a kind are saved and printed."""
        kind = f"{format}: {outcome.where} {re.sub(r'[-0-9.]+', '#', outcome.message)[:50]}"
        known = self.failures.setdefault(kind, {"count": 0, "format": format, "numbers": [], **outcome._asdict()})
        known["count"] += 1
        if len(known["numbers"]) < 3:
            known["numbers"].append(number)
            print(f"FAILED --seed {self.run} --format {format} --number {number}: {outcome.message} [{outcome.where}]")
            # In a process of its own: the input may have ended its worker while it was made.
            saving = _fork.Process(target=save_input, args=(self.run, format, number, self.seeds, self.save))
            saving.start()
            saving.join()


def save_input(run: int, format: str, number: int, seeds: dict[str, list[Seed]], save: Path) -> tuple[Input, Path]:
    """Makes an input again, saves it, and prints where, how it was made, and the options to read it with."""
    made = make_input(run, format, number, seeds)
    path = write_input(save / f"{format}-{run}-{number}", made)
    options = f"format={made.asked!r}, image_size={made.image_size}, allow_pickle={made.allow_pickle}"
    print(f"       {path} ({options}; {made.how})", flush=True)
    return made, path


def reproduce(run: int, format: str, number: int, seeds: dict[str, list[Seed]], save: Path) -> int:
    """Makes one input again, reads it here, and prints what happens; the exit code."""
    made, path = save_input(run, format, number, seeds, save)
    prepare()
    limit_memory()
    outcome = _take(format, save / "again", made, peak_memory())
    print(f"{outcome.kind}: {outcome.message} {outcome.where} ({outcome.ms:.0f} ms, {outcome.memory / 1e6:.0f} MB)")
    if outcome.kind == "failed" and format not in STREAMS:
        warnings.simplefilter("error")
        read_keypoints(path, made.asked, image_size=made.image_size, allow_pickle=made.allow_pickle)
    return int(outcome.kind == "failed")


def record(fuzzer: Fuzzer, seconds: float) -> dict[str, Any]:
    """The counts of a run, and the conditions that it ran under."""
    tallies = fuzzer.tallies
    kinds = ("read", "refused", "failed")

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], capture_output=True, text=True, cwd=ROOT, check=False).stdout.strip()

    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "commit": git("rev-parse", "HEAD"),
        "dirty": bool(git("status", "--porcelain", "--untracked-files=no")),
        "cpu": model[1] if model else platform.processor(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "h5py": h5py.__version__,
        "hdf5": h5py.version.hdf5_version,
        "seed": fuzzer.run,
        "seconds": round(seconds),
        "inputs": sum(tally.done for tally in tallies.values()),
        **{kind: sum(getattr(tally, kind) for tally in tallies.values()) for kind in kinds},
        "slowest_ms": round(max(tally.slowest_ms for tally in tallies.values()), 1),
        "peak_MB": round(fuzzer.memory / 1e6, 1),
        "formats": {
            format: {kind: getattr(tally, kind) for kind in kinds}
            | {"mean_ms": round(tally.seconds * 1e3 / max(tally.done, 1), 2)}
            | {"slowest_ms": round(tally.slowest_ms, 1), "refusals": len(tally.reasons)}
            for format, tally in sorted(tallies.items())
        },
        "failures": sorted(fuzzer.failures.values(), key=lambda failure: -failure["count"]),
    }


def usable_seeds(folder: Path) -> dict[str, list[Seed]]:
    """The seeds, all of which are read here once, so that the libraries that read them are loaded before any limit."""
    seeds = write_seeds(folder)
    for format, own in seeds.items():
        for seed in own:
            try:
                read_keypoints(folder / format / seed.name / seed.file, allow_pickle=seed.pickled)
            except (InputError, MissingExtraError) as error:
                print(f"seed {seed.name} of {format} is not read: {error}", file=sys.stderr)
    return {format: own for format, own in seeds.items() if own}


def usable_lines() -> dict[str, list[Seed]]:
    """The seeds of live streams, taken in here once for the same reason."""
    import judging_streams

    usable = {}
    for format, own in seeds_of_lines().items():
        try:
            for seed in own:
                judging_streams.taken(format, seed.content)
            usable[format] = own
        except MissingExtraError as error:
            print(f"{format} is left out: {error}", file=sys.stderr)
    return usable


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=1.0, help="how long (1)")
    parser.add_argument("--inputs", type=int, default=10**12, help="at most this many inputs")
    parser.add_argument("--seed", type=int, help="what all inputs follow from; by default another one in each run")
    parser.add_argument("--format", action="append", help="this format alone; may be given several times")
    parser.add_argument("--number", type=int, help="make and read this one input of --format again")
    parser.add_argument("--workers", type=int, default=2, help="processes that read (2)")
    parser.add_argument("--save", type=Path, default=ROOT / "build/fuzz", help="where failing inputs go (build/fuzz)")
    parser.add_argument("--out", type=Path, help="write the counts to this JSON file")
    chosen = parser.parse_args(arguments)
    run = random.SystemRandom().randrange(10**9) if chosen.seed is None else chosen.seed
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="olift-fuzz-", dir=base) as name:
        folder = Path(name)
        seeds = usable_seeds(folder / "seeds")
        if not chosen.format or set(chosen.format) & set(STREAMS):
            seeds |= usable_lines()
        unknown = set(chosen.format or ()) - set(seeds)
        if unknown or (chosen.number is not None and len(chosen.format or ()) != 1):
            parser.error(f"--format must be of {', '.join(seeds)}, and one of them with --number")
        make_bomb()
        if chosen.number is not None:
            return reproduce(run, chosen.format[0], chosen.number, seeds, chosen.save.resolve())
        wanted = {format: seeds[format] for format in chosen.format or seeds}
        fuzzer = Fuzzer(run, seeds, folder, chosen.save.resolve())
        fuzzer.tallies = {format: Tally() for format in wanted}
        print(f"seed {run}, {len(wanted)} formats, {chosen.minutes:g} minutes", flush=True)
        began = time.monotonic()
        fuzzer.fuzz(chosen.workers, chosen.minutes * 60, chosen.inputs)
        found = record(fuzzer, time.monotonic() - began)
    for format, tally in found["formats"].items():
        print(f"{format:20}", *(f"{kind} {count:<8}" for kind, count in tally.items()))
    kinds = ", ".join(f"{found[kind]:,} {kind}" for kind in ("read", "refused", "failed"))
    print(f"seed {run}: {found['inputs']:,} inputs in {found['seconds']} s: {kinds}; ", end="")
    print(f"slowest {found['slowest_ms']} ms, {found['peak_MB']} MB; {len(found['failures'])} kinds of failure")
    if chosen.out:
        chosen.out.parent.mkdir(parents=True, exist_ok=True)
        chosen.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return int(bool(found["failures"]))


if __name__ == "__main__":
    sys.exit(main())
