"""Errors that a user can cause, as opposed to bugs. The command line prints each of them as one line."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager


class InputError(ValueError):
    """A file or an argument is unusable. The message is one line: its name, the value seen and the value wanted."""


def named(path: object, error: Exception) -> str:
    """The error's message, with the path put before it if it does not begin with it: "clip.npz: …"."""
    message = str(error)
    return message if message.startswith(f"{path}: ") else f"{path}: {message}"


@contextmanager
def by_option(argument: str, option: str) -> Iterator[None]:
    """Replaces the argument's name at the beginning of an InputError within the block with the option's name."""
    try:
        yield
    except InputError as error:
        message = str(error)
        if not message.startswith(argument):
            raise
        raise InputError(option + message.removeprefix(argument)) from error


@contextmanager
def by_options(*arguments: str) -> Iterator[None]:
    """Replaces these arguments' names with options in an InputError within the block that begins "fps must …".

    A message may name two: "start and stop must …".
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
        what: the thing that is pickled, as a phrase: "the array".
        way_out: the argument in Python, or the option of a command, that opens it all the same.
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
    """An optional dependency is not installed. The message names the extra that installs it.

    Args:
        what: the attempt, as a phrase: "reading .slp files".
        extra: the extra of this package that it needs: "io".
    """

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs: pip install 'olift-fast[{extra}]'")
        self.what = what
        self.extra = extra

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str]]:
        return type(self), (self.what, self.extra)


def printable(text: str) -> str:
    """The text as one line in which a terminal finds no commands: characters that can't be seen become escapes.

    These are control characters, ends of lines, changes of writing direction, and the lone surrogates that names of
    files may have: "\\x1b[2J", "\\n", "\\u202e".
    """
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)


def listed(names: Sequence[str], most: int = 4) -> str:
    """The names in one phrase, and of many only the first: "rat_0, rat_1, rat_2, rat_3 and 23 more"."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def plural(count: int, word: str) -> str:
    """The count with its word: "1 frame", "2,400 frames"."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def check_shares(name: str, shares: Mapping[str, float], known: Iterable[str]) -> None:
    """Raises InputError unless all names in `shares` are known, and the shares are finite, >= 0 and not all 0."""
    known, values = tuple(known), shares.values()
    if not set(shares) <= set(known) or not min(values, default=-1) >= 0 or not 0 < sum(values) < math.inf:
        raise InputError(f"{name} must be shares >= 0 of {', '.join(known)}, not all 0, got {dict(shares)}")
