"""The answers to one source that wait to be written, and when the frames came that they answer."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

LINES = 256
"""When so many lines wait to be written, nothing more is read from their source, and none of its frames is lifted."""
BYTES = 1 << 20
"""The same for bytes. What is due with the last frame that was lifted may exceed both."""


class Outbox:
    """Lines in the order in which they are written."""

    def __init__(self) -> None:
        self.bytes = 0
        """Of the lines that wait."""
        self._lines: deque[bytes] = deque()
        self._came: deque[tuple[int, float]] = deque()
        self._added, self._taken = 0, 0

    def __len__(self) -> int:
        """How many lines wait."""
        return len(self._lines)

    @property
    def full(self) -> bool:
        """Its reader is slower than the answers come."""
        return len(self._lines) >= LINES or self.bytes >= BYTES

    def add(self, line: bytes) -> None:
        """Adds a line."""
        self._lines.append(line)
        self.bytes += len(line)
        self._added += 1

    def answered(self, came: float) -> None:
        """All answers that are due with a frame that came at this time have been added."""
        self._came.append((self._added, came))

    def take(self, most: int) -> list[bytes]:
        """Removes lines from the front: one, and more while all have no more than `most` bytes."""
        taken = [self._lines.popleft()]
        size = len(taken[0])
        while self._lines and size + len(self._lines[0]) <= most:
            taken.append(self._lines.popleft())
            size += len(taken[-1])
        self.bytes -= size
        self._taken += len(taken)
        return taken

    def times(self) -> Iterator[float]:
        """When the frames came whose answers have all been taken; each is told once."""
        while self._came and self._came[0][0] <= self._taken:
            yield self._came.popleft()[1]

    def clear(self) -> None:
        """Forgets all that waits."""
        self._lines.clear()
        self._came.clear()
        self.bytes, self._taken = 0, self._added
