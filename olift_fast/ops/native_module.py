"""Loads the compiled module `olift_fast._native`, or tells why there is none."""

from __future__ import annotations

import ctypes
import functools
import importlib
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor

from olift_fast._version import __version__

_HUGE = 4 << 20
_OFF = {"0", "n", "no", "off", "false"}
_OPENMP_NAMES = ("libgomp", "libomp", "libiomp5")


def native_module() -> ModuleType | None:
    """The module `olift_fast._native`; None where there is none, and `why_not_native` tells why."""
    return _load()[0]


def loaded_module() -> ModuleType:
    """The module `olift_fast._native`, for a caller that has made sure that it is there."""
    native = native_module()
    assert native is not None, why_not_native()
    return native


def why_not_native() -> str | None:
    """One line: why the native module can't be used here; None where it can."""
    return _load()[1]


def ask_for_huge_pages(*fresh: Tensor) -> None:
    """Before a kernel first touches large fresh results in the CPU's memory: have them backed by pages of 2 MB.

    In pages of 4 KB, zeroing and mapping them costs the attention of a long sequence a third of its time. A hint: the
    system may decline, and what the tensors hold stays.
    """
    native = native_module()
    for tensor in fresh:
        memory = tensor.untyped_storage()
        if native is not None and memory.nbytes() >= _HUGE:
            native.ask_for_huge_pages(memory.data_ptr(), memory.nbytes())


def why_not_cuda() -> str | None:
    """One line: why the native module's CUDA kernels can't be used here; None where they can."""
    native = native_module()
    if native is None:
        return why_not_native()
    if not native.info()["cuda"]:
        return "the native module was built without CUDA: no nvcc was found then, or OLIFT_CUDA=OFF was set"
    return None if torch.cuda.is_available() else "torch finds no CUDA device"


@functools.cache
def _load() -> tuple[ModuleType | None, str | None]:
    setting = os.environ.get("OLIFT_NATIVE", "")
    if setting.lower() in _OFF:
        return None, f"the native module is switched off by OLIFT_NATIVE={setting}"
    try:
        module = _import_from(setting) if setting.endswith(".so") else importlib.import_module("olift_fast._native")
    except ModuleNotFoundError:
        return None, "the native module is not built: install the package with a C++ compiler at hand, or `make native`"
    except ImportError as error:
        return None, f"the native module failed to load: {' '.join(str(error).split())}"
    if not hasattr(torch.Tensor, "__dlpack_c_exchange_api__"):
        return None, f"the native module reads tensors by DLPack's C interface, which torch {torch.__version__} has not"
    built = module.info()["version"]
    if built != __version__:
        return None, f"the native module was built for version {built}, and this is {__version__}: build it again"
    module.set_openmp(_gomp_parallel())
    return module, None


def why_not_bfloat16() -> str | None:
    """One line: why the native layers can't multiply in bfloat16 here, or None when it can."""
    native = native_module()
    if native is None:
        return why_not_native()
    return None if native.info()["bfloat16"] else "the processor, or the native module's compiler, lacks AVX512-BF16"


def _import_from(path: str) -> ModuleType:
    """The module of another build, say with sanitizers."""
    spec = importlib.util.spec_from_file_location("olift_fast._native", path)
    if spec is None or spec.loader is None or not Path(path).is_file():
        raise ImportError(f"OLIFT_NATIVE names a file that is not there: {path}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
