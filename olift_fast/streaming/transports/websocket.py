"""Lines in WebSocket messages (extra `stream`)."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from olift_fast.errors import MissingExtraError
from olift_fast.streaming.messages import MAX_LINE
from olift_fast.streaming.transports.transport import (
    ACCEPTED,
    NotReadError,
    Opened,
    Settings,
    Transport,
    check_port,
    full,
    let_wait,
    pump,
    shown,
)
from olift_fast.view.own_pages import check_request

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection

    from olift_fast.streaming.router import Router


async def open_websocket(router: Router, port: int, settings: Settings) -> Opened:
    """Messages of one or more lines, each answer in its own message. Web pages of other machines are refused.

    Raises:
        MissingExtraError: websockets is not installed.
    """
    try:
        from websockets.asyncio.server import serve

        from olift_fast.streaming.transports.websocket_connection import PINGS, PacedConnection
    except ImportError:
        raise MissingExtraError(what="a WebSocket", extra="stream") from None

    async def answer(connection: ServerConnection) -> None:
        assert isinstance(connection, PacedConnection)
        if refusal := full(router):
            connection.release()
            await connection.close(1013, refusal)
            return
        name = f"websocket {shown(connection.remote_address)}"
        try:
            channel = router.connect(name, decode=connection.decode)
            channel.write_now, channel.unwritten = connection.write_now, connection.transport.get_write_buffer_size
            await pump(channel, connection.coming, connection.write, settings.patience)
        except NotReadError as error:
            router.notice(f"{name}: {error}", always=True)
        except ConnectionResetError:
            pass
        finally:
            connection.release()
            _abort_unread(connection)

    listening = await serve(
        answer,
        settings.host,
        port,
        process_request=partial(check_request, host=settings.host),
        compression=None,
        max_size=4 * MAX_LINE,
        max_queue=None,
        write_limit=(0, 0),
        close_timeout=1,
        ping_interval=PINGS,
        # The answer to a ping waits behind earlier frames; `coming` notices clients that are gone.
        ping_timeout=None,
        server_header=None,
        logger=_logger(router),
        create_connection=PacedConnection,
        backlog=ACCEPTED,
    )
    let_wait(listening.sockets)

    async def close() -> None:
        for connection in listening.connections:
            _abort_unread(connection)
        listening.close()
        await listening.wait_closed()

    return Opened(close, f"websocket {shown(next(iter(listening.sockets)).getsockname())}")


def _abort_unread(connection: ServerConnection) -> None:
    """Aborts a connection that is not read: a normal end would wait until all that was sent is read."""
    if connection.transport.get_write_buffer_size():
        connection.transport.abort()


def _logger(router: Router) -> logging.Logger:
    """A logger that passes warnings, such as of a failed handshake, to the router's `notice`, one line each."""

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
