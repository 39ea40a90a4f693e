"""Loads, stores and copies."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ptx.decoding import Decoded, Decoding, Reader, Step, collective, instruction, reader, writer
from ptx.faults import UnknownInstruction
from ptx.kinds import KINDS, UNSIGNED, untyped
from ptx.program import Program

if TYPE_CHECKING:
    from ptx.machine import Machine

_ADDRESS = re.compile(r"\[\s*([%$\w#.]+)\s*(?:\+\s*)?(-?\s*\w+)?\s*\]$")
_SPACES = ("global", "shared", "shared::cta", "param", "local")


def address(program: Program, text: str) -> Reader:
    """Reads the address of an operand such as `[%rd1+16]`."""
    found = _ADDRESS.match(text)
    if found is None:
        raise UnknownInstruction(f"address {text}")
    offset = np.int64(int(found[2].replace(" ", ""), 0) if found[2] else 0)
    name = found[1]
    slot = program.slots.get(name)
    if slot is not None:
        width = program.registers[name]
        base = reader(program, name, KINDS[f"u{width}"])
        return lambda machine: base(machine).astype(np.int64) + offset
    if name.isdigit():
        base_place = int(name)
    elif name in program.symbols:
        base_place = program.symbols[name][1]
    else:
        raise UnknownInstruction(f"address {text}")
    place = np.int64(base_place) + offset
    return lambda machine: place


def _space_of(decoding: Decoding) -> str:
    decoding.take_hints()
    return (decoding.take(*_SPACES) or "generic").removesuffix("::cta")


@instruction("ld", "ldu")
def _(decoding: Decoding) -> Step:
    kind = decoding.kind()
    space = _space_of(decoding)
    decoding.take("v2", "v4", "v8")
    decoding.need(2, 3)
    targets = [writer(decoding.program, text, kind) for text in decoding.parts(0)]
    place, size, count = address(decoding.program, decoding.operands[1]), kind.bits // 8, len(targets)
    take = kind.read

    def step(machine: Machine) -> None:
        where = np.broadcast_to(place(machine), machine.running.shape)
        for target, words in zip(targets, machine.load(space, where, size, count), strict=True):
            target(machine, take(words))

    return step


@instruction("st")
def _(decoding: Decoding) -> Step:
    kind = decoding.kind()
    space = _space_of(decoding)
    decoding.take("v2", "v4", "v8")
    decoding.need(2, 3)
    sources = [reader(decoding.program, text, untyped(kind)) for text in decoding.parts(1)]
    place, words = address(decoding.program, decoding.operands[0]), UNSIGNED[kind.bits]

    def step(machine: Machine) -> None:
        shape = machine.running.shape
        values = [np.broadcast_to(source(machine), shape).view(words) for source in sources]
        machine.store(space, np.broadcast_to(place(machine), shape), values)

    return step


@instruction("cp")
def _(decoding: Decoding) -> Step:
    decoding.take_hints()
    if decoding.take("async") is None:
        raise UnknownInstruction("only cp.async")
    if decoding.take("commit_group"):
        return lambda machine: machine.copies.commit(machine.running)
    if decoding.take("wait_all"):
        return lambda machine: machine.finish_copies(None)
    if decoding.take("wait_group"):
        left = int(decoding.operands[0], 0)
        return lambda machine: machine.finish_copies(left)
    if decoding.take("shared", "shared::cta") is None or decoding.take("global") is None:
        raise UnknownInstruction("only from global to shared memory")
    decoding.need(3, 4, 5)
    to, origin = (address(decoding.program, decoding.operands[k]) for k in (0, 1))
    size = int(decoding.operands[2], 0)
    read = decoding.source(3, KINDS["u32"]) if len(decoding.operands) > 3 else None
    if size not in (4, 8, 16):
        raise UnknownInstruction(f"copies {size} bytes")

    def step(machine: Machine) -> None:
        shape = machine.running.shape
        given = np.broadcast_to(np.uint32(size) if read is None else read(machine), shape)
        words = _copied(machine, np.broadcast_to(origin(machine), shape), np.minimum(given, size), size)
        machine.copies.issue(machine.running, np.broadcast_to(to(machine), shape), words)

    return step


def _copied(machine: Machine, origin: NDArray[np.int64], given: NDArray[np.uint32], size: int) -> NDArray[np.uint32]:
    """What a copy brings, (threads, words): zeros beyond what is given. Nothing is read where that is nothing."""
    content = np.zeros((origin.size, size), np.uint8)
    for part in np.unique(given[given > 0]):
        rows = np.flatnonzero(given == part)
        unit = next(unit for unit in (4, 2, 1) if part % unit == 0)
        words = machine.load("global", origin[rows], unit, int(part) // unit, machine.running[rows], aligned=size)
        content[rows, :part] = np.stack(words, 1).view(np.uint8)
    return content.view(np.uint32)


class Copies:
    """The asynchronous copies of all threads: what is copied arrives when its thread waits for it, and no sooner."""

    def __init__(self, threads: int) -> None:
        self.committed = np.zeros(threads, np.int64)
        self.pending: list[tuple[NDArray[np.generic], ...]] = []

    def issue(self, threads: NDArray[np.int64], to: NDArray[np.int64], words: NDArray[np.uint32]) -> None:
        self.pending.append((threads, self.committed[threads], to, words))

    def commit(self, threads: NDArray[np.int64]) -> None:
        self.committed[threads] += 1

    def due(
        self, threads: NDArray[np.int64], left: int | None
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint32]]]:
        """Takes out what these threads wait for, all or all but their last `left` groups: threads, addresses, words."""
        waits = np.zeros(self.committed.size, bool)
        waits[threads] = True
        later = []
        for copy in self.pending:
            owners, groups, to, words = copy
            now = waits[owners]
            if left is not None:
                now &= groups < self.committed[owners] - left
            if now.any():
                yield owners[now], to[now], words[now]
            if not now.all():
                later.append(tuple(part[~now] for part in copy))
        self.pending = later


@instruction("ldmatrix")
def _(decoding: Decoding) -> Decoded:
    targets = [writer(decoding.program, text, KINDS["b32"]) for text in decoding.parts(0)]
    place, transposed = _matrices(decoding, len(targets)), decoding.take("trans") is not None
    at = address(decoding.program, decoding.operands[1])

    def step(machine: Machine) -> None:
        rows = place(machine, at)
        found = machine.load("shared", rows.reshape(-1), 8, 2, machine.lanes_of_rows(len(targets)))
        halves = np.stack(found, 1).view(np.uint16).reshape(*rows.shape, 8)  # warp, matrix, row, column
        if transposed:
            halves = halves.swapaxes(-1, -2)
        words = halves.copy().view(np.uint32).reshape(rows.shape[0], len(targets), 32)
        for k, target in enumerate(targets):
            target(machine, words[:, k].reshape(-1))

    return collective(step)


@instruction("stmatrix")
def _(decoding: Decoding) -> Decoded:
    sources = [reader(decoding.program, text, KINDS["b32"]) for text in decoding.parts(1)]
    place, transposed = _matrices(decoding, len(sources)), decoding.take("trans") is not None
    at = address(decoding.program, decoding.operands[0])

    def step(machine: Machine) -> None:
        rows = place(machine, at)
        words = np.stack([np.broadcast_to(x(machine), machine.running.shape).reshape(-1, 32) for x in sources], 1)
        halves = words.copy().view(np.uint16).reshape(*rows.shape, 8)
        if transposed:
            halves = halves.swapaxes(-1, -2)
        values = halves.reshape(-1, 8).copy().view(np.uint64)
        # A row is stored at once, by the lane that gave its address.
        machine.store("shared", rows.reshape(-1), [values[:, 0], values[:, 1]], machine.lanes_of_rows(len(sources)))

    return collective(step)


def _matrices(decoding: Decoding, count: int) -> Callable[[Machine, Reader], NDArray[np.int64]]:
    """Checks the form; a function for the addresses of the rows (warps, matrices, 8), which lanes 0, 1, … hold."""
    decoding.take_all({"sync", "aligned", "m8n8", "shared", "shared::cta"})
    if decoding.words[-1:] != ["b16"] or f"x{count}" not in decoding.words:
        raise UnknownInstruction("only 8 × 8 matrices of 16 bits")
    decoding.take_all({"b16", f"x{count}"})

    def rows(machine: Machine, at: Reader) -> NDArray[np.int64]:
        machine.need_whole_warps()
        addresses = np.broadcast_to(at(machine), machine.running.shape).reshape(-1, 32)
        return addresses[:, : 8 * count].reshape(-1, count, 8)

    return rows
