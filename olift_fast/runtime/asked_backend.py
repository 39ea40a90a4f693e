"""The backend that the caller asks for: `use_backend`, else ``OLIFT_BACKEND``. Nothing else reads that variable."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, TypeVar, get_args

Answer = TypeVar("Answer")
Backend = Literal["auto", "triton", "cuda", "native", "eager", "reference"]
"""The names that `backend=`, `use_backend` and ``OLIFT_BACKEND`` take; "reference" is the old name of "eager"."""

_NAMES: dict[str, Backend] = {name: "eager" if name == "reference" else name for name in get_args(Backend)}


class _Asked(threading.local):
    """The choice of `use_backend` in this thread. ``torch.compile`` can guard on it, but not on a `ContextVar`."""

    def __init__(self) -> None:
        self.name: Backend | None = None


_asked = _Asked()


@contextmanager
def use_backend(name: Backend) -> Iterator[None]:
    """Within the block, operations without a `backend=` of their own use this backend; it overrides ``OLIFT_BACKEND``.

    The choice holds for the thread that enters the block, like `torch.autocast`. So don't use ``await`` or ``yield`` in
    the block: other code that the thread runs meanwhile would use this backend, too. Blocks may be nested; the end of a
    block restores the choice before it. A function under ``torch.compile`` can be called in the block, or contain the
    block: a graph that was compiled for one backend is not used for another.

    Args:
        name: "auto" for the fastest that can run. Any other backend is forced, and an operation that can't run on it
            raises.

    Raises:
        ValueError: the backend is unknown.

    Example:
        ``with use_backend("eager"): banded_attention(q, k, v, 8)`` runs in plain PyTorch.
    """
    before = _asked.name
    _asked.name = known_backend(name)
    try:
        yield
    finally:
        _asked.name = before


def asked_backend() -> Backend:
    """The backend that `use_backend` or ``OLIFT_BACKEND`` asks for; "auto" if neither does, "eager" for "reference".

    The variable may change while the program runs. A graph of ``torch.compile`` keeps its value from compile time.

    Raises:
        ValueError: ``OLIFT_BACKEND`` names an unknown backend.
    """
    return _asked.name or _from_environment()


def known_backend(name: str) -> Backend:
    """The backend of this name, "eager" for "reference"; raises ValueError if there is none."""
    if name not in _NAMES:
        raise ValueError(f"backend must be one of {', '.join(_NAMES)}, got {name!r}")
    return _NAMES[name]


def constant(function: Callable[[], Answer]) -> Callable[[], Answer]:
    """Makes ``torch.compile`` call the function when it compiles, and use the answer as a constant of the graph.

    `torch.compiler.assume_constant_result` does the same, but first imports the whole compiler, which takes longer than
    lifting a clip.
    """
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function


@constant
def _from_environment() -> Backend:
    return known_backend(os.environ.get("OLIFT_BACKEND") or "auto")
