"""`olift stream`: lift keypoints as they come."""

from __future__ import annotations

import gc
from contextlib import ExitStack, closing
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from olift_fast.cli.checks import check_count, check_image_size, check_input, check_min_confidence, check_result
from olift_fast.cli.console import old_option, reported, say, tell, warn
from olift_fast.cli.lifting_job import load_model, read_tracks, skeleton_told, skeleton_warnings
from olift_fast.cli.options import (
    AllowPickle,
    Debug,
    Dtype,
    DtypeName,
    FormatName,
    FrameName,
    FrameOption,
    ImageSize,
    InferName,
    InferOption,
    MinConfidence,
    ModelName,
    NoInfer,
    OldFrame,
    Pitch,
    View,
    inferring,
    pitch_told,
)
from olift_fast.cli.recover import write_record
from olift_fast.errors import InputError, by_option

if TYPE_CHECKING:
    from olift_fast.tracks.containers import KeypointTracks
    from olift_fast.tracks.skeleton import Skeleton
    from olift_fast.view.live import LiveView

TRACKS = 8


class OnLag(StrEnum):
    """How frames are treated that come faster than they are lifted or read."""

    queue = "queue"
    drop = "drop"


@reported
def stream(
    skeleton: Annotated[
        str | None,
        typer.Option(
            "--skeleton",
            help="The joints, in the order of the keypoints: a JSON file, or a built-in rig's name. "
            "Needed without --replay.",
            show_default=False,
        ),
    ] = None,
    udp: Annotated[int | None, typer.Option(help="Listen on this UDP port; 0 picks one.", show_default=False)] = None,
    tcp: Annotated[int | None, typer.Option(help="Listen on this TCP port.", show_default=False)] = None,
    websocket: Annotated[int | None, typer.Option(help="Listen for WebSockets.", show_default=False)] = None,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    replay: Annotated[
        Path | None,
        typer.Option(help="Play this keypoint file as if it was live.", show_default=False, readable=False),
    ] = None,
    infer: InferOption = InferName.names,
    no_infer: NoInfer = False,
    fps: Annotated[
        float | None,
        typer.Option(
            help="Frames a second of the replay (0: as fast as they are lifted; by default the file's own rate) "
            "and of the record.",
            show_default=False,
        ),
    ] = None,
    model: ModelName = "small-causal",
    latency_frames: Annotated[
        int | None,
        typer.Option(
            "--latency-frames",
            "--delay",
            help="How many later frames a result waits for; by default the model's own number. small-causal is trained "
            "for 0, 2, 4, 8 and 16.",
            show_default=False,
        ),
    ] = None,
    dtype: Dtype = DtypeName.float32,
    min_confidence: MinConfidence = 0.3,
    pitch: Pitch = None,
    view: View = None,
    frame: FrameOption = FrameName.camera,
    output: OldFrame = None,
    tracks: Annotated[
        int | None,
        typer.Option(help="The most tracks at once; by default 8, or as many as the replay has.", show_default=False),
    ] = None,
    idle: Annotated[float, typer.Option(help="Seconds without a frame after which a track ends.")] = 10.0,
    scale: Annotated[
        float | None,
        typer.Option(
            help="RMS distance of the keypoints from their center, in pixels; by default fitted to the first frames.",
            show_default=False,
        ),
    ] = None,
    fit_frames: Annotated[
        int | None,
        typer.Option(
            help="Hold results back until the scale is fitted to this many frames. By default there are results from "
            "the first frame on, while the scale is being fitted.",
            show_default=False,
        ),
    ] = None,
    align: Annotated[
        int | None,
        typer.Option(
            help="Turn and scale the joints onto the keypoints, by a fit to about this many of the last frames.",
            show_default=False,
        ),
    ] = None,
    on_lag: Annotated[
        OnLag, typer.Option(help="On lag: queue makes the source wait; drop keeps only the newest frame of each track.")
    ] = OnLag.queue,
    queue: Annotated[
        int, typer.Option(help="The most frames of a client that may wait; with --on-lag drop, the most tracks.")
    ] = 64,
    patience: Annotated[
        float, typer.Option(help="Seconds after which a client that reads no answers is closed.")
    ] = 30.0,
    record: Annotated[
        Path | None,
        typer.Option(
            help="At the end, write all results (.npz, .csv, …, as `olift lift -o`). Until then they are in "
            "RECORD.journal, which `olift recover` reads after a crash.",
            show_default=False,
            readable=False,
        ),
    ] = None,
    open_: Annotated[
        bool, typer.Option("--open", help="Serve a live page with the 2D input and the 3D, and open it.")
    ] = False,
    page_port: Annotated[
        int, typer.Option("--page-port", "--view-port", help="Port of the page; if it is taken, the next free one.")
    ] = 8080,
    threads: Annotated[
        int, typer.Option(help="CPU threads; more than one is faster with many tracks on idle cores.")
    ] = 1,
    format: FormatName = None,
    image_size: ImageSize = None,
    allow_pickle: AllowPickle = False,
    debug: Debug = False,
) -> None:
    r"""Lift keypoints as they come: JSON lines on stdin, UDP, TCP or a WebSocket, and 3D back the same way.

    Each line is a frame: {"keypoints": [\[x, y, confidence], …], "track": "dog", "t": 12.3}. Only "keypoints" is
    required. docs/cli.md describes the lines.

    [bold]Examples[/bold]
      olift stream --replay mouse_DLC.csv --open
      tracker | olift stream --skeleton coco_17 > joints.jsonl
      olift stream --skeleton ap10k_17 --websocket 8765 --on-lag drop --record session.npz
    """
    from olift_fast.streaming.transports import check_port

    frame = old_option(frame, output, new="--frame", old="--output")
    given = {"replay": replay, "udp": udp, "tcp": tcp, "websocket": websocket}
    sources: dict[str, Any] = {name: value for name, value in given.items() if value is not None} or {"stdin": 0}
    _check(sources, skeleton=skeleton, min_confidence=min_confidence, fps=fps, record=record)
    _check_positive(idle=idle, scale=scale, patience=patience)
    _check_counts(tracks=tracks, fit_frames=fit_frames, align=align, queue=queue, threads=threads)
    _check_fits(frame, align=align, scale=scale, fit_frames=fit_frames)
    degrees = pitch_told(pitch, view)
    check_image_size(image_size)
    check_port(page_port, "--page-port")
    if open_:
        from olift_fast.view.live import require_viser

        require_viser()
    replayed = None
    if replay is not None:
        sources["replay"] = replayed = _read_replay(
            replay,
            format=format,
            skeleton=skeleton,
            infer=inferring(infer, no_infer),
            image_size=image_size,
            min_confidence=min_confidence,
            allow_pickle=allow_pickle,
        )
    joints = _skeleton(skeleton, replayed)
    if record is not None:
        _check_can_hold(record, joints, replayed)
    for warning in skeleton_warnings(joints):
        warn(warning)

    from olift_fast.model import Normalization
    from olift_fast.runtime.threads import set_thread_count
    from olift_fast.streaming import Recording, StreamingLifter, serve_stream
    from olift_fast.streaming.record_journal import journal_of
    from olift_fast.tracks.containers import AXES
    from olift_fast.tracks.without_bones import bones_reported

    lifter = load_model(model, "cpu", dtype.value)
    set_thread_count(threads)
    if latency_frames is not None:
        with by_option("latency_frames", "--latency-frames"):
            lifter = lifter.with_latency(latency_frames)
    with bones_reported():  # by `skeleton_warnings`
        lifting = StreamingLifter(
            lifter,
            joints,
            tracks=tracks or (replayed.num_tracks if replayed else TRACKS),
            frame=frame.value,
            normalization=None if scale is None else Normalization(scale),
            fit="running" if fit_frames is None else "hold",
            fit_frames=fit_frames,
            align=align,
            pitch=degrees,
        )
    lifting.warmup()
    recording = Recording(
        joints,
        frame=frame.value,
        model=model,
        pitch=degrees,
        fps=fps or (replayed.fps if replayed else None),
        source=str(replay) if replay else None,
        journal=None if record is None else journal_of(record),
        warn=warn,
    )
    with ExitStack() as at_the_end:
        if record is not None:
            at_the_end.callback(write_record, recording, record)
        page = None
        if open_:
            page = at_the_end.enter_context(closing(_open_view(joints, host, page_port, replay, AXES[frame.value])))
        # Objects that exist now stay for the whole run; a garbage collection through them would delay frames.
        gc.collect()
        gc.freeze()
        served = serve_stream(
            lifting,
            sources,
            host=host,
            fps=fps,
            min_confidence=min_confidence,
            idle=idle,
            on_lag=on_lag.value,
            queue=queue,
            patience=patience,
            watch=[] if record is None else [recording.add],
            view=page,
            warn=warn,
        )
    if served.signal is not None:
        raise typer.Exit(128 + served.signal)


def _check(
    sources: dict[str, Any], *, skeleton: str | None, min_confidence: float, fps: float | None, record: Path | None
) -> None:
    """Raises InputError or MissingExtraError for options that can be checked before anything is loaded."""
    from olift_fast.streaming.transports import check_sources

    check_sources(sources, by_option=True)
    replay = sources.get("replay")
    if replay is None and skeleton is None:
        raise InputError("--skeleton FILE or RIG is needed: it tells the joints that the keypoints are of")
    check_min_confidence(min_confidence)
    if fps is not None and not 0 <= fps < float("inf"):
        raise InputError(f"--fps must be a number, 0 or more, got {fps:g}")
    if record is not None:
        check_result(record, replay, "--record")


def _check_positive(**options: float | None) -> None:
    for name, number in options.items():
        if number is not None and not 0 < number < float("inf"):
            raise InputError(f"--{name} must be a positive number, got {number:g}")


def _check_counts(**options: int | None) -> None:
    for name, count in options.items():
        check_count(f"--{name.replace('_', '-')}", count)


def _check_fits(frame: FrameName, *, align: int | None, scale: float | None, fit_frames: int | None) -> None:
    if align is not None and frame != FrameName.camera:
        raise InputError(f"--align needs --frame camera, got {frame.value}: others are not fitted to the picture")
    if scale is not None and fit_frames is not None:
        raise InputError(f"--scale {scale:g} leaves nothing to fit, so --fit-frames {fit_frames} must be left out")


def _read_replay(file: Path, **how: Any) -> KeypointTracks:
    """Reads the recording to play with `read_tracks`, and shows its warnings and notes."""
    check_input(file)
    replayed = read_tracks(file, **how)
    for warning in replayed.warnings:
        warn(warning)
    for note in replayed.notes:
        tell(note)
    return replayed


def _skeleton(name: str | None, replayed: KeypointTracks | None) -> Skeleton:
    """The skeleton of the replay, or the one given by name."""
    from olift_fast.tracks.rigs import plain_skeleton

    if replayed is not None:
        return replayed.skeleton
    assert name is not None
    skeleton = plain_skeleton(name)
    if skeleton is None:
        skeleton = skeleton_told(name)
    if skeleton.num_joints < 2:
        raise InputError(f"{name}: has one joint, wanted at least 2: a point alone has no depth")
    return skeleton


def _check_can_hold(record: Path, joints: Skeleton, replayed: KeypointTracks | None) -> None:
    """Raises InputError if the record's format needs something that is known to be missing.

    A live stream may have any number of tracks. Only at the end is it known whether its frames have times.
    """
    import numpy as np

    from olift_fast.io.write import check_can_hold
    from olift_fast.tracks.containers import KeypointTracks

    live = replayed is None
    if replayed is None:
        nothing = np.zeros((1, 1, joints.num_joints, 2), np.float32)
        replayed = KeypointTracks(nothing, nothing[..., 0], joints, ("track",))
    # A record has no frame numbers; a replay without a rate is played at 30 frames a second.
    check_can_hold(record, replace(replayed, frames=None, fps=replayed.fps or 30.0), more_to_come=live)


def _open_view(skeleton: Skeleton, host: str, port: int, replay: Path | None, axes: str) -> LiveView:
    import logging
    import webbrowser

    from olift_fast.view.live import LiveView

    # Otherwise the page's server logs a traceback for each browser that leaves early.
    logging.getLogger("websockets.server").setLevel(logging.CRITICAL)

    view = LiveView(skeleton, host, port, title=replay.name if replay else "live", axes=axes)
    say(f"olift: live view at {view.url}", err=True)
    webbrowser.open(view.url)
    return view
