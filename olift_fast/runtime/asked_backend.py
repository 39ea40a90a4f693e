"""What backend the caller asks for: `use_backend`, else ``OLIFT_BACKEND``. Nothing else reads that variable."""

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
    """What `use_backend` asks for in this thread. ``torch.compile`` guards on it, as it can't on a `ContextVar`."""

    def __init__(self) -> None:
        self.name: Backend | None = None


_asked = _Asked()


@contextmanager
def use_backend(name: Backend) -> Iterator[None]:
    """Within the block, operations without a `backend=` of their own take this one, whatever ``OLIFT_BACKEND`` says.

    It holds for the thread that enters it, as `torch.autocast` does. So let no ``await`` and no ``yield`` stand in the
    block: whatever the thread runs meanwhile would take this backend, too. Blocks nest, and each gives back what was
    asked for before. A function under ``torch.compile`` may be called in the block, and may hold it: a graph that was
    compiled for one backend is not used under another.

    Args:
        name: "auto" for the fastest that can run; any other name is forced, and an operation that can't run it raises.

    Raises:
        ValueError: an unknown backend.

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
    """What `use_backend` or ``OLIFT_BACKEND`` asks for, "eager" for "reference"; "auto" where neither does.

    The variable may change while the program runs. A graph of ``torch.compile`` keeps what it said at compile time.

    Raises:
        ValueError: ``OLIFT_BACKEND`` names an unknown backend.
    """
    return _asked.name or _from_environment()


def known_backend(name: str) -> Backend:
    """The backend of this name, "eager" for "reference"; raises ValueError where there is none."""
    if name not in _NAMES:
        raise ValueError(f"backend must be one of {', '.join(_NAMES)}, got {name!r}")
    return _NAMES[name]


def constant(function: Callable[[], Answer]) -> Callable[[], Answer]:
    """Has ``torch.compile`` call the function when it compiles, and take the answer as a constant of the graph.

    As `torch.compiler.assume_constant_result` does, which imports the whole compiler first: longer than lifting a clip.
    """
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function


@constant
def _from_environment() -> Backend:
    return known_backend(os.environ.get("OLIFT_BACKEND") or "auto")
