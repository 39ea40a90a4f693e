"""Memory of three kinds, every access checked: global buffers, a block's shared memory, a thread's local memory."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptx.faults import Misaligned, OutOfBounds
from ptx.program import SHARED_BASE
from ptx.races import Clock, Watch

Array = NDArray[Any]
UNSIGNED = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}
_APART = 40
"""Buffers begin 2^40 addresses apart, so that what leaves one does not reach the next."""
_FILL = 0xFF
"""What is in shared and local memory before anything is written: NaN in every width of float."""


@dataclass
class Buffer:
    """Memory of the process that a kernel may touch, by bytes; `lead` bytes before it make its alignment whole."""

    name: str
    base: int
    pointer: int
    size: int
    lead: int
    content: NDArray[np.uint8]
    watch: Watch | None = None


class GlobalMemory:
    """The buffers of a launch, at addresses of their own, or where they are."""

    def __init__(self) -> None:
        self.buffers: list[Buffer] = []
        self.grain = 0
        """In how many bytes it remembers who wrote; 0 for not at all."""
        self._begins = np.zeros(0, np.int64)
        self._held: list[Array] = []

    def add(self, name: str, array: Array) -> int:
        """The address of a contiguous array, which the kernel may read and write in place."""
        if not array.flags.c_contiguous:
            raise ValueError(f"{name} must be contiguous")
        self._held.append(array)
        return self.add_memory(name, array.ctypes.data, array.nbytes)

    def add_memory(self, name: str, pointer: int, size: int, in_place: bool = False) -> int:
        """The address of memory of this process, the same for the same memory.

        It keeps its alignment, up to 256 bytes, and lies far from all others; with `in_place` it lies where it is. The
        caller holds it as long as kernels run.
        """
        for buffer in self.buffers:
            if (buffer.pointer, buffer.size) == (pointer, size):
                return buffer.base
        lead, content = pointer % 16, np.zeros(0, np.uint8)
        if size:
            content = np.frombuffer((ctypes.c_uint8 * (lead + size)).from_address(pointer - lead), np.uint8)
        base = pointer if in_place else (len(self.buffers) + 1 << _APART) + pointer % 256
        self.buffers.append(Buffer(name, base, pointer, size, lead, content))
        self.buffers.sort(key=lambda each: each.base)
        self._begins = np.array([each.base for each in self.buffers])
        return base

    def read(
        self, addresses: NDArray[np.int64], size: int, count: int, threads: Array, clock: Clock, aligned: int = 0
    ) -> list[Array]:
        """`count` words of `size` bytes from each address, a multiple of `aligned` or of what is read."""
        found = [np.empty(addresses.size, UNSIGNED[size]) for _ in range(count)]
        for buffer, offsets, chosen in self._located(addresses, size * count, threads, aligned):
            if buffer.watch is not None:
                buffer.watch.read(offsets, size * count, threads[chosen], clock)
            words = _words(buffer.content, size)
            for k, word in enumerate(found):
                word[chosen] = words[offsets // size + k]
        return found

    def write(self, addresses: NDArray[np.int64], values: list[Array], threads: Array, clock: Clock) -> None:
        """The values' words from each address on."""
        size = values[0].itemsize
        for buffer, offsets, chosen in self._located(addresses, size * len(values), threads):
            words = _words(buffer.content, size)
            if buffer.watch is None and self.grain:
                buffer.watch = Watch(buffer.content.size, self.grain, f"buffer {buffer.name}", apart=True)
            given = [value[chosen] for value in values]
            _put(words, offsets, given, threads[chosen], buffer.watch, clock)

    def _located(
        self, addresses: NDArray[np.int64], size: int, threads: Array, aligned: int = 0
    ) -> Iterator[tuple[Buffer, NDArray[np.int64], slice | NDArray[np.int64]]]:
        which = np.searchsorted(self._begins, addresses, side="right") - 1
        first = int(which[0])
        if (which == first).all():
            groups = [(first, slice(None))]
        else:
            groups = [(int(k), np.flatnonzero(which == k)) for k in np.unique(which)]
        for index, chosen in groups:
            here, by = addresses[chosen], threads[chosen]
            if index < 0:
                raise OutOfBounds(f"global address {int(here[0]):#x} is in no buffer", int(by[0]))
            buffer = self.buffers[index]
            offsets = here - buffer.base
            _check(offsets, here, size, buffer.size, f"buffer {buffer.name}", aligned or size, by)
            yield buffer, offsets + buffer.lead, chosen


class OwnMemory:
    """As many bytes for each owner, a block or a thread, from `base` on."""

    def __init__(self, owners: int, size: int, base: int, name: str, grain: int = 0) -> None:
        self.size, self.base, self.name = size, base, name
        self.pitch = -(-size // 128) * 128
        self.content = np.full(max(owners * self.pitch, 1), _FILL, np.uint8)
        self.watch = Watch(owners * self.pitch, grain, name) if grain else None

    def places(self, addresses: NDArray[np.int64], size: int, owners: Array, threads: Array) -> NDArray[np.int64]:
        """Where in `content` an access of so many bytes lies, once it is checked."""
        offsets = addresses - self.base
        _check(offsets, addresses, size, self.size, self.name, size, threads)
        return offsets + owners * self.pitch

    def read(
        self, addresses: NDArray[np.int64], size: int, count: int, owners: Array, threads: Array, clock: Clock
    ) -> list[Array]:
        places = self.places(addresses, size * count, owners, threads)
        if self.watch is not None:
            self.watch.read(places, size * count, threads, clock)
        words = _words(self.content, size)
        return [words[places // size + k] for k in range(count)]

    def write(
        self, addresses: NDArray[np.int64], values: list[Array], owners: Array, threads: Array, clock: Clock
    ) -> None:
        size = values[0].itemsize
        places = self.places(addresses, size * len(values), owners, threads)
        _put(_words(self.content, size), places, values, threads, self.watch, clock)


def _put(
    words: Array, places: NDArray[np.int64], values: list[Array], threads: Array, watch: Watch | None, clock: Clock
) -> None:
    spots = [places // words.itemsize + k for k in range(len(values))]
    before = [words[spot] for spot in spots] if watch is not None else []
    for spot, value in zip(spots, values, strict=True):
        words[spot] = value
    if watch is not None:
        watch.write(places, before, values, [words[spot] for spot in spots], threads, clock)


def shared_memory(blocks: int, size: int, grain: int) -> OwnMemory:
    """The shared memory of so many blocks."""
    return OwnMemory(blocks, size, SHARED_BASE, "shared memory", grain)


def _check(
    offsets: NDArray[np.int64],
    addresses: NDArray[np.int64],
    size: int,
    limit: int,
    name: str,
    aligned: int,
    threads: Array,
) -> None:
    outside = (offsets < 0) | (offsets > limit - size)
    if outside.any():
        row = int(outside.argmax())
        raise OutOfBounds(f"{size} bytes at offset {offsets[row]} of {name}, which has {limit}", int(threads[row]))
    crooked = addresses % aligned != 0
    if crooked.any():
        row = int(crooked.argmax())
        raise Misaligned(
            f"{size} bytes at offset {offsets[row]} of {name}, no multiple of {aligned}", int(threads[row])
        )


def _words(content: NDArray[np.uint8], size: int) -> Array:
    return content[: content.size // size * size].view(UNSIGNED[size])
