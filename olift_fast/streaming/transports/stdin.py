"""Lines on stdin, answers on stdout."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from olift_fast.streaming.transports.descriptors import when_possible, writer
from olift_fast.streaming.transports.transport import CHUNK, Opened, Settings, Transport, pump, until_it_ends

if TYPE_CHECKING:
    from olift_fast.streaming.router import Router


async def open_stdin(router: Router, source: int, settings: Settings) -> Opened:
    """Lines from a file descriptor, answers to the sink; ended when all is read, lifted and written.

    Neither descriptor is made non-blocking: other programs that share a terminal would find it changed, too.

    Raises:
        BrokenPipeError: from `Opened.ended`: nobody reads the answers any more.
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
