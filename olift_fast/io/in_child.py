"""Calls a function in a child process: for libraries that a broken file can make crash, hang, or fill the memory.

The child does the work and sends the result back, so the parent never opens the file. On Linux the child is a fork,
which takes a few milliseconds. Elsewhere forking is not safe, and the child is a new interpreter.
"""

from __future__ import annotations

import faulthandler
import gc
import json
import math
import os
import pickle
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any, BinaryIO, NoReturn, TypeVar

from olift_fast.child_processes import end_with_process, ends_with_this_thread
from olift_fast.errors import InputError

T = TypeVar("T")

#: Children are begun one at a time: a child that inherited another's pipe would keep that open.
_BEGINNING = threading.Lock()

#: Seconds that the child may spend waiting for a disk or a busy machine, besides its time to compute.
_WAITING = 20

_NEW_INTERPRETER = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from olift_fast.io.in_child import serve; serve(int(sys.argv[2]))"
)


class ChildDiedError(Exception):
    """The child ended without a result: it crashed, or was killed because it took too long."""


def in_child(function: Callable[..., T], *arguments: Any, seconds: float, memory: int) -> T:
    """What ``function(*arguments)`` returns or raises, computed in a child process.

    Args:
        function: a function at the top of a module, without effects outside of its process. Its result or error is
            pickled.
        arguments: what it is called with.
        seconds: the child is killed after computing for this long, or after 20 s and three times this long in all.
        memory: how many bytes the child may take; limited only on Linux.

    Raises:
        ChildDiedError: the child ended without a result.
        InputError: it needed more memory.
    """
    if sys.platform == "linux":
        returned, value = _forked(function, arguments, seconds, memory)
    elif sys.executable and not getattr(sys, "frozen", False):
        returned, value = spawned(function, arguments, seconds)
    else:
        return function(*arguments)
    if returned:
        return value
    if isinstance(value, MemoryError):
        raise InputError(f"needs more than the {memory:,} bytes of memory that a file of its size may take")
    raise value


def _forked(function: Callable[..., Any], arguments: tuple[Any, ...], seconds: float, memory: int) -> tuple[bool, Any]:
    end_with_parent = ends_with_this_thread()
    with _BEGINNING:
        reading, writing = os.pipe()
        with warnings.catch_warnings():
            # Since 3.12 Python warns of forks beside threads: the child may find their locks taken. The readers take no
            # locks but those of the allocator, the interpreter and h5py, and all three handle forks themselves.
            warnings.simplefilter("ignore", DeprecationWarning)
            try:
                child = os.fork()
            except OSError:
                # Some systems refuse memory for a copy of a large process.
                os.close(reading)
                os.close(writing)
                return spawned(function, arguments, seconds)
        if child == 0:
            _work(function, arguments, seconds, memory, writing, end_with_parent)
        os.close(writing)
    timer = threading.Timer(_WAITING + 3 * seconds, os.kill, (child, signal.SIGKILL))
    try:
        with open(reading, "rb") as pipe:
            timer.start()
            return _received(pipe)
    finally:
        timer.cancel()
        # A child that has sent its result has nothing left to do.
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(child, 0)


def _work(
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    seconds: float,
    memory: int,
    writing: int,
    end_with_parent: Callable[[], None],
) -> NoReturn:
    """What the child does. It leaves no core file, prints nothing, and ends without the parent's clean-up."""
    try:
        end_with_parent()
        # Only the parent collects its garbage.
        gc.disable()
        faulthandler.disable()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        with suppress(OSError, ValueError):
            # Some systems do not tell how much memory a process takes, or do not let it set limits.
            _limit(seconds, memory)
        with open(writing, "wb") as pipe:
            _send(_outcome(function, arguments), pipe)
    finally:
        os._exit(0)


def _limit(seconds: float, memory: int) -> None:
    """Limits the time and the memory that this process may take from now on."""
    import resource

    with open("/proc/self/statm", "rb") as statm:
        present = int(statm.read().split()[0]) * resource.getpagesize()
    wanted = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_CPU: math.ceil(seconds),
        resource.RLIMIT_AS: present + memory,
    }
    for kind, limit in wanted.items():
        soft, hard = resource.getrlimit(kind)
        resource.setrlimit(kind, (limit if soft == resource.RLIM_INFINITY else min(limit, soft), hard))


def spawned(function: Callable[..., Any], arguments: tuple[Any, ...], seconds: float) -> tuple[bool, Any]:
    """Whether the function returned, and what it returned or raised, computed in a new interpreter."""
    command = [sys.executable, "-c", _NEW_INTERPRETER, json.dumps(sys.path), str(os.getpid())]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        timer = threading.Timer(_WAITING + 3 * seconds, child.kill)
        timer.start()
        assert child.stdin is not None and child.stdout is not None
        try:
            with suppress(BrokenPipeError), child.stdin as request:
                pickle.dump((function, arguments), request)
            return _received(child.stdout)
        finally:
            timer.cancel()
            child.kill()


def serve(parent: int) -> None:
    """What the new interpreter does: it reads a call from its input, and writes the outcome to its output.

    Args:
        parent: the id of the parent process; this process ends when the parent does.
    """
    end_with_process(parent)
    output = sys.stdout.buffer
    function, arguments = pickle.load(sys.stdin.buffer)
    _send(_outcome(function, arguments), output)


def _outcome(function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[bool, Any]:
    try:
        return True, function(*arguments)
    except BaseException as error:  # noqa: BLE001 - the parent raises it
        return False, error


def _send(outcome: tuple[bool, Any], pipe: Any) -> None:
    try:
        pickle.dump(outcome, pipe, protocol=5)
    except (pickle.PicklingError, TypeError, AttributeError):
        pickle.dump((False, RuntimeError(str(outcome[1]))), pipe)
    pipe.flush()


def _received(pipe: BinaryIO | Any) -> tuple[bool, Any]:
    """The outcome that the child has sent. It is safe to unpickle, because the child runs this program's own code."""
    try:
        return pickle.load(pipe)
    except (EOFError, pickle.UnpicklingError) as error:
        raise ChildDiedError from error
