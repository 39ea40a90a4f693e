"""What the tests of reading and writing share: a lifted result, and small files."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from olift_fast.io import read_keypoints
from olift_fast.tracks.containers import KeypointTracks, LiftedTracks
from olift_fast.tracks.skeleton import Skeleton


@pytest.fixture
def make_lifted() -> Callable[..., LiftedTracks]:
    """A result of random numbers, with hidden keypoints and one frame that could not be lifted."""

    def make(tracks: Sequence[str] = ("left, fly", "b"), length: int = 5, **changes: object) -> LiftedTracks:
        rng = np.random.default_rng(7)
        skeleton = Skeleton(("nose", "ear_l", "ear_r", "tail"), ((0, 1), (0, 2), (0, 3)), (), "rat")
        shape = (len(tracks), length, skeleton.num_joints)
        joints = rng.normal(0, 300, (*shape, 3)).astype(np.float32)
        keypoints = joints[..., :2].copy()
        confidence = rng.uniform(0.31, 1, shape).astype(np.float32)
        keypoints[0, 1, 2] = np.nan
        confidence[0, 1, 2] = 0
        joints[-1, -1] = np.nan
        fields: dict[str, object] = {
            "joints": joints,
            "keypoints": keypoints,
            "confidence": confidence,
            "visible": confidence > 0.5,
            "skeleton": skeleton,
            "tracks": tuple(tracks),
            "fps": 29.97,
            "frames": np.arange(length) * 2 + 10,
            "image_size": (640, 480),
            "source": "clip.csv",
            "format": "deeplabcut",
            "notes": ("frames are times",),
            "warnings": ("coordinates look normalized", "two"),
            "frame": "camera",
            "scale": rng.uniform(1, 2, len(tracks)),
            "centers": rng.normal(size=(*shape[:2], 2)),
            "rotation": np.linalg.qr(rng.normal(size=(len(tracks), 3, 3)))[0],
            "model": "small",
            "version": "1.0",
        }
        return LiftedTracks(**(fields | changes))  # type: ignore[arg-type]

    return make


@pytest.fixture
def write_table(tmp_path: Path) -> Callable[..., Path]:
    """Writes rows of cells as csv and returns the path."""

    def write(rows: Sequence[Sequence[object]], name: str = "table.csv") -> Path:
        path = tmp_path / name
        path.write_text("\n".join(",".join("" if cell is None else str(cell) for cell in row) for row in rows) + "\n")
        return path

    return write


@pytest.fixture
def write_json(tmp_path: Path) -> Callable[[Any], Path]:
    """Writes a value as JSON and returns the path."""

    def write(content: Any) -> Path:
        path = tmp_path / "keypoints.json"
        path.write_text(json.dumps(content))
        return path

    return write


@pytest.fixture
def read(tmp_path: Path) -> Callable[[str], KeypointTracks]:
    """Reads a text as a file."""

    def read(text: str) -> KeypointTracks:
        path = tmp_path / "table.csv"
        path.write_text(text)
        return read_keypoints(path)

    return read
