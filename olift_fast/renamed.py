"""Old names of public objects: they work for one more release, with a `DeprecationWarning` that gives the new name."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

Value = TypeVar("Value")


def old_names(module: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """A ``__getattr__`` for a module from which public names have moved: it finds them in their new modules.

    Args:
        module: the ``__name__`` of the old module.
        homes: the new module of each old name, or "module:name" where the name has changed as well.
    """

    def find(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        home, _, new = homes[name].partition(":")
        warn_of_old_name(f"{module}.{name}", f"{home}.{new or name}")
        return getattr(importlib.import_module(home), new or name)

    return find


def old_argument(value: Value, old_value: Value | None, *, new: str, old: str) -> Value:
    """An argument's value: `old_value` if the caller passed it, else `value`. Call this first in a function.

    Args:
        value: passed by the new name.
        old_value: passed by the old name; None if it was not.
        new, old: the names.
    """
    if old_value is None:
        return value
    warn_of_old_name(f"the argument {old}", new, stacklevel=4)
    return old_value


def warn_of_old_name(old: str, new: str, *, stacklevel: int = 3) -> None:
    """Warns that a name is old. By default Python shows the line that called this function's caller."""
    warnings.warn(f"{old} is now {new}; the old name goes with the next release", DeprecationWarning, stacklevel)
