"""The command line's root; each command is a file beside this one, and imports what it needs when it runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from olift_fast._version import __version__
from olift_fast.cli.adapt import adapt
from olift_fast.cli.angles import angles
from olift_fast.cli.archive import archive
from olift_fast.cli.bench import bench
from olift_fast.cli.console import say, show_warnings_printably, warn
from olift_fast.cli.convert import convert
from olift_fast.cli.demo import demo
from olift_fast.cli.doctor import doctor
from olift_fast.cli.evaluate import evaluate
from olift_fast.cli.export import export
from olift_fast.cli.finetune import finetune
from olift_fast.cli.info import info
from olift_fast.cli.lift import lift
from olift_fast.cli.options import ViewName
from olift_fast.cli.push import push
from olift_fast.cli.recover import recover
from olift_fast.cli.render import render
from olift_fast.cli.skeleton import skeleton
from olift_fast.cli.stream import stream
from olift_fast.cli.train import train
from olift_fast.cli.usage import Command, Root
from olift_fast.cli.view import view
from olift_fast.cli.world import world

app = typer.Typer(
    name="olift",
    cls=Root,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the command line and exit.

    0: done; 2: unusable input or arguments; 3: some of several files failed, or `adapt` shows no gain; 130:
    interrupted; 1: anything else.
    """
    show_warnings_printably()
    app(prog_name="olift")


def _print_version(wanted: bool) -> None:
    if wanted:
        say(f"olift {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Lift 2D keypoints of any animal, human or object to 3D skeletons.

    [bold]Examples[/bold]
      olift demo                            a generated animal, lifted and scored
      olift lift mouse_DLC.csv --open       your own file, then the viewer
      olift stream --replay mouse_DLC.csv   in real time
      olift info predictions.analysis.h5    what is in a file
    """


class _TakesOldJson(Command):
    """Takes the old forms for one release: ``--json -`` as ``--json``, ``--json FILE`` as ``--out FILE``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        place = next((place for place, arg in enumerate(args) if arg.partition("=")[0] == "--json"), len(args))
        _, equals, value = "".join(args[place : place + 1]).partition("=")
        end = place + 1
        if not equals:
            value, end = "".join(args[end : end + 1]), end + 1
        if equals or value == "-" or self._is_to_write(value, ctx, args):
            new = ["--json"] if value == "-" else ["--out", value]
            warn(f"--json {value} is now {' '.join(new)}; the old form goes with the next release")
            args = [*args[:place], *new, *args[end:]]
        return super().parse_args(ctx, args)

    def _is_to_write(self, value: str, ctx: Any, args: list[str]) -> bool:
        """Whether the word after ``--json`` is a file for the JSON, and not an argument or another option."""
        if not value or value.startswith("-"):
            return False
        arguments, too_many, _ = self.make_parser(ctx).parse_args([*args])
        # For the one FILE of `olift bench`: it is to be written, unless it exists and can be lifted.
        return bool(too_many) or (arguments.get("file") == value and (not Path(value).exists() or _is_of_bench(value)))


class _TakesOldView(Command):
    """Takes ``--view`` without a name, the old form of ``--open``, for one release."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        place = args.index("--view") if "--view" in args else len(args)
        as_before = [*args[:place], "--open", *args[place + 1 :]]
        if place < len(args) and not self._is_view("".join(args[place + 1 : place + 2]), ctx, as_before):
            warn("--view is now --open; the old name goes with the next release")
            args = as_before
        return super().parse_args(ctx, args)

    def _is_view(self, value: str, ctx: Any, as_before: list[str]) -> bool:
        """Whether the word after ``--view`` is, or is meant as, the camera's view, and not FILE or another option."""
        if not value or value.startswith("-"):
            return False
        arguments, too_many, _ = self.make_parser(ctx).parse_args([*as_before])
        # `olift lift` takes any number of FILEs: a word beside them that names no file is meant as a view.
        one_of_many = len(arguments.get("files") or ()) > 1 and not Path(value).exists()
        return value in set(ViewName) or bool(too_many) or one_of_many


def _is_of_bench(file: str) -> bool:
    """Whether `olift bench` wrote this file."""
    if not Path(file).is_file():
        return False
    try:
        content = json.loads(Path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and {"stages", "machine"} <= content.keys()


_TAKE_OLD_FORMS: dict[Any, type[Command]] = {
    **dict.fromkeys((evaluate, bench), _TakesOldJson),
    **dict.fromkeys((lift, stream, demo), _TakesOldView),
}

COMMANDS: tuple[Any, ...] = (
    lift,
    archive,
    stream,
    recover,
    convert,
    world,
    view,
    render,
    angles,
    info,
    skeleton,
    demo,
    train,
    finetune,
    adapt,
    evaluate,
    export,
    push,
    bench,
    doctor,
)
"""The commands, in the order of `olift --help`."""

_WITHOUT_ARGUMENTS = (stream, demo, bench, doctor)

for command in COMMANDS:
    app.command(
        "eval" if command is evaluate else None,
        cls=_TAKE_OLD_FORMS.get(command, Command),
        no_args_is_help=command not in _WITHOUT_ARGUMENTS,
    )(command)
