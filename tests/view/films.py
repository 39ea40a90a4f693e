"""Small videos whose pictures tell their number, and results to go with them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from olift_fast.tracks import LiftedTracks, Skeleton

SIZE = (320, 240)
SKELETON = Skeleton(("nose", "left_paw", "right_paw", "tail"), ((0, 1), (0, 2), (0, 3)), sides=(0, 1, -1, 0))
STEP = 4


def film(path: Path, frames: int, fps: float = 25.0, size: tuple[int, int] = SIZE) -> Path:
    """A video without loss to speak of: picture n is gray, of brightness 4 n."""
    from olift_fast.view.video import movie_writer

    with movie_writer(path, size, fps) as write:
        for number in range(frames):
            write(np.full((size[1], size[0], 3), STEP * number, np.uint8))
    return path


def number_of(picture: np.ndarray | None) -> int | None:
    """The number that a picture of `film` tells; each encoding darkens it a little."""
    return None if picture is None else round(float(picture.mean()) / STEP + 0.2)


def lifted(
    frames: int = 30, tracks: int = 1, *, change: Callable[[np.ndarray], None] | None = None, **changes: Any
) -> LiftedTracks:
    """Animals in the middle of `film`'s pictures, which sway."""
    t, n, j = np.arange(frames)[None, :, None], np.arange(tracks)[:, None, None], np.arange(4)[None, None]
    x, y = 100 + 30 * j + 40 * n + t * 0.5, 120 + 20 * np.sin(t / 5 + j) + 0 * n
    z = 15 * np.cos(t / 6 + j) + 10 * n
    joints = np.stack(np.broadcast_arrays(x, y, z), axis=-1).astype(np.float32)
    if change is not None:
        change(joints)
    keypoints = joints[..., :2].copy()
    there = np.isfinite(keypoints).all(axis=-1)
    values: dict[str, Any] = {
        "joints": joints, "keypoints": keypoints, "confidence": there * 0.9, "visible": there, "skeleton": SKELETON,
        "tracks": tuple(f"mouse {number}" for number in range(tracks)), "fps": 25.0, "source": "a/mouse.csv",
        "scale": np.ones(tracks), "centers": np.zeros((tracks, frames, 2)),
        "rotation": np.tile(np.eye(3), (tracks, 1, 1)), "model": "small", "version": "1",
    }  # fmt: skip
    return LiftedTracks(**(values | changes))
