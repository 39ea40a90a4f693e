"""How much a file may claim to hold: what it announces is compared with these before any memory is taken for it."""

from __future__ import annotations

#: More values than this in one (tracks, frames, joints) array is taken for a mistake: 3.6 GB of keypoints.
MAX_VALUES = 300_000_000
#: A compressed file or array may unpack to this many bytes at most.
MAX_BYTES = 16 * MAX_VALUES
#: Deflate, which gzip, zip and HDF5 use, packs at most 1032 bytes into one.
MAX_EXPANSION = 1032
