"""``python -m olift_fast.train.studies NAME``: measure, write the rows, draw the plot."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial, wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from olift_fast.errors import InputError, MissingExtraError, printable
from olift_fast.model import Lifter
from olift_fast.train.studies.attention import attention
from olift_fast.train.studies.occlusion import occlusion
from olift_fast.train.studies.rows import Row, read_rows, summary, write_rows
from olift_fast.train.studies.trainings import load_plan, plans, trained
from olift_fast.train.studies.windows import windows

RESULTS = Path("benchmarks/results/scores")
PLOTS = Path("docs/studies")

# For each study of a checkpoint, the function that measures and the name of the function in `plots` that draws. It is a
# name because importing `plots` needs matplotlib.
OF_CHECKPOINTS: dict[str, tuple[Callable[[Lifter, Path], Iterator[Row]], str]] = {
    "occlusion": (occlusion, "draw_occlusion"),
    "attention": (attention, "draw_attention"),
    "windows": (windows, "draw_windows"),
}


def main(
    name: Annotated[
        str,
        typer.Argument(
            help=f"A study of a checkpoint ({', '.join(OF_CHECKPOINTS)}), a study that trains ({', '.join(plans())}), "
            "or the TOML file of a study that trains.",
            show_default=False,
        ),
    ],
    data: Annotated[
        Path | None, typer.Option(help="Folder of real recordings. Without it the plot is drawn from saved rows.")
    ] = None,
    model: Annotated[str, typer.Option(help="Checkpoint: a shipped name, or a folder.")] = "small",
    runs: Annotated[Path, typer.Option(help="Folder for trainings. Trainings that it holds are not repeated.")] = Path(
        "runs"
    ),
    jobs: Annotated[int, typer.Option(min=1, help="Trainings at a time.")] = 1,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="For all trainings.", show_default=False)
    ] = None,
    results: Annotated[Path, typer.Option(help="Folder for the rows.")] = RESULTS,
    figures: Annotated[Path, typer.Option("--plots", "--figures", help="Folder for the plot.")] = PLOTS,
) -> None:
    """Run a study and draw its plot."""
    try:
        from olift_fast.train.studies import plots
    except ImportError:
        raise MissingExtraError(what="the plot of a study", extra="bench") from None
    plan = None if name in OF_CHECKPOINTS else load_plan(name)
    name = Path(name).stem
    if plan is not None and name in OF_CHECKPOINTS:
        raise InputError(f"{name}.toml must have another name: {name} is a study of a checkpoint")
    path = results / f"study-{name}.json"
    if data is not None and plan is None:
        measure, _ = OF_CHECKPOINTS[name]
        lifter = Lifter.from_pretrained(model)
        write_rows(path, list(measure(lifter, data)), model=lifter.name)
    elif data is not None and plan is not None:
        tell = partial(typer.echo, err=True)
        found = trained(plan, data, runs, jobs=jobs, changes=changes or (), watch=tell)
        write_rows(path, list(found), recipe=plan.recipe, changes=[*plan.changes, *(changes or ())])
    if not path.is_file():
        raise InputError(f"{path}: nothing has been measured yet: give --data")
    rows = read_rows(path)
    if plan is not None:
        typer.echo(summary(rows, plan.metrics))
        draw = plots.draw_trained
    else:
        draw = getattr(plots, OF_CHECKPOINTS[name][1])
    plots.draw(draw, rows, figures / f"{name}.png")


def told(*arguments: Any, **options: Any) -> None:
    """Call `main`; print an error as one line and exit with code 2."""
    try:
        main(*arguments, **options)
    except (InputError, MissingExtraError) as error:
        typer.echo(printable(f"studies: {error}"), err=True)
        raise typer.Exit(2) from None


if __name__ == "__main__":
    typer.run(wraps(main)(told))
