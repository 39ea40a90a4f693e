"""A live server: keypoints come in over any transport and joints go back, until the source or the user ends it."""

from __future__ import annotations

import asyncio
import logging
import select
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from olift_fast.errors import InputError, plural, printable
from olift_fast.streaming.channel import OnLag
from olift_fast.streaming.router import Router
from olift_fast.streaming.session import Ended, Event, Lifted, Session
from olift_fast.streaming.streaming_lifter import StreamingLifter
from olift_fast.streaming.transports import TRANSPORTS, Opened, Settings, check_sources

if TYPE_CHECKING:
    from olift_fast.view.live import LiveView

Handlers = Mapping[signal.Signals, Any]
"""By signal, the handler from `signal.getsignal`."""

VIEW_FPS = 25
"""The most frames a second that are sent to a live page."""
LAST_WRITES = 2.0
"""The seconds that clients have to read their last results when the stream is interrupted."""


def _unless_stuck(warn: Callable[[str], None]) -> Callable[[str], None]:
    """A `warn` that drops lines while stderr is a full pipe that nobody reads: writing would delay all clients."""

    def told(line: str) -> None:
        try:
            ready = bool(select.select([], [sys.stderr.fileno()], [], 0)[1])
        except (OSError, ValueError, AttributeError):
            ready = True  # stderr is not a file, or is closed: writing does not block.
        if ready:
            warn(line)

    return told


class Served(NamedTuple):
    """How a stream ended: `Router.stats`, and the signal that stopped it, or None if its source ended."""

    stats: dict[str, Any]
    signal: signal.Signals | None


def _to_stderr(line: str) -> None:
    print(printable(f"olift: {line}"), file=sys.stderr, flush=True)


def serve_stream(
    stream: StreamingLifter,
    sources: Mapping[str, Any] | None = None,
    *,
    host: str = "127.0.0.1",
    fps: float | None = None,
    sink: int | None = 1,
    min_confidence: float = 0.3,
    idle: float = 10.0,
    on_lag: OnLag = "queue",
    queue: int = 64,
    patience: float = 30.0,
    watch: Iterable[Callable[[Event], None]] = (),
    view: LiveView | None = None,
    say: Callable[[str], None] = _to_stderr,
    warn: Callable[[str], None] = _to_stderr,
) -> Served:
    """Serve a stream until its source ends, or until SIGINT or SIGTERM. docs/cli.md describes the lines.

    In the main thread the first of these signals ends the stream in order: waiting frames are lifted and written first.
    After it, and after the end, the signals have their earlier handlers again: by default, a second signal ends the
    program at once.

    If neither `fit` nor `fit_frames` was given to the stream, it answers from the first frame (`StreamingLifter.fit`
    becomes "running"), because a client may wait for each answer before it sends the next frame.

    Args:
        stream: lifts the frames of all clients; each track takes one of its slots.
        sources: a value for each transport, by its name: ``{"tcp": 5000, "websocket": 8765}`` listens on two ports (0
            picks one), ``{"replay": tracks}`` plays `KeypointTracks`, and ``{"stdin": 0}``, the default, reads lines
            from a file descriptor.
        host: the address that ports listen at.
        fps: frames a second of a replay. 0 plays it as fast as it is lifted; by default the recording's rate, or 30.
        sink: the file descriptor for answers to stdin and to a replay, or None.
        min_confidence: keypoints with a lower confidence count as hidden.
        idle: seconds without a frame after which a track ends.
        on_lag, queue: see `Router`.
        patience: seconds after which a client is closed if answers wait and it reads none of them. Answers to stdin and
            to a replay may wait for ever, because their source waits, too.
        watch: called with every event; for example `Recording.add`.
        view: a page that shows each track's latest frame. The caller closes it.
        say: called with a line for the user: each address that is listened on, and a summary at the end.
        warn: called with a line for the user, for each error and warning of a client; not called while stderr is a full
            pipe, because nobody reads it then.

    Raises:
        InputError: a source or an argument is unusable.
        MissingExtraError: a transport's package is not installed.
        OSError: a port is taken; BrokenPipeError: nobody reads the sink any more.
    """
    sources = {"stdin": 0} if sources is None else sources
    check_sources(sources)
    if not sources:
        raise InputError("sources must name at least one transport, got none")
    if fps is not None and not 0 <= fps < float("inf"):
        raise InputError(f"fps must be a number, 0 or more, got {fps:g}")
    if not patience > 0:
        raise InputError(f"patience must be a positive number of seconds, got {patience:g}")
    stream.fit = stream.fit or "running"
    session = Session(stream, min_confidence=min_confidence, idle=idle)
    watching = [*watch]
    if view is not None:
        watching.append(partial(_show, view))
    router = Router(session, on_lag=on_lag, queue=queue, watch=watching, notice=_unless_stuck(warn))
    settings = Settings(host=host, idle=idle, fps=fps, sink=sink, patience=patience)
    handlers = _signal_handlers()
    try:
        with _gone_clients_unsaid():
            stopped_by = asyncio.run(_serve(router, sources, settings, view, say, handlers))
    finally:
        _set_handlers(handlers)
        stats = router.stats()
        say(_summary(stats))
    return Served(stats, stopped_by)


async def _serve(
    router: Router,
    sources: Mapping[str, Any],
    settings: Settings,
    view: LiveView | None,
    say: Callable[[str], None],
    handlers: Handlers,
) -> signal.Signals | None:
    """Serves until a source ends, or until a signal comes, which is returned."""
    stopped = _stopped_by_signal(handlers)
    tasks = [] if view is None else [asyncio.create_task(_draw(view))]
    opened: list[Opened] = []
    try:
        tasks.append(asyncio.create_task(router.run()))
        for transport in TRANSPORTS:
            if transport.name in sources:
                try:
                    opened.append(await transport.open(router, sources[transport.name], settings))
                except socket.gaierror as error:
                    wanted = "host must be an address of this machine, or a name of one"
                    raise InputError(f"{wanted}, got {settings.host!r}: {error.strerror}") from error
        for source in opened:
            if source.address is not None:
                say(f"listening on {source.address}")
            if source.ended is not None:
                tasks.append(source.ended)
        ends: list[asyncio.Future[Any]] = [*tasks, stopped]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if stopped.done():
            await router.stop(LAST_WRITES)
        for task in tasks:
            if task.done():
                await task
    finally:
        for source in opened:
            await source.close()
        for task in tasks:
            task.cancel()
    return stopped.result() if stopped.done() else None


@contextmanager
def _gone_clients_unsaid() -> Iterator[None]:
    """Silences asyncio's log line for each write to a client that has gone, which the transport notices itself."""

    def is_news(record: logging.LogRecord) -> bool:
        return record.getMessage() != "socket.send() raised exception."

    logger = logging.getLogger("asyncio")
    logger.addFilter(is_news)
    try:
        yield
    finally:
        logger.removeFilter(is_news)


def _signal_handlers() -> Handlers:
    """The present handlers of SIGINT and SIGTERM; none outside the main thread, where Python delivers no signals."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    return {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}


def _set_handlers(handlers: Handlers) -> None:
    for number, handler in handlers.items():
        if handler is not None:  # None: not set by Python, which then can't restore it.
            signal.signal(number, handler)


def _stopped_by_signal(handlers: Handlers) -> asyncio.Future[signal.Signals]:
    """A future that is done when one of these signals comes; from then on the signals have these handlers again."""
    loop = asyncio.get_running_loop()
    stopped: asyncio.Future[signal.Signals] = loop.create_future()

    def stop(number: signal.Signals) -> None:
        for handled in handlers:
            loop.remove_signal_handler(handled)
        _set_handlers(handlers)
        stopped.set_result(number)

    for number in handlers:
        loop.add_signal_handler(number, stop, number)
    return stopped


def _show(view: LiveView, event: Event) -> None:
    if isinstance(event, Lifted):
        shown = event.joints, event.keypoints, event.visible, event.uncertainty
        view.show(event.life, event.track, event.frame, *shown, came=event.due)
    elif isinstance(event, Ended):
        view.remove(event.life)


async def _draw(view: LiveView) -> None:
    while True:
        await asyncio.sleep(1 / VIEW_FPS)
        view.draw()


def _summary(stats: dict[str, Any]) -> str:
    """A summary in one line."""
    frames, bad_lines = (plural(stats[name], word) for name, word in _COUNTED.items())
    counts = f"{frames} in, {stats['results']:,} out, {stats['dropped']:,} dropped"
    told = f"{counts}, {bad_lines} in {stats['seconds']:.1f} s"
    latencies = stats["latency_ms"]
    if latencies is None:
        return told
    shown = ", ".join(f"{'longest' if name == 'max' else name} {value:g}" for name, value in latencies.items())
    return f"{told}; ms from a frame to what is due with it: {shown}"


_COUNTED = {"frames": "frame", "bad_lines": "bad line"}
