"""Arithmetic: integers that wrap around, floats that are rounded to the nearest, approximations done exactly."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ptx.decoding import Decoding, Step, instruction
from ptx.faults import UnknownInstruction
from ptx.kinds import KINDS, Array, Kind, flushed, untyped

if TYPE_CHECKING:
    from ptx.machine import Machine

Function = Callable[..., Array]


def _apply(decoding: Decoding, kind: Kind, function: Function, count: int) -> Step:
    """`function` of so many operands of a kind, into the first."""
    decoding.need(count + 1)
    sources, target = decoding.sources(kind, *range(1, count + 1)), decoding.target(0, kind)
    if kind.name in ("f32", "f16", "f16x2") and decoding.take("ftz"):
        return lambda machine: target(machine, flushed(function(*[flushed(source(machine)) for source in sources])))
    if count == 2:
        first, second = sources
        return lambda machine: target(machine, function(first(machine), second(machine)))
    return lambda machine: target(machine, function(*[source(machine) for source in sources]))


def _fused(a: Array, b: Array, c: Array) -> Array:
    """a · b + c, rounded once: in float64 for float32; for float64 as far as the processor's long double reaches."""
    wide = np.float64 if np.asarray(a).dtype == np.float32 else np.longdouble
    return (np.asarray(a, wide) * b + c).astype(np.asarray(a).dtype)


@instruction("add", "sub", "mul")
def _(decoding: Decoding) -> Step:
    kind = decoding.kind()
    function = {"add": np.add, "sub": np.subtract, "mul": np.multiply}[decoding.name]
    if kind.floating:
        decoding.take("rn")
        return _apply(decoding, kind, function, 2)
    if decoding.name != "mul":
        return _apply(decoding, kind, function, 2)
    form = decoding.take("lo", "hi", "wide")
    if form is None:
        raise UnknownInstruction("which half?")
    if form == "wide":
        return _widened(decoding, kind, 2)
    return _apply(decoding, kind, np.multiply if form == "lo" else _high_product, 2)


@instruction("fma", "mad")
def _(decoding: Decoding) -> Step:
    kind = decoding.kind()
    if kind.floating:
        decoding.take("rn")
        if decoding.take("relu"):
            return _apply(decoding, kind, lambda a, b, c: np.fmax(_fused(a, b, c), 0), 3)
        return _apply(decoding, kind, _fused, 3)
    form = decoding.take("lo", "hi", "wide")
    if form is None:
        raise UnknownInstruction("which half?")
    if form == "wide":
        return _widened(decoding, kind, 3)
    product = np.multiply if form == "lo" else _high_product
    return _apply(decoding, kind, lambda a, b, c: product(a, b) + c, 3)


def _widened(decoding: Decoding, kind: Kind, count: int) -> Step:
    """A product of twice the width, and perhaps a sum."""
    decoding.need(count + 1)
    wide = KINDS[f"{kind.name[0]}{2 * kind.bits}"]
    first, second = decoding.sources(kind, 1, 2)
    target = decoding.target(0, wide)
    if count == 2:
        return lambda machine: target(machine, first(machine).astype(wide.numbers) * second(machine))
    third = decoding.source(3, wide)
    return lambda machine: target(machine, first(machine).astype(wide.numbers) * second(machine) + third(machine))


def _high_product(a: Array, b: Array) -> Array:
    """The upper half of a product of integers."""
    a, b = np.asarray(a), np.asarray(b)
    bits = a.dtype.itemsize * 8
    if bits < 64:
        wide = np.dtype(f"{a.dtype.kind}{bits // 4}").type
        return ((a.astype(wide) * b.astype(wide)) >> wide(bits)).astype(a.dtype)
    low, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    x, y = a.view(np.uint64), b.view(np.uint64)
    x_high, x_low, y_high, y_low = x >> half, x & low, y >> half, y & low
    middle = x_high * y_low + ((x_low * y_low) >> half)
    other = x_low * y_high + (middle & low)
    high = x_high * y_high + (middle >> half) + (other >> half)
    if a.dtype.kind == "i":
        high = high - np.where(a < 0, y, np.uint64(0)) - np.where(b < 0, x, np.uint64(0))
    return high.view(a.dtype)


@instruction("div")
def _(decoding: Decoding) -> Step:
    kind = decoding.kind()
    if kind.floating:
        if decoding.take("rn", "approx", "full") is None:
            raise UnknownInstruction("how is it rounded?")
        return _apply(decoding, kind, np.divide, 2)
    return _apply(decoding, kind, lambda a, b: _divided(a, b)[0], 2)


@instruction("rem")
def _(decoding: Decoding) -> Step:
    return _apply(decoding, decoding.kind(), lambda a, b: _divided(a, b)[1], 2)


def _divided(a: Array, b: Array) -> tuple[Array, Array]:
    """Quotient, towards zero, and remainder of integers; by zero all ones, and what is divided."""
    zero = b == 0
    divisor = np.where(zero, np.ones_like(b), b)
    remainder = np.fmod(a, divisor)
    return np.where(zero, ~np.zeros_like(a), (a - remainder) // divisor), np.where(zero, a, remainder)


@instruction("min", "max")
def _(decoding: Decoding) -> Step:
    kind = decoding.kind()
    keeps_nan = decoding.take("NaN") is not None or not kind.floating
    plain, propagating = (np.fmin, np.minimum) if decoding.name == "min" else (np.fmax, np.maximum)
    function = propagating if keeps_nan else plain
    if len(decoding.operands) == 4:
        return _apply(decoding, kind, lambda a, b, c: function(function(a, b), c), 3)
    return _apply(decoding, kind, function, 2)


@instruction("neg", "abs", "copysign")
def _(decoding: Decoding) -> Step:
    kind = decoding.kind()
    if decoding.name == "copysign":
        return _apply(decoding, kind, lambda sign, size: np.copysign(size, sign), 2)
    return _apply(decoding, kind, np.negative if decoding.name == "neg" else np.abs, 1)


_UNARY: dict[str, Function] = {
    "ex2": np.exp2,
    "lg2": np.log2,
    "sin": np.sin,
    "cos": np.cos,
    "tanh": np.tanh,
    "rcp": np.reciprocal,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: np.reciprocal(np.sqrt(x)),
}


@instruction(*_UNARY)
def _(decoding: Decoding) -> Step:
    kind, function = decoding.kind(), _UNARY[decoding.name]
    if not kind.floating or decoding.take("approx", "rn") is None:
        raise UnknownInstruction("how is it rounded?")

    def exact(x: Array) -> Array:
        return function(np.asarray(x, np.float64)).astype(np.asarray(x).dtype)

    return _apply(decoding, kind, function if kind.name == "f64" else exact, 1)


_ORDERED: dict[str, Function] = {
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}
_UNSIGNED_NAMES = {"lo": "lt", "ls": "le", "hi": "gt", "hs": "ge"}


def _comparison(name: str, floating: bool) -> Function:
    if not floating:
        return _ORDERED[_UNSIGNED_NAMES.get(name, name)]
    if name in ("num", "nan"):
        return lambda a, b: (np.isnan(a) | np.isnan(b)) == (name == "nan")
    function = _ORDERED[name[:2]]
    if len(name) == 3:
        return lambda a, b: function(a, b) | np.isnan(a) | np.isnan(b)
    if name == "ne":
        return lambda a, b: (a != b) & ~(np.isnan(a) | np.isnan(b))
    return function


@instruction("setp")
def _(decoding: Decoding) -> Step:
    kind = decoding.kind()
    name = decoding.take(*_ORDERED, *_UNSIGNED_NAMES, "num", "nan", "equ", "neu", "ltu", "leu", "gtu", "geu")
    if name is None or kind.name.endswith("x2"):
        raise UnknownInstruction("no such comparison")
    compare = _comparison(name, kind.floating)
    first, second = decoding.sources(kind, 1, 2)
    targets = [text.strip() for text in decoding.operands[0].split("|")]
    decoding.operands = (*targets[:1], *decoding.operands[1:], *targets[1:])
    predicate = KINDS["pred"]
    to, flush = decoding.target(0, predicate), decoding.take("ftz") is not None
    join_name = decoding.take("and", "or", "xor")
    join = {None: None, "and": np.logical_and, "or": np.logical_or, "xor": np.logical_xor}[join_name]
    other = None if join is None else decoding.source(3, predicate)
    opposite = None if len(targets) == 1 else decoding.target(-1, predicate)

    def step(machine: Machine) -> None:
        a, b = first(machine), second(machine)
        holds = compare(flushed(a), flushed(b)) if flush else compare(a, b)
        if opposite is not None:
            opposite(machine, ~holds if join is None else join(~holds, other(machine)))
        to(machine, holds if join is None else join(holds, other(machine)))

    return step


@instruction("testp")
def _(decoding: Decoding) -> Step:
    kind = decoding.kind()
    tests = {"finite": np.isfinite, "infinite": np.isinf, "notanumber": np.isnan, "number": lambda x: ~np.isnan(x)}
    test = tests[decoding.take(*tests) or ""]
    source, target = decoding.source(1, kind), decoding.target(0, KINDS["pred"])
    return lambda machine: target(machine, test(source(machine)))


@instruction("selp")
def _(decoding: Decoding) -> Step:
    kind = decoding.kind()
    decoding.need(4)
    held = untyped(kind)
    first, second = decoding.sources(held, 1, 2)
    which, target = decoding.source(3, KINDS["pred"]), decoding.target(0, held)
    return lambda machine: target(machine, np.where(which(machine), first(machine), second(machine)))
