"""Child processes that end when their parent ends, whether it finishes, fails or is killed."""

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
#: Seconds between checks of who the parent is, where the system gives no signal when it ends.
_LOOK = 0.5


def ends_with_this_process() -> Callable[..., None]:
    """A function that a worker of `multiprocessing` calls first, so that it ends as soon as this process does.

    The function takes any arguments and can be pickled: pass it as ``worker_init_fn`` to a `DataLoader`, or as
    ``initializer`` to a pool. Call `ends_with_this_process` in the thread that starts the workers. Without it, workers
    wait for ever after this process is killed.
    """
    _prctl()
    return partial(_end_with_parent, threading.current_thread() is threading.main_thread())


def ends_with_this_thread() -> Callable[[], None]:
    """A function that a child of `os.fork` calls first, so that it ends as soon as the thread that called this ends.

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
    """The system call ``prctl``, on Linux. Look it up before a fork: a fork must not open libraries."""
    if sys.platform != "linux":
        return None
    import ctypes

    call: Callable[..., int] | None = getattr(ctypes.CDLL(None), "prctl", None)
    return call


def _end_with_parent(by_main_thread: bool, *_: Any) -> None:
    """Ends this process with its parent; `by_main_thread` says whether the parent's main thread started it."""
    import multiprocessing

    parent = multiprocessing.parent_process()
    if parent is None:
        raise RuntimeError("must be called in a process that multiprocessing has started")
    threading.Thread(target=_watch, args=(parent.sentinel,), daemon=True).start()
    # The signal comes when the thread that forked this process ends. So this thread must be of the parent, not of a
    # fork server, and must live as long as the parent.
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
