"""The native module for torch tensors: it uses torch's number of threads, and must be able to read torch's tensors."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from types import ModuleType

import torch
from torch import Tensor

from olift_fast.runtime import native_module as arrays
from olift_fast.runtime.native_module import Products
from olift_fast.runtime.threads import follow_torch

PRODUCTS: Mapping[torch.dtype, Products] = {
    torch.float32: "float32",
    torch.bfloat16: "bfloat16",
    torch.int16: "int16",
}
"""The dtypes in which native layers can multiply, and their names in `olift_fast.runtime`."""


def native_module() -> ModuleType | None:
    """The module `olift_fast._native`; None if it can't take tensors (`why_not_native` says why)."""
    return arrays.native_module() if why_not_native() is None else None


def loaded_module() -> ModuleType:
    """The module `olift_fast._native`, for a caller that has checked that it is there."""
    reason = why_not_native()
    assert reason is None, reason
    return arrays.loaded_module()


@functools.cache
def why_not_native() -> str | None:
    """One line on why the native module can't be used for tensors here; None if it can."""
    if arrays.native_module() is None:
        return arrays.why_not_native()
    if not hasattr(torch.Tensor, "__dlpack_c_exchange_api__"):
        return f"the native module reads tensors by DLPack's C interface, which torch {torch.__version__} lacks"
    follow_torch()
    return None


def why_not_products(dtype: torch.dtype) -> str | None:
    """One line on why the native layers can't multiply in this dtype of `PRODUCTS` here; None if they can."""
    return why_not_native() or arrays.why_not_products(PRODUCTS[dtype])


def ask_for_huge_pages(*fresh: Tensor) -> None:
    """Asks for pages of 2 MB for large new tensors in the CPU's memory, before a kernel first touches them.

    See `olift_fast.runtime.native_module.ask_for_huge_pages`. The tensors' values stay.
    """
    for tensor in fresh:
        memory = tensor.untyped_storage()
        arrays.ask_for_huge_pages(memory.data_ptr(), memory.nbytes())


def why_not_cuda() -> str | None:
    """One line on why the native module's CUDA kernels can't be used here; None if they can."""
    native = native_module()
    if native is None:
        return why_not_native()
    if not native.info()["cuda"]:
        return "the native module was built without CUDA: no nvcc was found then, or OLIFT_CUDA=OFF was set"
    return None if torch.cuda.is_available() else "torch finds no CUDA device"
