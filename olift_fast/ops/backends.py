"""Chooses a backend: the argument, else `use_backend`, else ``OLIFT_BACKEND``, else the fastest that can run.

Backends are chosen nowhere else. `olift_fast.runtime.asked_backend` knows which one was asked for.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from olift_fast.ops.native_module import why_not_cuda, why_not_native
from olift_fast.ops.triton_runtime import DTYPES, WIDEST, interpreted, why_not_triton
from olift_fast.runtime.asked_backend import Backend, asked_backend, constant, known_backend, use_backend

__all__ = [
    "Backend",
    "asked_backend",
    "choose_backend",
    "constant",
    "refuse_cuda",
    "refuse_native",
    "refuse_native_attention",
    "refuse_triton",
    "refuse_triton_attention",
    "use_backend",
    "why_not",
]


def why_not(name: Backend) -> str | None:
    """One line on why this machine can't run any operation with this backend; None if it can.

    Raises:
        ValueError: the backend is unknown.
    """
    reasons = {"native": _why_not_native, "cuda": _why_not_cuda, "triton": _why_not_triton}
    reason = reasons.get(known_backend(name))
    return None if reason is None else reason()


def choose_backend(
    op: str, backend: Backend | None, refusals: Mapping[str, str | None], slower_than_eager: Collection[str] = ()
) -> str:
    """The backend to use for `op`.

    Args:
        op: the operation's name, for the error.
        backend: the caller's choice; None for `asked_backend`.
        refusals: for each fast backend, best first, why it can't run this call, or None if it can.
        slower_than_eager: backends that are slower than plain PyTorch here, and used only if asked for.

    Raises:
        ValueError: the backend is unknown.
        RuntimeError: the backend asked for can't run; the message says why.
    """
    asked = asked_backend() if backend is None else known_backend(backend)
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
    """Why the native CPU backend can't take these tensors; None if it can."""
    return _why_not_native() or _refuse_tensors("cpu", dtypes, tensors)


def refuse_cuda(dtypes: tuple[torch.dtype, ...], *tensors: Tensor | None) -> str | None:
    """Why the native CUDA backend can't take these tensors; None if it can."""
    return _why_not_cuda() or _refuse_tensors("cuda", dtypes, tensors)


def refuse_triton(*tensors: Tensor | None) -> str | None:
    """Why the Triton backend can't take these tensors; None if it can.

    Tensors on the CPU run in Triton's interpreter, and only if "triton" is asked for: see `choose_backend`.
    """
    return _refuse_tensors("cpu" if _interpreted() else "cuda", DTYPES, tensors) or _why_not_triton()


def refuse_native_attention(q: Tensor) -> str | None:
    """Why the native backend can't run an attention of these queries; None if it can.

    With bfloat16 it reads and writes bfloat16, and computes in float32.
    """
    return refuse_native((torch.float32, torch.bfloat16), q)


def refuse_triton_attention(q: Tensor) -> str | None:
    """Why the Triton backend can't run an attention of these queries ``(..., Dh)``; None if it can."""
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
