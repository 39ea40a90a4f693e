"""`olift bench`: how long each stage of lifting takes on this machine, and how long in plain PyTorch."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from olift_fast.cli.checks import check_count, check_output
from olift_fast.cli.console import print_json, reported, say, table, warn, write_json
from olift_fast.cli.doctor import examine
from olift_fast.cli.lift import heading
from olift_fast.cli.lifting_job import LiftingJob, hidden_share
from olift_fast.cli.options import (
    AllowPickle,
    Debug,
    DeviceName,
    Dtype,
    DtypeName,
    FormatName,
    ImageSize,
    InferName,
    InferOption,
    Json,
    JsonFile,
    MinConfidence,
    ModelName,
    NoInfer,
    Pitch,
    SkeletonName,
    View,
    inferring,
    pitch_told,
)
from olift_fast.cli.stage_timing import EAGER_LIFT, Shape, Timings, time_stages
from olift_fast.errors import InputError, plural

SHAPE = Shape(frames=2000, joints=26, tracks=1)


@reported
def bench(
    file: Annotated[
        Path | None,
        typer.Argument(
            help="Keypoint file, or a folder of OpenPose JSON; without it, keypoints are generated.",
            show_default=False,
            readable=False,
        ),
    ] = None,
    frames: Annotated[
        int | None, typer.Option(help=f"Frames to generate; {SHAPE.frames} by default.", show_default=False)
    ] = None,
    joints: Annotated[
        int | None, typer.Option(help=f"Joints to generate; {SHAPE.joints} by default.", show_default=False)
    ] = None,
    tracks: Annotated[
        int | None, typer.Option(help=f"Tracks to generate; {SHAPE.tracks} by default.", show_default=False)
    ] = None,
    format: FormatName = None,
    model: ModelName = "small",
    skeleton: SkeletonName = None,
    infer: InferOption = InferName.names,
    no_infer: NoInfer = False,
    image_size: ImageSize = None,
    min_confidence: MinConfidence = 0.3,
    pitch: Pitch = None,
    view: View = None,
    device: DeviceName = "cpu",
    dtype: Dtype = DtypeName.float32,
    rounds: Annotated[int, typer.Option(help="How often each stage is timed.")] = 5,
    threads: Annotated[
        int | None, typer.Option(help="CPU threads; torch's choice by default.", show_default=False)
    ] = None,
    skip_reference: Annotated[
        bool,
        typer.Option("--skip-reference", help="Leave out the eager backend (plain PyTorch), which takes longest."),
    ] = False,
    html: Annotated[bool, typer.Option("--html", help="Time the drawing of the page as well.")] = False,
    out: JsonFile = None,
    as_json: Json = False,
    allow_pickle: AllowPickle = False,
    debug: Debug = False,
) -> None:
    """Time each stage of lifting on this machine: your file, or generated keypoints.

    Results are written to a temporary folder; FILE stays as it is.

    [bold]Examples[/bold]
      olift bench
      olift bench mouse_DLC.csv --html
      olift bench --frames 500 --joints 17 --threads 1
      olift bench --dtype bfloat16
      olift bench --skip-reference --json | jq .frames_per_second.lift
    """
    import tempfile

    shape, told = _shape(file, frames, joints, tracks), pitch_told(pitch, view)
    check_count("--rounds", rounds)
    if out is not None:
        check_output(out, file)
    with tempfile.TemporaryDirectory(prefix="olift-bench-") as name:
        folder = Path(name)
        job = LiftingJob(
            file=file or folder / "generated.npz",
            out=folder / "lifted.npz",
            page=folder / "lifted.html" if html else None,
            format=format,
            model=model,
            skeleton=skeleton,
            infer=inferring(infer, no_infer),
            image_size=image_size,
            min_confidence=min_confidence,
            pitch=told,
            device=device,
            dtype=dtype.value,
            threads=threads,
            allow_pickle=allow_pickle,
        )
        timings = time_stages(job, rounds, shape=shape, compare=not skip_reference, quiet=as_json)
    if timings.why_not_native is not None:
        warn(f"lifted in plain PyTorch only: {timings.why_not_native}")
    content = summary(timings, file)
    if as_json:
        print_json(content)
    else:
        _print(timings, content, file)
    if out is not None:
        write_json(content, out)
        if not as_json:
            say(f"written: {out}")


def summary(timings: Timings, file: Path | None) -> dict[str, Any]:
    """The content of `--json`: seconds of the start and of each stage, frames a second, and the machine."""
    result = timings.result
    names = [name for name in timings.rounds[0].seconds if name != EAGER_LIFT]
    stages = {name: _percentiles([taken.seconds[name] for taken in timings.rounds]) for name in names}
    whole = _percentiles([sum(taken.seconds[name] for name in names) for taken in timings.rounds])
    frames = result.num_tracks * result.num_frames
    content: dict[str, Any] = {
        "input": None if file is None else str(file),
        "format": result.format,
        "tracks": result.num_tracks,
        "frames": result.num_frames,
        "joints": result.skeleton.num_joints,
        "edges": len(result.skeleton.edges),
        "inferred_edges": sum(result.skeleton.inferred),
        "hidden_share": round(hidden_share(result), 6),
        "model": result.model,
        "version": result.version,
        "backend": timings.backend,
        "device": timings.job.device,
        "dtype": timings.job.dtype,
        "rounds": len(timings.rounds),
        "start": {name: _rounded(seconds) for name, seconds in timings.start.seconds.items()},
        "stages": stages,
        "whole": whole,
        "frames_per_second": {
            "whole": _rounded(frames / whole["median"]),
            "lift": _rounded(frames / stages["lift"]["median"]),
        },
        "reference": None,
        "machine": _machine(),
    }
    if timings.error is not None:
        lift = _percentiles([taken.seconds[EAGER_LIFT] for taken in timings.rounds])
        content["reference"] = {
            "lift": lift,
            "frames_per_second": _rounded(frames / lift["median"]),
            "times_as_long": _rounded(lift["median"] / stages["lift"]["median"]),
            "error": _rounded(timings.error),
        }
    return content


def _shape(file: Path | None, frames: int | None, joints: int | None, tracks: int | None) -> Shape | None:
    """The shape to generate; None if there is a file."""
    asked = {"--frames": frames, "--joints": joints, "--tracks": tracks}
    for (option, value), least in zip(asked.items(), (1, 2, 1), strict=True):
        if value is not None and file is not None:
            raise InputError(f"{option} {value}: is for generated keypoints, and {file} has its own; leave out one")
        if value is not None and value < least:
            raise InputError(f"{option} must be >= {least}, got {value}")
    if file is not None:
        return None
    return Shape(*(default if value is None else value for value, default in zip(asked.values(), SHAPE, strict=True)))


def _percentiles(seconds: Sequence[float]) -> dict[str, float]:
    import numpy as np

    p20, median, p80 = np.percentile(seconds, (20, 50, 80)).tolist()
    return {"p20": _rounded(p20), "median": _rounded(median), "p80": _rounded(p80)}


def _rounded(value: float) -> float:
    """To six digits."""
    return float(f"{value:.6g}")


def _machine() -> dict[str, Any]:
    """Facts about the machine that the times depend on."""
    found = examine()
    native = found["native"]
    return {
        "processor": _processor(),
        "cores": found["cores"],
        "threads": found["threads"],
        "simd": native["simd"] if native["available"] else None,
        "platform": found["platform"],
        "olift": found["version"],
        "python": found["python"],
        "torch": found["packages"]["torch"],
        "numpy": found["packages"]["numpy"],
        "variables": found["variables"],
    }


def _processor() -> str:
    """The processor's name, or the nearest thing that the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def _print(timings: Timings, content: dict[str, Any], file: Path | None) -> None:
    """Prints the summary as a table."""
    from rich.console import Console

    say(heading("generated keypoints" if file is None else file.name, timings.result))
    rates, eager, machine = content["frames_per_second"], content["reference"], content["machine"]
    rows = [_row(name, times, rates.get(name)) for name, times in content["stages"].items()]
    rows.append(_row("all stages", content["whole"], rates["whole"]))
    if eager is not None:
        rows.append(_row(EAGER_LIFT, eager["lift"], eager["frames_per_second"]))
    rows += [
        (f"once: {name.replace('_', ' ')}", _milliseconds(seconds), "", "", "")
        for name, seconds in content["start"].items()
    ]
    Console(highlight=False).print(table(("stage", "median ms", "20th", "80th", "frames/s"), rows))
    if eager is not None:
        say(
            f"the eager backend takes {eager['times_as_long']:.2f} times as long to lift; "
            f"the results differ by {eager['error']:.1e}"
        )
    kernels = f"native kernels: {machine['simd']}" if machine["simd"] else "no native kernels"
    threads = f"{plural(machine['threads'], 'thread')} on {plural(machine['cores'], 'core')}"
    say(f"{machine['processor']}, {threads}, {kernels}")
    say(
        f"olift {machine['olift']}, model {content['model']} {content['version']} in {content['dtype']}, "
        f"Python {machine['python']}, torch {machine['torch']}, numpy {machine['numpy']}"
    )


def _row(name: str, times: dict[str, float], rate: float | None) -> tuple[str, ...]:
    shown = (_milliseconds(times[key]) for key in ("median", "p20", "p80"))
    return (name, *shown, "" if rate is None else f"{rate:,.0f}")


def _milliseconds(seconds: float) -> str:
    """Three digits at least: "0.417", "41.7", "4,170"."""
    value = 1e3 * seconds
    return f"{value:,.{3 if value < 1 else 2 if value < 10 else 1 if value < 100 else 0}f}"
