"""Moves, logic and fields of bits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ptx.decoding import Decoding, Step, instruction, reader, writer
from ptx.faults import UnknownInstruction
from ptx.kinds import KINDS, UNSIGNED, Array, untyped

if TYPE_CHECKING:
    from ptx.machine import Machine

_B32 = KINDS["b32"]
_ONES = np.array([bin(byte).count("1") for byte in range(256)], np.uint8)


@instruction("mov")
def _(decoding: Decoding) -> Step:
    kind = decoding.kind()
    decoding.need(2)
    if decoding.operands[0].startswith("{"):
        return _unpack(decoding, kind.bits)
    if decoding.operands[1].startswith("{"):
        return _join(decoding, kind.bits)
    held = untyped(kind)
    source, target = decoding.source(1, held), decoding.target(0, held)
    return lambda machine: target(machine, source(machine))


def _unpack(decoding: Decoding, bits: int) -> Step:
    texts = decoding.parts(0)
    width = bits // len(texts)
    part = KINDS[f"b{width}"]
    source = decoding.source(1, KINDS[f"b{bits}"])
    targets = [writer(decoding.program, text, part) for text in texts]

    def step(machine: Machine) -> None:
        value = source(machine)
        for k, target in enumerate(targets):
            target(machine, (value >> value.dtype.type(k * width)).astype(part.numbers))

    return step


def _join(decoding: Decoding, bits: int) -> Step:
    texts = decoding.parts(1)
    width = bits // len(texts)
    sources = [reader(decoding.program, text, KINDS[f"b{width}"]) for text in texts]
    whole = UNSIGNED[bits]
    target = decoding.target(0, KINDS[f"b{bits}"])

    def step(machine: Machine) -> None:
        total = sources[0](machine).astype(whole)
        for k, source in enumerate(sources[1:], 1):
            total = total | (source(machine).astype(whole) << whole.type(k * width))
        target(machine, total)

    return step


@instruction("and", "or", "xor", "not", "cnot")
def _(decoding: Decoding) -> Step:
    kind = decoding.kind()
    target = decoding.target(0, kind)
    if decoding.name in ("not", "cnot"):
        decoding.need(2)
        source = decoding.source(1, kind)
        if decoding.name == "cnot":
            return lambda machine: target(machine, source(machine) == 0)
        return lambda machine: target(machine, ~source(machine))
    decoding.need(3)
    function = {"and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor}[decoding.name]
    first, second = decoding.sources(kind, 1, 2)
    return lambda machine: target(machine, function(first(machine), second(machine)))


@instruction("lop3")
def _(decoding: Decoding) -> Step:
    kind = decoding.kind()
    decoding.need(5)
    sources, table, target = decoding.sources(kind, 1, 2, 3), int(decoding.operands[4], 0), decoding.target(0, kind)

    def step(machine: Machine) -> None:
        a, b, c = (source(machine) for source in sources)
        total = np.zeros_like(a | b | c)
        for case in range(8):
            if table >> case & 1:
                total |= (a if case & 4 else ~a) & (b if case & 2 else ~b) & (c if case & 1 else ~c)
        target(machine, total)

    return step


@instruction("shl", "shr")
def _(decoding: Decoding) -> Step:
    kind = decoding.kind()
    decoding.need(3)
    value, amount, target = decoding.source(1, kind), decoding.source(2, _B32), decoding.target(0, kind)
    function = np.left_shift if decoding.name == "shl" else np.right_shift
    fills = decoding.name == "shr" and kind.name[0] == "s"
    most = kind.bits - 1

    def step(machine: Machine) -> None:
        x, n = value(machine), amount(machine)
        shifted = function(x, np.minimum(n, most).astype(kind.numbers))
        target(machine, shifted if fills else np.where(n > most, kind.numbers.type(0), shifted))

    return step


@instruction("shf")
def _(decoding: Decoding) -> Step:
    if decoding.kind() is not _B32:
        raise UnknownInstruction("only .b32")
    decoding.need(4)
    left, wraps = decoding.take("l", "r") == "l", decoding.take("wrap", "clamp") == "wrap"
    (low, high, amount), target = decoding.sources(_B32, 1, 2, 3), decoding.target(0, _B32)

    def step(machine: Machine) -> None:
        both = low(machine).astype(np.uint64) | (high(machine).astype(np.uint64) << np.uint64(32))
        n = amount(machine)
        n = (n & np.uint32(31) if wraps else np.minimum(n, np.uint32(32))).astype(np.uint64)
        shifted = (both << n) >> np.uint64(32) if left else both >> n
        target(machine, shifted.astype(np.uint32))

    return step


def _field(position: Array, length: Array, bits: int) -> tuple[Array, Array]:
    """Position and length of a field, of which the low eight bits count, within a word."""
    position = np.minimum(position & np.uint32(255), bits).astype(np.int64)
    return position, np.minimum(length & np.uint32(255), bits - position).astype(np.int64)


def _ones(count: Array) -> Array:
    """So many ones, from the lowest bit on."""
    count = np.asarray(count, np.uint64)
    full = ~np.uint64(0)
    return np.where(count == 0, np.uint64(0), full >> (np.uint64(64) - np.maximum(count, 1).astype(np.uint64)))


@instruction("bfe")
def _(decoding: Decoding) -> Step:
    kind = decoding.kind()
    decoding.need(4)
    source, target = decoding.source(1, kind), decoding.target(0, kind)
    position, length = decoding.sources(_B32, 2, 3)
    signed, bits = kind.name[0] == "s", kind.bits

    def step(machine: Machine) -> None:
        value = source(machine)
        begin, count = _field(position(machine), length(machine), bits)
        wide = value.astype(np.int64).view(np.uint64)
        if not signed:
            wide = wide & _ones(np.array(bits))
        found = (wide >> np.minimum(begin, 63).astype(np.uint64)) & _ones(count)
        if signed:
            # Beyond the word its own sign is the sign.
            asked = np.minimum(length(machine) & np.uint32(255), bits).astype(np.int64)
            top = np.clip(begin + asked - 1, 0, bits - 1).astype(np.uint64)
            negative = ((wide >> top) & np.uint64(1) != 0) & (asked > 0)
            found = np.where(negative, found | ~_ones(count), found)
        target(machine, found.astype(UNSIGNED[bits]).view(kind.numbers))

    return step


@instruction("bfi")
def _(decoding: Decoding) -> Step:
    kind = decoding.kind()
    decoding.need(5)
    (inserted, into), target = decoding.sources(kind, 1, 2), decoding.target(0, kind)
    position, length = decoding.sources(_B32, 3, 4)

    def step(machine: Machine) -> None:
        begin, count = _field(position(machine), length(machine), kind.bits)
        shift = np.minimum(begin, 63).astype(np.uint64)
        mask = np.where(begin > 63, np.uint64(0), _ones(count) << shift)
        value = (inserted(machine).astype(np.uint64) << shift) & mask
        target(machine, (value | (into(machine).astype(np.uint64) & ~mask)).astype(kind.numbers))

    return step


@instruction("popc", "clz", "brev", "bfind")
def _(decoding: Decoding) -> Step:
    kind = decoding.kind()
    decoding.need(2)
    if decoding.name == "brev":
        source, target = decoding.source(1, kind), decoding.target(0, kind)
        return lambda machine: target(machine, _digits(source(machine))[..., ::-1] @ _weights(kind.bits))
    shift = decoding.name == "bfind" and decoding.take("shiftamt") is not None
    source, target = decoding.source(1, kind), decoding.target(0, _B32)

    def step(machine: Machine) -> None:
        value = np.atleast_1d(source(machine))
        if decoding.name == "popc":
            target(machine, _ONES[value.view(np.uint8).reshape(value.size, -1)].sum(1).astype(np.uint32))
            return
        if kind.name[0] == "s":
            value = np.where(value < 0, ~value, value)
        digits = _digits(value)[..., ::-1]
        zeros = np.where(digits.any(-1), digits.argmax(-1), kind.bits).astype(np.int64)
        if decoding.name == "bfind":
            none = zeros == kind.bits
            zeros = np.where(none, -1, zeros if shift else kind.bits - 1 - zeros)
        target(machine, zeros.astype(np.uint32))

    return step


def _digits(value: Array) -> Array:
    """The bits of each number, the lowest first."""
    value = np.atleast_1d(value)
    held = value.view(UNSIGNED[value.dtype.itemsize * 8])
    places = np.arange(held.dtype.itemsize * 8, dtype=held.dtype)
    return (held[:, None] >> places) & held.dtype.type(1)


def _weights(bits: int) -> Array:
    return UNSIGNED[bits].type(1) << np.arange(bits, dtype=UNSIGNED[bits])


@instruction("prmt")
def _(decoding: Decoding) -> Step:
    if decoding.kind() is not _B32:
        raise UnknownInstruction("only .b32")
    decoding.need(4)
    sources, target = decoding.sources(_B32, 1, 2, 3), decoding.target(0, _B32)

    def step(machine: Machine) -> None:
        a, b, selector = (np.asarray(source(machine)).astype(np.uint64) for source in sources)
        both, total = a | (b << np.uint64(32)), np.uint64(0)
        for k in range(4):
            chosen = (selector >> np.uint64(4 * k)) & np.uint64(15)
            byte = (both >> ((chosen & np.uint64(7)) * np.uint64(8))) & np.uint64(255)
            sign = np.where(byte & np.uint64(128), np.uint64(255), np.uint64(0))
            total = total | (np.where(chosen & np.uint64(8), sign, byte) << np.uint64(8 * k))
        target(machine, total.astype(np.uint32))

    return step
