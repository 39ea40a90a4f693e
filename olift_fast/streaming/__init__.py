"""Lifts live streams and recordings longer than memory; the results are those of the whole recording.

Importing this package imports no torch until a name is used, so that `olift stream` refuses unusable options at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from olift_fast.lazy import lazy_names

if TYPE_CHECKING:
    from olift_fast.streaming.long_recordings import LongResult, lift_long
    from olift_fast.streaming.messages import parse_line
    from olift_fast.streaming.processor import LiftingProcessor, lift_poses
    from olift_fast.streaming.recording import Recording, recover_recording
    from olift_fast.streaming.serve import serve_stream
    from olift_fast.streaming.session import Lifted, Session
    from olift_fast.streaming.streaming_lifter import LiftedFrame, StreamingLifter

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Lifted": "session",
        "LiftedFrame": "streaming_lifter",
        "LiftingProcessor": "processor",
        "LongResult": "long_recordings",
        "Recording": "recording",
        "Session": "session",
        "StreamingLifter": "streaming_lifter",
        "lift_long": "long_recordings",
        "lift_poses": "processor",
        "parse_line": "messages",
        "recover_recording": "recording",
        "serve_stream": "serve",
    },
)

__all__ = [
    "Lifted",
    "LiftedFrame",
    "LiftingProcessor",
    "LongResult",
    "Recording",
    "Session",
    "StreamingLifter",
    "lift_long",
    "lift_poses",
    "parse_line",
    "recover_recording",
    "serve_stream",
]
