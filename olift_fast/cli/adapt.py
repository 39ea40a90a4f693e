"""`olift adapt`: a checkpoint learns an animal's body from keypoint files alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from olift_fast.cli.checks import check_image_size, check_input, check_min_confidence, check_not_model
from olift_fast.cli.console import SOME_FAILED, print_json, progress_bar, reported, say, tell, warn
from olift_fast.cli.lift_many import each_once, recordings_in
from olift_fast.cli.lifting_job import read_tracks, skeleton_warnings
from olift_fast.cli.options import (
    AllowPickle,
    Debug,
    FormatName,
    ImageSize,
    InferName,
    InferOption,
    Json,
    MinConfidence,
    ModelName,
    NoInfer,
    Pitch,
    SkeletonName,
    View,
    inferring,
    pitch_told,
)
from olift_fast.errors import InputError, by_option, by_options, plural

if TYPE_CHECKING:
    from olift_fast.tracks.containers import KeypointTracks
    from olift_fast.tracks.skeleton import Skeleton
    from olift_fast.train import Adaptation, Body, Outlook
    from olift_fast.world.lengths import KnownLength

BODY = "body.json"
STEEP = 45.0
"""A camera that looks down or up by this many degrees or more hides the lengths of upright bones."""


@reported
def adapt(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE…",
            help="Keypoint files of one kind of animal, as for olift lift: files, folders of them, globs in quotes.",
            show_default=False,
            readable=False,
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the new checkpoint.", show_default=False)],
    model: ModelName = "small-all",
    minutes: Annotated[
        float, typer.Option(help="The most time for the training's steps; they usually take less.", metavar="MINUTES")
    ] = 3.0,
    keep: Annotated[
        bool, typer.Option("--keep", help="Write the checkpoint even if the held-out clips show no gain.")
    ] = False,
    format: FormatName = None,
    skeleton: SkeletonName = None,
    infer: InferOption = InferName.names,
    no_infer: NoInfer = False,
    image_size: ImageSize = None,
    min_confidence: MinConfidence = 0.3,
    pitch: Pitch = None,
    view: View = None,
    bone: Annotated[
        str | None,
        typer.Option(
            help="The known length of one bone, for millimeters in body.json: shoulder-elbow=310mm.",
            show_default=False,
            metavar="A-B=LENGTH",
        ),
    ] = None,
    allow_pickle: AllowPickle = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Teach a checkpoint the body of your animal from its 2D alone: no 3D is needed.

    A fifth of the clips is held out. If these show no gain, nothing is written, and the exit code is 3.

    [bold]Examples[/bold]
      olift adapt mouse_DLC.csv --out mine
      olift adapt recordings/ --out mine --skeleton mouse.json --bone hip-knee=31mm
      olift lift mouse_DLC.csv --model mine --body mine/body.json
    """
    check_min_confidence(min_confidence)
    check_image_size(image_size)
    told = pitch_told(pitch, view)
    paths = each_once(recordings_in(files))
    for path in paths:
        check_input(path)
    from olift_fast.model import Lifter
    from olift_fast.model.checkpoints import as_model, folder_of, pinned
    from olift_fast.train import AdaptPlan
    from olift_fast.train import adapt as learn
    from olift_fast.train.memory import keep_freed_memory

    with by_options("minutes"):
        plan = AdaptPlan(minutes=minutes)
    model = pinned(model)
    check_not_model(out, folder_of(model))
    _check_out(out)
    recordings = [
        read_tracks(
            path,
            format=format,
            skeleton=skeleton,
            infer=inferring(infer, no_infer),
            image_size=image_size,
            min_confidence=min_confidence,
            allow_pickle=allow_pickle,
        )
        for path in paths
    ]
    known = None if bone is None else _known(bone, recordings[0].skeleton)
    before = Lifter.from_pretrained(model)
    keep_freed_memory()
    warnings: list[str] = []

    def foresee(outlook: Outlook) -> None:
        _measured(outlook.body, known)
        warnings.extend(_warnings(outlook, recordings, paths))
        if known is not None:
            warnings.extend(_unsure(outlook, known))
        if told is None:
            warnings.extend(_steep(recordings, min_confidence, before.config.pitch))
        warnings.extend(_hiding(outlook, told))
        if not as_json:
            for warning in warnings:
                warn(warning)

    with progress_bar("learning", as_json) as progress:
        outcome = learn(
            before,
            recordings,
            plan=plan,
            min_confidence=min_confidence,
            pitch=told,
            foresee=foresee,
            watch=progress,
        )
    written = outcome.verdict.helped or keep
    if written:
        from olift_fast.model.checkpoints import CARD
        from olift_fast.train.adapt_card import card

        outcome.lifter.name = out.resolve().name
        outcome.lifter.save_pretrained(out)
        _measured(outcome.body, known).write(out / BODY)
        (out / CARD).write_text(card(outcome, model, paths), encoding="utf-8")
    if as_json:
        print_json(_facts(outcome, paths, out if written else None, warnings))
    else:
        _report(outcome, recordings)
        if written:
            given = "" if skeleton is None else f" --skeleton {quote(skeleton)}"
            held = f" --body {quote(str(out / BODY))}" if outcome.held else ""
            say(f"written: {out}, with {BODY}; olift lift FILE{given} --model {quote(as_model(out))}{held}")
        else:
            say("nothing is written; --keep writes the new weights all the same")
    if not outcome.verdict.helped and not keep:
        raise typer.Exit(SOME_FAILED)


def _check_out(out: Path) -> None:
    """Raises InputError if the checkpoint can't be written, before the work is done."""
    from olift_fast.model.checkpoints import CONFIG

    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file, wanted a folder for the new checkpoint")
    if (out / CONFIG).exists():
        raise InputError(f"{out}: holds a checkpoint; give another folder with --out")
    there = next(folder for folder in (out.absolute(), *out.absolute().parents) if folder.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise InputError(f"{out}: cannot be written: no folder can be made in {there}")


def _known(bone: str, skeleton: Skeleton) -> KnownLength:
    """The length given by `--bone`; raises InputError before the training if it is not the length of a bone."""
    from olift_fast.bodies.body import bones_between
    from olift_fast.world.lengths import parse_length

    with by_option(repr(bone), f"--bone {bone}"):
        known = parse_length(bone, "bone", skeleton)
        bones_between(skeleton, known.joints, bone)
    return known


def _measured(body: Body, known: KnownLength | None) -> Body:
    """The body, in millimeters if a length is known; raises InputError if the 2D does not show its length."""
    if known is None:
        return body
    with by_option(repr(known.text), f"--bone {known.text}"):
        return body.scaled(known.joints, known.meters, known.text)


def _unsure(outlook: Outlook, known: KnownLength) -> Iterator[str]:
    """The warning that the bone with the known length is never seen at full length."""
    names = outlook.body.skeleton.names
    short = {frozenset(bone) for bone in outlook.foreshortened}
    if any(frozenset((names[a], names[b])) in short for a, b in known.joints):
        yield (
            f"--bone {known.text}: no view shows that bone at full length, so all millimeters may come out too large; "
            "the length of another bone tells more"
        )


def _warnings(outlook: Outlook, recordings: list[KeypointTracks], paths: list[Path]) -> Iterator[str]:
    """Warnings of likely faults in the recordings, and of what can't be learned from them."""
    if outlook.copies:
        some = ", ".join(str(paths[number]) for number in outlook.copies[:3]) + (
            ", …" if len(outlook.copies) > 3 else ""
        )
        yield f"{plural(len(outlook.copies), 'file')} with the keypoints of another, which count once: {some}"
    yield from dict.fromkeys([text for tracks in recordings for text in tracks.warnings])
    yield from skeleton_warnings(recordings[0].skeleton, [track for tracks in recordings for track in tracks.tracks])
    for name, off in outlook.mixed:
        whose = f"of {name} " if name else ""
        yield (
            f"bones {whose}have other lengths in some of the clips than in others, by {off:.0%}: several individuals "
            "under one name, or views from one side only"
        )
    if outlook.foreshortened:
        named = [f"{a}-{b}" for a, b in outlook.foreshortened[:4]]
        some = ", ".join(named) + (", …" if len(outlook.foreshortened) > 4 else "")
        yield (
            f"{plural(len(outlook.foreshortened), 'bone')} never seen at full length ({some}): the 2D can't tell how "
            "long; another camera's view of the animal can"
        )


def _steep(recordings: list[KeypointTracks], min_confidence: float, takes_pitch: bool) -> Iterator[str]:
    """One warning for all recordings, of the first one that looks as if filmed from above or below."""
    from olift_fast.tracks.overhead import steep_warning

    found = [steep_warning(tracks, min_confidence, takes_pitch=takes_pitch) for tracks in recordings]
    steep = [warning for warning in found if warning]
    if steep:
        yield f"{len(steep)} of {plural(len(recordings), 'recording')}: {steep[0]}"


def _hiding(outlook: Outlook, pitch: float | None) -> Iterator[str]:
    """The warning that views from above, below or end-on hide the lengths of bones."""
    from olift_fast.train.adapting import ALONG, SHOWN

    reasons = []
    if pitch is not None and abs(pitch) >= STEEP:
        reasons.append(f"the camera looks {'down' if pitch > 0 else 'up'} by {abs(pitch):g}°")
    if outlook.along > ALONG:
        reasons.append(
            f"bones point along the view ({outlook.along:.0%} of their squared lengths; wanted: {ALONG:.0%})"
        )
    if outlook.views < SHOWN:
        reasons.append(f"bones show {outlook.views:.1%} of their lengths (wanted: {SHOWN:.0%})")
    if reasons:
        used = "these lengths are still learned from" if outlook.held else "it learns without these lengths"
        yield (
            f"{' and '.join(reasons)}: views from above, below or end-on hide how long bones are; {used}, and --body "
            f"with {BODY} may do harm"
        )


def _report(outcome: Adaptation, recordings: list[KeypointTracks]) -> None:
    """Prints for the user what was learned."""
    inferred = sum(recordings[0].skeleton.inferred)
    if inferred:
        bones = len(recordings[0].skeleton.edges)
        tell(f"{plural(inferred, 'bone')} of {bones} inferred; `olift skeleton FILE` drafts them, to correct")
    say(
        f"learned from {plural(outcome.learned, 'clip')} of {outcome.frames} frames of "
        f"{plural(outcome.tracks, 'track')}, {outcome.held_out} held out; {plural(outcome.steps, 'step')}, "
        f"{outcome.seconds:.0f} s"
    )
    if outcome.body.individuals:
        names = [*outcome.body.individuals]
        say(f"  lengths of {plural(len(names), 'individual')}: {', '.join(names[:4])}{', …' if len(names) > 4 else ''}")
    for name, before, after in outcome.changes():
        say(f"  {name}: {before:.1%} before, {after:.1%} after")
    say(f"{'it helped' if outcome.verdict.helped else 'no gain'}: {outcome.verdict.reason}")


def _facts(outcome: Adaptation, paths: list[Path], out: Path | None, warnings: list[str]) -> dict[str, Any]:
    """The content of `olift adapt --json`."""
    return {
        "inputs": [str(path) for path in paths],
        "output": None if out is None else str(out),
        "helped": outcome.verdict.helped,
        "reason": outcome.verdict.reason,
        "before": outcome.before.as_json(),
        "after": outcome.after.as_json(),
        "clips": outcome.learned,
        "held_out": outcome.held_out,
        "frames": outcome.frames,
        "tracks": outcome.tracks,
        "steps": outcome.steps,
        "seconds": round(outcome.seconds, 1),
        "views": round(outcome.views, 4),
        "along": round(outcome.along, 4),
        "held": outcome.held,
        "individuals": list(outcome.body.individuals),
        "foreshortened": [f"{a}-{b}" for a, b in outcome.foreshortened],
        "warnings": warnings,
    }
