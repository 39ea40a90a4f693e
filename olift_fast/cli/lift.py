"""`olift lift`: a keypoint file to 3D."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from olift_fast.cli.console import open_page, plural, print_json, reported, warn
from olift_fast.cli.lift_file import Outcome, Request, hidden_share, lift_file
from olift_fast.cli.options import (
    AllowPickle,
    Debug,
    DeviceName,
    Dtype,
    DtypeName,
    FormatName,
    Json,
    KeypointFile,
    MinConfidence,
    ModelName,
    SkeletonName,
)

if TYPE_CHECKING:
    from olift_fast.tracks.containers import LiftedTracks

CAMERA_NOTE = "the model expects an upright camera, level or looking down by up to 40°"


class Output(StrEnum):
    """The frame that the 3D joints are given in."""

    camera = "camera"
    object = "object"


class BackendName(StrEnum):
    """What computes."""

    auto = "auto"
    native = "native"
    reference = "reference"


@reported
def lift(
    file: KeypointFile,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            help="Result; the suffix tells the format: .npz, .csv, .long.csv, .h5, .nc, .nwb. "
            "FILE.lifted.npz beside FILE by default.",
            show_default=False,
            readable=False,
        ),
    ] = None,
    format: FormatName = None,
    model: ModelName = "small",
    skeleton: SkeletonName = None,
    fps: Annotated[
        float | None, typer.Option(help="Frames a second, in place of what FILE says.", show_default=False)
    ] = None,
    min_confidence: MinConfidence = 0.3,
    output: Annotated[
        Output, typer.Option(help="camera: x, y overlay the input's pixels, z is depth in pixels; object: model units.")
    ] = Output.camera,
    mirror: Annotated[
        bool, typer.Option("--mirror", help="Lift the mirror image, too, and average: more accurate, twice the work.")
    ] = False,
    track: Annotated[
        list[str] | None, typer.Option(help="Lift this track only; can be repeated.", show_default=False)
    ] = None,
    view: Annotated[bool, typer.Option("--view", help="Draw the result and open it in the browser.")] = False,
    html: Annotated[
        Path | None, typer.Option(help="Draw the result into this page.", show_default=False, readable=False)
    ] = None,
    backend: Annotated[BackendName, typer.Option(help="What computes.")] = BackendName.auto,
    device: DeviceName = "cpu",
    dtype: Dtype = DtypeName.float32,
    threads: Annotated[
        int | None, typer.Option(help="CPU threads; torch's choice by default.", show_default=False)
    ] = None,
    allow_pickle: AllowPickle = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Lift a keypoint file to 3D.

    [bold]Examples[/bold]
      olift lift mouse_DLC.csv --view
      olift lift flies.analysis.h5 -o flies.csv --track female
      olift lift openpose_json/ --fps 60 --html walk.html
      olift lift dog.csv --skeleton ap10k_17 --min-confidence 0.5
      olift lift clip.slp --json | jq .seconds.lift
    """
    result = out or default_output(file, ".lifted.npz")
    page = html or (result.parent / f"{_stem(result)}.html" if view else None)
    request = Request(
        file, result, page, format, model, skeleton, fps, min_confidence, output.value, mirror, track or (),
        backend.value, device, dtype.value, threads, allow_pickle,
    )  # fmt: skip
    outcome = lift_file(request, quiet=as_json)
    if as_json:
        print_json(summary(outcome))
    else:
        report(outcome)
    if view and page is not None:
        open_page(page)


def default_output(file: Path, suffix: str) -> Path:
    """FILE with another suffix, beside it; a folder's result lies beside the folder."""
    resolved = file.resolve() if file.name in ("", ".", "..") else file
    name = resolved.name if resolved.is_dir() else _stem(resolved)
    return resolved.parent / f"{name}{suffix}"


def report(outcome: Outcome) -> None:
    """What was lifted, where it is, and how long each stage took, for people."""
    result, request = outcome.result, outcome.request
    for warning in outcome.warnings:
        warn(warning)
    typer.echo(heading(request.file.name, result))
    axes = "x right, y down, z away from the camera" if result.frame == "camera" else "the object's own frame"
    typer.echo(f"lifted by {result.model} {result.version}: {request.out} ({result.units}: {axes})")
    if request.page is not None:
        typer.echo(f"drawn: {request.page}")
    typer.echo(f"{outcome.stages.line()} ({outcome.frames_per_second:,.0f} frames/s lifted)")
    typer.echo(typer.style(f"note: {CAMERA_NOTE}", dim=True), err=True)


def heading(name: str, result: LiftedTracks) -> str:
    """What was read, in one line: "mouse.csv: 1 track of 30 frames and 4 joints (deeplabcut), 8.3% hidden"."""
    rate = f", {result.fps:g} frames/s" if result.fps else ""
    return (
        f"{name}: {plural(result.num_tracks, 'track')} of {plural(result.num_frames, 'frame')} and "
        f"{plural(result.skeleton.num_joints, 'joint')} ({result.format}{rate}), {hidden_share(result):.1%} hidden"
    )


def summary(outcome: Outcome) -> dict[str, Any]:
    """The same for machines."""
    result, request = outcome.result, outcome.request
    return {
        "input": str(request.file),
        "format": result.format,
        "output": str(request.out),
        "page": str(request.page) if request.page else None,
        "model": result.model,
        "version": result.version,
        "device": request.device,
        "dtype": request.dtype,
        "frame": result.frame,
        "units": result.units,
        "tracks": list(result.tracks),
        "frames": result.num_frames,
        "joints": list(result.skeleton.names),
        "skeleton": result.skeleton.name,
        "edges": len(result.skeleton.edges),
        "fps": result.fps,
        "min_confidence": request.min_confidence,
        "hidden_share": round(hidden_share(result), 6),
        "seconds": outcome.stages.rounded(),
        "frames_per_second": round(outcome.frames_per_second, 1),
        "warnings": list(outcome.warnings),
        "notes": [CAMERA_NOTE],
    }


def _stem(path: Path) -> str:
    """The name without its suffix; a result's `.long.csv` counts as one."""
    return path.name.removesuffix(".long.csv") if path.name.endswith(".long.csv") else path.stem
