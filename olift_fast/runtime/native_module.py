"""Loads the compiled module `olift_fast._native`, or says why it can't."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
from pathlib import Path
from types import ModuleType
from typing import Literal

from olift_fast._version import __version__

Products = Literal["float32", "bfloat16", "int16"]
"""The type that the factors of products in native layers are rounded to."""

_HUGE = 4 << 20
_OFF = {"0", "n", "no", "off", "false"}
_MISSING = {
    "bfloat16": "the processor, or the native module's compiler, has no AVX512-BF16",
    "int16": "only x86-64 processors have the instruction for it",
}


def native_module() -> ModuleType | None:
    """The module `olift_fast._native`; None if it can't be used (`why_not_native` says why)."""
    return _load()[0]


def loaded_module() -> ModuleType:
    """The module `olift_fast._native`, for a caller that has checked that it is there."""
    native = native_module()
    assert native is not None, why_not_native()
    return native


def why_not_native() -> str | None:
    """Why the native module can't be used here, in one line; None if it can."""
    return _load()[1]


def why_not_products(dtype: Products) -> str | None:
    """One line on why the native layers can't multiply in this dtype here; None if they can."""
    native = native_module()
    if native is None:
        return why_not_native()
    return None if dtype == "float32" or native.info()[dtype] else _MISSING[dtype]


def ask_for_huge_pages(address: int, size: int) -> None:
    """Asks the system for pages of 2 MB for new memory of `size` bytes, if that is large.

    To be called before a kernel first touches the memory. With pages of 4 KB, zeroing and mapping take a third of the
    time of attention over a long sequence. The system may ignore this hint. The memory's content stays.
    """
    native = native_module()
    if native is not None and size >= _HUGE:
        native.ask_for_huge_pages(address, size)


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
    built = module.info()["version"]
    if built != __version__:
        return None, f"the native module was built for version {built}, and this is {__version__}: build it again"
    return module, None


def _import_from(path: str) -> ModuleType:
    """The module of another build, for example with sanitizers."""
    spec = importlib.util.spec_from_file_location("olift_fast._native", path)
    if spec is None or spec.loader is None or not Path(path).is_file():
        raise ImportError(f"OLIFT_NATIVE names a file that is not there: {path}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
