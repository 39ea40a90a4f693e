"""What all commands share: one-line errors with exit codes, warnings, JSON, a progress bar, stage timings."""

from __future__ import annotations

import functools
import json
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import typer

from olift_fast.errors import InputError, MissingExtraError, PickledError, printable

if TYPE_CHECKING:
    from rich.table import Table

P = ParamSpec("P")
R = TypeVar("R")
Value = TypeVar("Value")

BAD_INPUT, SOME_FAILED, INTERRUPTED = 2, 3, 130


def reported(command: Callable[P, R]) -> Callable[P, R]:
    """The command, which after a user's error ends with one line on stderr and exit code 2; interrupted, with 130."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except BrokenPipeError:
            raise  # typer ends quietly when the reader of a pipe has gone
        except KeyboardInterrupt:
            say("olift: interrupted", err=True)
            raise typer.Exit(INTERRUPTED) from None
        except (InputError, MissingExtraError, OSError) as error:
            if kwargs.get("debug"):
                say(*traceback.format_exc().splitlines(), err=True)
            stopped(error)
            raise typer.Exit(BAD_INPUT) from None

    return run


def stopped(error: Exception) -> None:
    """The line on stderr of an error that ends the command."""
    typer.secho(printable(f"olift: {one_line(error)}"), fg=typer.colors.RED, err=True)


def one_line(error: Exception) -> str:
    """The error's message in one line, with options in place of arguments; of a system error the file and the cause."""
    if isinstance(error, PickledError):
        error = PickledError(error.what, "--allow-pickle")
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(str(error).split())


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


@contextmanager
def about(path: Path, source: str | None) -> Iterator[None]:
    """Has an InputError within the block that begins with `source`, which a file was made from, name that file."""
    try:
        yield
    except InputError as error:
        message = str(error)
        if source is None or not message.startswith(f"{source}: "):
            raise
        raise InputError(f"{path}: {message.removeprefix(f'{source}: ')}") from error


def say(*lines: str, err: bool = False) -> None:
    """Lines on stdout, or on stderr. Names of files, joints and tracks may stand in them: `printable` escapes signs."""
    for line in lines:
        typer.echo(printable(line), err=err)


def warn(message: str) -> None:
    """A line on stderr that does not stop the command."""
    typer.echo(typer.style("warning: ", fg=typer.colors.YELLOW) + printable(message), err=True)


def show_warnings_printably() -> None:
    """Has Python's own warnings, in which names of files may stand, shown as `printable` does."""
    plain = warnings.formatwarning

    def formatted(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
    ) -> str:
        return plain("\n".join(map(printable, str(message).splitlines())), category, filename, lineno, line)

    warnings.formatwarning = formatted


def tell(note: str) -> None:
    """A pale line on stderr: how something was done where that was a choice."""
    typer.echo(typer.style(printable(f"note: {note}"), dim=True), err=True)


def old_option(value: Value, old_value: Value | None, *, new: str, old: str) -> Value:
    """An option's value: what was given by its old name, if anything, with a warning; else `value`."""
    if old_value is None:
        return value
    warn(f"{old} is now {new}; the old name goes with the next release")
    return old_value


def print_json(content: dict[str, Any] | list[dict[str, Any]]) -> None:
    """One JSON object, or a list of them, on stdout."""
    typer.echo(_json(content))


def print_json_line(content: dict[str, Any]) -> None:
    """One JSON object in a line on stdout, at once: an event of many."""
    print(_json(content, indent=None), flush=True)


def write_json(content: dict[str, Any] | list[dict[str, Any]], path: Path) -> None:
    """The same into a file, in full or not at all; raises InputError where it can't be written."""
    from olift_fast.atomic import atomic_path

    with atomic_path(path) as temporary:
        temporary.write_text(_json(content) + "\n", encoding="utf-8")


def _json(content: dict[str, Any] | list[dict[str, Any]], indent: int | None = 2) -> str:
    # JSON escapes all signs that a terminal may obey but this one.
    return json.dumps(content, indent=indent, allow_nan=False).replace("\x7f", "\\u007f")


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], words: int = 1) -> Table:
    """A table for rich's console: the first `words` columns hold words, aligned left, the others numbers.

    Cells are shown as they are, with `printable`: brackets in them are no markup.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=SIMPLE_HEAD, pad_edge=True)
    for place, column in enumerate(columns):
        grid.add_column(Text(column), justify="left" if place < words else "right")
    for row in rows:
        grid.add_row(*(Text(printable(cell)) for cell in row))
    return grid


@contextmanager
def progress_bar(label: str, quiet: bool = False) -> Iterator[Callable[[int, int], None] | None]:
    """A bar on stderr, moved by the function that it gives, of (done, in all); None where stderr is no terminal."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(printable(label), total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def open_page(page: Path) -> None:
    """Opens the page in the browser, or says where it is."""
    import webbrowser

    address = page.resolve().as_uri()
    if not webbrowser.open(address):
        warn(f"no browser to open here; the page is at {address}")


def plural(count: int, word: str) -> str:
    """ "1 frame", "2,400 frames"."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def ordinal(number: int) -> str:
    """ "1st", "2nd", "13th"."""
    last = 0 if number % 100 in (11, 12, 13) else number % 10
    return f"{number}{('th', 'st', 'nd', 'rd')[last] if last < 4 else 'th'}"
