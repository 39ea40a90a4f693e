"""The answers to one source that wait to be written, and when the frames came that they answer."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice

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
        self._added, self._removed = 0, 0

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
        """The line that was added last was due with a frame that came at this time."""
        self._came.append((self._added, came))

    def peek(self, most: int) -> list[bytes]:
        """Lines from the front: one, and more while all have no more than `most` bytes."""
        size = 0
        for count, line in enumerate(self._lines):
            size += len(line)
            if size > most and count:
                return list(islice(self._lines, count))
        return list(self._lines)

    def remove(self, lines: list[bytes]) -> None:
        """Removes lines that `peek` has returned."""
        for line in lines:
            self._lines.popleft()
            self.bytes -= len(line)
        self._removed += len(lines)

    def times(self) -> Iterator[float]:
        """When the frames came whose answers have all been removed; each is told once."""
        while self._came and self._came[0][0] <= self._removed:
            yield self._came.popleft()[1]

    def clear(self) -> None:
        """Forgets all that waits."""
        self._lines.clear()
        self._came.clear()
        self.bytes, self._removed = 0, self._added
