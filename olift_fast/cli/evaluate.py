"""`olift eval`: how well a checkpoint lifts recordings that it was not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from olift_fast.cli.checks import check_output
from olift_fast.cli.console import print_json, reported, say, table, write_json
from olift_fast.cli.options import Debug, DtypeName, Json, JsonFile
from olift_fast.errors import InputError, MissingExtraError, by_option

if TYPE_CHECKING:
    from olift_fast.data.told import Graph
    from olift_fast.train.evaluate import Score

PLOTS = (".png", ".svg", ".pdf")


class EdgesName(StrEnum):
    """The bones that a lifter is given, by the names of `olift_fast.data.told.Graph`."""

    named = "named"
    motion = "motion"
    damaged = "damaged"
    absent = "absent"


@reported
def evaluate(
    checkpoint: Annotated[
        str, typer.Argument(help="A shipped name, a folder, or owner/name on the Hub.", show_default=False)
    ],
    data: Annotated[
        Path,
        typer.Argument(help="Folder with motion3d/, paired/ or both.", show_default=False, readable=False),
    ],
    beside: Annotated[
        list[str] | None,
        typer.Option("--beside", help="Another checkpoint, in the same tables; can be repeated.", show_default=False),
    ] = None,
    noise: Annotated[bool, typer.Option("--noise", help="Add a detector's faults to the 2D of the motion.")] = False,
    held_out: Annotated[
        list[str] | None,
        typer.Option(
            "--held-out",
            help="Score all of a family or a person: the name of a recording in any folder of DATA, or FILE:PERSON; * "
            "stands for several. @validation is a ready list. Can be repeated.",
            show_default=False,
        ),
    ] = None,
    dtype: Annotated[
        list[DtypeName] | None,
        typer.Option(help="Rounding of the products, by default float32; can be repeated.", show_default=False),
    ] = None,
    edges: Annotated[
        list[EdgesName] | None,
        typer.Option(
            help="Also lift with other bones than the recording's own: inferred from names or from motion, damaged, or "
            "none. Can be repeated.",
            show_default=False,
        ),
    ] = None,
    latency_frames: Annotated[
        list[int] | None,
        typer.Option(
            "--latency-frames",
            "--delay",
            help="Score with this many latency frames only; can be repeated.",
            show_default=False,
        ),
    ] = None,
    out: JsonFile = None,
    as_json: Json = False,
    plot: Annotated[
        Path | None,
        typer.Option(help="Draw the scores into this file (.png, .svg, .pdf); needs matplotlib.", show_default=False),
    ] = None,
    debug: Debug = False,
) -> None:
    """Score a checkpoint on the held-out part of real recordings, beside the flat guess.

    docs/metrics.md explains the metrics, docs/data.md the files in the folder.

    [bold]Examples[/bold]
      olift eval small recordings
      olift eval mine recordings --beside small --noise --out scores.json --plot scores.png
      olift eval small-causal recordings --latency-frames 0 --latency-frames 4
      olift eval mine recordings --held-out @validation
      olift eval small recordings --edges named --edges absent
    """
    if out is not None:
        check_output(out, None)
    if plot is not None:
        _check_plot(plot)
    if not data.is_dir():
        raise InputError(f"{data}: {'is a file' if data.exists() else 'no such folder'}, wanted a folder of recordings")

    import torch

    from olift_fast.model import Lifter
    from olift_fast.train.evaluate import evaluate as scores_of

    given = [checkpoint, *(beside or ())]
    dtypes = [getattr(torch, name.value) for name in dtype or [DtypeName.float32]]
    lifters = {shown(name, given): Lifter.from_pretrained(name) for name in given}
    delays, families = latency_frames or (), held_out or ()
    told: list[Graph] = [name.value for name in edges or ()]
    with by_option("latency_frames", "--latency-frames"):
        scores = scores_of(lifters, data, noise=noise, dtypes=dtypes, delays=delays, families=families, edges=told)
    content = [row.as_row() for row in scores]
    if as_json:
        print_json(content)
    else:
        print_scores(scores)
    if out is not None:
        write_json(content, out)
    if plot is not None:
        from olift_fast.train.plots import draw_scores

        draw_scores(scores, plot)


def shown(name: str, given: Sequence[str]) -> str:
    """A checkpoint's name in the table: its folder's name, or the whole path if another one has that name."""
    short = Path(name).name or name
    return name if sum(Path(other).name == short for other in set(given)) > 1 else short


def _check_plot(path: Path) -> None:
    import importlib.util

    check_output(path, None, "--plot")
    if path.suffix not in PLOTS:
        raise InputError(f"--plot: {path} must end in {', '.join(PLOTS)}, got {path.suffix!r}")
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingExtraError(what="--plot", extra="bench")


def print_scores(scores: Sequence[Score]) -> None:
    """Prints a table with a block of rows for each source and a legend, then a table of the standard deviations."""
    from rich.console import Console

    from olift_fast.train.evaluate import legend
    from olift_fast.train.metrics import METRICS
    from olift_fast.train.uncertainty import UNCERTAINTY_METRICS

    flat: dict[str, float | None] = {}
    rows = []
    for row in scores:
        where = ("", "") if row.source in flat else (row.source, str(row.clips))
        error, *others = (row.values[metric.name] for metric in METRICS)
        least = flat.setdefault(row.source, error)
        change = f"{100 * (error / least - 1):+.0f}%" if least and error is not None else "–"
        rows.append((where[0], row.method, where[1], _figure(error), change, *map(_figure, others)))
    first, *rest = (metric.column for metric in METRICS)
    console = Console(width=150)
    console.print(table(("source", "method", "clips", first, "vs flat", *rest), rows, words=2))
    say(legend())
    if spread := [row for row in scores if UNCERTAINTY_METRICS[0].name in row.values]:
        shown = (METRICS[0], *UNCERTAINTY_METRICS)
        lines = [(row.source, row.method, *(_figure(row.values[metric.name]) for metric in shown)) for row in spread]
        console.print(table(("source", "method", *(metric.column for metric in shown)), lines, words=2))
        say(legend(shown))


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"
