"""The native module for tensors of torch: its threads are torch's, and it must be able to read torch's tensors."""

from __future__ import annotations

import functools
from types import ModuleType

import torch
from torch import Tensor

from olift_fast.runtime import native_module as arrays
from olift_fast.runtime.threads import follow_torch


def native_module() -> ModuleType | None:
    """The module `olift_fast._native`; None where it can't take tensors, and `why_not_native` tells why."""
    return arrays.native_module() if why_not_native() is None else None


def loaded_module() -> ModuleType:
    """The module `olift_fast._native`, for a caller that has made sure that it is there."""
    reason = why_not_native()
    assert reason is None, reason
    return arrays.loaded_module()


@functools.cache
def why_not_native() -> str | None:
    """One line: why the native module can't be used here for tensors; None where it can."""
    if arrays.native_module() is None:
        return arrays.why_not_native()
    if not hasattr(torch.Tensor, "__dlpack_c_exchange_api__"):
        return f"the native module reads tensors by DLPack's C interface, which torch {torch.__version__} has not"
    follow_torch()
    return None


def why_not_bfloat16() -> str | None:
    """One line: why the native layers can't multiply in bfloat16 here, or None when it can."""
    return why_not_native() or arrays.why_not_bfloat16()


def why_not_int16() -> str | None:
    """One line: why the native layers can't multiply 16-bit integers here, or None when they can."""
    return why_not_native() or arrays.why_not_int16()


def ask_for_huge_pages(*fresh: Tensor) -> None:
    """Before a kernel first touches large fresh results in the CPU's memory: have them backed by pages of 2 MB.

    See `olift_fast.runtime.native_module.ask_for_huge_pages`; what the tensors hold stays.
    """
    for tensor in fresh:
        memory = tensor.untyped_storage()
        arrays.ask_for_huge_pages(memory.data_ptr(), memory.nbytes())


def why_not_cuda() -> str | None:
    """One line: why the native module's CUDA kernels can't be used here; None where they can."""
    native = native_module()
    if native is None:
        return why_not_native()
    if not native.info()["cuda"]:
        return "the native module was built without CUDA: no nvcc was found then, or OLIFT_CUDA=OFF was set"
    return None if torch.cuda.is_available() else "torch finds no CUDA device"
