"""The executor on one machine: a process for each core, with one thread each."""

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
"""A file whose worker ends so many times while it is lifted has failed."""
_STARTS = 3
"""How often a worker is started again that ends before it has the model."""
LARGE = 2**28
"""Files of more bytes are read by one worker at a time: a reader may need several times the size in memory."""
_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from olift_fast.archive.worker import serve; serve(int(sys.argv[2]))"
)
_PATIENCE = 5.0
"""Seconds within which a worker that is killed has ended."""
_ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class _Died(NamedTuple):
    """A worker has ended; with what it had not done."""

    jobs: list[Job]
    code: int | None


def lift_locally(
    packs: Iterable[Sequence[Job]], setup: Setup, workers: int, stop: threading.Event
) -> Generator[Record]:
    """The record of each job, as it is done, from so many processes.

    Where a worker ends, killed by hand or for want of memory, what it had is given to others, file by file. A file that
    `ATTEMPTS` workers have not survived has failed.

    Args:
        packs: jobs that go to a worker together.
        setup: of the workers.
        workers: how many.
        stop: once it is set, no more jobs are begun, and those in work are finished.

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
        # Left before the end, by an error or a second Ctrl-C: what is in work is given up.
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
    """The life of a thread that has a worker: gives it jobs, and starts another where it ends."""
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
    """A worker that has loaded the model; tried again where one is killed before. None once the work is given up.

    Raises:
        InputError: the model can't be loaded, or workers end before they have.
    """
    for _ in range(_STARTS):
        worker = _Worker(setup, given_up)
        if worker.ready:
            return worker
        if given_up.is_set():
            return None
    raise InputError(f"{_STARTS} processes ended while they loaded the model (not enough memory?)")


class _Worker:
    """A process that lifts, as this one sees it.

    Attributes:
        ready: False where it has ended before it could lift.

    Raises:
        InputError: it can't load the model.
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
        """Hands on the records of a pack; what was not done where the worker ends."""
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
        """Kills the process where its work is given up."""
        while not self._ended.wait(0.2):
            if given_up.is_set():
                self._process.kill()
                return

    def _send(self, value: Any) -> None:
        assert self._process.stdin is not None
        # Where the process has ended, `_receive` tells so.
        with suppress(OSError):
            pickle.dump(value, self._process.stdin)
            self._process.stdin.flush()

    def _receive(self) -> tuple[str, Any] | None:
        """An answer; None where the process has ended. It runs this program's own code."""
        assert self._process.stdout is not None
        try:
            return pickle.load(self._process.stdout)
        except (EOFError, pickle.UnpicklingError, OSError):
            return None


def _why_it_died(code: int | None) -> str:
    how = f"killed by signal {-code}" if code is not None and code < 0 else f"with exit code {code}"
    memory = " (not enough memory?)" if code == -9 else ""
    return f"{ATTEMPTS} processes ended, {how}, while they lifted it{memory}"
