"""Lift one file, from reading to drawing. `olift lift` and `olift demo` do this, and `olift bench` times it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from olift_fast.cli.checks import (
    check_image_size,
    check_input,
    check_min_confidence,
    check_page,
    check_result,
    check_threads,
)
from olift_fast.cli.console import progress_bar
from olift_fast.errors import InputError, by_option, listed, plural
from olift_fast.finishing import AS_LIFTED, Finishing, WorldOptions
from olift_fast.stages import Stages

if TYPE_CHECKING:
    from olift_fast.bodies import Body, Trust
    from olift_fast.model import AnyLifter
    from olift_fast.tracks.containers import CoordinateFrame, KeypointTracks, LiftedTracks
    from olift_fast.tracks.draft import Infer
    from olift_fast.tracks.skeleton import Skeleton


FEWEST_JOINTS = 4
"""Three views without perspective determine the shape of a rigid body of this many points (Ullman 1979)."""


OTHER_LENGTH = 0.1
"""A warning comes if a bone of known length differs by this share after bones have been given one length each."""


@dataclass(frozen=True, kw_only=True)
class LiftingJob:
    """The file to lift, and the options of `olift lift`."""

    file: Path
    out: Path
    page: Path | None = None
    format: str | None = None
    model: str = "small"
    skeleton: str | None = None
    infer: Infer = "names"
    fps: float | None = None
    image_size: tuple[int, int] | None = None
    min_confidence: float = 0.3
    frame: CoordinateFrame = "camera"
    mirror: bool = False
    smooth: float | None = None
    rigid: bool = False
    body: Body | None = None
    pitch: float | None = None
    tracks: Sequence[str] = ()
    backend: Literal["auto", "native", "eager", "reference"] = "auto"
    device: str = "cpu"
    dtype: str = "float32"
    threads: int | None = None
    allow_pickle: bool = False
    placement: WorldOptions = AS_LIFTED

    @property
    def finishing(self) -> Finishing:
        """The options for what follows the lift."""
        return Finishing(
            smooth=self.smooth, rigid=self.rigid, body=self.body, placement=self.placement, pitch=self.pitch
        )


@dataclass(frozen=True)
class Outcome:
    """The outcome of a job: the result, the seconds of each stage, warnings and notes.

    `trust` is about the joints from the model, before they are smoothed and steadied. `torch` says why PyTorch was
    needed; None if it was not.
    """

    job: LiftingJob
    result: LiftedTracks
    stages: Stages
    trust: Trust
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    torch: str | None

    @property
    def frames_per_second(self) -> float:
        """Frames of all tracks lifted in a second of the stage `lift`."""
        frames = self.result.num_tracks * self.result.num_frames
        return frames / max(self.stages.seconds["lift"], 1e-9)


def lift_file(job: LiftingJob, *, quiet: bool = False, lifter: AnyLifter | None = None) -> Outcome:
    """Read, lift, write, and draw if a page is asked for. Nothing is written unless the lift has succeeded.

    Args:
        job: the file and the options.
        quiet: show no bar.
        lifter: the lifter, to use one for many files; by default from `load_model`.

    Raises:
        InputError: the file or an option is unusable, or an output cannot be written.
        MissingExtraError: the format or the page needs an extra that is not installed.
    """
    check_job(job)
    stages = Stages()
    with stages.measure("read"):
        tracks = job.finishing.prepared(tracks_of(job))
    _check_can_hold(job, tracks)
    with stages.measure("start"), computing_with(job.backend):
        # The stage "load": the weights and, if needed, torch. It takes the same time for any number of frames.
        from olift_fast.bodies import trust
        from olift_fast.model.checkpoints import pinned, validated_drift
        from olift_fast.model.loading import why_torch
        from olift_fast.runtime.threads import set_thread_count

        name = pinned(job.model)
        model = lifter or load_model(name, job.device, job.dtype)
        reason = why_torch(job.device, job.dtype)
        if job.threads is not None:
            set_thread_count(job.threads)
        usual_drift = validated_drift(name)
    lifted, mirror_share = _lift(job, model, tracks, stages, quiet)
    signs = trust(lifted, usual_drift=usual_drift, mirror=mirror_share)
    result = job.finishing.finished(lifted, stages)
    _write(job, result, stages)
    from olift_fast.world.report import describe

    notes = *result.notes, *describe(result), *_camera_notes(model, result)
    bad = (
        *signs.warnings(steadied=job.finishing.steadies, smoothed=job.smooth is not None),
        *_other_lengths(job, result),
    )
    return Outcome(job, result, stages, signs, (*result.warnings, *_warnings(result), *bad), notes, reason)


def _lift(
    job: LiftingJob, model: AnyLifter, tracks: KeypointTracks, stages: Stages, quiet: bool
) -> tuple[LiftedTracks, float | None]:
    """The model's joints and, with ``--mirror``, how far those of the mirror image differ."""
    with stages.measure("start"), computing_with(job.backend):
        from olift_fast.model import MirrorDisagreement, lift_tracks
        from olift_fast.tracks.without_bones import bones_reported

    mirror = MirrorDisagreement() if job.mirror else None
    with (
        bones_reported(),  # by `skeleton_warnings`
        stages.measure("lift"),
        computing_with(job.backend),
        progress_bar(f"lifting {job.file.name}", quiet) as progress,
    ):
        lifted = lift_tracks(
            model,
            tracks,
            min_confidence=job.min_confidence,
            frame=job.frame,
            mirror=mirror or False,
            pitch=job.finishing.pitch_for_model(model.config.pitch),
            progress=progress,
        )
    return lifted, mirror.share if mirror else None


def _write(job: LiftingJob, result: LiftedTracks, stages: Stages) -> None:
    """Writes the result's file, and its page if one is asked for."""
    with stages.measure("write"):
        from olift_fast.io import write_lifted

        write_lifted(result, job.out)
    if job.page is not None:
        from olift_fast.atomic import writing
        from olift_fast.view import write_html

        with stages.measure("draw"), writing(job.page):
            write_html(result, job.page)


def check_job(job: LiftingJob) -> None:
    """Raises InputError or MissingExtraError if an option is unusable or an output cannot be written."""
    check_options(job)
    check_input(job.file)
    check_result(job.out, job.file)
    if job.page is not None:
        check_page(job.page, job.file, job.out)


def check_options(job: LiftingJob) -> None:
    """Raises InputError or MissingExtraError if an option is unusable for any file."""
    check_min_confidence(job.min_confidence)
    if job.fps is not None and not 0 < job.fps < float("inf"):
        raise InputError(f"--fps must be a positive number, got {job.fps:g}")
    check_image_size(job.image_size)
    check_threads(job.threads)
    job.finishing.check(job.frame)


def _check_can_hold(job: LiftingJob, tracks: KeypointTracks) -> None:
    from olift_fast.io.write import check_can_hold

    check_can_hold(job.out, tracks)


def tracks_of(job: LiftingJob) -> KeypointTracks:
    """`read_tracks` for the job."""
    return read_tracks(
        job.file,
        format=job.format,
        skeleton=job.skeleton,
        infer=job.infer,
        fps=job.fps,
        image_size=job.image_size,
        min_confidence=job.min_confidence,
        names=job.tracks,
        allow_pickle=job.allow_pickle,
    )


def read_tracks(
    file: Path,
    *,
    format: str | None,
    skeleton: str | None,
    infer: Infer,
    min_confidence: float,
    allow_pickle: bool,
    fps: float | None = None,
    image_size: tuple[int, int] | None = None,
    names: Sequence[str] = (),
) -> KeypointTracks:
    """`read_liftable` with the skeleton given by name, and errors that name options."""
    from olift_fast.io.liftable import read_liftable

    return read_liftable(
        file,
        format,
        skeleton=skeleton_told(skeleton) if skeleton else None,
        infer=infer,
        min_confidence=min_confidence,
        fps=fps,
        image_size=image_size,
        names=names,
        allow_pickle=allow_pickle,
        threshold="--min-confidence",
    )


def skeleton_told(name: str) -> Skeleton:
    """`read_skeleton` for the value of ``--skeleton``; raises InputError that names the option."""
    from olift_fast.io import read_skeleton

    with by_option(name, f"--skeleton {name}"):
        return read_skeleton(name)


def load_model(model: str, device: str, dtype: str) -> AnyLifter:
    """The lifter on this device and in this dtype; raises InputError if it can't run there."""
    from olift_fast.model import load

    with by_option("device", "--device"), by_option("dtype", f"--dtype {dtype}: dtype"):
        return load(model, device=device, dtype=dtype)


def computing_with(backend: Literal["auto", "native", "eager", "reference"]) -> AbstractContextManager[None]:
    """`use_backend` for the value of ``--backend``; raises InputError for "native" without the native module."""
    if backend == "auto":
        return nullcontext()
    from olift_fast.runtime.asked_backend import use_backend
    from olift_fast.runtime.native_module import why_not_native

    if backend != "native":
        return use_backend(backend)
    reason = why_not_native()
    if reason is not None:
        raise InputError(f"--backend native: {reason}")
    # Not every operation has a native backend. "auto" uses it for those that have one.
    return use_backend("auto")


def _absent_joints(result: LiftedTracks) -> str:
    """How many joints each track never has, in words: "3 of mouse (nose, tail, …), 1 of cricket (wing)"."""
    import numpy as np

    seen = np.asarray(np.isfinite(result.joints[..., 0]).any(axis=1))
    found = []
    for index, name in enumerate(result.tracks):
        lacks = [joint for joint, there in zip(result.skeleton.names, seen[index], strict=True) if not there]
        if seen[index].any() and lacks:
            found.append(f"{len(lacks)} of {name} ({', '.join(lacks[:3])}{', …' if len(lacks) > 3 else ''})")
    return ", ".join(found[:4]) + (f", and of {len(found) - 4} more" if len(found) > 4 else "")


def _without_motion(result: LiftedTracks) -> tuple[list[str], list[str]]:
    """Tracks in which no keypoint ever moves, and tracks whose keypoints are all at one point in every frame."""
    import numpy as np

    still, one_point = [], []
    for name, keypoints, visible in zip(result.tracks, result.keypoints, result.visible, strict=True):
        if (visible.sum(axis=0) > 1).sum() == 0:
            continue
        places = np.where(visible[..., None], keypoints, np.nan)
        with np.errstate(invalid="ignore"):
            moves, spans = (np.fmax.reduce(places, axis) - np.fmin.reduce(places, axis) for axis in (0, 1))
        if not np.nanmax(spans) > 0:
            one_point.append(name)
        elif not np.nanmax(moves) > 0:
            still.append(name)
    return still, one_point


def hidden_share(result: LiftedTracks) -> float:
    """Share of the keypoints that the model did not see."""
    return 1.0 - float(result.visible.mean())


def _camera_notes(model: AnyLifter, result: LiftedTracks) -> Iterator[str]:
    """A note on the camera's pitch: the one that was given to the model, or that it takes one."""
    if result.camera is not None:
        yield f"given to the model: {result.camera}"
    elif model.config.pitch:
        yield "the model takes the camera's pitch: --pitch DEGREES, or --view top, level or below"


def skeleton_warnings(skeleton: Skeleton, tracks: Sequence[str] = ()) -> Iterator[str]:
    """Warnings that missing edges or sides make depth less sure, with the option that gives them."""
    from olift_fast.tracks.hands import hand_of, is_hand

    if not skeleton.edges:
        yield (
            "no skeleton edges are known: depth is less sure, no bones are drawn; --skeleton FILE or RIG gives them, "
            "and `olift skeleton` drafts such a FILE"
        )
    if is_hand(skeleton) and not any(skeleton.sides):
        unsaid = [track for track in tracks if not any(hand_of(skeleton, track).sides)]
        if unsaid or not tracks:
            yield (
                f"nothing says which hand {' or '.join(unsaid[:2]) or 'it'} is: depth may come out mirrored; a track "
                'named left_hand or right_hand tells it, or "sides" in --skeleton FILE'
            )
    elif not any(skeleton.sides):
        yield "no left and right joints are recognized: depth may come out mirrored; --skeleton FILE tells them"


def _other_lengths(job: LiftingJob, result: LiftedTracks) -> Iterator[str]:
    """Warnings of bones that are not at their known length, because the size was found before bones were steadied."""
    if not job.finishing.steadies or result.units != "meters":
        return
    import numpy as np

    for known in job.placement.lengths(result.skeleton):
        if known.kind != "bone":
            continue
        first, second = np.array(known.joints).T
        away = result.joints[:, :, first].astype(np.float64) - result.joints[:, :, second]
        found = float(np.nanmedian(np.linalg.norm(away, axis=-1)))
        if abs(found / known.meters - 1) > OTHER_LENGTH:
            yield (
                f"--bone {known.text}: it is {1000 * found:.3g} mm long in the result, since its size was taken from "
                f"the joints before {job.finishing.steadied_by} gave the bones their lengths"
            )


def _warnings(result: LiftedTracks) -> Iterator[str]:
    yield from skeleton_warnings(result.skeleton, result.tracks)
    joints = result.skeleton.num_joints
    if joints < FEWEST_JOINTS:
        yield f"{plural(joints, 'joint')} only: too few to tell depth by, which takes at least {FEWEST_JOINTS}"
    if result.num_frames == 1:
        yield "one frame only: there is no motion to tell depth by"
    else:
        still, one_point = _without_motion(result)
        if still:
            yield f"{listed(still)}: no keypoint moves, so there is no motion to tell depth by: is the file right?"
        if one_point:
            yield f"{listed(one_point)}: all keypoints of a frame are in one point: is the file right?"
    unseen = [name for name, visible in zip(result.tracks, result.visible, strict=True) if not visible.any()]
    if unseen:
        yield f"{plural(len(unseen), 'track')} without a visible keypoint, left empty: {listed(unseen)}"
    absent = _absent_joints(result)
    if absent:
        yield f"joints that a track never has are left empty in it: {absent}"
