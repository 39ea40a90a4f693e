"""`olift lift`: a keypoint file to 3D."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from olift_fast.cli.console import SOME_FAILED, old_option, open_page, print_json, reported, say, tell, warn
from olift_fast.cli.lift_many import Recordings, Several, lift_each, recordings_in, with_results
from olift_fast.cli.lifting_job import LiftingJob, Outcome, hidden_share, lift_file
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
    NoInfer,
    OldFrame,
    Pitch,
    Rigid,
    SkeletonName,
    Smooth,
    TrackNames,
    View,
    inferring,
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
from olift_fast.errors import InputError, by_option, plural
from olift_fast.finishing import WorldOptions

if TYPE_CHECKING:
    from olift_fast.bodies import Body
    from olift_fast.tracks.containers import LiftedTracks


class BackendName(StrEnum):
    """The backend; "reference" is the old name of "eager"."""

    auto = "auto"
    native = "native"
    eager = "eager"
    reference = "reference"


@reported
def lift(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE…",
            help="Keypoint files, folders of them, globs in quotes; or a folder of OpenPose JSON.",
            show_default=False,
            readable=False,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            help="Result; the suffix chooses the format: .npz, .csv, .long.csv, .h5, .nc, .nwb, .glb, .bvh, .trc and "
            "others (docs/formats.md). By default FILE.lifted.npz beside FILE. With several FILEs: their folder.",
            show_default=False,
            readable=False,
        ),
    ] = None,
    format_out: Annotated[
        str | None,
        typer.Option(
            "--format-out",
            metavar="SUFFIX",
            help="With several FILEs, the results' format: .npz (default), .csv, .long.csv, .parquet and others.",
            show_default=False,
        ),
    ] = None,
    format: FormatName = None,
    model: ModelName = "small",
    skeleton: SkeletonName = None,
    infer: InferOption = InferName.names,
    no_infer: NoInfer = False,
    fps: Annotated[
        float | None, typer.Option(help="Frames a second, instead of FILE's own rate.", show_default=False)
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
    open_: Annotated[bool, typer.Option("--open", help="Draw the result and open it in the browser.")] = False,
    html: Annotated[
        Path | None, typer.Option(help="Draw the result into this page.", show_default=False, readable=False)
    ] = None,
    backend: Annotated[
        BackendName,
        typer.Option(
            help="auto: the fastest that can run; native: the same, but an error if the compiled module is missing; "
            "eager: plain PyTorch.",
            metavar="auto|native|eager",
        ),
    ] = BackendName.auto,
    device: DeviceName = "cpu",
    dtype: Dtype = DtypeName.float32,
    threads: Annotated[
        int | None,
        typer.Option(help="CPU threads; by default OMP_NUM_THREADS, or one for each core.", show_default=False),
    ] = None,
    allow_pickle: AllowPickle = False,
    as_json: Json = False,
    output: OldFrame = None,
    debug: Debug = False,
) -> None:
    """Lift keypoint files to 3D. For thousands of files see `olift archive`, which can be stopped and continued.

    If some of several files can't be lifted, a line says why, and the exit code is 3.

    [bold]Examples[/bold]
      olift lift mouse_DLC.csv --open
      olift lift flies.analysis.h5 -o flies.csv --track female
      olift lift openpose_json/ --fps 60 --html walk.html
      olift lift dog.csv --skeleton ap10k_17 --min-confidence 0.5
      olift lift clip.slp --json | jq .seconds.lift
      olift lift openfield.csv --view top --model small-all    filmed from above; this model takes the pitch
      olift lift walk.json --world --height 1.75m --calibration Calib.toml --camera cam_01
      olift lift recordings/ -o lifted/ --format-out .csv      all files of a folder and its subfolders
    """
    found = recordings_in(files)
    several = isinstance(found, Several)
    if several and (open_ or html is not None):
        raise InputError(f"{'--open' if open_ else '--html'} draws one result: leave it out, or name one file")
    if not several and format_out is not None:
        raise InputError("--format-out is for several files: of one, the ending of -o tells the format")
    file = files[0] if isinstance(found, Several) else found
    result = file if several else out or default_output(files[0], ".lifted.npz")
    page = html or (result.parent / f"{_stem(result)}.html" if open_ else None)
    job = LiftingJob(
        file=file,
        out=result,
        page=page,
        format=format,
        model=model,
        skeleton=skeleton,
        infer=inferring(infer, no_infer),
        fps=fps,
        image_size=image_size,
        min_confidence=min_confidence,
        frame=old_option(frame, output, new="--frame", old="--output").value,
        mirror=mirror,
        smooth=smooth,
        rigid=rigid,
        body=None if body is None else _read_body(body),
        pitch=pitch_told(pitch, view),
        tracks=track or (),
        backend=backend.value,
        device=device,
        dtype=dtype.value,
        threads=threads,
        allow_pickle=allow_pickle,
        placement=WorldOptions(
            world=world,
            up=up,
            floor=not no_floor,
            bones=bone or (),
            stretches=length or (),
            height=height,
            mm_per_pixel=mm_per_pixel,
            focal=focal,
            fov=fov,
            calibration=calibration,
            camera=camera,
            calibration_unit=calibration_unit,
        ),
    )
    if isinstance(found, Several):
        _lift_several(job, with_results(found, out, format_out or ".npz"), as_json)
        return
    outcome = lift_file(job, quiet=as_json)
    if as_json:
        print_json(summary(outcome))
    else:
        report(outcome)
    if open_ and page is not None:
        open_page(page)


def _lift_several(job: LiftingJob, recordings: Recordings, as_json: bool) -> None:
    """Lifts and reports each recording; exit code 3 if some failed."""
    done, failed, frames, facts = 0, 0, 0, []
    warnings: dict[str, list[Path]] = {}
    notes: dict[str, None] = {}
    for number, (file, outcome) in enumerate(lift_each(job, recordings, quiet=as_json), 1):
        if isinstance(outcome, str):
            failed += 1
            facts.append({"input": str(file), "error": outcome})
            if not as_json:
                warn(f"not lifted: {outcome}")
            continue
        done += 1
        frames += outcome.result.num_tracks * outcome.result.num_frames
        facts.append(summary(outcome))
        if not as_json:
            for warning in outcome.warnings:
                warnings.setdefault(warning, []).append(file)
            notes.update(dict.fromkeys(_torch_note(outcome)))
            say(f"[{number}/{len(recordings.files)}] {heading(str(file), outcome.result)}: {outcome.job.out}")
    passed_over = recordings.passed_over
    if as_json:
        print_json({"done": done, "failed": failed, "passed_over": passed_over, "frames": frames, "files": facts})
    else:
        for warning, files in warnings.items():
            warn(f"{files[0] if len(files) == 1 else plural(len(files), 'file')}: {warning}")
        for note in notes:
            tell(note)
        over = f"; {plural(passed_over, 'other file')} passed over" if passed_over else ""
        say(f"lifted: {plural(done, 'file')}, {plural(frames, 'frame')}; {failed:,} failed{over}")
    if failed:
        raise typer.Exit(SOME_FAILED)


def _read_body(path: Path) -> Body:
    from olift_fast.bodies import read_body

    with by_option(str(path), f"--body {path}"):
        return read_body(path)


def default_output(file: Path, suffix: str) -> Path:
    """FILE with another suffix, in the folder that FILE is in; FILE may be a folder itself.

    Raises:
        InputError: FILE is a pipe, which has no folder of its own.
    """
    if file.exists() and not (file.is_file() or file.is_dir()):
        raise InputError(f"{file}: is not a file with a folder of its own: name the result with -o")
    resolved = file.resolve() if file.name in ("", ".", "..") else file
    name = resolved.name if resolved.is_dir() else _stem(resolved)
    return resolved.parent / f"{name}{suffix}"


def report(outcome: Outcome) -> None:
    """Prints what was lifted, where the result is, and how long each stage took."""
    result, job = outcome.result, outcome.job
    for warning in outcome.warnings:
        warn(warning)
    say(heading(job.file.name, result))
    say(f"lifted by {result.model} {result.version}: {job.out} ({result.units}: {result.axes})")
    if job.page is not None:
        say(f"drawn: {job.page}")
    say(f"trust: {outcome.trust.line()}")
    say(f"{outcome.stages.line()} ({outcome.frames_per_second:,.0f} frames/s lifted)")
    for note in outcome.notes:
        tell(note)
    for note in _torch_note(outcome):
        tell(note)


def _torch_note(outcome: Outcome) -> list[str]:
    return [f"PyTorch was needed: {outcome.torch}"] if outcome.torch else []


def heading(name: str, result: LiftedTracks) -> str:
    """One line about the input: "mouse.csv: 1 track of 30 frames and 4 joints (deeplabcut), 8.3% hidden"."""
    rate = f", {result.fps:g} frames/s" if result.fps else ""
    return (
        f"{name}: {plural(result.num_tracks, 'track')} of {plural(result.num_frames, 'frame')} and "
        f"{plural(result.skeleton.num_joints, 'joint')} ({result.format}{rate}), {hidden_share(result):.1%} hidden"
    )


def summary(outcome: Outcome) -> dict[str, Any]:
    """The content of `olift lift --json`."""
    from olift_fast.world.report import facts

    result, job = outcome.result, outcome.job
    return {
        "input": str(job.file),
        "format": result.format,
        "output": str(job.out),
        "page": str(job.page) if job.page else None,
        "model": result.model,
        "version": result.version,
        "device": job.device,
        "dtype": job.dtype,
        "torch": outcome.torch,
        "frame": result.frame,
        "units": result.units,
        "pitch": result.pitch,
        "world": facts(result),
        "tracks": list(result.tracks),
        "frames": result.num_frames,
        "joints": list(result.skeleton.names),
        "skeleton": result.skeleton.name,
        "edges": len(result.skeleton.edges),
        "inferred_edges": sum(result.skeleton.inferred),
        "fps": result.fps,
        "min_confidence": job.min_confidence,
        "hidden_share": round(hidden_share(result), 6),
        "trust": outcome.trust.as_json(),
        "seconds": outcome.stages.rounded(),
        "frames_per_second": round(outcome.frames_per_second, 1),
        "warnings": list(outcome.warnings),
        "notes": list(outcome.notes),
    }


def _stem(path: Path) -> str:
    """The name without its suffix; `.long.csv` is one suffix."""
    from olift_fast.io.write import stem_of

    return stem_of(path)
