"""Ways into a `Server` and out of it: pipes, TCP, UDP, WebSockets, and a recording played at its speed."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import select
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np

from olift_fast.errors import MissingExtraError
from olift_fast.streaming.messages import MAX_LINE, End, Frame, answer_line
from olift_fast.streaming.server import Channel, Server
from olift_fast.tracks.containers import KeypointTracks

CLIENTS = 64
"""Connections at once."""
_CHUNK = 1 << 16
_FULL = f"{CLIENTS} clients are connected, and no more are taken"

Read = Callable[[], Awaitable[bytes]]
Write = Callable[[list[bytes]], Awaitable[None]]


class Listener(NamedTuple):
    """An open port: where it is reached, and what closes it."""

    address: str
    close: Callable[[], Awaitable[None]]


async def serve_pipes(server: Server, source: int, sink: int) -> None:
    """Lines from one file descriptor, answers to another; returns when all is read, lifted and written.

    Neither descriptor is made non-blocking: a terminal shares that with the programs around.

    Raises:
        BrokenPipeError: nobody reads the answers any more.
    """

    async def read() -> bytes:
        await _when_possible(source)
        return os.read(source, _CHUNK)

    await _pump(server.connect("stdin"), read, _writer(sink))


async def serve_tcp(server: Server, host: str, port: int) -> Listener:
    """Lines on TCP, answers on the same connection. A client that has closed its side still gets what is due."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def write(lines: list[bytes]) -> None:
            writer.writelines(lines)
            await writer.drain()

        with suppress(OSError):
            if len(server) >= CLIENTS:
                await write([answer_line({"error": _FULL})])
            else:
                _keep_alive(writer.get_extra_info("socket"))
                channel = server.connect(f"tcp {_shown(writer.get_extra_info('peername'))}")
                await _pump(channel, lambda: reader.read(_CHUNK), write)
        writer.close()

    listening = await asyncio.start_server(serve, host, port)

    async def close() -> None:
        listening.close()

    return Listener(f"tcp {_shown(listening.sockets[0].getsockname())}", close)


async def serve_udp(server: Server, host: str, port: int, idle: float) -> Listener:
    """Datagrams of one or more lines; answers go to where they came from, one a datagram.

    A sender can't be made to wait, so on lag frames are dropped. It is gone when nothing has come from it for `idle`
    seconds.
    """
    peers = _Peers(server, idle)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: peers, local_addr=(host, port))
    leaving = asyncio.create_task(peers.leave())

    async def close() -> None:
        leaving.cancel()
        transport.close()

    return Listener(f"udp {_shown(transport.get_extra_info('sockname'))}", close)


async def serve_websocket(server: Server, host: str, port: int) -> Listener:
    """Messages of one or more lines, answers one a message. Pages of other machines are refused.

    Raises:
        MissingExtraError: websockets is not installed.
    """
    try:
        from websockets.asyncio.server import ServerConnection, serve
        from websockets.exceptions import ConnectionClosed
    except ImportError:
        raise MissingExtraError(what="a WebSocket", extra="stream") from None

    async def answer(connection: ServerConnection) -> None:
        async def read() -> bytes:
            try:
                message = await connection.recv(decode=False)
            except ConnectionClosed:
                return b""
            return message if message.endswith(b"\n") else message + b"\n"

        async def write(lines: list[bytes]) -> None:
            try:
                for line in lines:
                    await connection.send(line[:-1], text=True)
            except ConnectionClosed as error:
                raise ConnectionResetError from error

        if len(server) >= CLIENTS:
            await connection.close(1013, _FULL)
            return
        with suppress(ConnectionResetError):
            await _pump(server.connect(f"websocket {_shown(connection.remote_address)}"), read, write)

    # A page of any site may ask a browser to connect to this machine; it then says where it comes from.
    names = "|".join(map(re.escape, {"localhost", "127.0.0.1", "[::1]", host}))
    own = re.compile(rf"https?://({names})(:\d+)?")
    listening = await serve(
        answer,
        host,
        port,
        origins=[None, own],
        compression=None,
        max_size=4 * MAX_LINE,
        max_queue=4,
        close_timeout=1,
        server_header=None,
        logger=_told_to(server),
    )

    async def close() -> None:
        listening.close()
        await listening.wait_closed()

    return Listener(f"websocket {_shown(next(iter(listening.sockets)).getsockname())}", close)


async def replay(server: Server, tracks: KeypointTracks, fps: float, sink: int | None) -> None:
    """A recording as if it came now; returns when all is lifted and written.

    Args:
        fps: frames a second; 0 for as fast as they are lifted.
        sink: file descriptor for the answers, None for none.
    """
    channel = server.connect("replay")
    start, rate = time.perf_counter(), fps or tracks.fps
    numbers = np.arange(tracks.num_frames) if tracks.frames is None else tracks.frames

    async def play() -> None:
        for frame, number in enumerate(numbers.tolist()):
            await asyncio.sleep(max(0.0, start + frame / fps - time.perf_counter()) if fps else 0)
            for index, name in enumerate(tracks.tracks):
                points, confidence = tracks.keypoints[index, frame], tracks.confidence[index, frame]
                channel.put(Frame(name, points, confidence, number / rate if rate else None))
            await channel.ready()
        for name in tracks.tracks:
            channel.put(End(name))
        channel.finish()

    playing = asyncio.create_task(play())
    try:
        await _write_all(channel, _writer(sink))
    finally:
        playing.cancel()
        channel.vanish()


async def _pump(channel: Channel, read: Read, write: Write) -> None:
    """Moves bytes both ways until the source has ended and all is written, or one of them is gone."""

    async def listen() -> None:
        # A connection that was reset has ended like one that was closed.
        with suppress(OSError):
            while data := await read():
                channel.receive(data)
                await asyncio.sleep(0)
                await channel.ready()
        channel.finish()

    listening = asyncio.create_task(listen())
    try:
        await _write_all(channel, write)
    finally:
        listening.cancel()
        channel.vanish()


async def _write_all(channel: Channel, write: Write) -> None:
    while (lines := await channel.outgoing()) is not None:
        await write(lines)


class _Peers(asyncio.DatagramProtocol):
    """A channel for each address that datagrams come from."""

    def __init__(self, server: Server, idle: float) -> None:
        self._server, self._idle = server, idle
        self._transport: Any = None
        self._peers: dict[Any, tuple[Channel, asyncio.Task[None]]] = {}
        self._heard: dict[Any, float] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remembers where answers go."""
        self._transport = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        """Hands the lines to the sender's channel."""
        if address not in self._peers or self._peers[address][0].finished:
            if len(self._server) >= CLIENTS:
                self._transport.sendto(answer_line({"error": _FULL}), address)
                return
            channel = self._server.connect(f"udp {_shown(address)}", on_lag="drop")
            self._peers[address] = channel, asyncio.create_task(self._answer(channel, address))
        self._heard[address] = time.monotonic()
        channel, _ = self._peers[address]
        for line in data.splitlines():
            channel.receive_line(line if len(line) <= MAX_LINE else None)

    def error_received(self, error: Exception) -> None:
        """The other side is not there: it will be found idle."""

    async def leave(self) -> None:
        """Lets go of senders that have been silent for too long."""
        while True:
            await asyncio.sleep(min(self._idle, 0.5))
            for address, heard in list(self._heard.items()):
                if time.monotonic() - heard > self._idle:
                    self._peers[address][0].finish()

    async def _answer(self, channel: Channel, address: Any) -> None:
        while (lines := await channel.outgoing()) is not None:
            for line in lines:
                # What a datagram socket can't take is lost, as the network would lose it.
                if self._transport.get_write_buffer_size() < 1 << 20:
                    self._transport.sendto(line, address)
        if self._peers[address][0] is channel:
            del self._peers[address], self._heard[address]


def _writer(sink: int | None) -> Write:
    """Writes lines to a file descriptor, or nowhere."""
    piece = _pipe_buffer(sink)

    async def write(lines: list[bytes]) -> None:
        data = memoryview(b"".join(lines))
        while data and sink is not None:
            # As much as fits into any pipe that can be written to.
            if not select.select([], [sink], [], 0)[1]:
                await _when_possible(sink, writing=True)
            data = data[os.write(sink, data[:piece]) :]

    return write


async def _when_possible(descriptor: int, *, writing: bool = False) -> None:
    """Waits until it can be read or written without blocking; files and the like always can."""
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


def _told_to(server: Server) -> logging.Logger:
    """A logger whose warnings are told in a line: handshakes that fail, say."""

    class Tell(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            cause = record.exc_info[1] if record.exc_info else None
            server.notice(f"websocket: {record.getMessage()}{f': {cause}' if cause else ''}")

    logger = logging.Logger("olift", logging.WARNING)
    logger.addHandler(Tell())
    return logger


def _keep_alive(connection: socket.socket) -> None:
    """A client that vanishes without a word is noticed after half a minute."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, option):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _shown(address: Any) -> str:
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
