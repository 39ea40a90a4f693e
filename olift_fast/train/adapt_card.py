"""The model card of a lifter that was adapted to a body."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from olift_fast._version import __version__
from olift_fast.errors import plural, printable
from olift_fast.model.cards import with_metadata
from olift_fast.train.adapting import Adaptation

MOST_NAMES = 12


def card(outcome: Adaptation, model: str, files: Sequence[Path]) -> str:
    """The card: what the lifter started from, what it learned from, and what tells whether it helped.

    Args:
        outcome: what came of it.
        model: the checkpoint that it started from.
        files: that it learned from; the card names them, not the folders that they are in.
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
        f"`{printable(str(model))}`, adapted by `olift adapt` of olift-fast {__version__} to a body, from 2D alone: no",
        "3D was used, and nobody has measured its error.",
        "",
        f"- learned from: {names}{more}",
        f"- {plural(outcome.learned, 'clip')} of {outcome.frames} frames of {plural(outcome.tracks, 'track')}; "
        f"{outcome.held_out} held out",
        f"- {skeleton.num_joints} joints, {len(skeleton.edges)} bones, whose lengths are in `body.json`{individuals}",
        f"- {outcome.steps} steps",
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
