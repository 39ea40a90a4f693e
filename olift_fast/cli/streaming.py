"""A live stream from its options to its end: what `olift stream` does."""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import typer

from olift_fast.cli.checks import check_input, check_result
from olift_fast.cli.console import plural, warn
from olift_fast.cli.lifting_job import load_model, read_tracks
from olift_fast.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from olift_fast.streaming.recording import Recording
    from olift_fast.streaming.server import Server
    from olift_fast.streaming.session import Event, Session
    from olift_fast.streaming.transports import Listener
    from olift_fast.tracks.containers import KeypointTracks
    from olift_fast.tracks.skeleton import Skeleton
    from olift_fast.view.live import LiveView

TRACKS = 8
REPLAY_FPS = 30.0
DRAWN = 25
"""Frames a second that the live page is sent."""
LAST_WRITES = 2.0
"""Seconds that clients have to read what is due when the stream is interrupted."""


@dataclass(frozen=True)
class Request:
    """What to lift, and how: the options of `olift stream`."""

    skeleton: str | None = None
    udp: int | None = None
    tcp: int | None = None
    websocket: int | None = None
    host: str = "127.0.0.1"
    replay: Path | None = None
    fps: float | None = None
    model: str = "small-causal"
    delay: int | None = None
    dtype: str = "float32"
    min_confidence: float = 0.3
    output: Literal["camera", "object"] = "camera"
    tracks: int | None = None
    idle: float = 10.0
    scale: float | None = None
    fit_frames: int = 16
    on_lag: Literal["drop", "queue"] = "queue"
    queue: int = 64
    record: Path | None = None
    view: bool = False
    view_port: int = 8080
    threads: int = 1
    format: str | None = None
    allow_pickle: bool = False

    @property
    def listens(self) -> bool:
        """It takes connections, and not stdin."""
        return not self.udp is self.tcp is self.websocket is None


def stream_live(request: Request) -> None:
    """Streams until the source ends or the user does; raises typer.Exit with 128 + the signal's number then.

    Raises:
        InputError: an option is unusable, a port is taken, or the record cannot be written.
        MissingExtraError: the extra `stream` is needed.
    """
    _check(request)
    tracks = _replayed(request)
    skeleton = _skeleton(request, tracks)
    import torch

    from olift_fast.model import Normalization
    from olift_fast.streaming import StreamingLifter
    from olift_fast.streaming.recording import Recording
    from olift_fast.streaming.session import Session

    torch.set_num_threads(request.threads)
    model = load_model(request.model, "cpu", request.dtype)
    lifter = StreamingLifter(
        model if request.delay is None else model.with_delay(request.delay),
        skeleton,
        tracks=request.tracks or (tracks.num_tracks if tracks else TRACKS),
        output=request.output,
        normalization=None if request.scale is None else Normalization(request.scale),
        fit_frames=request.fit_frames,
    )
    lifter.warmup()
    session = Session(lifter, min_confidence=request.min_confidence, idle=request.idle)
    recording = None
    if request.record is not None:
        recording = Recording(
            skeleton,
            frame=request.output,
            model=request.model,
            fps=request.fps or (tracks.fps if tracks else None),
            source=str(request.replay) if request.replay else None,
        )
    # What has been loaded stays; looking through it again and again would hold frames up.
    gc.collect()
    gc.freeze()
    try:
        stopped = asyncio.run(_run(request, session, recording, tracks))
    finally:
        if recording is not None and request.record is not None:
            _write(recording, request.record)
    if stopped:
        raise typer.Exit(128 + stopped)


async def _run(
    request: Request, session: Session, recording: Recording | None, tracks: KeypointTracks | None
) -> signal.Signals | None:
    """Streams until the source ends, or the signal that is returned comes."""
    from olift_fast.streaming.server import Server

    watch: list[Callable[[Event], None]] = [] if recording is None else [recording.add]
    loop = asyncio.get_running_loop()
    stopped: asyncio.Future[signal.Signals] = loop.create_future()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, _stop, loop, stopped, number)
    tasks: list[asyncio.Task[None]] = []
    listeners: list[Listener] = []
    view = _open_view(request, session.skeleton) if request.view else None
    if view is not None:
        watch.append(partial(_show, view))
        tasks.append(asyncio.create_task(_draw(view)))
    server = Server(session, on_lag=request.on_lag, queue=request.queue, watch=watch, notice=warn)
    try:
        tasks.append(asyncio.create_task(server.run()))
        listeners += await _listen(request, server)
        if not request.listens:
            tasks.append(asyncio.create_task(_feed(request, server, tracks)))
        ends: list[asyncio.Future[Any]] = [*tasks, stopped]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if stopped.done():
            await server.stop(LAST_WRITES)
        for task in tasks:
            if task.done():
                await task
    finally:
        for listener in listeners:
            await listener.close()
        for task in tasks:
            task.cancel()
        if view is not None:
            view.close()
        typer.echo(_summary(server.stats()), err=True)
    return stopped.result() if stopped.done() else None


def _stop(loop: asyncio.AbstractEventLoop, stopped: asyncio.Future[signal.Signals], number: signal.Signals) -> None:
    """Ends the stream in order; a second signal ends it at once."""
    for handled in (signal.SIGINT, signal.SIGTERM):
        loop.remove_signal_handler(handled)
    stopped.set_result(number)


async def _listen(request: Request, server: Server) -> list[Listener]:
    from olift_fast.streaming.transports import serve_tcp, serve_udp, serve_websocket

    listeners = []
    if request.tcp is not None:
        listeners.append(await serve_tcp(server, request.host, request.tcp))
    if request.udp is not None:
        listeners.append(await serve_udp(server, request.host, request.udp, request.idle))
    if request.websocket is not None:
        listeners.append(await serve_websocket(server, request.host, request.websocket))
    for listener in listeners:
        typer.echo(f"olift: listening on {listener.address}", err=True)
    return listeners


async def _feed(request: Request, server: Server, tracks: KeypointTracks | None) -> None:
    from olift_fast.streaming.transports import replay, serve_pipes

    if tracks is None:
        await serve_pipes(server, sys.stdin.fileno(), sys.stdout.fileno())
    else:
        fps = request.fps if request.fps is not None else tracks.fps
        await replay(server, tracks, REPLAY_FPS if fps is None else fps, sys.stdout.fileno())


def _open_view(request: Request, skeleton: Skeleton) -> LiveView:
    import logging
    import webbrowser

    from olift_fast.view.live import LiveView

    # The page's server would tell each browser that leaves early with a traceback.
    logging.getLogger("websockets.server").setLevel(logging.CRITICAL)

    view = LiveView(skeleton, request.host, request.view_port, title=request.replay.name if request.replay else "live")
    typer.echo(f"olift: live view at {view.url}", err=True)
    webbrowser.open(view.url)
    return view


def _show(view: LiveView, event: Event) -> None:
    from olift_fast.streaming.session import Ended, Lifted

    if isinstance(event, Lifted):
        view.show(event.life, event.track, event.frame, event.joints, event.keypoints, event.visible)
    elif isinstance(event, Ended):
        view.remove(event.life)


async def _draw(view: LiveView) -> None:
    while True:
        await asyncio.sleep(1 / DRAWN)
        view.draw()


def _check(request: Request) -> None:
    """Raises InputError or MissingExtraError for what can be told before anything is loaded."""
    sources = {"--tcp": request.tcp, "--udp": request.udp, "--websocket": request.websocket}
    for option, port in {**sources, "--view-port": request.view_port}.items():
        if port is not None and not 0 <= port < 1 << 16:
            raise InputError(f"{option} must be a port, 0 … 65535, got {port}")
    if request.replay is not None and request.listens:
        raise InputError("--replay is a source of its own: leave out the ports, or stream the file to one of them")
    if request.replay is None and request.skeleton is None:
        raise InputError("--skeleton FILE or RIG is needed: it tells the joints that the keypoints are of")
    if not 0 <= request.min_confidence <= 1:
        raise InputError(f"--min-confidence must be within 0 … 1, got {request.min_confidence:g}")
    if request.fps is not None and not 0 <= request.fps < float("inf"):
        raise InputError(f"--fps must be a number, 0 or more, got {request.fps:g}")
    for option, number in {"--idle": request.idle, "--scale": request.scale}.items():
        if number is not None and not 0 < number < float("inf"):
            raise InputError(f"{option} must be a positive number, got {number:g}")
    counts = {"--fit-frames": request.fit_frames, "--queue": request.queue, "--threads": request.threads}
    for option, count in {"--tracks": request.tracks, **counts}.items():
        if count is not None and count < 1:
            raise InputError(f"{option} must be >= 1, got {count}")
    if request.record is not None:
        check_result(request.record, request.replay, "--record")
    if request.websocket is not None and importlib.util.find_spec("websockets") is None:
        raise MissingExtraError(what="a WebSocket", extra="stream")
    if request.view:
        from olift_fast.view.live import require_viser

        require_viser()


def _replayed(request: Request) -> KeypointTracks | None:
    if request.replay is None:
        return None
    check_input(request.replay)
    return read_tracks(
        request.replay,
        format=request.format,
        skeleton=request.skeleton,
        min_confidence=request.min_confidence,
        allow_pickle=request.allow_pickle,
    )


def _skeleton(request: Request, tracks: KeypointTracks | None) -> Skeleton:
    from olift_fast.tracks.rigs import load_skeleton

    if tracks is not None:
        return tracks.skeleton
    assert request.skeleton is not None
    skeleton = load_skeleton(request.skeleton)
    if skeleton.num_joints < 2:
        raise InputError(f"{request.skeleton}: has one joint, wanted at least 2: a point alone has no depth")
    return skeleton


def _write(recording: Recording, out: Path) -> None:
    """Writes the record, in several files where one would be too large."""
    from olift_fast.io import write_lifted
    from olift_fast.io.write import part_path

    parts = recording.parts()
    if not parts:
        warn(f"{out}: not written: nothing was lifted")
    for number, part in enumerate(parts, 1):
        path = write_lifted(part, part_path(out, number))
        frames = f"{plural(part.num_tracks, 'track')}, {plural(part.num_frames, 'frame')}"
        typer.echo(f"olift: recorded {path} ({frames})", err=True)


def _summary(stats: dict[str, Any]) -> str:
    """How it went, in a line."""
    counts = f"{plural(stats['frames'], 'frame')} in, {stats['results']:,} out, {stats['dropped']:,} dropped"
    told = f"olift: {counts}, {plural(stats['bad_lines'], 'bad line')} in {stats['seconds']:.1f} s"
    delays = stats["latency_ms"]
    if delays is None:
        return told
    figures = ", ".join(f"{'longest' if name == 'max' else name} {value:g}" for name, value in delays.items())
    return f"{told}; ms from a frame to what is due with it: {figures}"
