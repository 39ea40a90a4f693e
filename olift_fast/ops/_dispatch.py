"""Which backend runs an operation: the argument, then the variable ``OLIFT_BACKEND``, then what the tensors allow."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Literal, get_args

import torch
from torch import Tensor

from olift_fast.ops._native import why_not_native

Backend = Literal["auto", "native", "reference"]


def choose_backend(op: str, backend: Backend | None, refusals: Mapping[str, str | None]) -> str:
    """The backend to use for `op`.

    Args:
        op: the operation's name, for the error.
        backend: asked for by the caller; None means the variable ``OLIFT_BACKEND``, or "auto" without it.
        refusals: for each fast backend, best first, why it can't run this call, or None when it can.

    Raises:
        ValueError: an unknown backend.
        RuntimeError: a backend asked for by name can't run; the message says why.
    """
    asked = backend or os.environ.get("OLIFT_BACKEND", "auto")
    if asked not in get_args(Backend):
        raise ValueError(f"backend must be one of {', '.join(get_args(Backend))}, got {asked!r}")
    if asked == "reference":
        return "reference"
    if asked == "auto":
        return next((name for name, refusal in refusals.items() if refusal is None), "reference")
    refusal = refusals.get(asked, f"{op} has no {asked} backend")
    if refusal is not None:
        raise RuntimeError(f"{op}: backend {asked!r} can't run: {refusal}")
    return asked


def refuse_native(dtypes: tuple[torch.dtype, ...], *tensors: Tensor | None) -> str | None:
    """Why the native CPU backend can't take these tensors, or None when it can."""
    reason = _why_not_native()
    if reason is not None:
        return reason
    for tensor in tensors:
        if tensor is None:
            continue
        if tensor.device.type != "cpu":
            return f"tensors must be on the cpu, got {tensor.device}"
        if tensor.dtype not in dtypes:
            return f"dtype must be one of {', '.join(map(str, dtypes))}, got {tensor.dtype}"
    return None


@torch.compiler.assume_constant_result
def _why_not_native() -> str | None:
    return why_not_native()
