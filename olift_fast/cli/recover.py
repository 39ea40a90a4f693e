"""`olift recover`: write the record of a killed stream from its journal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from olift_fast.cli.checks import check_input, check_result
from olift_fast.cli.console import reported, say, warn
from olift_fast.cli.options import Debug
from olift_fast.errors import InputError, plural

if TYPE_CHECKING:
    from olift_fast.streaming import Recording


@reported
def recover(
    journal: Annotated[
        Path,
        typer.Argument(
            help="The journal that `olift stream --record` left (OUT.journal).", show_default=False, readable=False
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--out", help="The result; the journal's name without .journal by default.", show_default=False
        ),
    ] = None,
    debug: Debug = False,
) -> None:
    """Write the record of a stream that was killed or whose disk was full, and delete its journal.

    [bold]Examples[/bold]
      olift recover session.npz.journal
      olift recover session.npz.journal -o /elsewhere/session.npz
    """
    beside = journal.with_name(f"{journal.name}.journal")
    if journal.suffix != ".journal" and beside.is_file():
        raise InputError(f"{journal}: wanted the journal of that record, {beside}")
    check_input(journal)
    out = out or _named(journal)
    check_result(out, journal)

    from olift_fast.streaming import recover_recording

    recording = recover_recording(journal)
    for note in recording.notes:
        warn(note)
    write_record(recording, out)


def write_record(recording: Recording, out: Path) -> None:
    """Writes a record, in several files if one would be too large, and prints the name of each."""
    written = recording.write(out)
    if not written:
        warn(f"{out}: not written: nothing was lifted")
    for path, part in written:
        frames = f"{plural(part.num_tracks, 'track')}, {plural(part.num_frames, 'frame')}"
        say(f"olift: recorded {path} ({frames})", err=True)


def _named(journal: Path) -> Path:
    """The result's path, from the journal's name."""
    if journal.suffix != ".journal":
        raise InputError(f"{journal}: is no journal that `--record OUT` has left, wanted OUT.journal")
    return journal.with_suffix("")
