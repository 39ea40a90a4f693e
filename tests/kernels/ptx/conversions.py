"""Conversions between types."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ptx.decoding import Decoding, Step, instruction
from ptx.faults import UnknownInstruction
from ptx.kinds import KINDS, Array, Kind, flushed, tf32_bits
from ptx.program import SHARED_BASE

if TYPE_CHECKING:
    from ptx.machine import Machine

SHARED_WINDOW = 1 << 60
"""Where shared memory lies among generic addresses; global memory lies where it is."""
_TO_INTEGER = {"rni": np.rint, "rzi": np.trunc, "rmi": np.floor, "rpi": np.ceil}


@instruction("cvt")
def _(decoding: Decoding) -> Step:
    if "tf32" in decoding.words[:-1]:
        return _to_tf32(decoding)
    source_kind, kind = decoding.kind(), decoding.kind()
    decoding.need(3 if kind.name.endswith("x2") else 2)
    to_integer = decoding.take(*_TO_INTEGER)
    rounding = decoding.take("rn")
    flush = decoding.take("ftz") is not None and "f32" in (kind.name, source_kind.name)
    convert = _conversion(decoding, source_kind, kind, to_integer, rounding)
    if decoding.take("relu"):
        plain = convert
        convert = lambda x: np.fmax(plain(x), 0)  # noqa: E731
    target = decoding.target(0, kind)
    if kind.name.endswith("x2"):
        high, low = decoding.sources(source_kind, 1, 2)
        return lambda machine: target(machine, np.stack(np.broadcast_arrays(low(machine), high(machine)), -1))
    source = decoding.source(1, source_kind)

    def step(machine: Machine) -> None:
        value = source(machine)
        target(machine, convert(flushed(value) if flush and source_kind.name == "f32" else value))

    return step


def _conversion(
    decoding: Decoding, source: Kind, kind: Kind, to_integer: str | None, rounding: str | None
) -> Callable[[Array], Array]:
    if source.floating and kind.floating:
        if to_integer is not None:
            if source is not kind:
                raise UnknownInstruction("rounds to an integer of another type")
            return _TO_INTEGER[to_integer]
        if kind.bits < source.bits and rounding is None:
            raise UnknownInstruction("how is it rounded?")
        return lambda x: x.astype(kind.numbers)
    if source.floating:
        if to_integer is None:
            raise UnknownInstruction("how is it rounded?")
        decoding.take("sat")
        return lambda x: _saturated(_TO_INTEGER[to_integer](x), kind)
    if kind.floating:
        if rounding is None:
            raise UnknownInstruction("how is it rounded?")
        return lambda x: x.astype(kind.numbers)
    if decoding.take("sat"):
        least, most = np.iinfo(kind.numbers).min, np.iinfo(kind.numbers).max
        here = np.iinfo(source.numbers)
        low, high = max(least, int(here.min)), min(most, int(here.max))
        return lambda x: np.clip(x, source.numbers.type(low), source.numbers.type(high)).astype(kind.numbers)
    return lambda x: x.astype(kind.numbers)


def _saturated(values: Array, kind: Kind) -> Array:
    """Floats that are integers, held within the type; NaN becomes 0."""
    limits = np.iinfo(kind.numbers)
    values = np.asarray(values, np.float64)
    inside = (values >= float(limits.min)) & (values < float(limits.max))
    found = np.where(inside, values, 0).astype(kind.numbers)
    found = np.where(values >= float(limits.max), kind.numbers.type(limits.max), found)
    return np.where(values < float(limits.min), kind.numbers.type(limits.min), found)


def _to_tf32(decoding: Decoding) -> Step:
    decoding.need(2)
    source_kind = decoding.kind()
    rounding = decoding.take("rna", "rn")
    if source_kind.name != "f32" or rounding is None:
        raise UnknownInstruction("only .rna.tf32.f32 and .rn.tf32.f32")
    decoding.take("tf32")
    source, target = decoding.source(1, source_kind), decoding.target(0, KINDS["b32"])
    return lambda machine: target(machine, tf32_bits(source(machine), away=rounding == "rna"))


@instruction("cvta")
def _(decoding: Decoding) -> Step:
    kind = decoding.kind()
    sign = -1 if decoding.take("to") else 1
    space = decoding.take("global", "shared", "shared::cta", "local", "param", "const")
    shift = sign * SHARED_WINDOW if space and space.startswith("shared") else 0
    if space in (None, "local", "const"):
        raise UnknownInstruction("only global, shared and param memory have generic addresses")
    source, target = decoding.source(1, kind), decoding.target(0, kind)
    if not shift:
        return lambda machine: target(machine, source(machine))
    if kind.bits != 64:
        raise UnknownInstruction("a generic address has 64 bits")
    return lambda machine: target(machine, source(machine) + np.uint64(shift % (1 << 64)))


@instruction("createpolicy")
def _(decoding: Decoding) -> Step:
    decoding.words.clear()
    target = decoding.target(0, KINDS["b64"])
    return lambda machine: target(machine, np.uint64(0))


@instruction("isspacep")
def _(decoding: Decoding) -> Step:
    space = decoding.take("global", "shared", "shared::cta")
    source, target = decoding.source(1, KINDS["u64"]), decoding.target(0, KINDS["pred"])
    inside = np.uint64(SHARED_WINDOW + SHARED_BASE)
    return lambda machine: target(machine, (source(machine) >= inside) == (space != "global"))
