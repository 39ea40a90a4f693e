"""How much a file may claim to hold: what it announces is compared with these before any memory is taken for it."""

from __future__ import annotations

#: More values than this in one (tracks, frames, joints) array is taken for a mistake: 3.6 GB of keypoints.
MAX_VALUES = 300_000_000
#: A compressed file or array may unpack to this many bytes at most.
MAX_BYTES = 16 * MAX_VALUES
#: Deflate, which gzip, zip and HDF5 use, packs at most 1032 bytes into one.
MAX_EXPANSION = 1032
#: What is packed may unpack to this many times its bytes, or to `FREE_BYTES`: text and keypoints seldom pack better.
MAX_RATIO = 32
FREE_BYTES = 32 * 2**20


def unpacked_limit(packed: int) -> int:
    """The most bytes that `packed` bytes may unpack to, so that a small file can't take all memory."""
    return min(max(FREE_BYTES, MAX_RATIO * packed), MAX_BYTES)
