"""Live streams and recordings longer than memory, lifted exactly as the whole recording would be."""

from olift_fast.streaming.long import LongResult, lift_long

__all__ = ["LongResult", "lift_long"]
