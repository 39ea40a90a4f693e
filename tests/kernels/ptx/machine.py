"""Runs a program: all threads of some blocks side by side, in groups that are at the same instruction.

The group that is furthest behind runs next, and groups that come to one instruction go on as one. What a barrier orders
is ordered for every schedule, so one schedule shows the results of all; `ptx.races` tells where they need not agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from ptx.access import Copies
from ptx.conversions import SHARED_WINDOW
from ptx.decoding import Action, Decoded
from ptx.faults import Deadlock, Fault
from ptx.kinds import UNSIGNED, Array
from ptx.memory import GlobalMemory, OwnMemory, shared_memory
from ptx.program import Program
from ptx.races import Clock

Threads = NDArray[np.int64]
_AT_ONCE = 4096
"""How many threads run side by side."""
_MOST_STEPS = 20_000_000


def run(
    program: Program,
    memory: GlobalMemory,
    parameters: bytes,
    grid: Sequence[int],
    threads: int,
    shared_bytes: int = 0,
    *,
    races: bool = True,
) -> None:
    """Runs every block of a grid, of `threads` threads each; the buffers of `memory` then hold what they have written.

    Args:
        program: what `parse` returns.
        memory: for this launch alone, since it remembers who wrote what.
        parameters: what `pack` returns.
        grid: blocks in x, y and z.
        threads: of a block, a multiple of 32.
        shared_bytes: what the launch adds to the shared memory that the program declares.
        races: whether threads may not meet in memory without a barrier.

    Raises:
        Fault: what a kernel must not do. The message tells the instruction, its source and the thread.
    """
    if threads % 32 or threads <= 0:
        raise ValueError(f"threads must be a multiple of 32, got {threads}")
    program.steps  # noqa: B018 - an instruction that is not known is told before anything runs
    x, y, z = (*grid, 1, 1)[:3]
    blocks = [(i, j, k) for k, j, i in product(range(z), range(y), range(x))]
    each = max(1, _AT_ONCE // threads)
    with np.errstate(all="ignore"):
        for first in range(0, len(blocks), each):
            part = blocks[first : first + each]
            Machine(program, memory, parameters, (x, y, z), threads, shared_bytes, part, first, races).run()


class Machine:
    """Some blocks of a launch. Instructions read and write the registers of the threads that are `running`."""

    def __init__(
        self,
        program: Program,
        memory: GlobalMemory,
        parameters: bytes,
        grid: tuple[int, int, int],
        threads: int,
        shared_bytes: int,
        blocks: Sequence[tuple[int, int, int]],
        first_block: int = 0,
        races: bool = True,
    ) -> None:
        self.program, self.memory = program, memory
        self.threads, self.blocks = threads, blocks
        self.total = threads * len(blocks)
        self.everyone: Threads = np.arange(self.total)
        self.running = self.everyone
        self.all_run = True
        self._registers: list[Array | None] = [None] * len(program.registers)
        self._widths = list(program.registers.values())
        self._special = self._special_registers(grid)
        self.clock = Clock(len(blocks), threads, first_block)
        self.copies = Copies(self.total)
        grain = program.grain("shared") if races else 0
        self.shared = shared_memory(len(blocks), program.shared_bytes + shared_bytes, grain)
        self.local = OwnMemory(self.total, program.local_bytes, 0, "local memory")
        self.parameters = OwnMemory(1, len(parameters), 0, "parameters")
        self.parameters.content[: len(parameters)] = np.frombuffer(parameters, np.uint8)
        self.memory.grain = program.grain("global") if races else 0
        self.pending_products: list[tuple[Threads, NDArray[np.int64], int]] = []
        self._at = 0
        self._alive = np.ones(self.total, bool)
        self._ready: dict[int, Threads] = {}
        self._incomplete: dict[int, Threads] = {}
        self._at_barrier: dict[int, list[tuple[int, Threads, int]]] = {}

    def _special_registers(self, grid: tuple[int, int, int]) -> dict[str, Array]:
        count = len(self.blocks)
        found = {"%tid.x": np.tile(np.arange(self.threads), count), "%ntid.x": np.array(self.threads)}
        for axis, letter in enumerate("xyz"):
            found[f"%ctaid.{letter}"] = np.repeat([block[axis] for block in self.blocks], self.threads)
            found[f"%nctaid.{letter}"] = np.array(grid[axis])
            found.setdefault(f"%tid.{letter}", np.array(0))
            found.setdefault(f"%ntid.{letter}", np.array(1))
        return found | {"%laneid": found["%tid.x"] % 32, "%warpid": found["%tid.x"] // 32}

    # What instructions use.

    def register(self, slot: int) -> Array:
        """Its bits in the running threads."""
        held = self._registers[slot]
        if held is None:
            held = self._registers[slot] = self._unwritten(slot)
        return held if self.all_run else held[self.running]

    def set_register(self, slot: int, bits: Array) -> None:
        if self.all_run:
            whole = np.asarray(bits)
            self._registers[slot] = whole if whole.ndim else np.full(self.total, whole)
            return
        held = self._registers[slot]
        held = self._unwritten(slot) if held is None else held.copy()
        held[self.running] = bits
        self._registers[slot] = held

    def _unwritten(self, slot: int) -> Array:
        width = self._widths[slot]
        kind = np.dtype(bool) if width == 1 else UNSIGNED[width]
        return np.full(self.total, True if width == 1 else np.iinfo(kind).max, kind)

    def special(self, name: str) -> Array:
        found = self._special[name]
        return found if self.all_run or not found.ndim else found[self.running]

    def load(
        self,
        space: str,
        addresses: Threads,
        size: int,
        count: int,
        threads: Threads | None = None,
        aligned: int = 0,
    ) -> list[Array]:
        """`count` words of `size` bytes from each address, which the running threads read, or those that are given."""
        threads = self.running if threads is None else threads
        if not threads.size:
            return [np.empty(0, UNSIGNED[8 * size]) for _ in range(count)]
        if space == "generic":
            space, addresses = self._resolved(addresses)
        if space == "global":
            return self.memory.read(addresses, size, count, threads, self.clock, aligned)
        memory, owners = self._own(space, threads)
        return memory.read(addresses, size, count, owners, threads, self.clock)

    def store(self, space: str, addresses: Threads, values: list[Array], threads: Threads | None = None) -> None:
        """Words one after the other from each address on."""
        threads = self.running if threads is None else threads
        if not threads.size:
            return
        if space == "generic":
            space, addresses = self._resolved(addresses)
        if space == "global":
            self.memory.write(addresses, values, threads, self.clock)
            return
        memory, owners = self._own(space, threads)
        memory.write(addresses, values, owners, threads, self.clock)

    def _resolved(self, addresses: Threads) -> tuple[str, Threads]:
        inside = addresses >= SHARED_WINDOW
        if inside.any() and not inside.all():
            raise Fault("generic addresses of shared and of global memory in one instruction")
        return ("shared", addresses - SHARED_WINDOW) if inside.any() else ("global", addresses)

    def _own(self, space: str, threads: Threads) -> tuple[OwnMemory, Threads]:
        if space == "shared":
            return self.shared, threads // self.threads
        if space == "local":
            return self.local, threads
        return self.parameters, np.zeros_like(threads)

    def finish_copies(self, left: int | None) -> None:
        """Lets copies arrive that the running threads wait for."""
        for threads, to, words in self.copies.due(self.running, left):
            self.store("shared", to, list(words.T), threads)

    def meet_warps(self) -> None:
        """The running threads' warps are at a barrier of theirs."""
        self.clock.meet_warp(np.unique(self.running // 32))

    def lanes_present(self) -> NDArray[np.uint32]:
        """For each warp, the lanes that are running."""
        return _lanes(self.running, self.total)

    def need_whole_warps(self) -> None:
        """A matrix is held by all 32 lanes."""
        if not self.all_run and (self.running.size % 32 or (self.running.reshape(-1, 32) % 32 != np.arange(32)).any()):
            raise Fault("needs all lanes of a warp")

    def lanes_of_rows(self, matrices: int) -> Threads:
        """The threads that hold the addresses of the rows of so many 8 × 8 matrices."""
        return self.running.reshape(-1, 32)[:, : 8 * matrices].reshape(-1)

    # The schedule.

    def run(self) -> None:
        """Runs the blocks to their end."""
        self._ready = {0: self.everyone}
        steps = 0
        at = 0
        try:
            while self._ready:
                at = min(self._ready)
                steps += self._run_group(at)
                if steps > _MOST_STEPS:
                    raise Deadlock(f"{_MOST_STEPS} steps, and no end")
                if not self._ready:
                    self._release_barriers()
            self._check_nobody_waits()
        except Fault as fault:
            raise self._told(fault) from None

    def _run_group(self, at: int) -> int:
        """Runs the group that is at an instruction until it splits, waits, ends or meets another; returns the steps."""
        steps, count = self.program.steps, len(self.program.steps)
        self._activate(self._ready.pop(at))
        meeting = min(self._ready, default=-1)
        begin = self.clock.now
        while True:
            self._at = at
            if at >= count:
                self._leave(self.running)
                break
            decoded = steps[at]
            self.clock.now += 1
            if decoded.action is Action.PLAIN:
                self._do(decoded)
            elif decoded.action is Action.COLLECTIVE:
                if not self._gather_lanes(at, decoded):
                    break
                self._do(decoded)
            elif decoded.action is Action.BRANCH:
                target = self.program.labels[decoded.label]
                taken, rest = self._split(decoded)
                if not rest.size and (meeting < 0 or target < meeting):
                    at = target
                    continue
                self._add(target, taken)
                self._add(at + 1, rest)
                break
            elif decoded.action is Action.EXIT:
                taken, rest = self._split(decoded)
                self._leave(taken)
                self._add(at + 1, rest)
                break
            else:
                taken, rest = self._split(decoded)
                self._add(at + 1, rest)
                if self._wait_at_barrier(at + 1, taken, decoded):
                    break
            at += 1
            if at == meeting:
                self._add(at, self.running)
                break
        return self.clock.now - begin

    def _do(self, decoded: Decoded) -> None:
        """Runs an instruction for the threads whose guard lets them."""
        if decoded.guard is None:
            decoded.run(self)
            return
        chosen = np.broadcast_to(decoded.guard(self), self.running.shape)
        if chosen.all():
            decoded.run(self)
        elif chosen.any():
            outer = self.running
            self._activate(outer[chosen])
            decoded.run(self)
            self._activate(outer)

    def _activate(self, threads: Threads) -> None:
        self.running = threads
        self.all_run = threads.size == self.total

    def _split(self, decoded: Decoded) -> tuple[Threads, Threads]:
        """Those whose guard lets them, and the others."""
        if decoded.guard is None:
            return self.running, self.running[:0]
        chosen = np.broadcast_to(decoded.guard(self), self.running.shape)
        return self.running[chosen], self.running[~chosen]

    def _add(self, at: int, threads: Threads) -> None:
        if threads.size:
            there = self._ready.get(at)
            self._ready[at] = threads if there is None else np.sort(np.concatenate([there, threads]))

    def _gather_lanes(self, at: int, decoded: Decoded) -> bool:
        """Leaves the running threads those whose lanes have all come; the others stay until theirs do."""
        if self.all_run:
            return True
        waiting = self._incomplete.pop(at, None)
        threads = self.running if waiting is None else np.sort(np.concatenate([self.running, waiting]))
        self._activate(threads)
        masks = np.uint32(0xFFFFFFFF) if decoded.mask is None else decoded.mask(self)
        warps = threads // 32
        wanted = masks & _lanes(self.everyone[self._alive], self.total)[warps]
        complete = wanted & ~_lanes(threads, self.total)[warps] == 0
        if not complete.all():
            self._incomplete[at] = threads[~complete]
        self._activate(threads[complete])
        return bool(complete.any())

    def _leave(self, threads: Threads) -> None:
        """These threads have ended; whoever waits for them looks again."""
        self._alive[threads] = False
        for at, waiting in self._incomplete.items():
            self._add(at, waiting)
        self._incomplete = {}
        self._release_barriers()

    def _wait_at_barrier(self, after: int, threads: Threads, decoded: Decoded) -> bool:
        """Whether the threads wait: not where everybody has come at once."""
        assert decoded.number is not None
        if threads.size == self.total and decoded.count is None:
            self.clock.meet_block(np.arange(len(self.blocks)))
            return False
        count = 0 if decoded.count is None else int(np.max(decoded.count(self)))
        numbers = np.broadcast_to(decoded.number(self), self.running.shape)
        for number in np.unique(numbers):
            chosen = np.intersect1d(self.running[numbers == number], threads, assume_unique=True)
            self._at_barrier.setdefault(int(number), []).append((after, chosen, count))
        self._release_barriers()
        return True

    def _release_barriers(self) -> None:
        """Lets the threads of a block on, once all of it that live, or as many as the barrier is for, have come."""
        blocks = len(self.blocks)
        alive = np.bincount(self.everyone[self._alive] // self.threads, minlength=blocks)
        for number, groups in list(self._at_barrier.items()):
            come = sum(np.bincount(threads // self.threads, minlength=blocks) for _, threads, _ in groups)
            count = max(count for _, _, count in groups)
            open_blocks = (come >= (count or alive)) & (come > 0)
            if not open_blocks.any():
                continue
            self.clock.meet_block(np.flatnonzero(open_blocks))
            stay = []
            for after, threads, count in groups:
                goes = open_blocks[threads // self.threads]
                self._add(after, threads[goes])
                if not goes.all():
                    stay.append((after, threads[~goes], count))
            self._at_barrier[number] = stay
            if not stay:
                del self._at_barrier[number]

    def _check_nobody_waits(self) -> None:
        for at, threads in self._incomplete.items():
            self._at, self.running = at, threads
            raise Deadlock("waits for lanes of its warp that never come", int(threads[0]))
        for number, groups in self._at_barrier.items():
            after, threads, _ = groups[0]
            self._at, self.running = after - 1, threads
            raise Deadlock(f"waits at barrier {number}, where others of its block never come", int(threads[0]))

    def _told(self, fault: Fault) -> Fault:
        at = min(self._at, len(self.program.instructions) - 1)
        where = f"{self.program.name}: {self.program.instructions[at]}"
        if fault.thread is not None:
            where += f", {self.clock.name(fault.thread)}"
        return type(fault)(f"{fault} at {where}", fault.thread)


def _lanes(threads: Threads, total: int) -> NDArray[np.uint32]:
    """For each warp, a bit for each of its lanes among these threads."""
    found = np.zeros(total // 32, np.uint32)
    np.bitwise_or.at(found, threads // 32, np.uint32(1) << (threads % 32).astype(np.uint32))
    return found
