"""Which backend runs an operation: its argument, else `use_backend`, else ``OLIFT_BACKEND``, else the fastest that can.

This is the only place that chooses, and the only reader of ``OLIFT_BACKEND``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal, TypeVar, cast, get_args

import torch
from torch import Tensor

from olift_fast.ops.native_module import why_not_cuda, why_not_native
from olift_fast.ops.triton_runtime import interpreted, why_not_triton

Answer = TypeVar("Answer")
Backend = Literal["auto", "triton", "cuda", "native", "eager", "reference"]
"""The names that `backend=`, `use_backend` and ``OLIFT_BACKEND`` take; "reference" is the old name of "eager"."""

_wanted: ContextVar[Backend | None] = ContextVar("olift_fast backend", default=None)


@contextmanager
def use_backend(name: Backend) -> Iterator[None]:
    """Within the block, operations without a `backend=` of their own take this one, whatever ``OLIFT_BACKEND`` says.

    Args:
        name: "auto" for the fastest that can run; any other name is forced, and an operation that can't run it raises.

    Raises:
        ValueError: an unknown backend.
    """
    token = _wanted.set(_known(name))
    try:
        yield
    finally:
        _wanted.reset(token)


def asked_backend() -> Backend:
    """What `use_backend` or ``OLIFT_BACKEND`` asks for, "eager" for "reference"; "auto" where neither does.

    Raises:
        ValueError: ``OLIFT_BACKEND`` names an unknown backend.
    """
    return _wanted.get() or _known(os.environ.get("OLIFT_BACKEND") or "auto")


def why_not(name: Backend) -> str | None:
    """One line: why this machine can't run any operation with this backend; None where it can.

    Raises:
        ValueError: an unknown backend.
    """
    reasons = {"native": _why_not_native, "cuda": _why_not_cuda, "triton": _why_not_triton}
    reason = reasons.get(_known(name))
    return None if reason is None else reason()


def _known(name: str) -> Backend:
    if name not in get_args(Backend):
        raise ValueError(f"backend must be one of {', '.join(get_args(Backend))}, got {name!r}")
    return cast(Backend, "eager" if name == "reference" else name)


def choose_backend(
    op: str, backend: Backend | None, refusals: Mapping[str, str | None], by_name: Collection[str] = ()
) -> str:
    """The backend to use for `op`.

    Args:
        op: the operation's name, for the error.
        backend: asked for by the caller; None for `asked_backend`.
        refusals: for each fast backend, best first, why it can't run this call, or None when it can.
        by_name: those that are taken only when asked for, being slower than plain PyTorch here.

    Raises:
        ValueError: an unknown backend.
        RuntimeError: a backend asked for by name can't run; the message says why.
    """
    asked = asked_backend() if backend is None else _known(backend)
    if asked == "eager":
        return "eager"
    if asked == "auto":
        usable = (name for name, refusal in refusals.items() if refusal is None and name not in by_name)
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


def refuse_triton(dtypes: tuple[torch.dtype, ...], *tensors: Tensor | None) -> str | None:
    """Why the Triton backend can't take these tensors, or None when it can.

    Tensors on the CPU are taken only by Triton's interpreter, and only by name: see `choose_backend`.
    """
    return _refuse_tensors("cpu" if _interpreted() else "cuda", dtypes, tensors) or _why_not_triton()


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
    """Has ``torch.compile`` take the answer as a constant of the process.

    As `torch.compiler.assume_constant_result` does, which imports the whole compiler first: longer than lifting a clip.
    """
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function


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
