"""A client of the WebSocket transport whose connection lies in memory: bytes in, answers out, and no socket."""

from __future__ import annotations

import asyncio
import random
import struct
import time
from collections.abc import Callable, Iterable, Iterator
from types import SimpleNamespace
from typing import Any
from unittest import mock

from olift_fast.streaming.router import Router
from olift_fast.streaming.transports import Settings

TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10
_PORT = 8765


async def converse(router: Router, pieces: Iterable[bytes], patience: float) -> tuple[list[str], int | None]:
    """The answers to a client that sends these bytes after the handshake and leaves; and why the server closed, if so.

    Args:
        router: which runs.
        pieces: bytes of frames, as they come.
        patience: seconds after which the server counts as hanging.

    Raises:
        TimeoutError: it does not read on, or does not end.
    """
    from websockets.client import ClientProtocol
    from websockets.frames import OP_TEXT
    from websockets.uri import parse_uri

    end = time.monotonic() + patience
    server, connect = await _opened(router)
    connection = connect()
    wire = _Wire(connection)
    connection.connection_made(wire)
    client = ClientProtocol(parse_uri(f"ws://localhost:{_PORT}/"))
    client.send_request(client.connect())
    connection.data_received(b"".join(client.data_to_send()))
    await _until(lambda: b"\r\n\r\n" in wire.written or wire.closed, end)
    assert wire.written.startswith(b"HTTP/1.1 101 "), "the handshake failed"
    for piece in pieces:
        await _until(lambda: not wire.paused or wire.closed, end)
        if wire.closed:
            break
        connection.data_received(piece)
        await asyncio.sleep(0)
    await _settled(wire, end)
    if not wire.closed:
        connection.eof_received()
        wire.close()
    await _until(lambda: not server.handlers, end)
    client.receive_data(bytes(wire.written))
    frames = [event for event in client.events_received() if getattr(event, "opcode", None) == OP_TEXT]
    return [frame.data.decode() for frame in frames], None if client.close_rcvd is None else client.close_rcvd.code


def frames_of(messages: Iterable[bytes], draw: random.Random) -> Iterator[bytes]:
    """Messages as frames of a client: whole or in fragments, some empty, with pings between them."""
    for message in messages:
        cuts = sorted(draw.choices(range(len(message) + 1), k=draw.choice((0, 0, 0, 1, 3, 40))))
        parts = [message[a:b] for a, b in zip([0, *cuts], [*cuts, len(message)], strict=True)]
        for number, part in enumerate(parts):
            opcode = draw.choice((TEXT, TEXT, BINARY)) if number == 0 else CONTINUATION
            yield frame(opcode, part, fin=number == len(parts) - 1)
            if draw.random() < 0.02:
                yield frame(draw.choice((PING, PONG)), b"?")


def unfit_frame(draw: random.Random) -> bytes:
    """A frame that breaks a rule of the protocol, or ends the connection."""
    return draw.choice(
        (
            lambda: frame(CONTINUATION, b"{}"),
            lambda: frame(draw.randrange(3, 8), b"{}"),
            lambda: frame(TEXT, b"{}", reserved=draw.randrange(1, 8)),
            lambda: frame(TEXT, b"{}", fin=False) + frame(TEXT, b"{}"),
            lambda: frame(PING, b"x" * 126),
            lambda: frame(PING, b"", fin=False),
            lambda: frame(CLOSE, draw.choice((b"", b"x", b"\x03\xe8bye", b"\0\0", b"\x03\xe8\xff", b"\xff\xff"))),
            lambda: bytes([0x80 | TEXT, 2]) + b"{}",  # not masked
            lambda: bytes([0x80 | TEXT, 0x80 | 127]) + struct.pack("!Q", draw.choice((2**63, 2**62, 2**21))),
            lambda: frame(TEXT, b"\xff\xfe"),
            lambda: frame(TEXT, b"", fin=False) * 3000,
            lambda: frame(TEXT, b"") * 3000,
        )
    )()


def frame(opcode: int, data: bytes, *, fin: bool = True, reserved: int = 0) -> bytes:
    """A frame of a client, masked with zeros, so that the same message is the same bytes."""
    size = len(data)
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 1 << 16:
        length = bytes([0x80 | 126]) + struct.pack("!H", size)
    else:
        length = bytes([0x80 | 127]) + struct.pack("!Q", size)
    return bytes([fin << 7 | reserved << 4 | opcode]) + length + bytes(4) + data


async def _opened(router: Router) -> tuple[Any, Callable[[], Any]]:
    """The transport's server, which listens nowhere, and what makes a connection of it."""
    from olift_fast.streaming.transports import websocket

    made: list[Callable[[], Any]] = []
    listening = SimpleNamespace(family=None, getsockname=lambda: ("127.0.0.1", _PORT))

    async def create_server(factory: Callable[[], Any], *_: Any, **__: Any) -> Any:
        made.append(factory)
        return SimpleNamespace(sockets=[listening], is_serving=lambda: True)

    loop = asyncio.get_running_loop()
    with mock.patch.object(loop, "create_server", create_server), mock.patch.object(websocket, "let_wait"):
        await websocket.open_websocket(router, _PORT, Settings())
    return made[0]().server, made[0]


async def _settled(wire: _Wire, end: float) -> None:
    """Waits until nothing more is written or read."""
    still, before = 0, (0, False)
    while still < 200 and not wire.closed and time.monotonic() < end:
        await asyncio.sleep(0)
        now = len(wire.written), wire.paused
        still, before = still + 1 if now == before else 0, now


async def _until(holds: Callable[[], bool], end: float) -> None:
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError("the server hangs")
        await asyncio.sleep(0)


class _Wire(asyncio.Transport):
    """The server's end of the connection."""

    def __init__(self, connection: Any) -> None:
        super().__init__({"peername": ("127.0.0.1", 5000), "sockname": ("127.0.0.1", _PORT)})
        self._connection = connection
        self.written = bytearray()
        self.paused = self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self.closed:
            self.written += data

    def write_eof(self) -> None:
        pass

    def can_write_eof(self) -> bool:
        return True

    def is_closing(self) -> bool:
        return self.closed

    def is_reading(self) -> bool:
        return not self.paused

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def get_write_buffer_size(self) -> int:
        return 0

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return 0, 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            asyncio.get_running_loop().call_soon(self._connection.connection_lost, None)

    def abort(self) -> None:
        self.close()
