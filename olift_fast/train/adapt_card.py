"""Writes the model card of a lifter that was adapted to a body."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from olift_fast._version import __version__
from olift_fast.errors import plural, printable
from olift_fast.model.cards import with_metadata
from olift_fast.train.adapting import Adaptation

MOST_NAMES = 12


def card(outcome: Adaptation, model: str, files: Sequence[Path]) -> str:
    """The card: the checkpoint at the start, the recordings, and the signs of whether adapting helped.

    Args:
        outcome: of `adapt`.
        model: the checkpoint that was adapted.
        files: the recordings. The card has their names without folders.
    """
    names = ", ".join(f"`{printable(path.name).replace('`', '')}`" for path in files[:MOST_NAMES])
    more = f", and {len(files) - MOST_NAMES} more" if len(files) > MOST_NAMES else ""
    rows = [f"| {words} | {100 * before:.1f} % | {100 * after:.1f} % |" for words, before, after in outcome.changes()]
    skeleton = outcome.body.skeleton
    count = len(outcome.body.individuals)
    individuals = f", with those of {plural(count, 'individual')}" if count else ""
    lines = [
        f"# {printable(outcome.lifter.name)}",
        "",
        f"`{printable(str(model))}`, adapted to a body by `olift adapt` of olift-fast {__version__}, from 2D alone. No",
        "3D was used, and its error has not been measured.",
        "",
        f"- learned from: {names}{more}",
        f"- {plural(outcome.learned, 'clip')} of {outcome.frames} frames of {plural(outcome.tracks, 'track')}; "
        f"{outcome.held_out} held out",
        f"- {skeleton.num_joints} joints, {len(skeleton.edges)} bones, whose lengths are in `body.json`{individuals}",
        f"- {plural(outcome.steps, 'step')}; learned {'with' if outcome.held else 'without'} these lengths",
        f"- {'judged better' if outcome.verdict.helped else 'not judged better'}: {outcome.verdict.reason}",
        "",
        "On the clips held out, without their 3D:",
        "",
        "| sign | before | after |",
        "|---|---:|---:|",
        *rows,
        "",
        "Distances are in % of the clips' RMS 2D radius, bone lengths in % of the bone.",
    ]
    return with_metadata("\n".join(lines) + "\n")
