"""The errors a user can cause, told apart from bugs: the command line prints these in one line."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager


class InputError(ValueError):
    """A file or an argument is unusable; the message is one line naming it, the value seen and the value wanted."""


def named(path: object, error: Exception) -> str:
    """The error's message, which begins with the path: "clip.npz: …"."""
    message = str(error)
    return message if message.startswith(f"{path}: ") else f"{path}: {message}"


@contextmanager
def by_option(argument: str, option: str) -> Iterator[None]:
    """Puts an option in place of the argument that an InputError within the block begins with."""
    try:
        yield
    except InputError as error:
        message = str(error)
        if not message.startswith(argument):
            raise
        raise InputError(option + message.removeprefix(argument)) from error


@contextmanager
def by_options(*arguments: str) -> Iterator[None]:
    """Puts options in place of these arguments where an InputError within the block begins "fps must …".

    A message may tell of two: "start and stop must …".
    """
    try:
        yield
    except InputError as error:
        said, must, wanted = str(error).partition(" must ")
        named = said.split(" and ")
        if not must or not set(named) <= set(arguments):
            raise
        options = " and ".join(f"--{one.replace('_', '-')}" for one in named)
        raise InputError(options + must + wanted) from error


class PickledError(InputError):
    """A file holds pickled Python objects, which can run any code when they are opened.

    Args:
        what: what is pickled, as a phrase: "the array".
        way_out: how its reader is told to open them all the same: the argument in Python, or the option of a command.
    """

    def __init__(self, what: str, way_out: str = "allow_pickle=True") -> None:
        super().__init__(
            f"{what} holds pickled Python objects, which can run code when opened; "
            f"pass {way_out} if you trust where the file comes from"
        )
        self.what = what

    def __reduce__(self) -> tuple[type[PickledError], tuple[str]]:
        return type(self), (self.what,)


class MissingExtraError(ImportError):
    """An optional dependency is not installed; the message says which extra brings it.

    Args:
        what: what was attempted, as a phrase: "reading .slp files".
        extra: the extra of this package that makes it possible: "io".
    """

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs: pip install 'olift-fast[{extra}]'")
        self.what = what
        self.extra = extra

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str]]:
        return type(self), (self.what, self.extra)


def printable(text: str) -> str:
    """One line that a terminal shows as it is, and obeys nothing of: signs that can't be seen become escapes.

    These are escape codes and other control characters, ends of lines, what changes the direction of writing, and
    halves of surrogate pairs, as names of files may hold: "\\x1b[2J", "\\n", "\\u202e".
    """
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)


def listed(names: Sequence[str], most: int = 4) -> str:
    """Names one after the other, of many only the first: "rat_0, rat_1, rat_2, rat_3 and 23 more"."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def check_shares(name: str, shares: Mapping[str, float], known: Iterable[str]) -> None:
    """Raises InputError unless `shares` are of known names, finite and >= 0, and not all 0."""
    known, values = tuple(known), shares.values()
    if not set(shares) <= set(known) or not min(values, default=-1) >= 0 or not 0 < sum(values) < math.inf:
        raise InputError(f"{name} must be shares >= 0 of {', '.join(known)}, not all 0, got {dict(shares)}")
