"""Lift one file from reading to drawing: what `olift lift` and `olift demo` do alike."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from olift_fast.cli.console import Stages, plural, progress_bar, writing
from olift_fast.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from olift_fast.model import Lifter
    from olift_fast.tracks.containers import KeypointTracks, LiftedTracks

LOW_VISIBLE_SHARE = 0.5


@dataclass(frozen=True)
class Request:
    """What to lift, and how: the options of `olift lift`."""

    file: Path
    out: Path
    page: Path | None = None
    format: str | None = None
    model: str = "small"
    skeleton: str | None = None
    fps: float | None = None
    min_confidence: float = 0.3
    output: Literal["camera", "object"] = "camera"
    mirror: bool = False
    tracks: Sequence[str] = ()
    backend: str = "auto"
    device: str = "cpu"
    dtype: str = "float32"
    threads: int | None = None
    allow_pickle: bool = False


@dataclass(frozen=True)
class Outcome:
    """What came of it: the result, the seconds of each stage, and what its reader should know."""

    request: Request
    result: LiftedTracks
    stages: Stages
    warnings: tuple[str, ...]

    @property
    def frames_per_second(self) -> float:
        """Frames of all tracks lifted in a second of the stage `lift`."""
        frames = self.result.num_tracks * self.result.num_frames
        return frames / max(self.stages.seconds["lift"], 1e-9)


def lift_file(request: Request, *, quiet: bool = False) -> Outcome:
    """Read, lift, write, and draw if a page is asked for; nothing is written unless the lift has succeeded.

    Raises:
        InputError: the file or an option is unusable, or an output cannot be written.
        MissingExtraError: the format or the page needs an extra that is not installed.
    """
    check_request(request)
    stages = Stages()
    with stages.measure("read"):
        tracks = read_tracks(request)
    with stages.measure("start"), computing_with(request.backend):
        # Torch and the weights: the same seconds for one frame as for a million.
        import torch

        from olift_fast.model import lift_tracks

        if request.threads is not None:
            torch.set_num_threads(request.threads)
        model = load_model(request)
    with (
        stages.measure("lift"),
        computing_with(request.backend),
        progress_bar(f"lifting {request.file.name}", quiet) as progress,
    ):
        result = lift_tracks(
            model,
            tracks,
            min_confidence=request.min_confidence,
            output=request.output,
            mirror=request.mirror,
            progress=progress,
        )
    with stages.measure("write"):
        from olift_fast.io import write_lifted

        write_lifted(result, request.out)
    if request.page is not None:
        with stages.measure("draw"), writing(request.page):
            from olift_fast.view import write_html

            write_html(result, request.page)
    return Outcome(request, result, stages, tuple(_warnings(result)))


def load_model(request: Request) -> Lifter:
    """The lifter, on the device and in the precision that are asked for; raises InputError where it can't run there."""
    from olift_fast.model import Lifter

    return optimized(Lifter.from_pretrained(request.model), request.device, request.dtype)


def optimized(lifter: Lifter, device: str, dtype: str) -> Lifter:
    """`Lifter.optimize`, where there is anything to it; raises InputError where it can't run there."""
    import torch

    if device == "cpu" and dtype == "float32":
        return lifter
    try:
        return lifter.optimize(device, getattr(torch, dtype))
    except InputError as error:
        raise InputError(f"--dtype {dtype}: {error}") from error
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(f"--device {device}: {str(error).splitlines()[0]}") from error


def hidden_share(result: LiftedTracks) -> float:
    """Share of the keypoints that the model did not see."""
    return 1.0 - float(result.visible.mean())


def check_output(path: Path, source: Path | None, option: str = "-o") -> None:
    """Raises InputError where `path`, which `option` named, cannot be written, before any work is done for it."""
    folder = path.parent
    if not folder.is_dir():
        raise InputError(f"{path}: cannot be written: {folder} is not a folder")
    if path.is_dir():
        raise InputError(f"{path}: cannot be written: it is a folder, wanted a file name")
    if not os.access(folder, os.W_OK):
        raise InputError(f"{path}: cannot be written: no permission in {folder}; choose another place with {option}")
    if source is not None and path.exists() and source.exists() and path.samefile(source):
        raise InputError(f"{path}: is the input itself; choose another name with {option}")


def check_request(request: Request) -> None:
    """Raises InputError or MissingExtraError where an option is unusable or an output cannot be written."""
    if not 0 <= request.min_confidence <= 1:
        raise InputError(f"--min-confidence must be within 0 … 1, got {request.min_confidence:g}")
    if request.fps is not None and not 0 < request.fps < float("inf"):
        raise InputError(f"--fps must be a positive number, got {request.fps:g}")
    if request.threads is not None and request.threads < 1:
        raise InputError(f"--threads must be >= 1, got {request.threads}")
    if not request.file.exists():
        raise InputError(f"{request.file}: no such file or folder")
    check_output(request.out, request.file)
    check_suffix(request.out)
    if request.page is not None:
        from olift_fast.view import require_plotly

        require_plotly()
        check_output(request.page, request.file)
        if request.page.resolve() == request.out.resolve():
            raise InputError(f"{request.page}: is asked for as result and as page; give them two names")


def check_suffix(out: Path) -> None:
    """Raises InputError or MissingExtraError where a result of this name cannot be written."""
    from olift_fast.io.write import kind_of

    if kind_of(out) in ("h5", "netcdf", "nwb") and importlib.util.find_spec("movement") is None:
        raise MissingExtraError(what=f"writing {out.suffix} files", extra="io")


def read_tracks(request: Request) -> KeypointTracks:
    """The tracks that are asked for, with at least two joints and something visible; raises InputError otherwise."""
    from olift_fast.io import read_keypoints
    from olift_fast.tracks.rigs import load_skeleton

    skeleton = load_skeleton(request.skeleton) if request.skeleton else None
    tracks = read_keypoints(
        request.file, request.format, fps=request.fps, skeleton=skeleton, allow_pickle=request.allow_pickle
    )
    if tracks.skeleton.num_joints < 2:
        name = tracks.skeleton.names[0]
        raise InputError(f"{request.file}: has one joint ({name!r}), wanted at least 2: a point alone has no depth")
    if request.tracks:
        tracks = _chosen(tracks, request)
    visible = tracks.visible(request.min_confidence)
    if not visible.any():
        best = float(tracks.confidence.max())
        raise InputError(
            f"{request.file}: no keypoint reaches --min-confidence {request.min_confidence:g}, the best has {best:.2g}"
        )
    return tracks


def _chosen(tracks: KeypointTracks, request: Request) -> KeypointTracks:
    missing = [name for name in request.tracks if name not in tracks.tracks]
    if missing:
        have = ", ".join(tracks.tracks)
        raise InputError(f"{request.file}: has no track {', '.join(map(repr, missing))}; it has {have}")
    kept = [tracks.tracks.index(name) for name in dict.fromkeys(request.tracks)]
    return replace(
        tracks,
        keypoints=tracks.keypoints[kept],
        confidence=tracks.confidence[kept],
        tracks=tuple(tracks.tracks[index] for index in kept),
    )


@contextmanager
def computing_with(name: str) -> Iterator[None]:
    """Within the block the reference backend if asked for; "native" makes sure that there is a native module."""
    if name == "native":
        from olift_fast.ops.native_module import why_not_native

        reason = why_not_native()
        if reason is not None:
            raise InputError(f"--backend native: {reason}")
    if name == "auto":
        yield
        return
    before = os.environ.get("OLIFT_BACKEND")
    # Not every operation has a native backend: "auto" takes it wherever there is one.
    os.environ["OLIFT_BACKEND"] = "reference" if name == "reference" else "auto"
    try:
        yield
    finally:
        if before is None:
            del os.environ["OLIFT_BACKEND"]
        else:
            os.environ["OLIFT_BACKEND"] = before


def _warnings(result: LiftedTracks) -> Iterator[str]:
    skeleton = result.skeleton
    if not skeleton.edges:
        yield "no skeleton edges are known: depth is less sure, no bones are drawn; --skeleton FILE or RIG gives them"
    if not any(skeleton.sides):
        yield "no left and right joints are recognised: depth may come out mirrored; --skeleton FILE tells them"
    if result.num_frames == 1:
        yield "one frame only: there is no motion to tell depth by"
    unseen = [name for name, visible in zip(result.tracks, result.visible, strict=True) if not visible.any()]
    if unseen:
        yield f"{plural(len(unseen), 'track')} without a visible keypoint, left empty: {', '.join(unseen)}"
    share = float(result.visible.mean())
    if share < LOW_VISIBLE_SHARE:
        yield f"only {share:.0%} of the keypoints are visible: what is hidden is estimated from the rest"
