"""`olift stream`: keypoints in as they come, 3D out."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from olift_fast.cli.console import reported
from olift_fast.cli.options import AllowPickle, Debug, Dtype, DtypeName, FormatName, MinConfidence, ModelName
from olift_fast.cli.options import FrameName as Output
from olift_fast.cli.streaming import Request, stream_live


class OnLag(StrEnum):
    """What happens to frames that come faster than they are lifted or read."""

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
        typer.Option(help="Play this keypoint file as if it came now.", show_default=False, readable=False),
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option(
            help="Frames a second: of the replay (0: as fast as they are lifted; the file's own by default), "
            "and in the record.",
            show_default=False,
        ),
    ] = None,
    model: ModelName = "small-causal",
    delay: Annotated[
        int | None,
        typer.Option(
            help="Frames that a result waits for, to look ahead; the model's own by default. small-causal is trained "
            "for 0, 2, 4, 8 and 16.",
            show_default=False,
        ),
    ] = None,
    dtype: Dtype = DtypeName.float32,
    min_confidence: MinConfidence = 0.3,
    output: Annotated[
        Output, typer.Option(help="camera: x, y overlay the input's pixels, z is depth in pixels; object: model units.")
    ] = Output.camera,
    tracks: Annotated[
        int | None, typer.Option(help="Tracks at once: 8, or those of the replay.", show_default=False)
    ] = None,
    idle: Annotated[float, typer.Option(help="Seconds without a frame after which a track ends.")] = 10.0,
    scale: Annotated[
        float | None,
        typer.Option(
            help="RMS distance of the keypoints from their centre, in pixels; fitted to the first frames by default.",
            show_default=False,
        ),
    ] = None,
    fit_frames: Annotated[int, typer.Option(help="Frames that the scale is fitted to.")] = 16,
    on_lag: Annotated[
        OnLag, typer.Option(help="queue: the source has to wait; drop: the oldest frame that waits is dropped.")
    ] = OnLag.queue,
    queue: Annotated[int, typer.Option(help="Frames of a client that may wait.")] = 64,
    record: Annotated[
        Path | None,
        typer.Option(help="Write all that was lifted at the end (.npz, .csv, …).", show_default=False, readable=False),
    ] = None,
    view: Annotated[
        bool, typer.Option("--view", help="Serve a live page, 3D beside the 2D input, and open it.")
    ] = False,
    view_port: Annotated[int, typer.Option(help="Port of the page; the next free one is taken.")] = 8080,
    threads: Annotated[int, typer.Option(help="CPU threads; more than one pays for many tracks on idle cores.")] = 1,
    format: FormatName = None,
    allow_pickle: AllowPickle = False,
    debug: Debug = False,
) -> None:
    """Lift keypoints as they come: JSON lines on stdin, UDP, TCP or a WebSocket, and 3D back the same way.

    A line is a frame, {"keypoints": [[x, y, confidence], …], "track": "dog", "t": 12.3}, of which only keypoints are
    needed; docs/cli.md has the rest.

    [bold]Examples[/bold]
      olift stream --replay mouse_DLC.csv --view
      tracker | olift stream --skeleton coco_17 > joints.jsonl
      olift stream --skeleton ap10k_17 --websocket 8765 --on-lag drop --record session.npz
    """
    request = Request(
        skeleton, udp, tcp, websocket, host, replay, fps, model, delay, dtype.value, min_confidence, output.value,
        tracks, idle, scale, fit_frames, on_lag.value, queue, record, view, view_port, threads, format, allow_pickle,
    )  # fmt: skip
    stream_live(request)
