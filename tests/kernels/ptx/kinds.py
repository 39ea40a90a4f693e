"""The types of PTX: how the bits of a register become numbers, and numbers bits.

Half precision is computed in float32, which holds every product and sum of two halves well enough to round once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

Array = NDArray[Any]
UNSIGNED = {8: np.dtype(np.uint8), 16: np.dtype(np.uint16), 32: np.dtype(np.uint32), 64: np.dtype(np.uint64)}


@dataclass(frozen=True)
class Kind:
    """A type of PTX; `numbers` is the type of NumPy that it is computed in."""

    name: str
    bits: int
    numbers: np.dtype
    read: Callable[[Array], Array]
    write: Callable[[Array], Array]

    @property
    def floating(self) -> bool:
        return self.numbers.kind == "f"


def bfloat16_numbers(bits: Array) -> Array:
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)


def bfloat16_bits(values: Array) -> Array:
    """To the nearest, ties to even; NaN becomes 0x7fff, as `cvt` says."""
    bits = np.asarray(values, np.float32).view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
    return np.where(np.isnan(values), np.uint16(0x7FFF), rounded.astype(np.uint16))


def float16_bits(values: Array) -> Array:
    return np.where(np.isnan(values), np.uint16(0x7FFF), np.asarray(values).astype(np.float16).view(np.uint16))


def tf32_operand(bits: Array) -> Array:
    """What a tensor core sees of a register: the low 13 bits do not count."""
    return (bits & np.uint32(0xFFFFE000)).view(np.float32)


def tf32_bits(values: Array, away: bool) -> Array:
    """To the nearest number of 11 significant bits, ties to even or away from zero."""
    bits = np.asarray(values, np.float32).view(np.uint32)
    half = np.uint32(0x1000) if away else np.uint32(0xFFF) + ((bits >> np.uint32(13)) & np.uint32(1))
    return np.where(np.isfinite(values), (bits + half) & np.uint32(0xFFFFE000), bits)


def flushed(values: Array) -> Array:
    """`.ftz`: subnormal numbers become zeros of their sign."""
    tiny = np.abs(values) < np.finfo(np.float32).tiny
    return np.where(tiny, np.copysign(np.float32(0), values), values) if tiny.any() else values


def _plain(name: str, numbers: DTypeLike) -> Kind:
    numbers = np.dtype(numbers)
    bits = numbers.itemsize * 8

    def write(values: Array) -> Array:
        return np.asarray(values, numbers).view(UNSIGNED[bits])

    return Kind(name, bits, numbers, lambda held: held.view(numbers), write)


def _pairs(name: str, half: Kind) -> Kind:
    """Two halves of a 32-bit register, in the last dimension: the low one first."""

    def read(held: Array) -> Array:
        return half.read(np.stack([held & np.uint32(0xFFFF), held >> np.uint32(16)], -1).astype(np.uint16))

    def write(values: Array) -> Array:
        bits = half.write(values).astype(np.uint32)
        return bits[..., 0] | (bits[..., 1] << np.uint32(16))

    return Kind(name, 32, half.numbers, read, write)


_PREDICATE = Kind("pred", 1, np.dtype(bool), lambda held: held, lambda values: np.asarray(values, bool))
_SINGLE = np.dtype(np.float32)
BFLOAT16 = Kind("bf16", 16, _SINGLE, bfloat16_numbers, bfloat16_bits)
FLOAT16 = Kind("f16", 16, _SINGLE, lambda held: held.view(np.float16).astype(np.float32), float16_bits)

KINDS = {
    "pred": _PREDICATE,
    **{f"b{bits}": _plain(f"b{bits}", f"u{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"u{bits}": _plain(f"u{bits}", f"u{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"s{bits}": _plain(f"s{bits}", f"i{bits // 8}") for bits in (8, 16, 32, 64)},
    "f32": _plain("f32", np.float32),
    "f64": _plain("f64", np.float64),
    "f16": FLOAT16,
    "bf16": BFLOAT16,
    "f16x2": _pairs("f16x2", FLOAT16),
    "bf16x2": _pairs("bf16x2", BFLOAT16),
}


def untyped(kind: Kind) -> Kind:
    """As which a value of this type is moved: its bits, but for floats that the text may write out."""
    return kind if kind.name in ("pred", "f32", "f64") else KINDS[f"b{kind.bits}"]
