"""Argument checks of several operations. Each error names the argument, the value seen and the value wanted."""

from __future__ import annotations

import torch
from torch import Tensor


def check_projections(q: Tensor, k: Tensor, v: Tensor) -> None:
    """q, k, v must be floating-point ``(B, T, J, H, Dh)`` of one shape, dtype and device, with a last stride of 1."""
    for name, tensor in (("q", q), ("k", k), ("v", v)):
        check_floating(name, tensor)
        if tensor.dim() != 5:
            raise ValueError(f"{name} must be (B, T, J, H, Dh), got {tuple(tensor.shape)}")
        if tensor is not q:
            check_shape(name, tensor, q.shape)
            check_like(name, tensor, q)
        check_unit_stride(name, tensor)


def check_packed(qkv: Tensor) -> None:
    """The projection must be floating-point ``(B, T, J, 3, H, Dh)`` with a unit last stride."""
    check_floating("qkv", qkv)
    if qkv.dim() != 6 or qkv.shape[3] != 3:
        raise ValueError(f"qkv must be (B, T, J, 3, H, Dh), got {tuple(qkv.shape)}")
    check_unit_stride("qkv", qkv)


def check_unit_stride(name: str, tensor: Tensor) -> None:
    """The last stride must be 1."""
    if tensor.shape[-1] > 1 and tensor.stride(-1) != 1:
        raise ValueError(f"{name} must have a last stride of 1, got {tensor.stride(-1)}")


def check_tensor(name: str, tensor: Tensor) -> None:
    """The argument must be a tensor, not a list or an array."""
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{name} must be a tensor, got {type(tensor).__name__}")


def check_floating(name: str, tensor: Tensor) -> None:
    """The argument must be a floating-point tensor."""
    check_tensor(name, tensor)
    if not tensor.is_floating_point():
        raise TypeError(f"{name} must be a floating-point tensor, got {tensor.dtype}")


def check_shape(name: str, tensor: Tensor, *allowed: tuple[int, ...]) -> None:
    """The tensor must have one of these shapes."""
    check_tensor(name, tensor)
    seen = tensor.shape
    # Not `in`: under torch.compile it finds a dynamic size unequal to a number even if they are equal.
    # Only shapes with as many axes are compared, because comparing others would fix dynamic sizes that differ.
    for shape in allowed:
        if len(shape) == len(seen) and seen == shape:
            return
    raise ValueError(f"{name} must be {' or '.join(str(tuple(shape)) for shape in allowed)}, got {tuple(seen)}")


def check_like(name: str, tensor: Tensor, like: Tensor) -> None:
    """The tensor must have `like`'s dtype and device."""
    if tensor.dtype != like.dtype:
        raise TypeError(f"{name} must be {like.dtype}, got {tensor.dtype}")
    check_device(name, tensor, like)


def check_device(name: str, tensor: Tensor, like: Tensor) -> None:
    """The tensor must be on `like`'s device."""
    if tensor.device != like.device:
        raise ValueError(f"{name} must be on {like.device}, got {tensor.device}")


def check_mask(name: str, mask: Tensor | None, like: Tensor, *allowed: tuple[int, ...]) -> None:
    """The mask must be None, or a bool tensor on `like`'s device of one of these shapes."""
    if mask is None:
        return
    check_shape(name, mask, *allowed)
    if mask.dtype != torch.bool:
        raise TypeError(f"{name} must be bool, got {mask.dtype}")
    check_device(name, mask, like)
