"""``python -m olift_fast.train.studies NAME``: measure, write the rows, draw the figure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from olift_fast.errors import MissingExtraError
from olift_fast.model import Lifter
from olift_fast.train.studies.attention import attention
from olift_fast.train.studies.occlusion import occlusion
from olift_fast.train.studies.rows import Row, read_rows, summary, write_rows
from olift_fast.train.studies.trainings import METRICS, load_plan, plans, trained
from olift_fast.train.studies.windows import windows

RESULTS = Path("benchmarks/results/scores")
FIGURES = Path("docs/studies")

MEASURE: dict[str, Callable[[Lifter, Path], Iterator[Row]]] = {
    "occlusion": occlusion,
    "attention": attention,
    "windows": windows,
}


def main(
    name: Annotated[
        str,
        typer.Argument(
            help=f"{', '.join(MEASURE)}: of a checkpoint; {', '.join(plans())}, or a TOML file: that train.",
            show_default=False,
        ),
    ],
    data: Annotated[
        Path | None, typer.Option(help="Folder of real recordings; without it the figure is redrawn.")
    ] = None,
    model: Annotated[str, typer.Option(help="Checkpoint: a shipped name, or a folder.")] = "small",
    runs: Annotated[Path, typer.Option(help="Folder for trainings; those that it holds are not trained again.")] = Path(
        "runs"
    ),
    jobs: Annotated[int, typer.Option(min=1, help="Trainings at a time.")] = 1,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="For all trainings.", show_default=False)
    ] = None,
    results: Annotated[Path, typer.Option(help="Folder for the rows.")] = RESULTS,
    figures: Annotated[Path, typer.Option(help="Folder for the figure.")] = FIGURES,
) -> None:
    """Run a study and draw its figure."""
    try:
        from olift_fast.train.studies import figures as drawing
    except ImportError:
        raise MissingExtraError(what="the figure of a study", extra="bench") from None
    plan = None if name in MEASURE else load_plan(name)
    name = Path(name).stem
    path = results / f"study-{name}.json"
    if data is not None and plan is None:
        lifter = Lifter.from_pretrained(model)
        write_rows(path, list(MEASURE[name](lifter, data)), model=lifter.name)
    elif data is not None and plan is not None:
        tell = partial(typer.echo, err=True)
        found = trained(plan, data, runs, jobs=jobs, changes=changes or (), watch=tell)
        write_rows(path, list(found), recipe=plan.recipe, changes=[*plan.changes, *(changes or ())])
    draw_figure = {
        "occlusion": drawing.draw_occlusion,
        "attention": drawing.draw_attention,
        "windows": drawing.draw_windows,
    }
    rows = read_rows(path)
    if plan is not None:
        typer.echo(summary(rows, METRICS))
    drawing.draw(draw_figure.get(name, drawing.draw_trained), rows, figures / f"{name}.png")


if __name__ == "__main__":
    typer.run(main)
