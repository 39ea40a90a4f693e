"""Output of all commands: one-line errors with exit codes, warnings, JSON, a progress bar, stage timings."""

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
    """The command with error handling: one line on stderr and exit code 2 after a user's error, 130 if interrupted."""

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
    """Prints the line on stderr for an error that ends the command."""
    typer.secho(printable(f"olift: {one_line(error)}"), fg=typer.colors.RED, err=True)


def one_line(error: Exception) -> str:
    """The error's message in one line, with options for arguments; for a system error, the file and the cause."""
    if isinstance(error, PickledError):
        error = PickledError(error.what, "--allow-pickle")
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(str(error).split())


@contextmanager
def about(path: Path, source: str | None) -> Iterator[None]:
    """Makes an InputError within the block name `path`, if it begins with `source`, from which `path` was made."""
    try:
        yield
    except InputError as error:
        message = str(error)
        if source is None or not message.startswith(f"{source}: "):
            raise
        raise InputError(f"{path}: {message.removeprefix(f'{source}: ')}") from error


def say(*lines: str, err: bool = False) -> None:
    """Prints lines on stdout, or on stderr. `printable` escapes odd characters in names of files, joints and tracks."""
    for line in lines:
        typer.echo(printable(line), err=err)


def warn(message: str) -> None:
    """Prints a warning on stderr."""
    typer.echo(typer.style("warning: ", fg=typer.colors.YELLOW) + printable(message), err=True)


def show_warnings_printably() -> None:
    """Shows Python's own warnings through `printable`, because they may have names of files in them."""
    plain = warnings.formatwarning

    def formatted(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
    ) -> str:
        return plain("\n".join(map(printable, str(message).splitlines())), category, filename, lineno, line)

    warnings.formatwarning = formatted


def tell(note: str) -> None:
    """Prints a pale line on stderr, about a choice that was made."""
    typer.echo(typer.style(printable(f"note: {note}"), dim=True), err=True)


def old_option(value: Value, old_value: Value | None, *, new: str, old: str) -> Value:
    """An option's value: `old_value`, with a warning, if the old name was used; else `value`."""
    if old_value is None:
        return value
    warn(f"{old} is now {new}; the old name goes with the next release")
    return old_value


def print_json(content: dict[str, Any] | list[dict[str, Any]]) -> None:
    """Prints one JSON object, or a list of them, on stdout."""
    typer.echo(_json(content))


def print_json_line(content: dict[str, Any]) -> None:
    """Prints one JSON object, an event, as a line on stdout at once."""
    print(_json(content, indent=None), flush=True)


def write_json(content: dict[str, Any] | list[dict[str, Any]], path: Path) -> None:
    """Writes JSON to a file, in full or not at all; raises InputError if it can't be written."""
    from olift_fast.atomic import atomic_path

    with atomic_path(path) as temporary:
        temporary.write_text(_json(content) + "\n", encoding="utf-8")


def _json(content: dict[str, Any] | list[dict[str, Any]], indent: int | None = 2) -> str:
    # JSON escapes all other control characters.
    return json.dumps(content, indent=indent, allow_nan=False).replace("\x7f", "\\u007f")


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], words: int = 1) -> Table:
    """A table for rich's console: the first `words` columns are words, aligned left, the others numbers.

    Cells are shown with `printable`, and brackets in them are not markup.
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
    """A bar on stderr, and the function (done, in all) that moves it; None if stderr is not a terminal."""
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
    """Opens the page in the browser, or prints where it is."""
    import webbrowser

    address = page.resolve().as_uri()
    if not webbrowser.open(address):
        warn(f"no browser to open here; the page is at {address}")


def ordinal(number: int) -> str:
    """ "1st", "2nd", "13th"."""
    last = 0 if number % 100 in (11, 12, 13) else number % 10
    return f"{number}{('th', 'st', 'nd', 'rd')[last] if last < 4 else 'th'}"
