"""`olift eval`: how well a checkpoint lifts recordings that it was not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from olift_fast.cli.console import json_text, print_json, reported, table
from olift_fast.cli.lift_file import check_output
from olift_fast.cli.options import Debug, DtypeName
from olift_fast.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from olift_fast.train.evaluate import Score

PLOTS = (".png", ".svg", ".pdf")


@reported
def evaluate(
    checkpoint: Annotated[str, typer.Argument(help="A shipped name, or a folder.", show_default=False)],
    data: Annotated[
        Path,
        typer.Argument(help="Folder with motion3d/, paired/ or both.", show_default=False, readable=False),
    ],
    beside: Annotated[
        list[str] | None,
        typer.Option("--beside", help="Another checkpoint, in the same tables; can be repeated.", show_default=False),
    ] = None,
    noise: Annotated[bool, typer.Option("--noise", help="Detector-like faults on the 2D of the motion.")] = False,
    dtype: Annotated[
        list[DtypeName] | None,
        typer.Option(help="Rounding of the products, float32 by default; can be repeated.", show_default=False),
    ] = None,
    delay: Annotated[
        list[int] | None,
        typer.Option(help="Look so many frames ahead, and compare nothing else; can be repeated.", show_default=False),
    ] = None,
    json_out: Annotated[
        Path | None,
        typer.Option(
            "--json", help="Write the scores to this file; - prints nothing else.", show_default=False, readable=False
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(help="Draw them into this file (.png, .svg, .pdf); needs matplotlib.", show_default=False),
    ] = None,
    debug: Debug = False,
) -> None:
    """Score a checkpoint on the held-out part of real recordings, beside the flat guess.

    docs/metrics.md has the metrics, docs/data.md what the folder holds.

    [bold]Examples[/bold]
      olift eval small recordings
      olift eval mine recordings --beside small --noise --json scores.json --plot scores.png
      olift eval small-causal recordings --delay 0 --delay 4 --delay 16
    """
    printed = json_out == Path("-")
    for path, option in ((None if printed else json_out, "--json"), (plot, "--plot")):
        if path is not None:
            check_output(path, None, option)
    if plot is not None:
        _check_plot(plot)
    import torch

    from olift_fast.model import Lifter
    from olift_fast.train.evaluate import evaluate as scores_of

    given = [checkpoint, *(beside or ())]
    dtypes = [getattr(torch, name.value) for name in dtype or [DtypeName.float32]]
    lifters = {shown(name, given): Lifter.from_pretrained(name) for name in given}
    scores = scores_of(lifters, data, noise=noise, dtypes=dtypes, delays=delay or ())
    content = [row.as_row() for row in scores]
    if printed:
        print_json(content)
    else:
        print_scores(scores)
    if json_out is not None and not printed:
        from olift_fast.io.atomic import atomic_path

        with atomic_path(json_out) as temporary:
            temporary.write_text(json_text(content) + "\n", encoding="utf-8")
    if plot is not None:
        _draw(scores, plot)


def shown(name: str, given: Sequence[str]) -> str:
    """A checkpoint's shipped name or its folder's; all of the path where two folders have one name."""
    short = Path(name).name or name
    return name if sum(Path(other).name == short for other in set(given)) > 1 else short


def _check_plot(path: Path) -> None:
    import importlib.util

    if path.suffix not in PLOTS:
        raise InputError(f"--plot: {path} must end in {', '.join(PLOTS)}, got {path.suffix!r}")
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingExtraError(what="--plot", extra="bench")


def print_scores(scores: Sequence[Score]) -> None:
    """A table, a block a source, and what its figures mean."""
    from rich.console import Console

    from olift_fast.train.evaluate import legend
    from olift_fast.train.metrics import METRICS

    flat: dict[str, float | None] = {}
    rows = []
    for row in scores:
        where = ("", "") if row.source in flat else (row.source, str(row.clips))
        error, *others = (row.values[metric.name] for metric in METRICS)
        least = flat.setdefault(row.source, error)
        change = f"{100 * (error / least - 1):+.0f}%" if least and error is not None else "–"
        rows.append((where[0], row.method, where[1], _figure(error), change, *map(_figure, others)))
    first, *rest = (metric.column for metric in METRICS)
    Console(width=150).print(table(("source", "method", "clips", first, "vs flat", *rest), rows, words=2))
    typer.echo(legend())


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"


def _draw(scores: Sequence[Score], path: Path) -> None:
    """A bar for each method and source: joints on the left, velocities on the right."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    from olift_fast.io.atomic import atomic_path
    from olift_fast.train.metrics import METRICS

    sources, methods = (list(dict.fromkeys(getattr(row, key) for row in scores)) for key in ("source", "method"))
    found: dict[tuple[str, str], Any] = {(row.source, row.method): row for row in scores}
    height = 0.8 / len(methods)
    drawn, axes = plt.subplots(
        1, 2, figsize=(10, 1.2 + 0.25 * len(sources) * len(methods)), sharey=True, layout="constrained"
    )
    columns = {metric.name: metric.column for metric in METRICS}
    for axis, metric in zip(axes, ("sa_mpjpe", "sa_mpve"), strict=True):
        for number, method in enumerate(methods):
            places = [place + (number + 0.5) * height - 0.4 for place in range(len(sources))]
            axis.barh(places, [found[source, method].values[metric] or 0.0 for source in sources], height, label=method)
        axis.set_xlabel(f"{columns[metric]}, % of RMS 2D radius")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_yticks(range(len(sources)), sources)
    axes[0].invert_yaxis()
    drawn.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    with atomic_path(path) as temporary:
        plt.rcParams["svg.hashsalt"] = "olift"
        drawn.savefig(temporary, dpi=130)
    plt.close(drawn)
