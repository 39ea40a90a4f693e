"""The description of a transport, and functions that several share: moving bytes between connection and channel."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from olift_fast.errors import InputError

if TYPE_CHECKING:
    from olift_fast.streaming.channel import Channel
    from olift_fast.streaming.router import Router

CHUNK = 1 << 16
"""The most bytes that are read at once."""
CLIENTS = 64
"""The most connections that a server has at once."""
ACCEPTED = 16
"""The most connections that are accepted in a row."""
QUEUED = 1024
"""The most connections that wait to be accepted. A client without room tries again after one second, then two."""

Read = Callable[[], Awaitable[bytes]]
Write = Callable[[list[bytes]], Awaitable[None]]


class NotReadError(Exception):
    """A client does not read its answers; the message says so."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings that `serve_stream` passes to every transport.

    Args:
        host: the address that ports listen at.
        idle: seconds of silence after which a source counts as gone, if the transport has no other sign.
        fps: frames a second of a replay; 0 plays it as fast as it is lifted, None at the recording's rate.
        sink: the file descriptor for answers to stdin and to a replay; with None they are not written.
        patience: seconds after which a client that reads none of its answers is closed.
    """

    host: str = "127.0.0.1"
    idle: float = 10.0
    fps: float | None = None
    sink: int | None = None
    patience: float = 30.0


class Opened(NamedTuple):
    """An open source.

    Args:
        close: closes it.
        address: where clients reach it, "tcp 127.0.0.1:5000"; None if it takes no clients.
        ended: done when the source has ended and all answers are written; None if it stays open until it is closed.
    """

    close: Callable[[], Awaitable[None]]
    address: str | None = None
    ended: asyncio.Task[None] | None = None


@dataclass(frozen=True, kw_only=True)
class Transport:
    """A way for keypoints to come and for joints to go.

    Args:
        name: its key among the sources of `serve_stream`.
        option: of `olift stream`; None for the transport that is used without an option.
        takes: the kind of the source's value, in words: "port".
        description: of the messages, in words, as in docs/streaming.md.
        open: opens a source; called with the router, the source's value, and the settings.
        check: raises InputError if the value is unusable; called with the value, and its name for the error.
        alone: no other source can be open beside it, because the stream ends with it.
        extra, package: the extra of this project and the package from it that the transport needs.
    """

    name: str
    option: str | None
    takes: str
    description: str
    open: Callable[[Router, Any, Settings], Awaitable[Opened]]
    check: Callable[[Any, str], None] = lambda given, called: None
    alone: bool = False
    extra: str | None = None
    package: str | None = None


def check_port(port: int, called: str) -> None:
    """Raises InputError unless `port` is the number of a port; 0 stands for any free port."""
    if not 0 <= port < 1 << 16:
        raise InputError(f"{called} must be a port, 0 … 65535, got {port}")


def let_wait(listening: Iterable[socket.socket]) -> None:
    """Lets `QUEUED` connections wait. asyncio has one number for these and for those that it accepts in a row."""
    for port in listening:
        with socket.fromfd(port.fileno(), port.family, port.type) as same:
            same.listen(QUEUED)


def full(router: Router) -> str | None:
    """The message to a client if no more clients are taken; None if there is room."""
    return f"{CLIENTS} clients are connected, and no more are taken" if len(router) >= CLIENTS else None


def until_it_ends(work: Coroutine[Any, Any, None]) -> Opened:
    """A source that ends by itself: `work` reads all of it and writes all answers."""
    task = asyncio.create_task(work)

    async def close() -> None:
        task.cancel()

    return Opened(close, ended=task)


async def pump(channel: Channel, read: Read, write: Write, patience: float | None = None) -> None:
    """Moves bytes both ways until the source has ended and all answers are written, or the other side is gone.

    Args:
        read: returns bytes that have come, and no bytes at the end.
        write: writes lines, and returns when there is room for more.
        patience: seconds that `write` may take.

    Raises:
        NotReadError: `write` took longer.
    """

    async def listen() -> None:
        # A connection that was reset has ended like one that was closed.
        with suppress(OSError):
            while data := await read():
                channel.receive(data)
                await channel.ready()
        channel.finish()

    listening = asyncio.create_task(listen())
    try:
        await write_all(channel, write, patience)
    finally:
        listening.cancel()
        channel.vanish()


async def write_all(channel: Channel, write: Write, patience: float | None = None) -> None:
    """Writes the channel's lines until there will be no more.

    Raises:
        NotReadError: writing some of them took longer than `patience` seconds.
    """
    while (lines := await channel.outgoing()) is not None:
        await in_time(write(lines), patience)


async def in_time(writing: Awaitable[None], patience: float | None) -> None:
    """Waits until something is written.

    Raises:
        NotReadError: it took longer than `patience` seconds.
    """
    try:
        async with asyncio.timeout(patience) as limit:
            await writing
    except TimeoutError:
        # The network has time limits, too.
        if limit.expired():
            raise NotReadError(f"closed: it has read none of its answers for {patience:g} s") from None
        raise


def shown(address: Any) -> str:
    """A socket's address: "127.0.0.1:5000", "[::1]:5000"."""
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
