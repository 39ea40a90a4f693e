"""Reads untrusted files: only regular files, JSON strictly; text from them is escaped in messages."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any, NoReturn

from olift_fast.errors import InputError, printable
from olift_fast.odd_files import refuse_irregular

#: The most digits of a whole number in a file, and the most characters of a value in a message.
_DIGITS, _SHOWN = 40, 60


@contextmanager
def open_regular(path: Path) -> Iterator[BufferedReader]:
    """The file, opened for reading.

    Raises:
        InputError: it can't be opened, or is a folder, a pipe, a socket or a device.
    """
    try:
        refuse_irregular(path, path.stat().st_mode)
        # Non-blocking: if the path has become a pipe meanwhile, opening it must not wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except InputError:
        raise
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    with open(descriptor, "rb") as file:
        refuse_irregular(path, os.fstat(descriptor).st_mode)
        yield file


def read_regular(path: Path, most: int) -> bytes:
    """The file's content, of `most` bytes at most.

    Raises:
        InputError: the file is larger, or as in `open_regular`.
    """
    with open_regular(path) as file:
        try:
            content = file.read(most + 1)
        except OSError as error:
            raise unreadable(path, error) from error
    if len(content) > most:
        raise InputError(f"{path}: must be a file of at most {most:,} bytes, got more")
    return content


def unreadable(path: Path, error: OSError | ValueError) -> InputError:
    """The error for a file that can't be opened or read. A ValueError comes from names that no file can have."""
    return InputError(f"{path}: can't be read: {getattr(error, 'strerror', None) or error}")


def parse_json(content: bytes, *, constants: bool = False) -> Any:
    """The value of JSON text in UTF-8. A key twice in an object, or a number of more than 40 digits, is an error.

    Args:
        content: the file's content.
        constants: also accept NaN and Infinity, which are not JSON.

    Raises:
        InputError: the content is not such JSON. The message does not name the file.
    """
    try:
        return json.loads(
            content.decode("utf-8"),
            object_pairs_hook=_object,
            parse_int=_whole,
            parse_constant=float if constants else _no_constant,
        )
    except RecursionError:
        raise InputError("is not JSON that can be read: brackets are nested too deeply") from None
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"is not JSON: {plain_line(str(error))}") from error


@contextmanager
def naming(what: str | Path) -> Iterator[None]:
    """Puts `what`, such as the file's name, before the message of an InputError within the block."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{what}: {error}") from error


def shown(value: Any) -> str:
    """A value from a file for a message: as Python writes it, in printable characters, cut after 60 of them."""
    try:
        text = repr(value)
    except ValueError:
        return "a number of thousands of digits"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def some(names: Iterable[str], most: int = 3) -> str:
    """The first few names for a message."""
    names = list(names)
    more = f", … ({len(names)} in all)" if len(names) > most else ""
    return ", ".join(map(shown, names[:most])) + more


def plain_line(text: str, most: int = 300) -> str:
    """Text from a file as one line of printable characters (`printable`), cut after `most` of them."""
    line = printable(text[: most + 1])
    return line if len(line) <= most else f"{line[:most]}…"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in pairs:
        if key in made:
            raise InputError(f"must have each key once, got {shown(key)} twice")
        made[key] = value
    return made


def _whole(digits: str) -> int:
    if len(digits) > _DIGITS:
        raise InputError(f"must hold numbers of at most {_DIGITS} digits, got one of {len(digits)}")
    return int(digits)


def _no_constant(name: str) -> NoReturn:
    raise InputError(f"must hold finite numbers, got {name}")
