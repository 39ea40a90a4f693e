"""Who touched what since the last barrier: two threads at one place, one of them writing, is a race."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptx.faults import Race

Array = NDArray[Any]
_NOBODY, _MANY = -1, -2


class Clock:
    """The time, in steps, and when each thread's block and warp last met at a barrier."""

    def __init__(self, blocks: int, threads: int, first_block: int) -> None:
        self.now = 1
        self.threads = threads
        self.first_thread = first_block * threads
        self.block_met = np.zeros(blocks, np.int64)
        self.warp_met = np.zeros(blocks * threads // 32, np.int64)
        self.name = lambda thread: f"thread {thread % threads} of block {thread // threads + first_block}"

    def meet_block(self, blocks: Array) -> None:
        self.block_met[blocks] = self.now
        warps = self.threads // 32
        self.warp_met.reshape(-1, warps)[blocks] = self.now

    def meet_warp(self, warps: Array) -> None:
        self.warp_met[warps] = self.now


class Watch:
    """The last writer and reader of each grain of a memory.

    Threads of one warp are ordered by their warp's barriers, those of one block by the block's, those of different
    blocks by nothing. A value that was there already may be written again: compilers store copies so.
    """

    def __init__(self, size: int, grain: int, name: str, apart: bool = False) -> None:
        self.grain, self.name, self.apart = grain, name, apart
        count = -(-size // grain)
        self.writer = np.full(count, _NOBODY, np.int64)
        self.written = np.zeros(count, np.int64)
        self.reader = np.full(count, _NOBODY, np.int64)  # a warp
        self.was_read = np.zeros(count, np.int64)

    def read(self, places: NDArray[np.int64], size: int, threads: NDArray[np.int64], clock: Clock) -> None:
        spots = self._spots(places, size)
        unordered = self._unordered(spots, threads, clock)
        if unordered is not None:
            self._tell(spots, unordered, "reads", threads, clock)
        if self.apart:
            return
        warps = np.broadcast_to((threads // 32)[:, None], spots.shape)
        others = (self.was_read[spots] > clock.block_met[threads // clock.threads][:, None]) & (
            self.reader[spots] != warps
        )
        self.reader[spots] = warps
        self.reader[spots[others | (self.reader[spots] != warps)]] = _MANY
        self.was_read[spots] = clock.now

    def write(
        self,
        places: NDArray[np.int64],
        before: list[Array],
        given: list[Array],
        after: list[Array],
        threads: NDArray[np.int64],
        clock: Clock,
    ) -> None:
        """`given` was written over `before`; `after` is there now that all threads have."""
        size = given[0].itemsize
        spots = self._spots(places, size * len(given))
        for value, found in zip(given, after, strict=True):
            if not np.array_equal(value, found):
                thread = int(threads[int((value != found).argmax())])
                raise Race(f"threads of one instruction write other values to one place of {self.name}", thread)
        per_word = spots.shape[1] // len(given)
        changed = np.repeat(np.stack([x != y for x, y in zip(before, given, strict=True)], 1), per_word, axis=1)
        unordered = self._unordered(spots, threads, clock)
        if unordered is not None and (unordered & changed).any():
            self._tell(spots, unordered & changed, "overwrites", threads, clock)
        if not self.apart:
            recent = self.was_read[spots] > clock.block_met[threads // clock.threads][:, None]
            if recent.any():
                recent &= (self.reader[spots] != (threads // 32)[:, None]) & changed
                if recent.any():
                    row, column = np.unravel_index(int(recent.argmax()), recent.shape)
                    offset = int(spots[row, column]) * self.grain
                    raise Race(
                        f"writes byte {offset} of {self.name}, which another warp has read since the last barrier",
                        int(threads[row]),
                    )
        self.writer[spots] = threads[:, None] + clock.first_thread
        self.written[spots] = clock.now

    def changed_since(self, places: NDArray[np.int64], size: int, time: int) -> bool:
        """Whether anybody has written to these bytes after that time."""
        return bool((self.written[self._spots(places, size)] > time).any())

    def _spots(self, places: NDArray[np.int64], size: int) -> NDArray[np.int64]:
        return (places // self.grain)[:, None] + np.arange(max(size // self.grain, 1))

    def _unordered(
        self, spots: NDArray[np.int64], threads: NDArray[np.int64], clock: Clock
    ) -> NDArray[np.bool_] | None:
        """Where another thread wrote, and no barrier of both came after it; None for nowhere."""
        mine, written = threads[:, None], self.written[spots]
        blocks = threads // clock.threads
        if self.apart:
            recent = self.writer[spots] != _NOBODY
        else:
            recent = written > clock.block_met[blocks][:, None]
        if not recent.any():
            return None
        others = self.writer[spots] - clock.first_thread
        recent &= others != mine
        if not recent.any():
            return None
        met = np.where(others // 32 == mine // 32, clock.warp_met[threads // 32][:, None], -1)
        met = np.maximum(
            met, np.where(others // clock.threads == blocks[:, None], clock.block_met[blocks][:, None], -1)
        )
        recent &= written > met
        return recent if recent.any() else None

    def _tell(
        self, spots: NDArray[np.int64], where: NDArray[np.bool_], does: str, threads: NDArray[np.int64], clock: Clock
    ) -> None:
        row, column = np.unravel_index(int(where.argmax()), where.shape)
        spot = int(spots[row, column])
        other = clock.name(int(self.writer[spot]) - clock.first_thread)
        told = f"{does} byte {spot * self.grain} of {self.name}, which {other} has written with no barrier after it"
        raise Race(told, int(threads[row]))
