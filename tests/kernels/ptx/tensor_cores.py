"""Products of matrices on tensor cores: `mma.sync` of a warp, `wgmma` of four.

Products are exact, their sums are made in float32. A tensor core cuts its sums off a little earlier, by less than half
precision tells apart.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ptx.decoding import Decoded, Decoding, Reader, Writer, collective, instruction, reader, writer
from ptx.faults import Fault, Race, UnknownInstruction
from ptx.kinds import BFLOAT16, FLOAT16, KINDS, Array, tf32_operand
from ptx.program import SHARED_BASE

if TYPE_CHECKING:
    from ptx.machine import Machine

_B32 = KINDS["b32"]
_LANES = np.arange(32)
_GROUP, _IN_GROUP = _LANES // 4, _LANES % 4


def _as_single(bits: Array) -> Array:
    return bits.view(np.float32)


_OPERANDS: dict[str, tuple[int, Callable[[Array], Array]]] = {
    "bf16": (16, BFLOAT16.read),
    "f16": (16, FLOAT16.read),
    "tf32": (32, tf32_operand),
    "s8": (8, lambda bits: bits.view(np.int8).astype(np.int32)),
    "u8": (8, lambda bits: bits.astype(np.int32)),
}
"""Of each type of operand, its bits, and its numbers."""


def _elements(registers: NDArray[np.uint32], operand: str) -> Array:
    """The numbers that packed registers hold, in one more dimension."""
    bits, numbers = _OPERANDS[operand]
    if bits == 32:
        return numbers(registers)[..., None]
    narrow = {8: np.uint8, 16: np.uint16}[bits]
    return numbers(np.ascontiguousarray(registers)[..., None].view(narrow))


def _stacked(machine: Machine, sources: list[Reader]) -> NDArray[np.uint32]:
    """The registers' bits: (warps, registers, lanes)."""
    shape = machine.running.shape
    return np.stack([np.broadcast_to(source(machine), shape).reshape(-1, 32) for source in sources], 1)


def _left(registers: NDArray[np.uint32], operand: str) -> Array:
    """A (warps, 16, K), of its fragments: rows by groups of four lanes, columns within them."""
    values = _elements(registers, operand)  # warp, register, lane, element
    packed = values.shape[-1]
    whole = np.empty((values.shape[0], 16, 2 * packed * values.shape[1]), values.dtype)
    for k in range(values.shape[1]):
        for e in range(packed):
            whole[:, _GROUP + 8 * (k % 2), _IN_GROUP * packed + 4 * packed * (k // 2) + e] = values[:, k, :, e]
    return whole


def _right(registers: NDArray[np.uint32], operand: str) -> Array:
    """B (warps, K, 8)."""
    values = _elements(registers, operand)
    packed = values.shape[-1]
    whole = np.empty((values.shape[0], 4 * packed * values.shape[1], 8), values.dtype)
    for k in range(values.shape[1]):
        for e in range(packed):
            whole[:, _IN_GROUP * packed + 4 * packed * k + e, _GROUP] = values[:, k, :, e]
    return whole


class _Sums:
    """The fragments of sums (warps, 16, N): registers that hold one number each, or two halves."""

    def __init__(self, decoding: Decoding, texts: list[str], kind: str) -> None:
        self.halves = kind == "f16"
        self.kind = KINDS[{"f16": "f16x2", "f32": "f32", "s32": "s32"}[kind]]
        self.sources: list[Reader] = [reader(decoding.program, text, self.kind) for text in texts]
        self.targets: list[Writer] = [] if texts[0][0] != "%" else [
            writer(decoding.program, text, self.kind) for text in texts
        ]  # fmt: skip
        self.columns = len(texts) * (4 if self.halves else 2)

    def read(self, machine: Machine) -> Array:
        shape = machine.running.shape
        warps = shape[0] // 32
        whole = np.empty((warps, 16, self.columns), self.kind.numbers)
        for k, source in enumerate(self.sources):
            value = source(machine)
            if self.halves:
                value = np.broadcast_to(value, (*shape, 2)).reshape(warps, 32, 2)
                for e in range(2):
                    whole[:, _GROUP + 8 * (k % 2), 8 * (k // 2) + 2 * _IN_GROUP + e] = value[..., e]
            else:
                value = np.broadcast_to(value, shape).reshape(warps, 32)
                whole[:, _GROUP + 8 * (k // 2 % 2), 8 * (k // 4) + 2 * _IN_GROUP + k % 2] = value
        return whole

    def write(self, machine: Machine, whole: Array) -> None:
        for k, target in enumerate(self.targets):
            if self.halves:
                rows, columns = _GROUP + 8 * (k % 2), 8 * (k // 2) + 2 * _IN_GROUP
                value = np.stack([whole[:, rows, columns], whole[:, rows, columns + 1]], -1).reshape(-1, 2)
            else:
                value = whole[:, _GROUP + 8 * (k // 2 % 2), 8 * (k // 4) + 2 * _IN_GROUP + k % 2].reshape(-1)
            target(machine, value)


@instruction("mma")
def _(decoding: Decoding) -> Decoded:
    decoding.take_all({"sync", "aligned", "row", "col"})
    decoding.take("satfinite")
    decoding.need(4)
    if len(decoding.words) != 5:
        raise UnknownInstruction("only mma.sync with a shape and four types")
    shape, out, left, right, into = decoding.words
    size = re.fullmatch(r"m16n8k(\d+)", shape)
    if size is None or left not in _OPERANDS or right not in _OPERANDS or out != into:
        raise UnknownInstruction("no such product")
    decoding.words.clear()
    a, b = ([reader(decoding.program, text, _B32) for text in decoding.parts(k)] for k in (1, 2))
    per_register = 32 // _OPERANDS[left][0]
    if len(a) * 2 * per_register != int(size[1]) or len(b) * 4 * per_register != int(size[1]):
        raise UnknownInstruction("other numbers of registers")
    results, sums = (_Sums(decoding, decoding.parts(k), out) for k in (0, 3))

    def step(machine: Machine) -> None:
        machine.need_whole_warps()
        product = np.matmul(_left(_stacked(machine, a), left), _right(_stacked(machine, b), right))
        results.write(machine, product + sums.read(machine))

    return collective(step)


@instruction("wgmma")
def _(decoding: Decoding) -> Decoded:
    decoding.take_all({"sync", "aligned"})
    if decoding.take("fence", "commit_group"):
        return collective(lambda machine: machine.need_whole_warps())
    if decoding.take("wait_group"):
        return collective(_wait_for_products)
    if decoding.take("mma_async") is None or len(decoding.words) != 4:
        raise UnknownInstruction("no such product")
    shape, out, left, right = decoding.words
    size = re.fullmatch(r"m64n(\d+)k(\d+)", shape)
    if size is None or left not in _OPERANDS or right != left or _OPERANDS[left][0] * int(size[2]) != 256:
        raise UnknownInstruction("no such product")
    decoding.words.clear()
    columns, depth = int(size[1]), int(size[2])
    bits = _OPERANDS[left][0]
    sums = _Sums(decoding, decoding.parts(0), out)
    if sums.columns != columns:
        raise UnknownInstruction("other numbers of registers")
    from_registers = decoding.operands[1].startswith("{")
    flags = [int(text, 0) for text in decoding.operands[4:]]
    signs, turned = flags[:2], [0] * from_registers + flags[2:]
    turned += [0] * (2 - len(turned))
    keeps = decoding.source(3, KINDS["pred"])
    a = [reader(decoding.program, text, _B32) for text in decoding.parts(1)] if from_registers else []
    a_place = None if from_registers else decoding.source(1, KINDS["b64"])
    b_place = decoding.source(2, KINDS["b64"])

    def step(machine: Machine) -> None:
        groups = _warpgroups(machine)
        if a_place is None:
            first = _left(_stacked(machine, a), left).reshape(groups, 64, depth)
        else:
            first = _from_shared(machine, a_place(machine), 64, depth, bits, left, bool(turned[0]))
        second = _from_shared(machine, b_place(machine), columns, depth, bits, left, bool(turned[1]))
        product = np.matmul(first, second.swapaxes(1, 2)) * np.float32(signs[0] * signs[1])
        product = product.reshape(4 * groups, 16, columns)
        kept = np.broadcast_to(keeps(machine), machine.running.shape).reshape(-1, 32)[:, :1, None]
        sums.write(machine, np.where(kept, product + sums.read(machine), product))

    return collective(step)


def _warpgroups(machine: Machine) -> int:
    """How many groups of four warps run."""
    running = machine.running
    if running.size % 128 or (running.reshape(-1, 128) % 128 != np.arange(128)).any():
        raise Fault("needs all threads of four warps")
    return running.size // 128


def _from_shared(
    machine: Machine, descriptors: Array, rows: int, depth: int, bits: int, operand: str, transposed: bool
) -> Array:
    """A matrix (groups, rows, depth) in shared memory, where a descriptor tells; `transposed`: rows are contiguous.

    In lines of 16 bytes, eight lines make a unit; lines lie one after the other, a swizzle's width apart, and the bits
    of their addresses are exchanged by it. PTX ISA, "Matrix descriptor" and "Strides" of asynchronous products.
    """
    groups = machine.running.size // 128
    word = np.broadcast_to(descriptors, machine.running.shape).reshape(groups, 128)
    if (word != word[:, :1]).any():
        raise Fault("threads of four warps have unlike descriptors")
    word = word[:, 0].astype(np.uint64)
    begin, leading, stride = (((word >> np.uint64(shift)) & np.uint64(0x3FFF)) << np.uint64(4) for shift in (0, 16, 32))
    begin, leading, stride = (part.astype(np.int64)[:, None, None] for part in (begin, leading, stride))
    swizzle = np.unique(word >> np.uint64(62))
    if swizzle.size > 1 or ((word >> np.uint64(49)) & np.uint64(7)).any():
        raise Fault("descriptors with several swizzles, or with an offset of the base")
    chunks = {0: 1, 1: 8, 2: 4, 3: 2}[int(swizzle[0])]  # of 16 bytes, in a row of the swizzle
    per_chunk = 128 // bits
    r, k = np.arange(rows)[:, None], np.arange(depth)[None, :]
    if transposed:
        chunk, line, inner = r // per_chunk, k, r % per_chunk
        across, down = (leading, stride) if chunks > 1 else (stride, leading)
    else:
        chunk, line, inner = k // per_chunk, r, k % per_chunk
        across, down = leading, stride
    place = begin + (chunk % chunks) * 16 + (chunk // chunks) * across + (line % 8) * 16 * chunks + line // 8 * down
    place = place ^ (((place >> 7) & (chunks - 1)) << 4)
    place = place + inner * (bits // 8)
    owners = machine.running.reshape(groups, 128)
    threads = np.broadcast_to(owners[:, (np.arange(rows) * 128 // rows)][..., None], place.shape)
    (found,) = machine.load("shared", place.reshape(-1), bits // 8, 1, threads.reshape(-1))
    machine.pending_products.append((threads.reshape(-1).copy(), place.reshape(-1), machine.clock.now))
    numbers = _OPERANDS[operand][1](found)
    return numbers.reshape(place.shape)


def _wait_for_products(machine: Machine) -> None:
    """Ends the products of the running threads: what they read must be there still."""
    waits = np.zeros(machine.total, bool)
    waits[machine.running] = True
    later = []
    for threads, places, time in machine.pending_products:
        if not waits[threads[0]]:
            later.append((threads, places, time))
            continue
        watch = machine.shared.watch
        spots = places - SHARED_BASE + threads // machine.threads * machine.shared.pitch
        if watch is not None and watch.changed_since(spots, watch.grain, time):
            raise Race("an operand of an asynchronous product was overwritten before the wait for it", int(threads[0]))
    machine.pending_products = later
