"""Lines on stdin, answers on stdout."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from olift_fast.streaming.transports.descriptors import when_possible, writer
from olift_fast.streaming.transports.transport import CHUNK, Opened, Settings, Transport, pump, until_it_ends

if TYPE_CHECKING:
    from olift_fast.streaming.router import Router


async def open_stdin(router: Router, source: int, settings: Settings) -> Opened:
    """Reads lines from a file descriptor, with answers to the sink. Ends when all is read, lifted and written.

    The descriptors are not made non-blocking, because this would change the terminal for other programs, too.

    Raises:
        BrokenPipeError: from `Opened.ended`, if nobody reads the answers any more.
    """

    async def read() -> bytes:
        await when_possible(source)
        return os.read(source, CHUNK)

    return until_it_ends(pump(router.connect("stdin"), read, writer(settings.sink)))


STDIN = Transport(
    name="stdin",
    option=None,
    takes="file descriptor",
    description="lines from a file descriptor, answers to `sink`",
    open=open_stdin,
    alone=True,
)
