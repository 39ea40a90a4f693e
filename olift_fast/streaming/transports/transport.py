"""What a transport is, and what several of them share: moving bytes between a connection and its channel."""

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
"""Bytes that are read at once."""
CLIENTS = 64
"""Connections that a port serves at once."""
ACCEPTED = 16
"""Connections that are accepted in a row."""
QUEUED = 1024
"""Connections that may wait for it. A client that finds no room there tries again after a second, then after two."""

Read = Callable[[], Awaitable[bytes]]
Write = Callable[[list[bytes]], Awaitable[None]]


class NotReadError(Exception):
    """A client does not read its answers; the message says so."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What `serve_stream` hands to every transport.

    Args:
        host: address that ports listen at.
        idle: seconds of silence after which a source counts as gone, where a transport can't tell otherwise.
        fps: frames a second of a replay; 0 as fast as they are lifted, None as the recording says.
        sink: file descriptor that answers to stdin and to a replay are written to; None writes them nowhere.
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
        address: where clients reach it, "tcp 127.0.0.1:5000"; None where it takes no clients.
        ended: done when the source has ended and all answers are written; None where it is open until it is closed.
    """

    close: Callable[[], Awaitable[None]]
    address: str | None = None
    ended: asyncio.Task[None] | None = None


@dataclass(frozen=True, kw_only=True)
class Transport:
    """A way for keypoints to come and for joints to go.

    Args:
        name: its key among the sources of `serve_stream`.
        option: of `olift stream`; None for what it does without an option.
        takes: what the source is given as, in words: "port".
        description: what comes and goes, in words; docs/streaming.md has it.
        open: opens a source; its arguments are the router, what the source is given as, and the settings.
        check: raises InputError where that is unusable; its arguments are the same value, and its name for the error.
        alone: no other source can be open beside it, because the stream ends when it does.
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
    """Raises InputError unless it is the number of a port; 0 stands for any free port."""
    if not 0 <= port < 1 << 16:
        raise InputError(f"{called} must be a port, 0 … 65535, got {port}")


def let_wait(listening: Iterable[socket.socket]) -> None:
    """Lets `QUEUED` connections wait; asyncio takes one number for these and for those that it accepts in a row."""
    for port in listening:
        with socket.fromfd(port.fileno(), port.family, port.type) as same:
            same.listen(QUEUED)


def full(router: Router) -> str | None:
    """What a client is told where no more are taken; None where there is room for one."""
    return f"{CLIENTS} clients are connected, and no more are taken" if len(router) >= CLIENTS else None


def until_it_ends(work: Coroutine[Any, Any, None]) -> Opened:
    """A source that ends by itself: `work` reads all of it and writes all answers."""
    task = asyncio.create_task(work)

    async def close() -> None:
        task.cancel()

    return Opened(close, ended=task)


async def pump(channel: Channel, read: Read, write: Write, patience: float | None = None) -> None:
    """Moves bytes both ways until the source has ended and all is written, or one of the two is gone.

    Args:
        read: returns bytes that have come; none at the end.
        write: writes lines, and returns when there is room for more.
        patience: seconds that `write` may take.

    Raises:
        NotReadError: what `write` was given could not be written in that time.
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
