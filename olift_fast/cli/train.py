"""`olift train`: train a checkpoint on generated animals and real motion."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from olift_fast.cli.console import reported, say
from olift_fast.cli.options import Debug

if TYPE_CHECKING:
    from olift_fast.train import Config, Report


@reported
def train(
    config: Annotated[
        str, typer.Argument(help="TOML file, or the name of a recipe of this package: small, …", show_default=False)
    ],
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Replace a value of CONFIG; can be repeated.", show_default=False
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where the run in run.out stopped; if there is none, start.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Train a lifter on generated animals and real motion.

    Needs the extra train. Under torchrun it trains on several GPUs or nodes.

    [bold]Examples[/bold]
      olift train mine.toml
      olift train mine.toml --set schedule.steps=300 --set run.out=trial
      olift train mine.toml --resume
      torchrun --nproc-per-node 8 -m olift_fast train mine.toml
      OMP_NUM_THREADS=1 torchrun --nproc-per-node 2 -m olift_fast train small --set data.real=motion3d
    """
    from olift_fast.model.checkpoints import as_model
    from olift_fast.train import fit, load_config
    from olift_fast.train.memory import keep_freed_memory

    wanted = load_config(config, changes or ())
    keep_freed_memory()
    with watching(wanted) as watch:
        lifter = fit(wanted, resume=resume, watch=watch)
    if first_process():
        out: Path = wanted.run.out
        say(f"trained: {out} ({lifter.name}); olift lift FILE --model {quote(as_model(out))}")


@contextmanager
def watching(config: Config) -> Iterator[Callable[[int, Report | None], None]]:
    """A progress bar with the latest report on stderr; one line for each report if stderr is not a terminal."""
    if not sys.stderr.isatty():
        yield lambda step, report: say(_line(report, config.schedule.steps), err=True) if report else None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), disable=not first_process()) as bar:
        task = bar.add_task("", total=min(config.schedule.steps, config.run.stop_after or config.schedule.steps))

        def watch(step: int, report: Report | None) -> None:
            bar.update(task, completed=step, description=_figures(report) if report else None)

        yield watch


def _line(report: Report, steps: int) -> str:
    return f"step {report.step:,} of {steps:,}: {_figures(report)}"


def _figures(report: Report) -> str:
    score = "" if report.score is None else f", score {report.score:.2f}"
    return f"loss {report.loss:.4f}{score}, {report.clips_per_second:,.0f} clips/s"


def first_process() -> bool:
    """Whether this process writes files and messages: it is the first that ``torchrun`` started."""
    import os

    return os.environ.get("RANK", "0") == "0"
