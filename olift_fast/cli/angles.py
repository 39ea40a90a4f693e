"""`olift angles`: the angles of a lifted result, as a table."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from olift_fast.cli.checks import check_lifted, check_output
from olift_fast.cli.console import about, print_json, reported, say, tell, warn
from olift_fast.cli.options import Debug, Json
from olift_fast.errors import InputError, plural

if TYPE_CHECKING:
    from olift_fast.bodies import Angle

KINDS = {"joint": "at joints", "segment": "of segments", "trunk": "of the trunk", "clinical": "clinical"}


@reported
def angles(
    result: Annotated[
        Path, typer.Argument(help="A result of `olift lift` (.npz).", show_default=False, readable=False)
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            help="The table: .csv has a column for each angle, .long.csv a row for each angle and frame. "
            "RESULT.angles.csv by default.",
            show_default=False,
            readable=False,
        ),
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Write the angles of a lifted result, in degrees: at joints, of segments and the trunk, and clinical ones.

    Angles at joints are 180° where the bones are in line. Segments, trunk pitch and heading need a result that stands
    upright, as `olift world` writes it; clinical names (flexion, abduction) need a built-in rig of people.
    docs/after-lifting.md has the definitions and signs.

    [bold]Examples[/bold]
      olift angles walk.lifted.npz
      olift angles walk.lifted.npz -o angles.long.csv
    """
    from olift_fast.bodies import angles_of, write_angles
    from olift_fast.io import read_lifted

    check_lifted(result)
    table = out or result.with_suffix(".angles.csv")
    if not table.name.lower().endswith(".csv"):
        raise InputError(f"{table}: a table's name must end in .csv or .long.csv, got {table.suffix or 'no ending'!r}")
    check_output(table, result)
    lifted = read_lifted(result)
    with about(result, lifted.source):
        found = angles_of(lifted)
    write_angles(found, lifted, table)
    if as_json:
        print_json(
            {
                "input": str(result),
                "output": str(table),
                "frame": lifted.frame,
                "tracks": list(lifted.tracks),
                "frames": lifted.num_frames,
                "angles": [_summary(angle) for angle in found.angles],
                "left_out": list(found.left_out),
            }
        )
        return
    counts = Counter[str](angle.kind for angle in found.angles)
    kinds = ", ".join(f"{counts[kind]} {words}" for kind, words in KINDS.items() if counts[kind])
    frames = f"{plural(lifted.num_tracks, 'track')} of {plural(lifted.num_frames, 'frame')}"
    say(f"{table}: {plural(len(found.angles), 'angle')} ({kinds or 'none'}) of {frames}")
    if not found.angles:
        warn("no joint has two bones, so there is no angle")
    for sentence in found.left_out:
        tell(f"left out: {sentence}")


def _summary(angle: Angle) -> dict[str, Any]:
    """Name, kind, and the smallest, median and largest value over all tracks; None for an angle that is never known."""
    import numpy as np

    known = angle.values[np.isfinite(angle.values)]
    least, median, most = np.quantile(known, (0, 0.5, 1)).round(3).tolist() if len(known) else (None, None, None)
    return {"name": angle.name, "kind": angle.kind, "min": least, "median": median, "max": most}
