"""Lifts the jobs of an archive on one machine: by default a process for each core, with one thread each."""

from __future__ import annotations

import json
import os
import pickle
import queue
import subprocess
import sys
import threading
from collections.abc import Generator, Iterable, Sequence
from contextlib import nullcontext, suppress
from typing import Any, NamedTuple

from olift_fast.archive.lifting import Setup, failed, started
from olift_fast.archive.plan import Job
from olift_fast.archive.records import Record
from olift_fast.errors import InputError

ATTEMPTS = 2
"""A file has failed when this many workers have ended while they lifted it."""
_STARTS = 3
"""How often a worker is started if it ends before it has loaded the model."""
LARGE = 2**28
"""Only one worker at a time reads a file of more bytes: a reader may need several times the size in memory."""
_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from olift_fast.archive.worker import serve; serve(int(sys.argv[2]))"
)
_PATIENCE = 5.0
"""Seconds to wait for the threads when the work is given up: they kill their workers."""
_ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class _Died(NamedTuple):
    """A worker has ended: the jobs that it had not done, and its exit code."""

    jobs: list[Job]
    code: int | None


def lift_locally(
    packs: Iterable[Sequence[Job]], setup: Setup, workers: int, stop: threading.Event
) -> Generator[Record]:
    """Lifts the jobs in several processes, and yields the record of each job as soon as it is done.

    If a worker ends, because somebody kills it or the memory runs out, another worker gets its jobs, file by file. A
    file has failed when `ATTEMPTS` workers have ended while they lifted it.

    Args:
        packs: the jobs; those of a pack go to one worker together.
        setup: what the workers have to know.
        workers: the number of processes.
        stop: once it is set, no more packs are begun, and those in work are finished.

    Raises:
        InputError: the model can't be loaded.
    """
    waiting: queue.SimpleQueue[Sequence[Job]] = queue.SimpleQueue()
    count = 0
    for pack in packs:
        waiting.put(pack)
        count += len(pack)
    if not count:
        return
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
    given_up, large = threading.Event(), threading.Lock()
    threads = [
        threading.Thread(target=_drive, args=(waiting, answers, setup, stop, given_up, large), daemon=True)
        for _ in range(max(min(workers, count), 1))
    ]
    for thread in threads:
        thread.start()
    running = len(threads)
    try:
        while running:
            answer = answers.get()
            if answer is None:
                running -= 1
            elif isinstance(answer, Exception):
                raise answer
            else:
                yield answer
    finally:
        # The caller stopped before the end, because of an error or a second Ctrl-C: give up what is in work.
        given_up.set()
        stop.set()
        for thread in threads:
            thread.join(_PATIENCE)


def _drive(
    waiting: queue.SimpleQueue[Sequence[Job]],
    answers: queue.SimpleQueue[Any],
    setup: Setup,
    stop: threading.Event,
    given_up: threading.Event,
    large: threading.Lock,
) -> None:
    """What each thread does: it gives jobs to a worker of its own, and starts another worker if that one ends."""
    worker: _Worker | None = None
    retries: list[Sequence[Job]] = []
    try:
        while not stop.is_set():
            if retries:
                pack = retries.pop(0)
            else:
                try:
                    pack = waiting.get_nowait()
                except queue.Empty:
                    break
            worker = worker or _started_worker(setup, given_up)
            if worker is None:
                break
            with large if pack[0].entry.bytes > LARGE else nullcontext():
                died = worker.lift(pack, answers)
            if died is not None:
                worker = None
                for job in died.jobs:
                    again = job.again()
                    if again.attempts < ATTEMPTS:
                        retries.append([again])
                    else:
                        answers.put(failed(started(job, setup), _why_it_died(died.code)))
    except Exception as error:  # noqa: BLE001 - raised in the thread that waits for answers
        answers.put(error)
    finally:
        if worker is not None:
            worker.close()
        answers.put(None)


def _started_worker(setup: Setup, given_up: threading.Event) -> _Worker | None:
    """A worker that has loaded the model; None if the work was given up meanwhile.

    If a worker is killed while it loads the model, another is started, `_STARTS` in all.

    Raises:
        InputError: the model can't be loaded, or all these workers ended before they had loaded it.
    """
    for _ in range(_STARTS):
        worker = _Worker(setup, given_up)
        if worker.ready:
            return worker
        if given_up.is_set():
            return None
    raise InputError(f"{_STARTS} processes ended while they loaded the model (not enough memory?)")


class _Worker:
    """A process that lifts files, as its parent sees it.

    Attributes:
        ready: False if the process ended before it had loaded the model.

    Raises:
        InputError: the process can't load the model.
    """

    def __init__(self, setup: Setup, given_up: threading.Event) -> None:
        command = [sys.executable, "-c", _PROGRAM, json.dumps(sys.path), str(os.getpid())]
        environment = os.environ | dict.fromkeys(_ONE_THREAD, "1")
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        self._ended = threading.Event()
        threading.Thread(target=self._watch, args=(given_up,), daemon=True).start()
        self._send(setup)
        answer = self._receive()
        self.ready = answer is not None and answer[0] == "ready"
        if not self.ready:
            self.close()
        if answer is not None and not self.ready:
            raise answer[1]

    def lift(self, pack: Sequence[Job], answers: queue.SimpleQueue[Any]) -> _Died | None:
        """Has a pack lifted, and puts its records into `answers`. If the worker ends, returns what it had not done."""
        rest = {job.entry.path: job for job in pack}
        self._send(list(pack))
        while (answer := self._receive()) is not None:
            kind, value = answer
            if kind == "end":
                return None
            rest.pop(value["path"], None)
            answers.put(value)
        self._process.wait()
        self.close()
        return _Died(list(rest.values()), self._process.returncode)

    def close(self) -> None:
        """Ends the process."""
        self._ended.set()
        assert self._process.stdin is not None and self._process.stdout is not None
        with suppress(OSError):
            self._process.stdin.close()
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()

    def _watch(self, given_up: threading.Event) -> None:
        """Kills the process as soon as the work is given up."""
        while not self._ended.wait(0.2):
            if given_up.is_set():
                self._process.kill()
                return

    def _send(self, value: Any) -> None:
        assert self._process.stdin is not None
        # If the process has ended, `_receive` will notice.
        with suppress(OSError):
            pickle.dump(value, self._process.stdin)
            self._process.stdin.flush()

    def _receive(self) -> tuple[str, Any] | None:
        """An answer; None if the process has ended. Unpickling is safe: the process runs this program's own code."""
        assert self._process.stdout is not None
        try:
            return pickle.load(self._process.stdout)
        except (EOFError, pickle.UnpicklingError, OSError):
            return None


def _why_it_died(code: int | None) -> str:
    how = f"killed by signal {-code}" if code is not None and code < 0 else f"with exit code {code}"
    memory = " (not enough memory?)" if code == -9 else ""
    return f"{ATTEMPTS} processes ended, {how}, while they lifted it{memory}"
