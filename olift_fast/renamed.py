"""Old names that keep working for one release, each with a `DeprecationWarning` that tells the new one."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Mapping
from typing import Any


def old_names(module: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """A module's ``__getattr__`` that finds names where they live now.

    Args:
        module: the old module, its ``__name__``.
        homes: the new module of each old name; "module:name" where the name has changed, too.
    """

    def find(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        home, _, new = homes[name].partition(":")
        warnings.warn(
            f"{module}.{name} is now {home}.{new or name}; the old name goes with the next release",
            DeprecationWarning,
            stacklevel=2,
        )
        return getattr(importlib.import_module(home), new or name)

    return find
