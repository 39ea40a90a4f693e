"""The threads of the native kernels: torch's threads if the process has torch, else the module's own.

Two thread pools in one process would compete for the cores. So the native module does not link OpenMP: it uses the
runtime that torch has loaded. Without torch, it uses its own threads, which sleep between its loops.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path
from types import ModuleType

from olift_fast.runtime.native_module import native_module

_OPENMP_NAMES = ("libgomp", "libomp", "libiomp5")
_CPUS = Path("/sys/devices/system/cpu")


class _Own:
    """The number of threads without torch, the number of `set_thread_count`, and whether torch's threads are used."""

    count: int | None = None
    asked: int | None = None
    follows_torch = False


def thread_count() -> int:
    """The number of threads that the kernels use.

    ``torch.get_num_threads()`` if torch is imported, else the number given to `set_thread_count`, else
    ``OMP_NUM_THREADS``, else the number of cores that the process may use.
    """
    torch = imported_torch()
    if torch is not None:
        follow_torch()
        return int(torch.get_num_threads())
    if _Own.count is None:
        _Own.count = _usual_count()
    return _Own.count


def set_thread_count(count: int) -> None:
    """Limits the kernels to this number of threads; if torch is imported, also calls ``torch.set_num_threads``.

    Raises:
        ValueError: count is less than 1.
    """
    if count < 1:
        raise ValueError(f"count must be >= 1 thread, got {count}")
    _Own.count = _Own.asked = count
    keep_thread_count()


def keep_thread_count() -> None:
    """Gives torch the number that `set_thread_count` was given. For code that imports torch after that call."""
    torch = imported_torch()
    if torch is not None and _Own.asked is not None:
        torch.set_num_threads(_Own.asked)


def imported_torch() -> ModuleType | None:
    """torch, if this process has imported it; None before, and while it is being imported."""
    torch = sys.modules.get("torch")
    # `compile` is among the last names that torch's own file defines.
    return torch if torch is not None and hasattr(torch, "compile") else None


def follow_torch() -> None:
    """Makes the kernels' loops use torch's OpenMP threads, if it has some."""
    native = native_module()
    if not _Own.follows_torch and native is not None:
        native.set_openmp(_gomp_parallel())
        _Own.follows_torch = True


def _gomp_parallel() -> int:
    """The address of GOMP_parallel in the OpenMP runtime that torch has loaded; 0 if there is none."""
    torch = imported_torch()
    if sys.platform != "linux" or torch is None or not torch.backends.openmp.is_available():
        return 0
    for path in _loaded_libraries(Path(torch.__file__ or "").resolve().parent.parent):
        if path.name.startswith(_OPENMP_NAMES):
            library = ctypes.CDLL(str(path), mode=os.RTLD_NOLOAD | os.RTLD_LOCAL | os.RTLD_NOW)
            if hasattr(library, "GOMP_parallel"):
                return ctypes.cast(library.GOMP_parallel, ctypes.c_void_p).value or 0
    return 0


def _loaded_libraries(home: Path) -> list[Path]:
    """The shared libraries of this process, those below `home` first."""
    try:
        lines = Path("/proc/self/maps").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []
    paths = {Path(fields[5]) for fields in (line.split(maxsplit=5) for line in lines) if len(fields) == 6}
    return sorted((p for p in paths if ".so" in p.name), key=lambda p: (not p.is_relative_to(home), str(p)))


def _usual_count() -> int:
    """``OMP_NUM_THREADS`` if it is a number, else one thread for each core, as in torch."""
    told = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if told.isdecimal() and int(told) > 0:
        return int(told)
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    # Two logical processors of one core have the same siblings.
    cores = {_siblings(cpu) for cpu in os.sched_getaffinity(0)}
    return max(len(cores), 1)


def _siblings(cpu: int) -> str:
    try:
        return (_CPUS / f"cpu{cpu}" / "topology" / "thread_siblings_list").read_text(encoding="ascii")
    except (OSError, ValueError):
        return str(cpu)
