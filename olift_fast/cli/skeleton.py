"""`olift skeleton`: draft the skeleton that a keypoint file lacks, to be corrected by hand."""

from __future__ import annotations

import json
from enum import StrEnum
from itertools import compress
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from olift_fast.cli.checks import check_input, check_min_confidence, check_output
from olift_fast.cli.console import reported, say, table, warn
from olift_fast.cli.lift import default_output
from olift_fast.cli.options import AllowPickle, Debug, FormatName, KeypointFile, MinConfidence
from olift_fast.errors import InputError

if TYPE_CHECKING:
    from olift_fast.tracks.draft import Draft
    from olift_fast.tracks.skeleton import Skeleton


class DraftFrom(StrEnum):
    """The source of a draft's bones."""

    names = "names"
    motion = "motion"


@reported
def skeleton(
    file: KeypointFile,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            help="The draft, as JSON; FILE.skeleton.json beside FILE by default.",
            show_default=False,
            readable=False,
        ),
    ] = None,
    png: Annotated[
        Path | None,
        typer.Option(
            help="Draw the skeleton on a frame of FILE into this picture (.png).", show_default=False, readable=False
        ),
    ] = None,
    infer: Annotated[
        DraftFrom,
        typer.Option(
            help="names: from the joints' names alone; motion: also from motion, for joints whose names don't tell."
        ),
    ] = DraftFrom.motion,
    format: FormatName = None,
    min_confidence: MinConfidence = 0.3,
    allow_pickle: AllowPickle = False,
    debug: Debug = False,
) -> None:
    """Write a draft of a file's skeleton to correct: joints, bones and sides, inferred if the file has none.

    Bones come from the joints' names and, for joints whose names don't tell, from motion. Give the written file to
    --skeleton of the other commands.

    [bold]Examples[/bold]
      olift skeleton mouse_DLC.csv --png skeleton.png
      olift skeleton mouse_DLC.csv -o skeleton.json --infer names
      olift lift mouse_DLC.csv --skeleton skeleton.json
    """
    check_min_confidence(min_confidence)
    check_input(file)
    result = out or default_output(file, ".skeleton.json")
    _check_outputs(file, result, png)

    from olift_fast.io import read_keypoints
    from olift_fast.tracks.draft import Draft, draft_of, with_draft

    read = read_keypoints(file, format, allow_pickle=allow_pickle)
    draft = draft_of(read, infer.value, min_confidence, least=0)
    if isinstance(draft, str):
        raise InputError(f"{file}: {draft}")
    tracks = with_draft(read, draft)
    _write(tracks.skeleton, result)
    for warning in tracks.warnings:
        warn(warning)
    say(draft.said if isinstance(draft, Draft) else f"edges: {len(tracks.skeleton.edges)}, given by {file}")
    if isinstance(draft, Draft):
        _print_moved(draft)
    say(f"written: {result}; correct it, then: olift lift {quote(str(file))} --skeleton {quote(str(result))}")
    if png is not None:
        from olift_fast.view.picture import draw_skeleton

        frame = draw_skeleton(tracks, png, min_confidence=min_confidence)
        say(f"drawn: {png}, on frame {frame if tracks.frames is None else int(tracks.frames[frame]):,}")


def _check_outputs(file: Path, result: Path, png: Path | None) -> None:
    check_output(result, file)
    if result.exists():
        raise InputError(f"{result}: is there already, and may hold corrections; choose another name with -o")
    if png is None:
        return
    from olift_fast.view.picture import require_matplotlib

    check_output(png, file, "--png")
    if png.suffix.lower() != ".png":
        raise InputError(f"--png: {png} must end in .png, got {png.suffix!r}")
    require_matplotlib()


def _write(skeleton: Skeleton, path: Path) -> None:
    """Writes the JSON that `Skeleton.from_json` reads, with one edge a line, by the names of its joints."""
    from olift_fast.atomic import atomic_path

    def lines(pairs: Any) -> str:
        rows = ",\n".join(
            f"    {json.dumps([skeleton.names[a], skeleton.names[b]], ensure_ascii=False)}" for a, b in pairs
        )
        return f"[\n{rows}\n  ]" if rows else "[]"

    parts = {
        "names": json.dumps(skeleton.names, ensure_ascii=False),
        "edges": lines(skeleton.edges),
        "sides": json.dumps(skeleton.sides),
    }
    if skeleton.name is not None:
        parts = {"name": json.dumps(skeleton.name, ensure_ascii=False), **parts}
    if skeleton.inferred:
        parts["inferred"] = lines(compress(skeleton.edges, skeleton.inferred))
    text = ",\n".join(f'  "{key}": {value}' for key, value in parts.items())
    with atomic_path(path) as temporary:
        temporary.write_text(f"{{\n{text}\n}}\n", encoding="utf-8")


def _print_moved(draft: Draft) -> None:
    """Prints the edges from motion, which most need checking, the least certain first."""
    from rich.console import Console

    names = draft.skeleton.names
    moved = [
        (sure, names[a], names[b])
        for (a, b), source, sure in zip(draft.skeleton.edges, draft.sources, draft.confidence, strict=True)
        if source == "motion"
    ]
    if moved:
        rows = [(a, b, f"{sure:.2f}") for sure, a, b in sorted(moved)]
        Console(highlight=False).print(table(("from motion", "to", "confidence"), rows, words=2))
