"""Live streams and recordings longer than memory, lifted exactly as the whole recording would be."""

from olift_fast.streaming.lifter import LiftedFrame, StreamingLifter
from olift_fast.streaming.long import LongResult, lift_long

__all__ = ["LiftedFrame", "LongResult", "StreamingLifter", "lift_long"]
