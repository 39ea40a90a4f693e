"""Loads a lifter for a device and a dtype, without torch if possible."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from olift_fast.errors import InputError
from olift_fast.model.native_lifter import NativeLifter, why_not_here
from olift_fast.runtime.asked_backend import asked_backend
from olift_fast.runtime.native_module import Products
from olift_fast.runtime.threads import keep_thread_count

if TYPE_CHECKING:
    from olift_fast.model.lifter import Lifter


def load(name_or_path: str | Path = "small", *, device: str = "cpu", dtype: str = "float32") -> NativeLifter | Lifter:
    """Load a lifter to lift with, not to train: a `NativeLifter` if it can run as asked, else a `Lifter`.

    Args:
        name_or_path: a checkpoint, as in `Lifter.from_pretrained`.
        device: torch's name: "cpu", "cuda", "cuda:1".
        dtype: of the linear layers' products: "float32", "bfloat16", "int16" or "float16", see `Lifter.optimize`.

    Raises:
        InputError: there is no such checkpoint; it is broken; it can't run on this device in this dtype (the message
            begins with "device" or "dtype"); or it needs PyTorch, which can't be imported.
    """
    check_dtype(dtype)
    reason = why_torch(device, dtype)
    if reason is None:
        return NativeLifter.from_pretrained(name_or_path, cast(Products, dtype))
    try:
        from olift_fast.model.devices import on_device
        from olift_fast.model.lifter import Lifter
    except (ImportError, OSError) as error:
        told = " ".join(str(error).split())
        raise InputError(f"lifting needs PyTorch ({reason}), which can't be imported: {told}") from error

    keep_thread_count()
    return on_device(Lifter.from_pretrained(name_or_path), device, dtype)


def check_dtype(dtype: str) -> None:
    """Raises InputError unless some lifter has products of this dtype."""
    if dtype not in ("float32", "bfloat16", "int16", "float16"):
        raise InputError(f"dtype must be float32, bfloat16, int16 or float16, got {dtype!r}")


def why_torch(device: str = "cpu", dtype: str = "float32") -> str | None:
    """One line on why `load` needs torch for this; None if it does not."""
    asked = asked_backend()
    if device != "cpu":
        return f"the device asked for is {device}"
    if asked not in ("auto", "native"):
        return f"the backend asked for is {asked}"
    return why_not_here(dtype)
