"""Turns errors of the option parser into one line: the option, the value wanted and the value seen."""

from __future__ import annotations

import os
import types
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Any, NoReturn, Union, get_args, get_origin, get_type_hints

import typer
from typer.core import TyperCommand, TyperGroup

from olift_fast.cli.console import BAD_INPUT, stopped
from olift_fast.errors import InputError

_UsageError: Any = typer.BadParameter.__base__
"""click's exception, or that of the copy of click in newer versions of typer."""
_KINDS = {float: "a number", int: "a whole number"}
_WRITTEN = frozenset({"--out", "--html", "--record", "--png", "--plot"})
_COUNTS = ("no", "one", "two", "three", "four")


class Root(TyperGroup):
    """The group of commands, with errors of one line for words before the command."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Parses the words before the command."""
        with _in_one_line():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        """Parses the command's words, and runs it."""
        with _in_one_line():
            return super().invoke(ctx)


class Command(TyperCommand):
    """A command, with errors of one line for its options."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parses the command's options."""
        args = [_with_home(arg) for arg in args]
        given = [*args]
        try:
            rest = super().parse_args(ctx, args)
        except _UsageError as error:
            explain = _misused if hasattr(error, "option_name") else _unfit
            told = explain(self, ctx, error, given)
            if told is None:
                raise
            _stop(told)
        repeated = _repeated(self, ctx, given)
        if repeated is not None:
            _stop(repeated)
        return rest


@contextmanager
def _in_one_line() -> Iterator[None]:
    try:
        yield
    except _UsageError as error:
        # By its name, as typer does: not all versions have it.
        if type(error).__name__ == "NoArgsIsHelpError":
            raise
        _stop(_told(error.format_message(), error.ctx))


def _stop(line: str) -> NoReturn:
    stopped(InputError(line))
    raise typer.Exit(BAD_INPUT) from None


def _with_home(arg: str) -> str:
    """The argument with the home folder for ``~/``, which shells leave as it is in quotes and after ``--out=``."""
    option, equals, value = arg.partition("=") if arg.startswith("--") else ("", "", arg)
    if not value.startswith("~/") or Path("~").exists():
        return arg
    return f"{option}{equals}{os.path.expanduser(value)}"


def _repeated(command: Any, ctx: Any, given: Sequence[str]) -> str | None:
    """Of an option that names one file to write and has several: all but the last would not be written.

    Of other options the last value counts, as usual: aliases and scripts change their own defaults so.
    """
    options = [one for one in command.params if _WRITTEN.intersection(one.opts) and not one.is_flag]
    for option in options:
        option.multiple = True  # so that the parser keeps all
    try:
        seen = command.make_parser(ctx).parse_args([*given])[0]
    finally:
        for option in options:
            option.multiple = False
    for option in options:
        names = list(dict.fromkeys(seen.get(option.name) or ()))
        if len(names) > 1:
            return f"{option.opts[0]} must be one name, got {' and '.join(map(repr, names))}"
    return None


def _told(message: str, ctx: Any) -> str:
    """The parser's message in the style of our own errors, with a hint to ``--help``."""
    said = " ".join(message.split()).removesuffix(".")
    where = ctx.command_path if ctx is not None else "olift"
    return f"{said[:1].lower()}{said[1:]}{'' if said.endswith('?') else ';'} `{where} --help` shows what there is"


def _misused(command: Any, ctx: Any, error: Any, given: Sequence[str]) -> str | None:
    """The message for an option that is unknown, has too few values, or a value but takes none; else None."""
    name = error.option_name
    option = next((one for one in command.params if name in (*one.opts, *one.secondary_opts)), None)
    if option is None:
        near = sorted(getattr(error, "possibilities", None) or ())
        guess = f", did you mean {_or(near)}?" if near else ""
        return _told(f"there is no option {name}{guess}", ctx)
    value = next((arg.partition("=")[2] for arg in given if arg.startswith(f"{name}=")), None)
    if value is not None:
        return f"{name} takes no value, got {value!r}" if getattr(option, "is_flag", False) else None
    return f"{name} {_wanted(_kind(command, option))}, got {'none' if option.nargs == 1 else 'fewer'}"


def _unfit(command: Any, ctx: Any, error: Any, given: Sequence[str]) -> str | None:
    """The message for a value of the wrong type or a missing one; None if the option is not known."""
    option = getattr(error, "param", None)
    if option is None:
        return None
    if type(error).__name__ == "MissingParameter":
        name = "/".join(option.opts) if option.param_type_name == "option" else option.metavar or option.name.upper()
        return f"{name} is missing; `{ctx.command_path} --help` shows what there is"
    seen = command.make_parser(ctx).parse_args([*given])[0].get(option.name)
    if seen is None:
        return None
    kind = _kind(command, option)
    if option.multiple:
        seen = next((value for value in seen if not _fits(value, kind)), seen[-1])
    shown = seen if isinstance(seen, str) else " ".join(seen)
    return f"{option.opts[0]} {_wanted(kind)}, got {shown!r}"


def _kind(command: Any, option: Any) -> Any:
    """The type of an option's value by the command's signature; for a repeatable option, the type of each value."""
    kind = get_type_hints(command.callback)[option.name]
    if get_origin(kind) in (Union, types.UnionType):
        kind = next(one for one in get_args(kind) if one is not type(None))
    return get_args(kind)[0] if get_origin(kind) is list else kind


def _wanted(kind: Any) -> str:
    """The wanted type of a value, in words."""
    if get_origin(kind) is tuple:
        return f"must be {_COUNTS[len(get_args(kind))]} {_KINDS[get_args(kind)[0]].removeprefix('a ')}s"
    if isinstance(kind, type) and issubclass(kind, Enum):
        return f"must be {_or([str(one.value) for one in kind])}"
    return f"must be {_KINDS[kind]}" if kind in _KINDS else "needs a value"


def _fits(value: Any, kind: Any) -> bool:
    try:
        kind(value)
    except (TypeError, ValueError):
        return False
    return True


def _or(words: Sequence[str]) -> str:
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))
