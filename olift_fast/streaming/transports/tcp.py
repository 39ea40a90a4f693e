"""Lines on TCP connections."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

from olift_fast.streaming.messages import answer_line
from olift_fast.streaming.transports.transport import (
    ACCEPTED,
    CHUNK,
    NotReadError,
    Opened,
    Read,
    Settings,
    Transport,
    check_port,
    full,
    in_time,
    let_wait,
    pump,
    shown,
)

if TYPE_CHECKING:
    from olift_fast.streaming.channel import Channel
    from olift_fast.streaming.router import Router


_METHODS = ("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PRI", "PUT", "TRACE")
_OTHERS = {b"\x16\x03": "TLS"} | {f"{method} ".encode(): f"HTTP ({method})" for method in _METHODS}
"""The first bytes of the protocols that browsers speak, and their names. No frame begins with these bytes."""


async def open_tcp(router: Router, port: int, settings: Settings) -> Opened:
    """Lines on TCP, answers on the same connection. A client that has closed its side still gets its due results.

    A client that reads no answers for `Settings.patience` seconds is closed.

    A connection that begins like a browser's is closed, because otherwise a page of any website could send frames here,
    for example as the text of a form.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def write(lines: list[bytes]) -> None:
            if writer.transport.is_closing():
                raise ConnectionResetError
            writer.write(b"".join(lines))
            await writer.drain()

        def write_now(lines: list[bytes]) -> bool:
            if writer.transport.get_write_buffer_size() or writer.transport.is_closing():
                return False
            writer.write(b"".join(lines))
            return True

        writer.transport.set_write_buffer_limits(0)
        name = f"tcp {shown(writer.get_extra_info('peername'))}"
        try:
            if refusal := full(router):
                await in_time(write([answer_line({"error": refusal})]), settings.patience)
            else:
                _keep_alive(writer.get_extra_info("socket"))
                channel = router.connect(name)
                channel.write_now, channel.unwritten = write_now, writer.transport.get_write_buffer_size
                await pump(channel, _reading(reader, channel), write, settings.patience)
                # The last bytes of `write_now` may still wait here: without a limit, an unread client stays connected.
                await in_time(write([]), settings.patience)
            writer.close()
        except NotReadError as error:
            router.notice(f"{name}: {error}", always=True)
            writer.transport.abort()
        except OSError:
            writer.close()

    listening = await asyncio.start_server(serve, settings.host, port, limit=CHUNK, backlog=ACCEPTED)
    let_wait(listening.sockets)

    async def close() -> None:
        listening.close()

    return Opened(close, f"tcp {shown(listening.sockets[0].getsockname())}")


def _reading(reader: asyncio.StreamReader, channel: Channel) -> Read:
    """Reads a connection. One in another protocol gets an error and ends before any of its bytes are taken."""
    begun = False

    async def read() -> bytes:
        nonlocal begun
        data = await (reader.read(CHUNK) if begun else _first_bytes(reader))
        other = None if begun else next((name for start, name in _OTHERS.items() if data.startswith(start)), None)
        begun = True
        if other is None:
            return data
        channel.bad_lines += 1
        channel.tell("error", f"wanted lines of JSON, got {other}: closed; pages connect with --websocket")
        return b""

    return read


async def _first_bytes(reader: asyncio.StreamReader) -> bytes:
    """The first bytes, enough to decide whether they are one of `_OTHERS`."""
    data = b""
    while piece := await reader.read(CHUNK):
        data += piece
        if not any(len(data) < len(start) and start.startswith(data) for start in _OTHERS):
            break
    return data


def _keep_alive(connection: socket.socket) -> None:
    """Makes the system notice, within half a minute, a client that vanished without closing its connection."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, option):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


TCP = Transport(
    name="tcp",
    option="--tcp",
    takes="port",
    description="lines on TCP connections, answers on the same connection",
    open=open_tcp,
    check=check_port,
)
