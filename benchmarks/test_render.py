"""Movies of 1280 × 720: pictures a second that are drawn, and that are drawn and written as H.264."""

from __future__ import annotations

import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("cv2", reason="movies need the extra `video`")
pytest.importorskip("imageio_ffmpeg", reason="movies need the extra `video`")

from olift_fast.tracks import LiftedTracks, rig
from olift_fast.view.render import render

FRAMES = 240


def walking(tracks: int) -> LiftedTracks:
    """Animals of 17 joints that sway, with a few hidden keypoints."""
    skeleton = rig("ap10k_17")
    rng = np.random.default_rng(0)
    rest = rng.uniform(-200, 200, (tracks, 1, skeleton.num_joints, 3))
    phase = rng.uniform(0, 6, (tracks, 1, skeleton.num_joints, 3))
    time_ = np.arange(FRAMES)[None, :, None, None] / 30
    joints = 640 + rest + 40 * np.sin(3 * time_ + phase) + np.array([60, 0, 20]) * time_
    visible = rng.random(joints.shape[:3]) > 0.1
    return LiftedTracks(
        joints=joints, keypoints=joints[..., :2], confidence=visible, visible=visible, skeleton=skeleton, fps=30.0,
        tracks=tuple(f"animal {number}" for number in range(tracks)), scale=np.ones(tracks),
        centers=np.zeros((tracks, FRAMES, 2)), rotation=np.tile(np.eye(3), (tracks, 1, 1)), model="", version="",
    )  # fmt: skip


@pytest.mark.parametrize("views", [1, 2])
@pytest.mark.parametrize("tracks", [1, 4])
def test_movie(benchmark: Any, tmp_path: Path, tracks: int, views: int) -> None:
    """Also counts the processors' seconds of a frame, of this process and of the encoder: other work delays neither."""
    result = walking(tracks)
    spent: list[tuple[float, float]] = []

    def movie() -> None:
        own, encoder = time.process_time(), _of_children()
        render(result, tmp_path / "movie.mp4", views=views)
        spent.append((time.process_time() - own, _of_children() - encoder))

    benchmark.pedantic(movie, rounds=3, warmup_rounds=1)
    own, encoder = np.median(spent, axis=0) / FRAMES
    benchmark.extra_info |= {
        "frames": FRAMES, "tracks": tracks, "views": views, "ms_drawing": 1e3 * own, "ms_encoding": 1e3 * encoder,
        "frames_per_second_on_two_cores": 2 / (own + encoder),
    }  # fmt: skip


def _of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
