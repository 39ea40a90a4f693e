"""`olift export`: a checkpoint as one file for other programs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from olift_fast.cli.console import reported, say
from olift_fast.cli.options import Debug
from olift_fast.errors import InputError


class WeightsName(StrEnum):
    """The type of the weights in an ONNX file."""

    float32 = "float32"
    float16 = "float16"
    int8 = "int8"


@reported
def export(
    model: Annotated[
        str, typer.Argument(help="Checkpoint: a shipped name, a folder, or owner/name on the Hub.", show_default=False)
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The file: .onnx or .pt2.", show_default=False, readable=False)
    ],
    weights: Annotated[
        WeightsName,
        typer.Option(
            help="Type of the weights in an .onnx: float16 halves the file; int8 makes it a third, less accurate.",
            metavar="float32|float16|int8",
        ),
    ] = WeightsName.float32,
    stream: Annotated[
        bool, typer.Option("--stream", help="Lift frame by frame, with a state; for models with 0 latency frames.")
    ] = False,
    compiled: Annotated[
        bool, typer.Option("--compiled", help="Write machine code for this CPU (.pt2); needs a C++ compiler.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Write a checkpoint as one file that runs without this package: in onnxruntime, a browser, C++, or PyTorch.

    docs/export.md describes the inputs and outputs. An .onnx needs the extra export.

    [bold]Examples[/bold]
      olift export small -o small.onnx
      olift export small -o small.onnx --weights float16
      olift export small-causal -o live.onnx --stream
      olift export mine -o mine.pt2
    """
    if out.is_dir():
        raise InputError(f"{out}: is a folder, wanted a file's name that ends in .onnx or .pt2")
    from olift_fast.model import Lifter
    from olift_fast.model.export import check_export
    from olift_fast.model.export import export as write

    check_export(out, weights.value, compiled)
    lifter = Lifter.from_pretrained(model)
    write(lifter, out, weights=weights.value, stream=stream, compiled=compiled)
    say(f"exported {lifter.name}: {out} ({out.stat().st_size / 2**20:.1f} MiB)")
