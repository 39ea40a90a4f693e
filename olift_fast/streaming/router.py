"""The router between a live stream's connections and its `Session`: turns, the way of each answer, statistics."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from olift_fast.errors import InputError
from olift_fast.streaming.channel import Channel, Decode, OnLag
from olift_fast.streaming.counters import LatencyHistogram, RateLimit
from olift_fast.streaming.inbox import Waiting
from olift_fast.streaming.messages import End, FrameMessage, ResultLines, answer_line
from olift_fast.streaming.session import Ended, Event, Lifted, Notice, Session

TURN = 1 << 16
"""The work of reading between two steps, counted as `channel.LINE` explains: 256 blank lines, for example."""
PASSES = 3
"""Passes of the event loop between two steps: a socket is read in the first, a task woken by it runs in the next."""


class Router:
    """Passes the messages of all channels to the session, and each event of the session to its channel.

    In a turn it reads some lines, first from the channels that have had the least read, and lifts one frame of each
    track that has one waiting. Connections are read and written between the turns. So a channel can delay the others by
    one turn at most, whatever it sends.

    Args:
        session: shared by all channels.
        on_lag: if frames come faster than they are lifted, "queue" stops reading, so that the source waits; "drop"
            keeps only the newest frame of each track, so that results are recent.
        queue: the most messages of a channel that may wait; with "drop", the most tracks.
        watch: called with every event of the session, to record it or to show it.
        notice: called with each error and warning, as a line for the user.

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
        self.session, self.on_lag, self.queue = session, on_lag, queue
        self._notice, self._notices = notice, RateLimit(burst=100, seconds=0.1)
        self.joints = session.skeleton.num_joints
        self.latencies = LatencyHistogram()
        self._watch = tuple(watch)
        self._lines = ResultLines(self.joints)
        self._channels: deque[Channel] = deque()
        self._clock = 0
        self._stats_line: bytes | None = None
        self._of_closed = {"dropped": 0, "bad_lines": 0}
        self._work = asyncio.Event()
        self._started = time.monotonic()

    def connect(self, name: str, on_lag: OnLag | None = None, decode: Decode | None = None) -> Channel:
        """A channel for a new connection.

        Args:
            name: for messages to the user.
            on_lag: replaces the router's, for a source that can't be made to wait.
            decode: decodes the bytes into lines, if they are not lines already.
        """
        channel = Channel(self, name, on_lag or self.on_lag, decode)
        self._channels.append(channel)
        return channel

    def __len__(self) -> int:
        """How many channels are open."""
        return len(self._channels)

    def wake(self) -> None:
        """Makes `run` look for work."""
        self._work.set()

    def notice(self, message: str, always: bool = False) -> None:
        """Shows the user an error or a warning: at most a hundred at once, then ten a second; with `always`, all."""
        now = time.monotonic()
        if always and not self._notices.allows(now):
            self._notice(message)
        elif (withheld := self._notices.take(now)) is not None:
            self._notice(message + (f" ({withheld:,} more messages were left out)" if withheld else ""))

    async def run(self) -> None:
        """Takes turns until it is cancelled."""
        clock = asyncio.create_task(self._expire())
        try:
            while True:
                await self._work.wait()
                self._work.clear()
                await self._others()
                while self.turn():
                    await self._others()
        finally:
            clock.cancel()

    def turn(self, last: bool = False) -> bool:
        """Reads some lines and lifts some frames; False if there was nothing to do.

        Args:
            last: don't wait until answers are written before more is lifted.
        """
        self._stats_line = None
        read = self._read(last)
        lifted = self._lift(last)
        left = self._let_go()
        self._flush()
        return read or lifted or left

    async def stop(self, seconds: float) -> None:
        """Lifts waiting frames, ends all tracks and writes the answers. Lifting and writing may take `seconds` each."""
        channels = list(self._channels)
        for channel in channels:
            if not channel.finished:
                channel.why = "closed"
                channel.finish()
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.turn(last=True):
            pass
        # The rest comes from sources that send more than can be lifted.
        for channel in list(self._channels):
            self._close(channel)
        end = time.monotonic() + seconds
        while not all(channel.written for channel in channels) and time.monotonic() < end:
            await asyncio.sleep(0.005)

    def pass_over(self, channel: Channel, message: FrameMessage | End) -> None:
        """Called by a channel that dropped a message to make room: a frame is not lifted, an end still counts."""
        now = time.monotonic()
        if isinstance(message, End):
            self._emit(self.session.feed([(channel, message)], now))
        else:
            self._emit(self.session.skip(channel, message, now))

    def stats_line(self) -> bytes:
        """The answer to a request for `stats`; the same for all requests in a turn."""
        if self._stats_line is None:
            self._stats_line = answer_line({"stats": self.stats()})
        return self._stats_line

    def stats(self) -> dict[str, Any]:
        """Counts since the start, and latencies: from a frame's arrival until the result due with it is written.

        The latency of a result includes the time that it had to wait for its track's scale.
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

    def _read(self, last: bool) -> bool:
        """Reads lines until `TURN` is spent; the channel that has had the least work is always next.

        A silent channel earns no credit: when it sends again, it counts as having had as much work as the channel that
        is read now (start-time fair queueing, Goyal et al. 1996). Of two equal channels, the one with fewer unread
        bytes is next.
        """
        queue: list[tuple[int, int, int, Channel]] = []
        for place, channel in enumerate(self._channels):
            if channel.unread and (last or not channel.held_back):
                channel.work = max(channel.work, self._clock)
                queue.append((channel.work, channel.unread, place, channel))
        heapq.heapify(queue)
        spent, some, farthest = 0, bool(queue), 0
        while queue and spent < TURN:
            self._clock, _, place, channel = queue[0]
            work = channel.read()
            spent += work
            channel.work += work
            farthest = max(farthest, channel.work)
            if work and channel.unread and not channel.held_back:
                heapq.heapreplace(queue, (channel.work, channel.unread, place, channel))
            else:
                heapq.heappop(queue)
        if not queue:
            self._clock = max(self._clock, farthest)
        return some

    def _lift(self, last: bool) -> bool:
        """Lifts one frame of every track that has one waiting. If there are too many, the rest come next time."""
        taken: list[tuple[Channel, FrameMessage | End]] = []
        for channel, waiting in self._taken(last):
            message = waiting.message
            taken.append((channel, message if isinstance(message, End) else replace(message, came=waiting.came)))
        if taken:
            self._emit(self.session.feed(taken, time.monotonic()))
        return bool(taken)

    def _taken(self, last: bool) -> Iterator[tuple[Channel, Waiting]]:
        """The messages of the next step: one of each channel, then a second one of each, and so on."""
        most = self.session.together
        asked: deque[Channel] = deque()
        for _ in range(len(self._channels)):
            if len(asked) == most:
                break
            # Channels that are not reached this time come first the next time.
            self._channels.rotate(-1)
            channel = self._channels[-1]
            if channel.inbox and (last or not channel.outbox.full):
                asked.append(channel)
        tracks: set[tuple[Channel, str]] = set()
        for _ in range(most):
            if not asked:
                break
            channel = asked.popleft()
            waiting = channel.take()
            yield channel, waiting
            tracks.add((channel, waiting.message.track))
            if channel.inbox:
                message = channel.inbox.next
                if isinstance(message, End) or (channel, message.track) not in tracks:
                    asked.append(channel)

    def _let_go(self) -> bool:
        """Ends the tracks of channels that have finished, and closes these."""
        done = [channel for channel in self._channels if channel.finished and not (channel.unread or channel.inbox)]
        for channel in done:
            self._close(channel)
        return bool(done)

    def _close(self, channel: Channel) -> None:
        self._emit(self.session.close(channel, channel.why))
        channel.close()
        self._channels.remove(channel)
        for name in self._of_closed:
            self._of_closed[name] += getattr(channel, name)

    def _emit(self, events: Iterable[Event]) -> None:
        for event in events:
            channel = event.source
            assert isinstance(channel, Channel)
            if isinstance(event, Lifted):
                line = event.track, event.frame, event.t, event.joints, event.uncertainty, event.provisional
                channel.send(self._lines.line(*line))
                if event.due is not None:
                    channel.answered(event.due)
            elif isinstance(event, Ended):
                channel.send(answer_line({"end": event.track, "frames": event.frames, "why": event.why}))
            elif isinstance(event, Notice):
                channel.tell(event.kind, event.message)
            for watch in self._watch:
                watch(event)

    async def _expire(self) -> None:
        """Ends idle tracks, except those whose frames wait or whose source may not send; sends withheld messages."""
        while True:
            await asyncio.sleep(0.25)
            busy = [channel for channel in self._channels if channel.busy]
            self._emit(self.session.expire(time.monotonic(), spare=busy))
            for channel in self._channels:
                channel.tell_late()
            self._flush()

    def _flush(self) -> None:
        for channel in self._channels:
            channel.flush()

    @staticmethod
    async def _others() -> None:
        """Lets connections be read and written, so that a step has all frames that have come by then."""
        for _ in range(PASSES):
            await asyncio.sleep(0)
