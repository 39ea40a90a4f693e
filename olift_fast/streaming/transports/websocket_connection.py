"""A WebSocket whose frames are decoded in small pieces, in turns. Importing this imports websockets."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.frames import DATA_OPCODES, CloseCode
from websockets.protocol import SEND_EOF, State

PINGS = 20.0
"""Seconds between pings, which every client must answer."""
FRAGMENTS = 1024
"""The most fragments of a message: with empty ones it could grow for ever."""
PIECE = 512
"""The most bytes of the opening and the closing handshake that are looked at together, or may come there."""


class PacedConnection(ServerConnection):
    """A connection that does not decode bytes when they come: `coming` returns them, `decode` decodes them.

    websockets itself decodes all bytes that have come at once: 256 KiB can be 40,000 empty frames, which take seconds.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._came = bytearray()
        self._something = asyncio.Event()
        self._over, self._released = False, False
        self._fragments: list[bytes] = []
        self._lines: list[bytes] = []
        self._units = 0
        self._undecoded = 0
        self._reading_since = 0.0

    async def coming(self) -> bytes:
        """Waits for bytes; returns none if the connection has ended, or if two pings were not answered."""
        while not self._came:
            if self._over or self.protocol.state is not State.OPEN:
                self.release()
                return b""
            self._something.clear()
            self._read_on()
            try:
                async with asyncio.timeout(2 * PINGS):
                    await self._something.wait()
            except TimeoutError:
                reading = self.transport.is_reading() and not self.paused
                if reading and self.loop.time() - self._reading_since >= 2 * PINGS:
                    self.transport.abort()
        came = bytes(self._came)
        self._came.clear()
        self._undecoded += len(came)
        return came

    def decode(self, data: bytes) -> tuple[bytes, int]:
        """The lines of the messages that these bytes complete, and the number of frames that were decoded."""
        if not self.transport.is_closing():
            super().data_received(data)
        self._undecoded -= len(data)
        self._read_on()
        lines, units = b"".join(self._lines), self._units
        self._lines.clear()
        self._units = 0
        return lines, units

    def release(self) -> None:
        """Called when `coming` is used no more: later bytes are only searched for the end of the connection."""
        self._released = True
        self._search()

    async def write(self, lines: list[bytes]) -> None:
        """Sends each line as a message.

        Raises:
            ConnectionResetError: the connection is closed.
        """
        if self.transport.is_closing():
            raise ConnectionResetError
        try:
            async with self.send_context():
                for line in lines:
                    self.protocol.send_text(line[:-1])
        except ConnectionClosed as error:
            raise ConnectionResetError from error

    def write_now(self, lines: list[bytes]) -> bool:
        """`write` without waiting. Returns False, and writes nothing, if its buffer is full or it is closed."""
        if self.paused or self.transport.is_closing() or self.protocol.state is not State.OPEN:
            return False
        for line in lines:
            self.protocol.send_text(line[:-1])
        self.send_data()
        return True

    def send_data(self) -> None:
        """Sends all waiting bytes as one piece."""
        pieces = self.protocol.data_to_send()
        if data := b"".join(pieces):
            self.transport.write(data)
        if SEND_EOF in pieces:
            # The other side may be gone already.
            with suppress(OSError):
                self.transport.write_eof()

    def data_received(self, data: bytes) -> None:
        """Called by asyncio with the bytes that have come."""
        self._came += data
        while self._came and self.request is None:
            self._look_at_a_piece()
        if self._came:
            self.transport.pause_reading()
            self._something.set()
            self._search()

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncio at the end of the connection."""
        super().connection_lost(exc)
        self._over = True
        self._something.set()

    def resume_writing(self) -> None:
        """Called by asyncio when its buffer has room again."""
        super().resume_writing()
        self._reading_since = self.loop.time()
        self._read_on()

    def _read_on(self) -> None:
        """Reads more if earlier bytes are decoded and the other side reads its answers and pongs."""
        if not (self._came or self._undecoded or self.paused or self._over or self.transport.is_reading()):
            self._reading_since = self.loop.time()
            self.transport.resume_reading()
        if self.protocol.state is not State.OPEN:
            self._something.set()
        self._search()

    def _search(self) -> None:
        """After `release`: looks at a piece in each pass of the event loop."""
        if self._released and self._came and not self._undecoded and not self.transport.is_closing():
            self._look_at_a_piece()
            self._lines.clear()
            self.loop.call_soon(self._read_on)

    def _look_at_a_piece(self) -> None:
        piece = bytes(self._came[:PIECE])
        del self._came[:PIECE]
        super().data_received(piece)

    def process_event(self, event: Any) -> None:
        """Called with the request, and then with each frame."""
        self._units += 1
        if self.request is None or event.opcode not in DATA_OPCODES:
            super().process_event(event)
            return
        self._fragments.append(bytes(event.data))
        if event.fin:
            message = b"".join(self._fragments)
            self._fragments.clear()
            self._lines.append(message if message.endswith(b"\n") else message + b"\n")
        elif len(self._fragments) == FRAGMENTS:
            self._fragments.clear()
            self.protocol.fail(CloseCode.POLICY_VIOLATION, f"a message has more than {FRAGMENTS:,} fragments")
            self.send_data()
