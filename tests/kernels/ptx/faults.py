"""Why the machine stops."""

from __future__ import annotations


class Fault(Exception):  # noqa: N818 - it is the kernel's, not the program's
    """Something that a kernel must not do. When it leaves `ptx.run` its text tells the instruction and the source."""

    def __init__(self, message: str, thread: int | None = None) -> None:
        super().__init__(message)
        self.thread = thread
        """Which of the threads that run side by side is to blame, where one is."""


class OutOfBounds(Fault):
    """An access outside of every buffer, of shared or of local memory."""


class Misaligned(Fault):
    """An access at an address that its size does not divide."""


class Race(Fault):
    """Two threads at one place of memory, one of them writing, with no barrier between."""


class Deadlock(Fault):
    """Threads that wait at a barrier, or for lanes of their warp, that never come."""


class Trap(Fault):
    """The kernel stopped itself: an assertion of its own."""


class UnknownInstruction(Fault):
    """An instruction, or a form of one, that the machine does not know."""
