"""The queue of answers to one source that wait to be written, with the times when their frames came."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice

LINES = 256
"""While this many lines wait to be written, nothing is read from their source, and none of its frames is lifted."""
BYTES = 1 << 20
"""The same limit in bytes. The answers due with the last lifted frame may exceed both limits."""


class Outbox:
    """Lines in the order in which they are written."""

    def __init__(self) -> None:
        self.bytes = 0
        """The bytes of the lines that wait."""
        self._lines: deque[bytes] = deque()
        self._came: deque[tuple[int, float]] = deque()
        self._added, self._removed = 0, 0

    def __len__(self) -> int:
        """How many lines wait."""
        return len(self._lines)

    @property
    def full(self) -> bool:
        """Whether a limit is reached: the reader is slower than the answers."""
        return len(self._lines) >= LINES or self.bytes >= BYTES

    def add(self, line: bytes) -> None:
        """Adds a line."""
        self._lines.append(line)
        self.bytes += len(line)
        self._added += 1

    def answered(self, came: float) -> None:
        """Notes that the line added last was due with a frame that came at this time."""
        self._came.append((self._added, came))

    def peek(self, most: int) -> list[bytes]:
        """Lines from the front: at least one, and more while they have at most `most` bytes together."""
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
        """The times when frames came whose answers have all been removed. Each is returned once."""
        while self._came and self._came[0][0] <= self._removed:
            yield self._came.popleft()[1]

    def clear(self) -> None:
        """Forgets all that waits."""
        self._lines.clear()
        self._came.clear()
        self.bytes, self._removed = 0, self._added
