"""Writing to file descriptors, and waiting for them, without making them non-blocking."""

from __future__ import annotations

import asyncio
import os
import select

from olift_fast.streaming.transports.transport import Write


def writer(sink: int | None) -> Write:
    """Writes lines to a file descriptor, or nowhere."""
    piece = _pipe_buffer(sink)

    async def write(lines: list[bytes]) -> None:
        data = memoryview(b"".join(lines))
        while data and sink is not None:
            # A pipe that can be written to takes this much without blocking.
            if not select.select([], [sink], [], 0)[1]:
                await when_possible(sink, writing=True)
            data = data[os.write(sink, data[:piece]) :]

    return write


async def when_possible(descriptor: int, *, writing: bool = False) -> None:
    """Waits until a descriptor can be read or written without blocking. A regular file always can."""
    loop = asyncio.get_running_loop()
    possible = asyncio.Event()
    add, remove = (loop.add_writer, loop.remove_writer) if writing else (loop.add_reader, loop.remove_reader)
    try:
        add(descriptor, possible.set)
    except PermissionError:
        await asyncio.sleep(0)
        return
    try:
        await possible.wait()
    finally:
        remove(descriptor)


def _pipe_buffer(descriptor: int | None) -> int:
    try:
        return 512 if descriptor is None else os.fpathconf(descriptor, "PC_PIPE_BUF")
    except (OSError, ValueError):
        return 512
