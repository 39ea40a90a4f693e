"""Child processes that end when their parent does, however it ends: by itself, by an error, or killed."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from functools import cache, partial
from typing import Any

_PR_SET_PDEATHSIG = 1
#: Seconds between looks at who the parent is, where nothing else tells that it ended.
_LOOK = 0.5


def ends_with_this_process() -> Callable[..., None]:
    """What a worker of `multiprocessing` has to call first, so that it ends as soon as this process does.

    It takes any arguments and can be pickled: give it as ``worker_init_fn`` to a `DataLoader`, as ``initializer`` to a
    pool. Call this in the thread that starts the workers. Without it, a worker that waits for work, or to hand over
    what it made, waits for ever once this process is killed.
    """
    _prctl()
    return partial(_end_with_parent, threading.current_thread() is threading.main_thread())


def ends_with_this_thread() -> Callable[[], None]:
    """What a child of `os.fork` has to call first, so that it ends as soon as the thread does that calls this.

    Only on Linux; elsewhere the child may go on.
    """
    prctl, parent = _prctl(), os.getpid()

    def end() -> None:
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent:
                os._exit(1)

    return end


def end_with_process(parent: int) -> None:
    """Ends this process within a second of its parent, which has this process number. Not on Windows."""
    if os.name == "posix":
        threading.Thread(target=_watch_number, args=(parent,), daemon=True).start()


@cache
def _prctl() -> Callable[..., int] | None:
    """The system's call, on Linux. Asked for before a fork: a fork must not open libraries."""
    if sys.platform != "linux":
        return None
    import ctypes

    call: Callable[..., int] | None = getattr(ctypes.CDLL(None), "prctl", None)
    return call


def _end_with_parent(by_main_thread: bool, *_: Any) -> None:
    """Ends this process with its parent, whose main thread has started it, or another thread."""
    import multiprocessing

    parent = multiprocessing.parent_process()
    if parent is None:
        raise RuntimeError("must be called in a process that multiprocessing has started")
    threading.Thread(target=_watch, args=(parent.sentinel,), daemon=True).start()
    # The signal comes when the thread ends that forked this process: it must be the parent's, not a fork server's, and
    # one that lives as long as the parent.
    if by_main_thread and os.getppid() == parent.pid and (prctl := _prctl()) is not None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _watch(sentinel: int) -> None:
    """The sentinel is one end of a pipe. It is ready once no process holds the other."""
    from multiprocessing.connection import wait

    wait([sentinel])
    os._exit(1)


def _watch_number(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK)
    os._exit(1)
