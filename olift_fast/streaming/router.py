"""Between the sources of a live stream and its `Session`: bounded queues, what happens on lag, and statistics."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Literal

from olift_fast.errors import InputError
from olift_fast.streaming.counters import LatencyHistogram, RateLimit
from olift_fast.streaming.messages import (
    MAX_LINE,
    End,
    FrameMessage,
    LineSplitter,
    ResultLines,
    StatsRequest,
    answer_line,
    parse_line,
)
from olift_fast.streaming.session import Ended, Event, Lifted, Notice, Session

OnLag = Literal["drop", "queue"]
OUTBOX = 256
"""When so many lines wait to be written, the channel's frames are not lifted until some have been."""


class Channel:
    """One connection: its messages wait in an inbox, its answers in an outbox, and both are bounded.

    A transport makes one for each connection with `Router.connect`. It hands over bytes with `receive`, stops reading
    while `ready` waits, writes what `outgoing` returns, and calls `finish` when the source has ended.
    """

    def __init__(self, router: Router, name: str, on_lag: OnLag) -> None:
        self.name, self.on_lag = name, on_lag
        self.inbox: deque[tuple[float, FrameMessage | End]] = deque()
        self.dropped, self.bad_lines, self.lines = 0, 0, 0
        self._router = router
        self._splitter = LineSplitter()
        self._outbox: list[bytes] = []
        self._arrivals: list[float] = []
        self._room, self._filled = asyncio.Event(), asyncio.Event()
        self._room.set()
        self._limits = {"error": RateLimit(), "warning": RateLimit(), "dropped": RateLimit(burst=1, seconds=2)}
        self.finished = self.closed = False

    @property
    def pending(self) -> bool:
        """Lines wait to be written."""
        return bool(self._outbox)

    @property
    def blocked(self) -> bool:
        """Its reader is slower than the results come: the outbox is full."""
        return len(self._outbox) >= OUTBOX

    def receive(self, data: bytes) -> None:
        """Takes bytes in; they may be cut anywhere."""
        for line in self._splitter.feed(data):
            self.receive_line(line)

    def receive_line(self, line: bytes | None) -> None:
        """Takes a line in; None stands for a line that was too long."""
        self.lines += 1
        try:
            if line is None:
                raise InputError(f"longer than {MAX_LINE:,} bytes")
            message = parse_line(line, self._router.joints)
        except InputError as error:
            self.bad_lines += 1
            self.tell("error", f"line {self.lines:,}: {error}")
            return
        if isinstance(message, StatsRequest):
            self.send(answer_line({"stats": self._router.stats()}))
        elif message is not None:
            self.put(message)

    def put(self, message: FrameMessage | End) -> None:
        """Takes a message in; on lag "drop" removes the oldest frame that waits to make room for it."""
        if self.on_lag == "drop" and len(self.inbox) >= self._router.queue:
            self._drop()
        self.inbox.append((time.perf_counter(), message))
        if self.on_lag == "queue" and len(self.inbox) >= self._router.queue:
            self._room.clear()
        self._router.wake()

    async def ready(self) -> None:
        """Returns when the transport may read on: at once, unless the inbox is full and on lag the source waits."""
        await self._room.wait()

    def take(self) -> tuple[float, FrameMessage | End]:
        """The message that has waited longest."""
        taken = self.inbox.popleft()
        if len(self.inbox) < self._router.queue:
            self._room.set()
        return taken

    def send(self, line: bytes) -> None:
        """Adds a line to the outbox."""
        if not self.closed:
            self._outbox.append(line)
            self._filled.set()

    def tell(self, kind: Literal["error", "warning"], message: str, about: str | None = None) -> None:
        """Sends a message to the source and to `notice`, at a limited rate.

        Args:
            about: messages about the same thing share a rate limit of their own.
        """
        withheld = self._limits[about or kind].take(time.monotonic())
        if withheld is None:
            return
        if withheld and about is None:
            message += f" ({withheld:,} more like it were not told)"
        # A source that sends bad lines and never reads must not fill the memory.
        if not self.blocked:
            self.send(answer_line({kind: message}))
        self._router.notice(f"{self.name}: {message}")

    def sent_at(self, arrived: float) -> None:
        """A result that was due with a frame that arrived then is in the outbox; writing it ends its latency."""
        self._arrivals.append(arrived)
        if not self._outbox:
            self._count_latencies()

    async def outgoing(self) -> list[bytes] | None:
        """Waits for lines to write and returns them; None when there will be no more."""
        while not self._outbox:
            if self.closed:
                return None
            self._filled.clear()
            await self._filled.wait()
        lines, self._outbox = self._outbox, []
        self._count_latencies()
        self._router.wake()
        return lines

    def finish(self) -> None:
        """The source has ended: its tracks end once all frames in the inbox are lifted."""
        if not self.finished:
            for line in self._splitter.close():
                self.receive_line(line)
            self.finished = True
            self._router.wake()

    def close(self) -> None:
        """Takes no more lines into the outbox."""
        self.closed = True
        self._room.set()
        self._filled.set()

    def vanish(self) -> None:
        """The other side is gone: what it has not read is discarded."""
        self.close()
        self._outbox.clear()
        self._arrivals.clear()
        self.finish()
        # What waited for its reader can go on, and then its tracks end.
        self._router.wake()

    def _count_latencies(self) -> None:
        now = time.perf_counter()
        for arrived in self._arrivals:
            self._router.latencies.add(now - arrived)
        self._arrivals.clear()

    def _drop(self) -> None:
        for place, (_, message) in enumerate(self.inbox):
            if isinstance(message, FrameMessage):
                del self.inbox[place]
                self.dropped += 1
                self._router.dropped(self, message)
                return


class Router:
    """Takes the messages of all channels to the session, and each event of the session to its channel.

    A step lifts one frame of every track that has one waiting.

    Args:
        session: shared by all channels.
        on_lag: what happens when frames come faster than they are lifted or read: "queue" stops reading, so that the
            source waits; "drop" drops the oldest frame that waits, so that results are recent.
        queue: how many messages of a channel may wait.
        watch: called with every event of the session, to record it or to show it.
        notice: called with each error and warning as a line for people.

    Raises:
        InputError: `queue` or `on_lag` is out of range.
    """

    def __init__(
        self,
        session: Session,
        *,
        on_lag: OnLag = "queue",
        queue: int = 64,
        watch: Iterable[Callable[[Event], None]] = (),
        notice: Callable[[str], None] = lambda message: None,
    ) -> None:
        if queue < 1:
            raise InputError(f"queue must be >= 1, got {queue}")
        if on_lag not in ("queue", "drop"):
            raise InputError(f"on_lag must be 'queue' or 'drop', got {on_lag!r}")
        self.session, self.on_lag, self.queue, self.notice = session, on_lag, queue, notice
        self.joints = session.skeleton.num_joints
        self.latencies = LatencyHistogram()
        self._watch = tuple(watch)
        self._lines = ResultLines(self.joints)
        self._channels: list[Channel] = []
        self._of_closed = {"dropped": 0, "bad_lines": 0}
        self._work = asyncio.Event()
        self._started = time.monotonic()

    def connect(self, name: str, on_lag: OnLag | None = None) -> Channel:
        """A channel for a new connection; `on_lag` replaces the router's, where a source can't be made to wait."""
        channel = Channel(self, name, on_lag or self.on_lag)
        self._channels.append(channel)
        return channel

    def __len__(self) -> int:
        """How many channels are open."""
        return len(self._channels)

    def wake(self) -> None:
        """Has `run` look for work."""
        self._work.set()

    async def run(self) -> None:
        """Lifts until it is cancelled."""
        clock = asyncio.create_task(self._expire())
        try:
            while True:
                await self._work.wait()
                self._work.clear()
                while self._step():
                    # Sockets are read and written between the steps.
                    await asyncio.sleep(0)
        finally:
            clock.cancel()

    async def stop(self, seconds: float) -> None:
        """Lifts all that waits and ends all tracks; returns when all is written, or after so many seconds."""
        channels = list(self._channels)
        for channel in channels:
            channel.finish()
        while self._step(last=True):
            pass
        end = time.monotonic() + seconds
        while any(channel.pending for channel in channels) and time.monotonic() < end:
            await asyncio.sleep(0.005)

    def dropped(self, channel: Channel, frame: FrameMessage) -> None:
        """Called by a channel that has dropped a frame."""
        self._emit(self.session.skip(channel, frame, time.monotonic()))
        told = f"frames come faster than they are lifted or read; dropped {channel.dropped:,} so far"
        channel.tell("warning", told, about="dropped")

    def stats(self) -> dict[str, Any]:
        """Counts since the start, and latencies: from a frame's arrival until the result due with it is written.

        A result that had to wait for its track's scale counts with all that time.
        """
        counts = {name: gone + sum(getattr(c, name) for c in self._channels) for name, gone in self._of_closed.items()}
        return {
            "seconds": round(time.monotonic() - self._started, 3),
            "frames": self.session.frames,
            "results": self.session.results,
            **counts,
            "waiting": sum(len(channel.inbox) for channel in self._channels),
            "held": self.session.held_frames,
            "tracks": len(self.session.tracks),
            "clients": len(self._channels),
            "latency_frames": self.session.latency_frames,
            "latency_ms": self.latencies.milliseconds(),
        }

    def _step(self, last: bool = False) -> bool:
        """Lifts one frame of every track that has one waiting; False where there was nothing to do."""
        taken: list[tuple[Channel, FrameMessage | End]] = []
        for channel in self._channels:
            tracks: set[str] = set()
            while channel.inbox and (last or not channel.blocked) and channel.inbox[0][1].track not in tracks:
                arrived, message = channel.take()
                tracks.add(message.track)
                taken.append((channel, message if isinstance(message, End) else replace(message, came=arrived)))
        if taken:
            self._emit(self.session.feed(taken, time.monotonic()))
        done = [channel for channel in self._channels if channel.finished and not channel.inbox]
        for channel in done:
            self._emit(self.session.close(channel, "gone"))
            channel.close()
            self._channels.remove(channel)
            for name in self._of_closed:
                self._of_closed[name] += getattr(channel, name)
        return bool(taken or done)

    def _emit(self, events: Iterable[Event]) -> None:
        for event in events:
            channel = event.source
            assert isinstance(channel, Channel)
            if isinstance(event, Lifted):
                line = event.track, event.frame, event.t, event.joints, event.uncertainty, event.provisional
                channel.send(self._lines.line(*line))
                if event.due is not None:
                    channel.sent_at(event.due)
            elif isinstance(event, Ended):
                channel.send(answer_line({"end": event.track, "frames": event.frames, "why": event.why}))
            elif isinstance(event, Notice):
                channel.tell(event.kind, event.message)
            for watch in self._watch:
                watch(event)

    async def _expire(self) -> None:
        """Ends idle tracks, but not those whose frames wait or whose source may not send."""
        while True:
            await asyncio.sleep(0.25)
            busy = [channel for channel in self._channels if channel.inbox or channel.blocked]
            self._emit(self.session.expire(time.monotonic(), spare=busy))
