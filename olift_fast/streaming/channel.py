"""One connection of a live stream: its bytes wait to be read, its messages to be lifted, its answers to be written."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from olift_fast.errors import InputError
from olift_fast.streaming.counters import RateLimit
from olift_fast.streaming.inbox import FreshInbox, Inbox, Waiting
from olift_fast.streaming.messages import (
    MAX_LINE,
    End,
    FrameMessage,
    LineSplitter,
    StatsRequest,
    answer_line,
    parse_line,
)
from olift_fast.streaming.outbox import Outbox

if TYPE_CHECKING:
    from olift_fast.streaming.router import Router

OnLag = Literal["drop", "queue"]
Decode = Callable[[bytes], tuple[bytes, int]]
"""Takes the next raw bytes; returns the bytes of lines in them, and how many units of the encoding were decoded."""
WriteNow = Callable[[list[bytes]], bool]
"""Writes lines without waiting. Returns False, and writes nothing, if other lines must be written first."""

LINE = 256
"""Work is counted in bytes: a line, or a unit of an encoding, counts as its length plus this number."""
UNREAD = 1 << 14
"""If more bytes than this wait to be read, no more are taken from the source."""
PIECE = 512
"""The most bytes that are decoded at once: 85 empty WebSocket fragments."""
WRITTEN = 1 << 14
"""The most bytes that are handed over at once to be written. A reader that takes them in time is not stuck."""


class Channel:
    """One connection. Its queues are bounded if the transport stops reading while `ready` waits.

    A transport makes a channel for each connection with `Router.connect`. It passes bytes to `receive`, stops reading
    while `ready` waits, writes the lines that `outgoing` returns, and calls `finish` when the source has ended. The
    router reads the bytes, some of each channel in turn.

    If the transport sets `write_now`, lines that it can write at once are written at once, without waking a task.
    """

    def __init__(self, router: Router, name: str, on_lag: OnLag, decode: Decode | None = None) -> None:
        self.name = name
        self.inbox = FreshInbox(router.queue) if on_lag == "drop" else Inbox(router.queue)
        self.outbox = Outbox()
        self.bad_lines, self.lines, self._lost = 0, 0, 0
        self.work = 0
        """How much has been read, in units of work. The router gives turns by it."""
        self.write_now: WriteNow | None = None
        self.unwritten: Callable[[], int] = lambda: 0
        """Bytes that were handed over and are still in the transport's buffer; set by transports that have one."""
        self.finished = self.closed = False
        self.why: Literal["gone", "closed"] = "gone"
        """The reason that its tracks give when they end with it."""
        self._router, self._decode = router, decode
        self._splitter = LineSplitter()
        self._encoded = bytearray()
        self._came = 0.0
        self._handed = False
        self._room, self._filled = asyncio.Event(), asyncio.Event()
        self._room.set()
        self._limits = {"error": RateLimit(), "warning": RateLimit(), "dropped": RateLimit(burst=1, seconds=2)}
        self._untold: dict[str, tuple[Literal["error", "warning"], str]] = {}
        """For each rate limit, the last message that was withheld, if none was sent since."""

    @property
    def dropped(self) -> int:
        """Frames that were not lifted."""
        return self.inbox.dropped + self._lost

    @property
    def unread(self) -> int:
        """Bytes that have come and were not read yet."""
        return len(self._encoded) + self._splitter.waiting

    @property
    def held_back(self) -> bool:
        """Whether bytes wait until messages are lifted or answers are written."""
        return self.inbox.full or self.outbox.full

    @property
    def busy(self) -> bool:
        """Whether anything waits; its tracks are then not idle."""
        return bool(self.inbox or self.unread or self.outbox.full)

    @property
    def written(self) -> bool:
        """Whether all answers are written."""
        return not (self.outbox or self._handed or self.unwritten())

    def receive(self, data: bytes) -> None:
        """Takes bytes in; they may be cut anywhere."""
        self._came = time.perf_counter()
        if self._decode is None:
            self._splitter.feed(data, self._came)
        else:
            self._encoded += data
        self._settle()
        self._router.wake()

    def receive_datagram(self, data: bytes, room: int) -> None:
        """Takes whole lines in. If more than `room` bytes of them wait unread, the oldest datagrams are dropped."""
        self.receive(data if data.endswith(b"\n") else data + b"\n")
        lost = self._splitter.forget(room)
        if lost:
            self._lost += lost
            self._tell_dropped()

    def read(self) -> int:
        """Reads the next line, or decodes the next piece; returns the work, or 0 if there was nothing to do."""
        for line in self._splitter.lines():
            self._read_line(line)
            self._settle()
            return LINE + len(line or b"")
        if self._decode is None or not self._encoded:
            self._settle()
            return 0
        piece = bytes(self._encoded[:PIECE])
        del self._encoded[:PIECE]
        lines, units = self._decode(piece)
        self._splitter.feed(lines, self._came)
        self._settle()
        return len(piece) + LINE * units

    def put(self, message: FrameMessage | End) -> None:
        """Adds a message that has just come."""
        self._put(message, time.perf_counter())
        self._router.wake()

    async def ready(self) -> None:
        """Waits until the transport may read on: most earlier bytes are read, and there is room for more."""
        await self._room.wait()

    def take(self) -> Waiting:
        """The message whose turn it is to be lifted."""
        taken = self.inbox.take()
        self._settle()
        return taken

    def send(self, line: bytes) -> None:
        """Adds a line to the answers that wait to be written."""
        if not self.closed:
            self.outbox.add(line)
            self._router.wake()

    def flush(self) -> None:
        """Writes the lines that can be written at once, and leaves the rest to `outgoing`."""
        if not self.outbox:
            return
        # Lines that `outgoing` has handed over must be written first.
        if self.write_now is not None and not self._handed:
            lines = self.outbox.peek(WRITTEN)
            if self.write_now(lines):
                self._wrote(lines)
        if self.outbox:
            self._filled.set()

    def tell(self, kind: Literal["error", "warning"], message: str, about: str | None = None) -> None:
        """Sends a message to the source and to `notice`, at a limited rate.

        Args:
            about: messages about the same thing share a rate limit of their own.
        """
        withheld = self._limits[about or kind].take(time.monotonic())
        if withheld is None:
            self._untold[about or kind] = kind, message
            return
        self._untold.pop(about or kind, None)
        if withheld and about is None:
            message += f" ({withheld:,} more like it were left out)"
        if not self.outbox.full:
            self.send(answer_line({kind: message}))
        self._router.notice(f"{self.name}: {message}")

    def tell_late(self) -> None:
        """Sends the last withheld message once the rate allows it, because the source may wait for an answer."""
        for about, (kind, message) in list(self._untold.items()):
            limit = self._limits[about]
            if limit.allows(time.monotonic()):
                limit.withheld -= 1
                self.tell(kind, message, None if about == kind else about)

    def answered(self, came: float) -> None:
        """Notes that the result due with a frame was sent. `came` is when the frame came; latency ends with writing."""
        self.outbox.answered(came)
        if not self.outbox:
            self._count_latencies()

    async def outgoing(self) -> list[bytes] | None:
        """Waits for lines to write and returns some of them; None if there will be no more.

        Call it again when these are written.
        """
        self._handed = False
        while not self.outbox:
            if self.closed:
                return None
            self._filled.clear()
            await self._filled.wait()
        lines = self.outbox.peek(WRITTEN)
        self._wrote(lines)
        self._handed = True
        return lines

    def finish(self) -> None:
        """Notes that the source has ended. Its tracks end when all its bytes are read and lifted."""
        if not self.finished:
            self.finished = True
            # A last line may have come without its newline.
            self._splitter.feed(b"\n", self._came)
            self._router.wake()

    def close(self) -> None:
        """Takes no more answers."""
        self.closed = True
        self._settle()
        self._filled.set()

    def vanish(self) -> None:
        """Notes that the other side is gone: answers that it has not read are discarded."""
        self.outbox.clear()
        self._handed = False
        self.close()
        self.finish()
        # Frames that waited for the reader can be lifted now, and then the tracks end.
        self._router.wake()

    def _read_line(self, line: bytes | None) -> None:
        """Takes a line in; None stands for a line that was too long."""
        self.lines += 1
        try:
            if line is None:
                raise InputError(f"longer than {MAX_LINE:,} bytes")
            message = parse_line(line, self._router.joints)
        except InputError as error:
            self.bad_lines += 1
            self.tell("error", f"line {self.lines:,}: {error}")
            return
        if isinstance(message, StatsRequest):
            self.send(self._router.stats_line())
        elif message is not None:
            self._put(message, self._splitter.came)

    def _put(self, message: FrameMessage | End, came: float) -> None:
        dropped = self.inbox.dropped
        unlifted = self.inbox.put(message, came)
        if unlifted is not None:
            self._router.pass_over(self, unlifted)
        if self.inbox.dropped > dropped:
            self._tell_dropped()
        self._settle()

    def _tell_dropped(self) -> None:
        told = f"frames come faster than they are lifted or read; dropped {self.dropped:,} so far"
        self.tell("warning", told, about="dropped")

    def _wrote(self, lines: list[bytes]) -> None:
        held_back = self.outbox.full
        self.outbox.remove(lines)
        self._count_latencies()
        if held_back:
            self._settle()
            self._router.wake()

    def _settle(self) -> None:
        """Tells `ready` whether there is room."""
        if self.closed or not (self.unread > UNREAD or self.held_back):
            self._room.set()
        else:
            self._room.clear()

    def _count_latencies(self) -> None:
        now = time.perf_counter()
        for came in self.outbox.times():
            self._router.latencies.add(now - came)
