"""Time each stage of lifting one file in several rounds, and the eager backend, for `olift bench`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from olift_fast.cli.console import progress_bar
from olift_fast.cli.lifting_job import LiftingJob, check_job, computing_with, tracks_of
from olift_fast.errors import by_option
from olift_fast.stages import Stages

if TYPE_CHECKING:
    import numpy as np

    from olift_fast.model import Lifter
    from olift_fast.model.inference import Prepared
    from olift_fast.tracks.containers import KeypointTracks, LiftedTracks

# Rounding in all layers adds up to an error of about 1e-6 in float32, 1e-3 in int16 and 5e-3 in bfloat16, and to more
# if keypoints are far off. The error of a wrong kernel is far larger.
AGREEMENT = {"float32": 1e-3, "bfloat16": 3e-2, "int16": 1e-2, "float16": 1e-2}
HIDDEN = 0.05
EAGER_LIFT = "lift, eager"

Backend = Literal["auto", "native", "eager"]


class Shape(NamedTuple):
    """The numbers of frames, joints and tracks to generate without a file."""

    frames: int
    joints: int
    tracks: int


@dataclass(frozen=True)
class Timings:
    """The timed job and its seconds.

    Args:
        job: the file and the options.
        result: the lifted file.
        backend: "native", "eager" if the native module is missing, or "auto" on another device than the CPU.
        why_not_native: why the native module is missing; None if it is there, or not needed.
        start: the stages that run once in a process: import of torch, reading of the weights, first lift.
        rounds: the stages of each round, read … write or draw, and `EAGER_LIFT` if the backends are compared.
        error: relative Frobenius error of the model's joints against the eager backend's, where compared.
    """

    job: LiftingJob
    result: LiftedTracks
    backend: Backend
    why_not_native: str | None
    start: Stages
    rounds: tuple[Stages, ...]
    error: float | None


def time_stages(
    job: LiftingJob, rounds: int, *, shape: Shape | None = None, compare: bool = True, quiet: bool = False
) -> Timings:
    """Lift the file once for the start, check that the backends agree, then time each stage in every round.

    Args:
        job: the file, the options and the results' paths.
        rounds: how often each stage is timed.
        shape: of the keypoints to generate into `job.file` first; None if the file exists.
        compare: also time the lifting of the eager backend, in turns.
        quiet: show no progress.

    Raises:
        InputError, MissingExtraError: as `lift_file`.
        RuntimeError: the backends disagree.
    """
    start = Stages()
    with start.measure("import"):
        import olift_fast.io  # noqa: F401
    if shape is not None:
        write_random(job.file, shape)
    check_job(job)
    tracks = tracks_of(job)
    with start.measure("import"):
        import torch

        from olift_fast.model import lift_tracks
        from olift_fast.ops.backends import why_not
        from olift_fast.tracks.without_bones import bones_reported

        on_cpu = job.device == "cpu"
        missing = why_not("native") if on_cpu else None
    if job.threads is not None:
        torch.set_num_threads(job.threads)
    with start.measure("model"):
        model = _load(job)
    backend: Backend = "eager" if missing else "native" if on_cpu else "auto"
    prepared = _prepare(tracks, job)
    with start.measure("first_lift"), computing_with(backend):
        joints = _run(model, prepared)
    with bones_reported(), computing_with(backend):
        result = lift_tracks(model, tracks, min_confidence=job.min_confidence, pitch=job.pitch)
    backends, error = [backend], None
    if compare and backend != "eager":
        with computing_with("eager"):
            error = _error(joints, _run(model, prepared))
        if error > AGREEMENT[job.dtype]:
            raise RuntimeError(
                f"the kernels and the eager backend disagree: relative error {error:.2g}, wanted at most "
                f"{AGREEMENT[job.dtype]:g}; nothing is timed"
            )
        backends.append("eager")
    timed = []
    with progress_bar("rounds", quiet) as progress:
        for number in range(rounds):
            # Each backend goes first in half of the rounds.
            turns = backends if number % 2 == 0 else backends[::-1]
            timed.append(_round(job, model, result, turns, backend))
            if progress is not None:
                progress(number + 1, rounds)
    return Timings(job, result, backend, missing, start, tuple(timed), error)


def _load(job: LiftingJob) -> Lifter:
    """The lifter as a torch module, which can run on every backend."""
    from olift_fast.model import Lifter
    from olift_fast.model.devices import on_device

    lifter = Lifter.from_pretrained(job.model)
    with by_option("device", "--device"), by_option("dtype", f"--dtype {job.dtype}: dtype"):
        return on_device(lifter, job.device, job.dtype)


def write_random(path: Path, shape: Shape) -> None:
    """Writes an npz of keypoints that swing about their places along a chain of joints; one in twenty is hidden.

    Raises:
        InputError: the shape is larger than a recording can be.
    """
    import numpy as np

    from olift_fast.io.parsed import check_size

    frames, joints, tracks = shape
    check_size(tracks, frames, joints)
    rng = np.random.default_rng(0)
    place, swing, phase = (rng.normal(0, spread, (tracks, 1, joints, 2)) for spread in (100, 20, np.pi))
    keypoints = 500 + place + swing * np.sin(0.2 * np.arange(frames)[:, None, None] + phase)
    hidden = rng.random((tracks, frames, joints)) < HIDDEN
    hidden[:, 0] = False
    keypoints[hidden] = np.nan
    chain = np.stack([np.arange(joints - 1), np.arange(1, joints)], axis=-1)
    np.savez(path, keypoints=keypoints.astype(np.float32), edges=chain)


def _round(job: LiftingJob, model: Lifter, result: LiftedTracks, backends: Sequence[Backend], fast: Backend) -> Stages:
    """One round: every stage once, and the lifting with each backend in the given order."""
    from olift_fast.io import write_lifted

    stages = Stages()
    with stages.measure("read"):
        tracks = tracks_of(job)
    with stages.measure("normalize"):
        prepared = _prepare(tracks, job)
    for backend in backends:
        with stages.measure("lift" if backend == fast else EAGER_LIFT), computing_with(backend):
            joints = _run(model, prepared)
    with stages.measure("align"):
        _place(joints, prepared)
    with stages.measure("write"):
        write_lifted(result, job.out)
    if job.page is not None:
        from olift_fast.view import write_html

        with stages.measure("draw"):
            write_html(result, job.page)
    return stages


def _prepare(tracks: KeypointTracks, job: LiftingJob) -> list[Prepared]:
    from olift_fast.model import inference

    visible, absent = tracks.visible(job.min_confidence), tracks.absent()
    return [
        replace(inference.prepare_track(tracks, index, *masks), pitch=job.pitch)
        for index, masks in enumerate(zip(visible, absent, strict=True))
    ]


def _run(model: Lifter, prepared: Sequence[Prepared]) -> list[np.ndarray]:
    from olift_fast.model import inference

    return inference.run_together(model, prepared)


def _place(joints: Sequence[np.ndarray], prepared: Sequence[Prepared]) -> list[np.ndarray]:
    from olift_fast.model import inference

    return [placed for placed, _, _ in inference.place_together(joints, prepared)]


def _error(got: Sequence[np.ndarray], wanted: Sequence[np.ndarray]) -> float:
    """The relative Frobenius error over all tracks; infinite if one has a number where the other has NaN."""
    import numpy as np

    ours, theirs = (np.concatenate([track.ravel() for track in tracks]).astype(np.float64) for tracks in (got, wanted))
    known = np.isfinite(theirs)
    if (known != np.isfinite(ours)).any():
        return float("inf")
    size = np.linalg.norm(theirs[known])
    return float(np.linalg.norm(ours[known] - theirs[known]) / max(size, np.finfo(np.float32).tiny))
