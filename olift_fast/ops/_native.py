"""Loads the compiled module `olift_fast._native`, or tells why there is none."""

from __future__ import annotations

import ctypes
import functools
import importlib
import os
import sys
from pathlib import Path
from types import ModuleType

import torch

from olift_fast._version import __version__

_OFF = {"0", "n", "no", "off", "false"}
_OPENMP_NAMES = ("libgomp", "libomp", "libiomp5")


def native_module() -> ModuleType | None:
    """The module `olift_fast._native`; None where there is none, and `why_not_native` tells why."""
    return _load()[0]


def why_not_native() -> str | None:
    """One line: why the native module can't be used here; None where it can."""
    return _load()[1]


@functools.cache
def _load() -> tuple[ModuleType | None, str | None]:
    setting = os.environ.get("OLIFT_NATIVE", "")
    if setting.lower() in _OFF:
        return None, f"the native module is switched off by OLIFT_NATIVE={setting}"
    try:
        module = importlib.import_module("olift_fast._native")
    except ModuleNotFoundError:
        return None, "the native module is not built: install the package with a C++ compiler at hand, or `make native`"
    except ImportError as error:
        return None, f"the native module failed to load: {' '.join(str(error).split())}"
    built = module.info()["version"]
    if built != __version__:
        return None, f"the native module was built for version {built}, and this is {__version__}: build it again"
    module.set_openmp(_gomp_parallel())
    return module, None


def _gomp_parallel() -> int:
    """Address of GOMP_parallel in the OpenMP runtime that torch has loaded; 0 where there is none.

    The native module links no OpenMP: two runtimes in one process would start two pools that fight for the cores.
    """
    if sys.platform != "linux" or not torch.backends.openmp.is_available():
        return 0
    for path in _loaded_libraries():
        if path.name.startswith(_OPENMP_NAMES):
            library = ctypes.CDLL(str(path), mode=os.RTLD_NOLOAD | os.RTLD_LOCAL | os.RTLD_NOW)
            if hasattr(library, "GOMP_parallel"):
                return ctypes.cast(library.GOMP_parallel, ctypes.c_void_p).value or 0
    return 0


def _loaded_libraries() -> list[Path]:
    """The shared libraries of this process, torch's own first."""
    try:
        lines = Path("/proc/self/maps").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []
    paths = {Path(fields[5]) for fields in (line.split(maxsplit=5) for line in lines) if len(fields) == 6}
    home = Path(torch.__file__).resolve().parent.parent
    return sorted((p for p in paths if ".so" in p.name), key=lambda p: (not p.is_relative_to(home), str(p)))
