"""Lines in WebSocket messages (extra `stream`)."""

from __future__ import annotations

import logging
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from olift_fast.errors import MissingExtraError
from olift_fast.streaming.messages import MAX_LINE
from olift_fast.streaming.transports.transport import Opened, Settings, Transport, check_port, full, pump, shown
from olift_fast.view.own_pages import check_request

if TYPE_CHECKING:
    from olift_fast.streaming.router import Router


async def open_websocket(router: Router, port: int, settings: Settings) -> Opened:
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

        if refusal := full(router):
            await connection.close(1013, refusal)
            return
        with suppress(ConnectionResetError):
            await pump(router.connect(f"websocket {shown(connection.remote_address)}"), read, write)

    listening = await serve(
        answer,
        settings.host,
        port,
        process_request=partial(check_request, host=settings.host),
        compression=None,
        max_size=4 * MAX_LINE,
        max_queue=4,
        close_timeout=1,
        server_header=None,
        logger=_logger(router),
    )

    async def close() -> None:
        listening.close()
        await listening.wait_closed()

    return Opened(close, f"websocket {shown(next(iter(listening.sockets)).getsockname())}")


def _logger(router: Router) -> logging.Logger:
    """A logger that hands warnings, of a failed handshake, say, to the router's `notice` as one line each."""

    class Notice(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            cause = record.exc_info[1] if record.exc_info else None
            router.notice(f"websocket: {record.getMessage()}{f': {cause}' if cause else ''}")

    logger = logging.Logger("olift", logging.WARNING)
    logger.addHandler(Notice())
    return logger


WEBSOCKET = Transport(
    name="websocket",
    option="--websocket",
    takes="port",
    description="messages of one or more lines, an answer a message on the same WebSocket",
    open=open_websocket,
    check=check_port,
    extra="stream",
    package="websockets",
)
