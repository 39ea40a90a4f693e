"""How live joints differ from offline ones: what is measured, and that the page has the numbers of the record."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest

from benchmarks.live import PAGE, RECORD, measured, table
from olift_fast import Skeleton
from olift_fast.io.docs import filled
from olift_fast.tracks.containers import LiftedTracks

SKELETON = Skeleton(("nose", "left_ear", "right_ear", "tail"), ((0, 1), (0, 2), (0, 3)))


def test_page_has_the_numbers_of_its_record() -> None:
    text, record = PAGE.read_text(encoding="utf-8"), json.loads(RECORD.read_text(encoding="utf-8"))
    assert "<!-- live offline -->" in text and "<!-- live settling -->" in text
    assert filled(text, "live", partial(table, record)) == text, "run python -m benchmarks.live"


def test_turn_size_and_distance_are_measured() -> None:
    random = np.random.default_rng(0)
    joints = random.standard_normal((1, 50, 4, 3)).astype(np.float32)
    joints -= joints.mean(axis=2, keepdims=True)
    joints[:, :, 3] = np.nan  # never there
    joints[0, 7] = np.nan
    visible = np.ones((1, 50, 4), bool)
    visible[..., 3] = False
    keypoints = np.where(visible[..., None], joints[..., :2], np.nan)
    lifted = LiftedTracks(
        joints=joints, keypoints=keypoints, confidence=visible.astype(np.float32), visible=visible, skeleton=SKELETON,
        tracks=("one",), frame="camera", scale=np.ones(1), centers=np.zeros((1, 50, 2)), rotation=np.eye(3)[None],
        model="", version="",
    )  # fmt: skip
    angle = np.radians(10)
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    (row,) = measured(lifted, 1.1 * np.nan_to_num(joints) @ turn.T)
    assert row["rotation"] == pytest.approx(10, abs=0.01) and row["scale"] == pytest.approx(10, abs=0.01)
    (row,) = measured(lifted, 1.16 * np.nan_to_num(joints))
    assert row["size"] == pytest.approx(16, abs=0.01) and row["rotation"] == pytest.approx(0, abs=0.05)
    assert row["overlay"] == pytest.approx(16, abs=0.1) and row["joints"] > 16
    (row,) = measured(lifted, np.nan_to_num(joints).astype(np.float64))
    assert all(abs(value) < 1e-3 for key, value in row.items() if key != "rotation")
