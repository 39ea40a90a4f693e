"""`olift archive`: all recordings of a folder, a list or a store to 3D."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from olift_fast.cli.checks import check_count, check_ending, check_image_size, check_min_confidence
from olift_fast.cli.console import INTERRUPTED, SOME_FAILED, print_json_line, reported, say, tell, warn
from olift_fast.cli.lifting_job import skeleton_told
from olift_fast.cli.options import (
    AllowPickle,
    BodyFile,
    Debug,
    DeviceName,
    Dtype,
    DtypeName,
    FormatName,
    FrameName,
    FrameOption,
    ImageSize,
    InferName,
    InferOption,
    Json,
    MinConfidence,
    Mirror,
    ModelName,
    Pitch,
    Rigid,
    SkeletonName,
    Smooth,
    TrackNames,
    View,
    pitch_told,
)
from olift_fast.cli.world_options import (
    Bone,
    CalibrationFile,
    CalibrationUnit,
    CameraName,
    Focal,
    Fov,
    Height,
    Length,
    MmPerPixel,
    NoFloor,
    UpOption,
    WorldFlag,
)
from olift_fast.errors import InputError, by_options, plural, printable
from olift_fast.finishing import WorldOptions

if TYPE_CHECKING:
    from olift_fast.archive import LiftSettings, Summary


class ExecutorName(StrEnum):
    """How the files are lifted: by local processes, or on a Ray cluster."""

    local = "local"
    ray = "ray"


@reported
def archive(
    source: Annotated[
        str | None,
        typer.Argument(
            help="A folder, a glob in quotes, a list (.txt, or .csv with a column path), or a URL: s3://, gs://, …",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option("-o", "--out", metavar="DEST", help="Folder or URL of the results.", show_default=False),
    ] = None,
    format_out: Annotated[
        str,
        typer.Option(
            "--format-out",
            metavar="SUFFIX",
            help="Format of the results, as for `olift lift`: .npz, .csv, .long.csv, .parquet and others.",
        ),
    ] = ".npz",
    executor: Annotated[
        ExecutorName, typer.Option(help="local: a process for each core; ray: on a cluster, with Ray Data.")
    ] = ExecutorName.local,
    workers: Annotated[
        int | None,
        typer.Option(help="Number of processes; by default one for each core, or one on a GPU.", show_default=False),
    ] = None,
    ray_address: Annotated[
        str | None, typer.Option(help="Address of the Ray cluster; by default Ray's own choice.", show_default=False)
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(help="Lift only part K of N (K from 1); in the end --merge writes the tables.", metavar="K/N"),
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try again the files that failed before.")
    ] = False,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Stop after the first file that fails.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only count the files to lift, and estimate the time.")
    ] = False,
    merge: Annotated[
        str | None,
        typer.Option(
            metavar="DEST", help="Write the tables of an archive whose shards are lifted.", show_default=False
        ),
    ] = None,
    report: Annotated[
        str | None,
        typer.Option(metavar="DEST", help="Draw the page about an archive: DEST/report.html.", show_default=False),
    ] = None,
    format: FormatName = None,
    model: ModelName = "small",
    skeleton: SkeletonName = None,
    infer: InferOption = InferName.names,
    fps: Annotated[
        float | None, typer.Option(help="Frames a second, instead of the files' own rates.", show_default=False)
    ] = None,
    image_size: ImageSize = None,
    min_confidence: MinConfidence = 0.3,
    frame: FrameOption = FrameName.camera,
    mirror: Mirror = False,
    smooth: Smooth = None,
    rigid: Rigid = False,
    body: BodyFile = None,
    track: TrackNames = None,
    pitch: Pitch = None,
    view: View = None,
    world: WorldFlag = False,
    up: UpOption = None,
    no_floor: NoFloor = False,
    bone: Bone = None,
    length: Length = None,
    height: Height = None,
    mm_per_pixel: MmPerPixel = None,
    focal: Focal = None,
    fov: Fov = None,
    calibration: CalibrationFile = None,
    camera: CameraName = None,
    calibration_unit: CalibrationUnit = None,
    device: DeviceName = "cpu",
    dtype: Dtype = DtypeName.float32,
    long_frames: Annotated[
        int,
        typer.Option(
            help="Recordings of more frames are lifted from disk to disk, in bounded memory; but not with --mirror, "
            "--smooth, --rigid, --body or --world, which need all frames at once."
        ),
    ] = 100_000,
    allow_pickle: AllowPickle = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Lift all recordings of a folder, a list or a store. Run it again, and it goes on where it stopped.

    DEST gets a result for each file, in the same folders as in SOURCE, and a manifest: manifest.csv has a row for each
    file and track. A file that can't be lifted gets a row with the reason, and the exit code is 3.

    [bold]Examples[/bold]
      olift archive recordings/ --out lifted/
      olift archive 'data/**/*DLC*.h5' --out lifted/ --skeleton mouse.json
      olift archive recordings/ --out lifted/ --model ./mine --body mine/body.json
      olift archive list.csv --out lifted/ --dry-run
      olift archive recordings/ --out lifted/ --shard $SLURM_ARRAY_TASK_ID/100
      olift archive --merge lifted/
      olift archive --report lifted/
    """
    chosen = [name for name, value in (("SOURCE", source), ("--merge", merge), ("--report", report)) if value]
    if len(chosen) != 1:
        raise InputError(f"wanted one of SOURCE, --merge DEST and --report DEST, got {', '.join(chosen) or 'none'}")
    if merge:
        _merge(merge, as_json)
        return
    if report:
        _report(report, as_json)
        return
    if source is None or not out:
        raise InputError("--out DEST is missing: the folder of the results")
    check_min_confidence(min_confidence)
    check_image_size(image_size)
    check_count("--workers", workers)
    check_count("--long-frames", long_frames)
    check_ending(format_out)
    if skeleton is not None:
        skeleton_told(skeleton)
    part = shard_of(shard)
    from olift_fast.archive import LiftSettings, lift_archive

    with by_options("fps", "format", "smooth"):
        settings = LiftSettings(
            model=model,
            format=format,
            skeleton=skeleton,
            infer=infer.value,
            fps=fps,
            image_size=image_size,
            min_confidence=min_confidence,
            frame=frame.value,
            mirror=mirror,
            smooth=smooth,
            rigid=rigid,
            body=None if body is None else str(body),
            tracks=tuple(track or ()),
            pitch=pitch_told(pitch, view),
            world=WorldOptions(
                world=world,
                up=up,
                floor=not no_floor,
                bones=tuple(bone or ()),
                stretches=tuple(length or ()),
                height=height,
                mm_per_pixel=mm_per_pixel,
                focal=focal,
                fov=fov,
                calibration=calibration,
                camera=camera,
                calibration_unit=calibration_unit,
            ),
            device=device,
            dtype=dtype.value,
            allow_pickle=allow_pickle,
            suffix=format_out,
        )
    with _telling(as_json) as on_event:
        summary = lift_archive(
            source,
            out,
            settings=settings,
            executor=executor.value,
            workers=workers,
            shard=part,
            retry_failed=retry_failed,
            dry_run=dry_run,
            fail_fast=fail_fast,
            long=long_frames,
            ray_address=ray_address,
            on_event=on_event,
        )
    if not as_json:
        _say_summary(summary, settings, out, part, dry_run)
    if summary.interrupted and not fail_fast:
        raise typer.Exit(INTERRUPTED)
    if summary.failed or summary.failed_before:
        raise typer.Exit(SOME_FAILED)


def shard_of(text: str | None) -> tuple[int, int] | None:
    """K and N of "K/N"; raises InputError for other text."""
    if text is None:
        return None
    number, slash, count = text.partition("/")
    if not (slash and number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise InputError(f"--shard must be K/N with 1 <= K <= N, as 3/100, got {text!r}")
    return int(number), int(count)


def _merge(place: str, as_json: bool) -> None:
    from olift_fast.archive import merge_archive

    merged = merge_archive(place)
    if as_json:
        print_json_line({"event": "merged", "done": merged.done, "failed": merged.failed, "tables": [*merged.tables]})
    else:
        say(f"{plural(merged.done, 'file')} done, {merged.failed:,} failed: {', '.join(merged.tables)}")


def _report(place: str, as_json: bool) -> None:
    from olift_fast.archive import report_archive

    page = report_archive(place)
    if as_json:
        print_json_line({"event": "reported", "page": page})
    else:
        say(f"drawn: {page}")


@contextmanager
def _telling(as_json: bool) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Prints events as lines of JSON, or moves a bar on a terminal. Warnings and failures are lines on stderr."""
    if as_json:
        yield print_json_line
        return
    with _bar() as move:

        def told(event: dict[str, Any]) -> None:
            if event.get("damaged_records"):
                records = plural(event["damaged_records"], "record")
                warn(f"{records} of the manifest are cut off or damaged: their files are lifted again")
            if event["event"] == "file" and event["status"] == "failed":
                warn(f"{event['path']}: {event['error']}")
            if move is not None:
                move(event)

        yield told


@contextmanager
def _bar() -> Iterator[Callable[[dict[str, Any]], None] | None]:
    """A bar on stderr with files and frames a second, failures and the time left; None if stderr is not a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}", markup=False), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        frames = 0

        def move(event: dict[str, Any]) -> None:
            nonlocal frames
            if event["event"] == "planned":
                bar.update(task, total=event["to_do"])
            elif event["event"] == "file":
                frames += event["frames"]
                count, elapsed = event["done"] + event["failed"], max(bar.tasks[0].elapsed or 0, 1e-3)
                speed = f"{count / elapsed:,.1f} files/s, {frames / elapsed:,.0f} frames/s"
                failures = f", {event['failed']:,} failed" if event["failed"] else ""
                bar.update(task, completed=count, description=printable(speed + failures))

        yield move


def time_of(hours: float) -> str:
    """A time in the unit that makes it short to read: "3 seconds", "12 minutes", "34 hours"."""
    for unit, size in (("hour", 1.0), ("minute", 60.0)):
        if hours * size >= 2:
            return f"{hours * size:,.0f} {unit}s"
    return plural(max(round(hours * 3600), 1), "second")


def _say_summary(
    summary: Summary, settings: LiftSettings, out: str, shard: tuple[int, int] | None, dry_run: bool
) -> None:
    over = f" ({plural(summary.passed_over, 'other file')} passed over)" if summary.passed_over else ""
    say(f"{plural(summary.found, 'recording')} found{over}, {summary.skipped:,} done before")
    for reason, count in summary.reasons.items():
        if reason != "new":
            say(f"lifted anew: {count:,} ({reason})" if not dry_run else f"to lift anew: {count:,} ({reason})")
    if dry_run:
        size = f"{summary.bytes / 1e6:,.1f} MB"
        time = "" if summary.estimated_hours is None else f", about {time_of(summary.estimated_hours)} here"
        say(f"to lift: {plural(summary.to_do, 'file')}, {size}{time}")
        return
    speed = f"{summary.done / max(summary.seconds, 1e-9):,.1f} files/s" if summary.done else ""
    say(f"lifted: {plural(summary.done, 'file')}, {plural(summary.frames, 'frame')}{', ' * bool(speed)}{speed}")
    for error, count in summary.errors.most_common(10):
        say(f"failed: {count:,} × {error}")
    if summary.failed_before:
        say(f"failed before: {summary.failed_before:,}; --retry-failed tries them again")
    if summary.interrupted:
        left = summary.to_do - summary.done - summary.failed
        warn(f"stopped before its end, {plural(left, 'file')} to do: the same command goes on from here")
    for table in summary.tables:
        say(f"manifest: {table}")
    if shard is not None:
        tell(f"when all shards are done: olift archive --merge {out}")
