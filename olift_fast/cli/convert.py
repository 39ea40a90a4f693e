"""`olift convert`: a lifted result in the format of another program."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from olift_fast.cli.checks import check_lifted, check_result
from olift_fast.cli.console import reported, say, tell
from olift_fast.cli.options import Debug
from olift_fast.errors import InputError, plural

if TYPE_CHECKING:
    from olift_fast.tracks.containers import LiftedTracks


@reported
def convert(
    result: Annotated[
        Path, typer.Argument(help="A result of `olift lift` (.npz).", show_default=False, readable=False)
    ],
    out: Annotated[
        Path,
        typer.Option(
            "-o",
            "--out",
            help="The file to write; its ending chooses the format: .bvh, .glb, .gltf (Blender, three.js), .trc "
            "(OpenSim), .c3d, .csv, .long.csv, .parquet, .h5 (DeepLabCut), .slp (SLEAP), .points3d.h5 "
            "(sleap-anipose), .anipose.csv, .mat (DANNCE), .nc (movement), .nwb, .npz.",
            show_default=False,
            readable=False,
        ),
    ],
    track: Annotated[
        list[str] | None, typer.Option(help="Write this track only; can be repeated.", show_default=False)
    ] = None,
    each_track: Annotated[
        bool, typer.Option("--each-track", help="Write a file for each track, with its name: walk.left_dog.bvh.")
    ] = False,
    fps: Annotated[
        float | None, typer.Option(help="Frames a second, instead of RESULT's own rate.", show_default=False)
    ] = None,
    debug: Debug = False,
) -> None:
    """Write a lifted result for another program.

    [bold]Examples[/bold]
      olift convert walk.lifted.npz -o walk.glb
      olift convert walk.lifted.npz -o walk.trc --track person_0
      olift convert mice.lifted.npz -o mice.bvh --each-track --fps 30
    """
    from olift_fast.io import read_lifted, write_lifted
    from olift_fast.io.write import check_can_hold, leaves_out
    from olift_fast.tracks.taking import take_tracks

    check_lifted(result)
    check_result(out, result)
    if fps is not None and not 0 < fps < float("inf"):
        raise InputError(f"--fps must be a positive number, got {fps:g}")
    lifted = read_lifted(result)
    if fps is not None:
        lifted = replace(lifted, fps=fps)
    try:
        lifted = take_tracks(lifted, track) if track else lifted
    except InputError as error:
        raise InputError(f"{result}: {error}") from error
    parts = list(_each(lifted, out)) if each_track else [(out, lifted)]
    for path, part in parts:
        check_result(path, result)
        check_can_hold(path, part)
    for path, part in parts:
        write_lifted(part, path)
        say(f"written: {path} ({plural(part.num_tracks, 'track')}, {plural(part.num_frames, 'frame')})")
    if (missing := leaves_out(out)) != "nothing":
        tell(f"left out, for want of a place in such files: {missing}")


def _each(lifted: LiftedTracks, out: Path) -> Iterator[tuple[Path, LiftedTracks]]:
    """Each track, and the path of its file: OUT with the track's name before the ending."""
    from olift_fast.io.write import stem_of
    from olift_fast.tracks.taking import take_tracks

    stem, taken = stem_of(out), set()
    for name in lifted.tracks:
        # A track's name may have any characters, a file's name only those that all systems allow.
        plain = re.sub(r"[^\w.-]+", "_", name).strip("._")[:60] or "track"
        free, number = plain, 2
        while free.casefold() in taken:
            free, number = f"{plain}_{number}", number + 1
        taken.add(free.casefold())
        yield out.with_name(f"{stem}.{free}{out.name[len(stem) :]}"), take_tracks(lifted, [name])
