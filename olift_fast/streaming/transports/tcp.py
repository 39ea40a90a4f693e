"""Lines on TCP connections."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

from olift_fast.streaming.messages import answer_line
from olift_fast.streaming.transports.transport import CHUNK, Opened, Settings, Transport, check_port, full, pump, shown

if TYPE_CHECKING:
    from olift_fast.streaming.router import Router


async def open_tcp(router: Router, port: int, settings: Settings) -> Opened:
    """Lines on TCP, answers on the same connection. A client that has closed its side still gets what is due."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def write(lines: list[bytes]) -> None:
            writer.writelines(lines)
            await writer.drain()

        with suppress(OSError):
            if refusal := full(router):
                await write([answer_line({"error": refusal})])
            else:
                _keep_alive(writer.get_extra_info("socket"))
                channel = router.connect(f"tcp {shown(writer.get_extra_info('peername'))}")
                await pump(channel, lambda: reader.read(CHUNK), write)
        writer.close()

    listening = await asyncio.start_server(serve, settings.host, port)

    async def close() -> None:
        listening.close()

    return Opened(close, f"tcp {shown(listening.sockets[0].getsockname())}")


def _keep_alive(connection: socket.socket) -> None:
    """A client that vanishes without closing its connection is noticed after half a minute."""
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
