"""Child processes end when their parent is killed, at whatever moment, and whatever they wait for."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
posix = pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")

# Workers that wait for work, that wait to hand over what they made, and that compute; with a queue that each of them
# holds at both ends, as the data workers of a training do.
PARENT = """
import multiprocessing, os, sys, threading, time
from olift_fast.child_processes import ends_with_this_process

def work(begin, kind, queue):
    begin()
    os.write(1, f"{os.getpid()}\\n".encode())
    while kind == "computes":
        sum(range(10_000))
    while kind == "hands over":
        queue.put(bytes(10**6))
    queue.get()

def start(context):
    queues = [context.Queue() for _ in range(3)]
    for kind, queue in zip(("waits", "hands over", "computes"), queues):
        context.Process(target=work, args=(ends_with_this_process(), kind, queue), daemon=True).start()
    return queues

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    if sys.argv[2:] == ["in a thread"]:
        held = []
        thread = threading.Thread(target=lambda: held.extend(start(context)))
        thread.start()
        thread.join()
    else:
        held = start(context)
    time.sleep(600)
"""

# A child of `in_child` that takes ten minutes.
IN_CHILD = """
import sys, time
from olift_fast.io.in_child import in_child, spawned

if sys.argv[1] == "forked":
    in_child(time.sleep, 600.0, seconds=600.0, memory=2**30)
spawned(time.sleep, (600.0,), 600.0)
"""


def killed(script: Path, words: list[str], workers: int, pause: float) -> list[int]:
    """Starts the script, kills it once its workers have told their numbers, and returns those that outlive it by 10 s.

    The workers share the script's standard output: it ends when the last of them does.
    """
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(script), *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as parent:
        assert parent.stdout is not None
        try:
            numbers = [int(parent.stdout.readline()) for _ in range(workers)]
            time.sleep(pause)
        finally:
            parent.kill()
        parent.wait()
        alive = outliving(numbers)
        assert parent.stdout.read() == ""
    return alive


def outliving(numbers: Sequence[int]) -> list[int]:
    """Of these processes, those that still run after 10 s; they are then killed."""
    end = time.monotonic() + 10
    while (alive := [number for number in numbers if runs(number)]) and time.monotonic() < end:
        time.sleep(0.01)
    for number in alive:
        with suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
    return alive


def runs(number: int) -> bool:
    """Whether the process runs: one that has ended, and that nobody has asked about, does not."""
    status = Path(f"/proc/{number}/stat")
    if sys.platform == "linux":
        return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
@posix
@pytest.mark.parametrize(("context", "kills"), [("fork", 20), ("spawn", 2), ("forkserver", 2)])
def test_workers_end_when_their_parent_is_killed_at_any_moment(tmp_path: Path, context: str, kills: int) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    draw = random.Random(9)
    for _ in range(kills):
        assert killed(script, [context], 3, draw.random() * 0.05) == []


@pytest.mark.slow
@posix
def test_workers_outlive_the_thread_that_started_them_but_not_the_process(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    assert killed(script, ["fork", "in a thread"], 3, 0.3) == []


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
@pytest.mark.parametrize("kind", ["forked", "spawned"])
def test_a_child_that_reads_a_file_ends_with_its_parent(tmp_path: Path, kind: str) -> None:
    script = tmp_path / "parent.py"
    script.write_text(IN_CHILD)
    with subprocess.Popen([sys.executable, str(script), kind], env=os.environ | {"PYTHONPATH": str(ROOT)}) as parent:
        try:
            listed, end = Path(f"/proc/{parent.pid}/task/{parent.pid}/children"), time.monotonic() + 60
            numbers: list[int] = []
            # What runs for a moment while modules are imported is not the child.
            while not (numbers and all(map(runs, numbers))):
                assert time.monotonic() < end
                numbers = [int(word) for word in listed.read_text().split()]
                time.sleep(0.5)
        finally:
            parent.kill()
    assert outliving(numbers) == []
