"""Which backend runs an operation: its argument, else `use_backend`, else ``OLIFT_BACKEND``, else the fastest that can.

This is the only place that chooses, and the only reader of ``OLIFT_BACKEND``.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Literal, TypeVar, get_args

import torch
from torch import Tensor

from olift_fast.ops.native_module import why_not_cuda, why_not_native
from olift_fast.ops.triton_runtime import DTYPES, WIDEST, interpreted, why_not_triton

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
    _asked.name = _known(name)
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


def why_not(name: Backend) -> str | None:
    """One line: why this machine can't run any operation with this backend; None where it can.

    Raises:
        ValueError: an unknown backend.
    """
    reasons = {"native": _why_not_native, "cuda": _why_not_cuda, "triton": _why_not_triton}
    reason = reasons.get(_known(name))
    return None if reason is None else reason()


def _known(name: str) -> Backend:
    if name not in _NAMES:
        raise ValueError(f"backend must be one of {', '.join(_NAMES)}, got {name!r}")
    return _NAMES[name]


def choose_backend(
    op: str, backend: Backend | None, refusals: Mapping[str, str | None], slower_than_eager: Collection[str] = ()
) -> str:
    """The backend to use for `op`.

    Args:
        op: the operation's name, for the error.
        backend: asked for by the caller; None for `asked_backend`.
        refusals: for each fast backend, best first, why it can't run this call, or None when it can.
        slower_than_eager: those that are taken only when asked for, being slower than plain PyTorch here.

    Raises:
        ValueError: an unknown backend.
        RuntimeError: a backend asked for by name can't run; the message says why.
    """
    asked = asked_backend() if backend is None else _known(backend)
    if asked == "eager":
        return "eager"
    if asked == "auto":
        usable = (name for name, refusal in refusals.items() if refusal is None and name not in slower_than_eager)
        return next((name for name in usable if name != "triton" or not _interpreted()), "eager")
    if asked not in refusals:
        raise RuntimeError(f"{op} has no {asked} backend; it has {', '.join([*refusals, 'eager'])}")
    refusal = refusals[asked]
    if refusal is not None:
        raise RuntimeError(f"{op}: backend {asked!r} can't run: {why_not(asked) or refusal}")
    return asked


def refuse_native(dtypes: tuple[torch.dtype, ...], *tensors: Tensor | None) -> str | None:
    """Why the native CPU backend can't take these tensors, or None when it can."""
    return _why_not_native() or _refuse_tensors("cpu", dtypes, tensors)


def refuse_cuda(dtypes: tuple[torch.dtype, ...], *tensors: Tensor | None) -> str | None:
    """Why the native CUDA backend can't take these tensors, or None when it can."""
    return _why_not_cuda() or _refuse_tensors("cuda", dtypes, tensors)


def refuse_triton(*tensors: Tensor | None) -> str | None:
    """Why the Triton backend can't take these tensors, or None when it can.

    Tensors on the CPU are taken only by Triton's interpreter, and only by name: see `choose_backend`.
    """
    return _refuse_tensors("cpu" if _interpreted() else "cuda", DTYPES, tensors) or _why_not_triton()


def refuse_native_attention(q: Tensor) -> str | None:
    """Why the native backend can't run an attention of these queries, or None when it can.

    In bfloat16 it reads and writes bfloat16, and computes in float32.
    """
    return refuse_native((torch.float32, torch.bfloat16), q)


def refuse_triton_attention(q: Tensor) -> str | None:
    """Why the Triton backend can't run an attention of these queries ``(..., Dh)``, or None when it can."""
    if q.shape[-1] > WIDEST:
        return f"Dh must be at most {WIDEST}, got {q.shape[-1]}"
    return refuse_triton(q)


def _refuse_tensors(device: str, dtypes: tuple[torch.dtype, ...], tensors: tuple[Tensor | None, ...]) -> str | None:
    for tensor in tensors:
        if tensor is None:
            continue
        if tensor.device.type != device:
            return f"tensors must be on {device}, got {tensor.device}"
        if tensor.dtype not in dtypes:
            return f"dtype must be one of {', '.join(map(str, dtypes))}, got {tensor.dtype}"
    return None


def constant(function: Callable[[], Answer]) -> Callable[[], Answer]:
    """Has ``torch.compile`` call the function when it compiles, and take the answer as a constant of the graph.

    As `torch.compiler.assume_constant_result` does, which imports the whole compiler first: longer than lifting a clip.
    """
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function


@constant
def _from_environment() -> Backend:
    return _known(os.environ.get("OLIFT_BACKEND") or "auto")


@constant
def _why_not_native() -> str | None:
    return why_not_native()


@constant
def _why_not_cuda() -> str | None:
    return why_not_cuda()


@constant
def _why_not_triton() -> str | None:
    return why_not_triton()


@constant
def _interpreted() -> bool:
    return interpreted()
