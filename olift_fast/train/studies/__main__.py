"""``python -m olift_fast.train.studies NAME``: measure with a checkpoint, write the rows, draw the figure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from olift_fast.model import Lifter
from olift_fast.train.studies.attention import attention
from olift_fast.train.studies.occlusion import occlusion
from olift_fast.train.studies.rows import Row, read_rows, write_rows
from olift_fast.train.studies.windows import windows

RESULTS = Path("benchmarks/results/scores")
FIGURES = Path("docs/studies")


class Name(StrEnum):
    """The studies."""

    occlusion = "occlusion"
    attention = "attention"
    windows = "windows"


MEASURE: dict[Name, Callable[[Lifter, Path], Iterator[Row]]] = {
    Name.occlusion: occlusion,
    Name.attention: attention,
    Name.windows: windows,
}


def main(
    name: Name,
    data: Annotated[
        Path | None, typer.Option(help="Folder of real recordings; without it the figure is redrawn.")
    ] = None,
    model: Annotated[str, typer.Option(help="Checkpoint: a shipped name, or a folder.")] = "small",
    results: Annotated[Path, typer.Option(help="Folder for the rows.")] = RESULTS,
    figures: Annotated[Path, typer.Option(help="Folder for the figure.")] = FIGURES,
) -> None:
    """Run a study and draw its figure."""
    path = results / f"study-{name}.json"
    if data is not None:
        lifter = Lifter.from_pretrained(model)
        write_rows(path, list(MEASURE[name](lifter, data)), model=lifter.name)
    from olift_fast.train.studies import figures as drawing

    draw_figure = {
        Name.occlusion: drawing.draw_occlusion,
        Name.attention: drawing.draw_attention,
        Name.windows: drawing.draw_windows,
    }
    drawing.draw(draw_figure[name], read_rows(path), figures / f"{name}.png")


if __name__ == "__main__":
    typer.run(main)
