"""What all formats share: confidence that is no share, and numbers that stand for missing keypoints."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from olift_fast.io.parsed import Parsed, settle
from olift_fast.tracks.containers import KeypointTracks


def _points(frames: int = 6) -> npt.NDArray[np.float32]:
    start = np.array([[100, 80], [130, 90], [160, 95], [190, 130]], np.float32)
    return (start + 3 * np.arange(frames, dtype=np.float32)[:, None, None])[None]


def _settled(points: npt.NDArray[np.float32], confidence: npt.NDArray[np.float32] | None = None) -> KeypointTracks:
    return settle(Parsed(points, confidence, None), "test", "test")


def test_confidence_in_per_cent_is_divided_by_100() -> None:
    points = _points()
    confidence = np.full(points.shape[:3], 90, np.float32)
    confidence[0, 1] = 20
    found = _settled(points, confidence)
    np.testing.assert_allclose(found.confidence[0, :2, 0], [0.9, 0.2])
    assert found.notes == ("confidence up to 90 is taken as per cent",)


@pytest.mark.parametrize("value", [431.0, 7.5])
def test_values_that_are_no_confidence_are_told(value: float) -> None:
    points = _points()
    found = _settled(points, np.full(points.shape[:3], value, np.float32))
    assert (found.confidence == 1).all() and "confidence must lie in [0, 1], got values up to" in found.warnings[0]


@pytest.mark.parametrize("value", [1.0, 1.05, 2.0])
def test_confidence_slightly_beyond_1_and_visibility_2_count_as_1(value: float) -> None:
    points = _points()
    found = _settled(points, np.full(points.shape[:3], value, np.float32))
    assert (found.confidence == 1).all() and found.notes == found.warnings == ()


@pytest.mark.parametrize("value", [0, -1, -9999])
def test_numbers_that_stand_for_missing_keypoints_hide_them(value: int) -> None:
    points = _points()
    points[0, 2:5, 1] = value
    found = _settled(points)
    assert found.visible()[0, :, 1].tolist() == [True, True, False, False, False, True]
    assert found.visible()[0, :, [0, 2, 3]].all()
    assert found.notes == (f"3 keypoints at exactly ({value}, {value}) are taken as missing",)


def test_single_one_and_one_with_a_confidence_are_kept_and_told() -> None:
    points = _points()
    points[0, 3, 1] = 0
    found = _settled(points)
    assert found.visible().all() and found.warnings[0].startswith("1 keypoint at exactly (0, 0) may stand for missing")
    points[0, 4, 1] = 0
    found = _settled(points, np.full(points.shape[:3], 0.9, np.float32))
    assert found.visible().all() and found.warnings[0].startswith("2 keypoints at exactly (0, 0) may stand")
    assert not _settled(points, np.full(points.shape[:3], 0.1, np.float32)).warnings


def test_origin_of_centered_coordinates_and_an_animal_in_the_corner_are_kept() -> None:
    centered = _points() - _points()[:, :, :1]
    centered[0, :, 3] = -5
    found = _settled(centered)
    assert found.visible().all() and found.notes == ()
    corner = np.stack([np.zeros((6, 4)), np.zeros((6, 4))], axis=-1)[None].astype(np.float32)
    corner[0, :, 1:, 0] = np.arange(6)[:, None] + np.array([0, 100, 300])
    corner[0, :, 1:, 1] = 0.5
    assert _settled(corner).visible().all()
