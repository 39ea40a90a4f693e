"""The queue of a source's messages that wait to be lifted: all of them, or only the newest frame of each track."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

from olift_fast.streaming.messages import End, FrameMessage


@dataclass(slots=True)
class Waiting:
    """A message and the time when it came."""

    came: float
    message: FrameMessage | End


class Inbox:
    """Messages in the order in which they came. When it is full, its source has to wait.

    Args:
        room: how many may wait.
    """

    def __init__(self, room: int) -> None:
        self.room = room
        self.dropped = 0
        """The number of frames that were dropped to make room for others."""
        self._waiting: deque[Waiting] = deque()

    def __len__(self) -> int:
        """How many messages wait."""
        return len(self._waiting)

    @property
    def full(self) -> bool:
        """Whether no more messages should come until some are taken."""
        return len(self._waiting) >= self.room

    @property
    def next(self) -> FrameMessage | End:
        """The message that `take` would return."""
        return self._waiting[0].message

    def put(self, message: FrameMessage | End, came: float) -> FrameMessage | End | None:
        """Adds a message; returns one that was removed to make room, which the caller must handle. Here always None."""
        self._waiting.append(Waiting(came, message))
        return None

    def take(self) -> Waiting:
        """Removes the message that came first."""
        return self._waiting.popleft()


class FreshInbox(Inbox):
    """The newest frame of each track, and the track's end if it ends. New messages replace old ones.

    A track that has ended and a later one with the same name are two tracks, and each has its own frame here.

    Args:
        room: how many tracks may wait. With more, the one that has waited longest is removed.
    """

    def __init__(self, room: int) -> None:
        super().__init__(room)
        self._last: dict[str, Waiting] = {}
        """By name: the last waiting track of that name."""

    @property
    def full(self) -> bool:
        """Always False: its source need not wait."""
        return False

    def put(self, message: FrameMessage | End, came: float) -> FrameMessage | End | None:
        """Adds a message, in constant time.

        A frame replaces the waiting frame of its track, and counts it (`FrameMessage.dropped`). If too many tracks
        wait, the message that has waited longest is removed and returned; it is the first of its track.
        """
        last = self._last.get(message.track)
        if last is not None and isinstance(last.message, FrameMessage) and not last.message.end:
            if isinstance(message, End):
                last.message = replace(last.message, end=True)
            else:
                last.came, last.message = came, replace(message, dropped=last.message.dropped + 1)
                self.dropped += 1
            return None
        self._last[message.track] = last = Waiting(came, message)
        self._waiting.append(last)
        if len(self._waiting) <= self.room:
            return None
        oldest = self.take().message
        self.dropped += isinstance(oldest, FrameMessage)
        return oldest

    def take(self) -> Waiting:
        """Removes the message whose track has waited longest."""
        taken = super().take()
        if self._last.get(taken.message.track) is taken:
            del self._last[taken.message.track]
        return taken
