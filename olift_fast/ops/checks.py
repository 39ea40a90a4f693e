"""Checks of arguments that several operations share; each names the argument, the value seen and the value wanted."""

from __future__ import annotations

import torch
from torch import Tensor


def check_projections(q: Tensor, k: Tensor, v: Tensor) -> None:
    """q, k, v: floating point ``(B, T, J, H, Dh)``, of one shape, dtype and device, with a unit last stride."""
    for name, tensor in (("q", q), ("k", k), ("v", v)):
        check_floating(name, tensor)
        if tensor.dim() != 5:
            raise ValueError(f"{name} must be (B, T, J, H, Dh), got {tuple(tensor.shape)}")
        check_shape(name, tensor, q.shape)
        check_like(name, tensor, q)
        check_unit_stride(name, tensor)


def check_packed(qkv: Tensor) -> None:
    """A floating-point projection ``(B, T, J, 3, H, Dh)`` that holds q, k and v, with a unit last stride."""
    check_floating("qkv", qkv)
    if qkv.dim() != 6 or qkv.shape[3] != 3:
        raise ValueError(f"qkv must be (B, T, J, 3, H, Dh), got {tuple(qkv.shape)}")
    check_unit_stride("qkv", qkv)


def check_unit_stride(name: str, tensor: Tensor) -> None:
    """A tensor whose last dimension lies in one run of memory."""
    if tensor.shape[-1] > 1 and tensor.stride(-1) != 1:
        raise ValueError(f"{name} must have a last stride of 1, got {tensor.stride(-1)}")


def check_tensor(name: str, tensor: Tensor) -> None:
    """A tensor, and no list or array."""
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{name} must be a tensor, got {type(tensor).__name__}")


def check_floating(name: str, tensor: Tensor) -> None:
    """A floating-point tensor."""
    check_tensor(name, tensor)
    if not tensor.is_floating_point():
        raise TypeError(f"{name} must be a floating-point tensor, got {tensor.dtype}")


def check_shape(name: str, tensor: Tensor, *allowed: tuple[int, ...]) -> None:
    """A tensor of one of these shapes."""
    check_tensor(name, tensor)
    # Not `in`: compiled, it takes a size that is known only to be dynamic for another than the number that it equals.
    # Only shapes of as many axes are compared: a comparison with others would fix sizes that differ from theirs.
    if not any(tensor.shape == tuple(shape) for shape in allowed if len(shape) == tensor.dim()):
        wanted = " or ".join(str(tuple(shape)) for shape in allowed)
        raise ValueError(f"{name} must be {wanted}, got {tuple(tensor.shape)}")


def check_like(name: str, tensor: Tensor, like: Tensor) -> None:
    """A tensor of `like`'s dtype and device."""
    if tensor.dtype != like.dtype:
        raise TypeError(f"{name} must be {like.dtype}, got {tensor.dtype}")
    check_device(name, tensor, like)


def check_device(name: str, tensor: Tensor, like: Tensor) -> None:
    """A tensor on `like`'s device."""
    if tensor.device != like.device:
        raise ValueError(f"{name} must be on {like.device}, got {tensor.device}")


def check_mask(name: str, mask: Tensor | None, like: Tensor, *allowed: tuple[int, ...]) -> None:
    """None, or a bool tensor on `like`'s device of one of these shapes."""
    if mask is None:
        return
    check_shape(name, mask, *allowed)
    if mask.dtype != torch.bool:
        raise TypeError(f"{name} must be bool, got {mask.dtype}")
    check_device(name, mask, like)
