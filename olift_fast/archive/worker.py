"""The process that lifts files for `lift_locally`: it reads jobs from its input, and writes records to its output."""

from __future__ import annotations

import os
import pickle
import signal
import sys
from typing import Any, BinaryIO

from olift_fast.child_processes import end_with_process


def serve(parent: int) -> None:
    """Lifts the jobs that it reads from its input, until the input ends.

    It reads a `lifting.Setup` first, and answers ``("ready", None)``. If the model can't be loaded, it answers
    ``("error", ERROR)`` and ends. Then it reads lists of jobs. It answers ``("record", RECORD)`` for each job, and
    ``("end", None)`` after each list.

    Args:
        parent: the id of the parent process; this process ends when the parent does.
    """
    end_with_process(parent)
    # Ctrl-C goes to all processes of a terminal, and SIGTERM to all of a cluster's job. Here the parent decides.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    # What libraries print must not come between the answers.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        from olift_fast.archive.lifting import Lifting

        lifting = Lifting(pickle.load(requests))
    except Exception as error:  # noqa: BLE001 - the parent raises it
        _answer(answers, "error", error)
        return
    _answer(answers, "ready", None)
    while True:
        try:
            jobs = pickle.load(requests)
        except EOFError:
            return
        for record in lifting.lift(jobs):
            _answer(answers, "record", record)
        _answer(answers, "end", None)


def _answer(answers: BinaryIO, kind: str, value: Any) -> None:
    try:
        data = pickle.dumps((kind, value))
    except Exception:  # noqa: BLE001 - an error that can't be pickled is told in words
        data = pickle.dumps((kind, RuntimeError(f"{type(value).__name__}: {value}")))
    answers.write(data)
    answers.flush()
