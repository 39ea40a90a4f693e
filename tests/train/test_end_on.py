"""Clips of bodies that point at the camera, and studies that choose them and their metrics."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from olift_fast.data.cameras import CameraRange
from olift_fast.data.clips import ClipBatch
from olift_fast.data.corruption import Corruption
from olift_fast.data.mocap import Segment
from olift_fast.data.sources import observe
from olift_fast.errors import InputError
from olift_fast.tracks import Skeleton
from olift_fast.train.held_out import end_on
from olift_fast.train.studies.rows import where
from olift_fast.train.studies.trainings import FLAT, load_plan, trained

LONG = Skeleton(("nose", "neck", "hips", "tail"), ((0, 1), (1, 2), (2, 3)))


def walking(yaw: np.ndarray, seed: int) -> ClipBatch:
    """A long, low body that keeps its heading, radians from the world's x, seen by level cameras from anywhere."""
    rng = np.random.default_rng(seed)
    along = np.stack([np.cos(yaw), np.sin(yaw), 0 * yaw], axis=-1)
    body = along[:, None, None] * np.linspace(-1, 1, 4)[:, None] + 0.05 * rng.normal(size=(len(yaw), 6, 4, 3))
    positions = (body + along[:, None, None] * np.linspace(0, 5, 6)[:, None, None]).astype(np.float32)
    positions[:, 2, 3] = np.nan
    segment = Segment(positions[0], 0, 6, 30.0, LONG, "made up", "long")
    return observe(positions, segment, rng, CameraRange(elevation=(0, 0)), Corruption.none(), "long")


def test_only_bodies_that_point_at_the_camera_are_kept() -> None:
    clips = walking(np.random.default_rng(0).uniform(0, 2 * np.pi, 200), seed=1)
    kept = end_on(clips)
    trunk = clips.joints[:, 0, 0] - clips.joints[:, 0, 3]
    angles = np.degrees(np.arccos(np.abs(trunk[:, 2]) / np.linalg.norm(trunk, axis=-1)))
    trunk = kept.joints[:, 0, 0] - kept.joints[:, 0, 3]
    assert (np.abs(trunk[:, 2]) / np.linalg.norm(trunk, axis=-1) > np.cos(np.radians(37))).all()
    assert (angles < 23).sum() <= len(kept) <= (angles < 37).sum() and 0.2 < len(kept) / len(clips) < 0.5
    assert kept.keypoints.shape == (len(kept), 6, 4, 2) and len(end_on(clips, 0)) == 0


def test_a_study_has_the_metrics_and_the_clips_that_its_plan_names(tmp_path: Path) -> None:
    (tmp_path / "motion3d").mkdir()
    rng = np.random.default_rng(2)
    steps = np.linspace([0, 0, 0], [0, 4, 0], 250)[:, None] + 0.02 * rng.normal(size=(250, 4, 3))
    positions = steps + np.linspace(-1, 1, 4)[:, None] * [0, 1, 0]
    recording = {"joint_names": LONG.names, "edges": LONG.edges, "fps": 30.0}
    np.savez(tmp_path / "motion3d" / "long.npz", positions=positions, **recording)
    study = tmp_path / "mine.toml"
    study.write_text(
        'metrics = ["sa_mpjpe", "depth_ratio"]\n[variants]\n[tests]\n'
        "any = { frames = 20, cameras = 8 }\npointing = { frames = 20, cameras = 8, end_on = true }\n"
    )
    rows = list(trained(load_plan(study), tmp_path, tmp_path / "runs"))
    assert {row["variant"] for row in rows} == {FLAT} and all(row["depth_ratio"] == 0 for row in rows)
    assert set(rows[0]) == {"variant", "seed", "test", "source", "clips", "sa_mpjpe", "depth_ratio"}
    everything, pointing = (where(rows, test=name)[0] for name in ("any", "pointing"))
    assert 0 < pointing["clips"] < everything["clips"] == 16
    assert pointing["sa_mpjpe"] > everything["sa_mpjpe"], "the depth that the flat guess lacks is larger end-on"
    study.write_text('metrics = ["sa_mpjpe", "depths"]\n[variants]\n')
    with pytest.raises(InputError, match=r"metrics must be of sa_mpjpe, .*, depth_ratio, got depths"):
        load_plan(study)
