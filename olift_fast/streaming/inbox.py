"""The messages of one source that wait to be lifted: all of them, or only the newest frame of each track."""

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
        """Frames that made room for others."""
        self._waiting: deque[Waiting] = deque()

    def __len__(self) -> int:
        """How many messages wait."""
        return len(self._waiting)

    @property
    def full(self) -> bool:
        """No more messages should come until some are taken."""
        return len(self._waiting) >= self.room

    @property
    def next(self) -> FrameMessage | End:
        """The message that `take` would return."""
        return self._waiting[0].message

    def put(self, message: FrameMessage | End, came: float) -> FrameMessage | End | None:
        """Adds a message; returns one that made room for it and must be dealt with now: here none does."""
        self._waiting.append(Waiting(came, message))
        return None

    def take(self) -> Waiting:
        """Removes the message that came first."""
        return self._waiting.popleft()


class FreshInbox(Inbox):
    """The newest frame of each track, with the track's end where it ends; what comes makes room for itself.

    A track that has ended and another one that follows with the same name are two tracks: both have their frame here.

    Args:
        room: how many tracks may wait. The one that has waited longest makes room for the next.
    """

    def __init__(self, room: int) -> None:
        super().__init__(room)
        self._last: dict[str, Waiting] = {}
        """By name: the last that waits of the tracks called so."""

    @property
    def full(self) -> bool:
        """Never: its source need not wait."""
        return False

    def put(self, message: FrameMessage | End, came: float) -> FrameMessage | End | None:
        """Adds a message. The work does not depend on how much waits.

        A frame replaces the one of its track that waits, and knows of it (`FrameMessage.dropped`). Where too many
        tracks wait, the message that has waited longest is returned; nothing that waits of its track precedes it.
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
