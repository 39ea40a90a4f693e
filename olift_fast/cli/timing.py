"""Time the stages of lifting one file, round by round, beside the plain-PyTorch backend: what `olift bench` does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from olift_fast.cli.console import Stages, progress_bar
from olift_fast.cli.lift_file import Request, check_request, computing_with, load_model, read_tracks

if TYPE_CHECKING:
    import numpy as np

    from olift_fast.model import Lifter, Normalization
    from olift_fast.tracks.containers import KeypointTracks, LiftedTracks
    from olift_fast.tracks.skeleton import Skeleton

# Through all layers float32 rounds to some 1e-6 and bfloat16 to 5e-3, to more where keypoints lie far astray; a wrong
# kernel is far above.
AGREEMENT = {"float32": 1e-3, "bfloat16": 3e-2, "float16": 1e-2}
HIDDEN = 0.05
REFERENCE_LIFT = "lift, reference"


class Shape(NamedTuple):
    """How many keypoints to generate where there is no file."""

    frames: int
    joints: int
    tracks: int


@dataclass(frozen=True)
class Timings:
    """What was timed, and the seconds that it took.

    Args:
        request: what was lifted, and how.
        result: what the file was lifted to.
        backend: "native", "reference" where the native module is missing, or "auto" on another device than the CPU.
        why_not_native: why it is.
        start: what happens once in a process: import of torch, reading of the weights, first lift.
        rounds: the stages of each round, read … write or draw; where the backends are compared `REFERENCE_LIFT` too.
        error: relative Frobenius error of the model's joints against the reference backend's, where compared.
    """

    request: Request
    result: LiftedTracks
    backend: str
    why_not_native: str | None
    start: Stages
    rounds: tuple[Stages, ...]
    error: float | None


class Track(NamedTuple):
    """A track as the model takes it: arrays (T, J, 2), (T, J) and (T, 2)."""

    normalised: np.ndarray
    visible: np.ndarray
    centers: np.ndarray
    normalization: Normalization


def time_stages(
    request: Request, rounds: int, *, shape: Shape | None = None, compare: bool = True, quiet: bool = False
) -> Timings:
    """Lift the file once for the start, check that all ways agree, then time each stage in every round.

    Args:
        request: what to lift, and where the results that are written go.
        rounds: how often each stage is timed.
        shape: of the keypoints that are generated into `request.file` first.
        compare: time the lifting of the reference backend as well, by turns.
        quiet: show no progress.

    Raises:
        InputError, MissingExtraError: as `lift_file`.
        RuntimeError: the backends, or the stages and `lift_tracks`, disagree.
    """
    start = Stages()
    with start.measure("import"):
        import olift_fast.io  # noqa: F401
    if shape is not None:
        write_random(request.file, shape)
    check_request(request)
    tracks = read_tracks(request)
    with start.measure("import"):
        import torch

        from olift_fast.model import lift_tracks
        from olift_fast.ops.native_module import why_not_native

        on_cpu = request.device == "cpu"
        missing = why_not_native() if on_cpu else None
    if request.threads is not None:
        torch.set_num_threads(request.threads)
    with start.measure("model"):
        model = load_model(request)
    backend = "reference" if missing else "native" if on_cpu else "auto"
    tolerance = AGREEMENT[request.dtype]
    prepared = normalised(tracks, request.min_confidence)
    with start.measure("first_lift"), computing_with(backend):
        joints = lifted(model, prepared, tracks.skeleton)
    with computing_with(backend):
        result = lift_tracks(model, tracks, min_confidence=request.min_confidence)
    seen = result.visible.any(axis=(1, 2))
    _check("the stages and lift_tracks", _error(aligned(joints, prepared), list(result.joints[seen])), tolerance)
    error = None
    if compare and not missing:
        with computing_with("reference"):
            error = _error(joints, lifted(model, prepared, tracks.skeleton))
        _check("the kernels and the reference backend", error, tolerance)
    backends = [backend] if error is None else [backend, "reference"]
    timed = []
    with progress_bar("rounds", quiet) as progress:
        for number in range(rounds):
            # Each goes first in half of the rounds.
            turns = backends if number % 2 == 0 else backends[::-1]
            timed.append(_round(request, model, result, turns, backend))
            if progress is not None:
                progress(number + 1, rounds)
    return Timings(request, result, backend, missing, start, tuple(timed), error)


def normalised(tracks: KeypointTracks, min_confidence: float) -> list[Track]:
    """The tracks that show something, as the model takes them."""
    from olift_fast.model import Normalization

    prepared = []
    for keypoints, visible in zip(tracks.keypoints, tracks.visible(min_confidence), strict=True):
        if visible.any():
            normalization = Normalization.fit(keypoints, visible)
            points, centers = normalization.apply(keypoints, visible)
            prepared.append(Track(points, visible, centers, normalization))
    return prepared


def lifted(model: Lifter, prepared: Sequence[Track], skeleton: Skeleton) -> list[np.ndarray]:
    """What the model makes of each track: (T, J, 3) in its own frame and unit."""
    import torch

    from olift_fast.model import lift_in_chunks

    return [
        lift_in_chunks(model, torch.from_numpy(track.normalised), torch.from_numpy(track.visible), skeleton).numpy()
        for track in prepared
    ]


def aligned(joints: Sequence[np.ndarray], prepared: Sequence[Track]) -> list[np.ndarray]:
    """The same turned to the camera, in pixels."""
    from olift_fast.model.alignment import camera_aligned

    return [
        camera_aligned(points - points.mean(axis=1, keepdims=True), *track)[0]
        for points, track in zip(joints, prepared, strict=True)
    ]


def write_random(path: Path, shape: Shape) -> None:
    """An npz of keypoints that swing about their places on a chain of joints; every twentieth is hidden.

    Raises:
        InputError: more than a recording can hold.
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


def _round(request: Request, model: Lifter, result: LiftedTracks, backends: Sequence[str], fast: str) -> Stages:
    """One round: every stage once, the lifting with each backend in this order."""
    from olift_fast.io import write_lifted

    stages = Stages()
    with stages.measure("read"):
        tracks = read_tracks(request)
    with stages.measure("normalise"):
        prepared = normalised(tracks, request.min_confidence)
    for backend in backends:
        with stages.measure("lift" if backend == fast else REFERENCE_LIFT), computing_with(backend):
            joints = lifted(model, prepared, tracks.skeleton)
    with stages.measure("align"):
        aligned(joints, prepared)
    with stages.measure("write"):
        write_lifted(result, request.out)
    if request.page is not None:
        from olift_fast.view import write_html

        with stages.measure("draw"):
            write_html(result, request.page)
    return stages


def _error(got: Sequence[np.ndarray], wanted: Sequence[np.ndarray]) -> float:
    """The relative Frobenius error over all tracks; infinite where one holds a number and the other none."""
    import numpy as np

    ours, theirs = (np.concatenate([track.ravel() for track in tracks]).astype(np.float64) for tracks in (got, wanted))
    known = np.isfinite(theirs)
    if (known != np.isfinite(ours)).any():
        return float("inf")
    size = np.linalg.norm(theirs[known])
    return float(np.linalg.norm(ours[known] - theirs[known]) / max(size, np.finfo(np.float32).tiny))


def _check(what: str, error: float, tolerance: float) -> None:
    if error > tolerance:
        raise RuntimeError(
            f"{what} disagree: relative error {error:.2g}, wanted at most {tolerance:g}; nothing is timed"
        )
