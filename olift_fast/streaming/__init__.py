"""Live streams and recordings longer than memory, lifted exactly as the whole recording would be."""

from olift_fast.streaming.long_recordings import LongResult, lift_long
from olift_fast.streaming.messages import parse_line
from olift_fast.streaming.processor import LiftingProcessor, lift_poses
from olift_fast.streaming.recording import Recording
from olift_fast.streaming.session import Lifted, Session
from olift_fast.streaming.streaming_lifter import LiftedFrame, StreamingLifter

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
]
