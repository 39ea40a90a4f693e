"""Plays a recording as if it came now."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import numpy as np

from olift_fast.streaming.messages import End, FrameMessage
from olift_fast.streaming.transports.descriptors import writer
from olift_fast.streaming.transports.transport import Opened, Settings, Transport, until_it_ends, write_all
from olift_fast.tracks.containers import KeypointTracks

if TYPE_CHECKING:
    from olift_fast.streaming.router import Router

DEFAULT_FPS = 30.0
"""Frames a second if neither the settings nor the recording have a rate."""


async def open_replay(router: Router, tracks: KeypointTracks, settings: Settings) -> Opened:
    """Plays a recording at its own or another rate, with answers to the sink. Ends when all is lifted and written."""
    fps = tracks.fps if settings.fps is None else settings.fps
    return until_it_ends(_play(router, tracks, DEFAULT_FPS if fps is None else fps, settings.sink))


async def _play(router: Router, tracks: KeypointTracks, fps: float, sink: int | None) -> None:
    channel = router.connect("replay")
    start, rate = time.perf_counter(), fps or tracks.fps
    numbers = np.arange(tracks.num_frames) if tracks.frames is None else tracks.frames

    async def send() -> None:
        for frame, number in enumerate(numbers.tolist()):
            await asyncio.sleep(max(0.0, start + frame / fps - time.perf_counter()) if fps else 0)
            for index, name in enumerate(tracks.tracks):
                points, confidence = tracks.keypoints[index, frame], tracks.confidence[index, frame]
                channel.put(FrameMessage(name, points, confidence, number / rate if rate else None))
            await channel.ready()
        for name in tracks.tracks:
            channel.put(End(name))
        channel.finish()

    sending = asyncio.create_task(send())
    try:
        await write_all(channel, writer(sink))
    finally:
        sending.cancel()
        channel.vanish()


REPLAY = Transport(
    name="replay",
    option="--replay",
    takes="`KeypointTracks`",
    description="a recording played as if it came now, at `fps`; answers to `sink`",
    open=open_replay,
    alone=True,
)
