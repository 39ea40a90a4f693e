"""Coordinates that are shares of the picture's sides: scaled where its size is known, warned about where it is not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from olift_fast.io import read_keypoints
from olift_fast.io.parsed import Parsed, settle


def shares(frames: int = 20, joints: int = 4) -> np.ndarray:
    return np.random.default_rng(0).uniform(0.2, 0.8, (1, frames, joints, 2))


def test_coordinates_within_the_unit_square_are_warned_about() -> None:
    found = read_keypoints(shares())
    assert len(found.warnings) == 1 and "--image-size" in found.warnings[0]
    np.testing.assert_array_equal(found.keypoints, shares().astype(np.float32))


def test_image_size_scales_them_and_says_so() -> None:
    found = read_keypoints(shares(), image_size=(640, 480))
    assert found.warnings == () and found.image_size == (640, 480)
    assert found.notes == ("coordinates were normalized, and are scaled by the picture's 640 x 480 pixels",)
    np.testing.assert_allclose(found.keypoints, shares() * [640, 480], rtol=1e-6)


def test_a_few_outliers_do_not_hide_that() -> None:
    points = shares(frames=100)
    points[0, 3, 1] = [2.5, -1.7]
    assert read_keypoints(points).warnings


@pytest.mark.parametrize("scale", [30, 640])
def test_pixels_are_not_taken_for_shares(scale: float) -> None:
    for size in (None, (640, 480)):
        found = read_keypoints(shares() * scale, image_size=size)
        assert found.warnings == () and found.notes == ()
        np.testing.assert_array_equal(found.keypoints, (shares() * scale).astype(np.float32))


def test_size_in_the_file_scales_what_its_format_gives_as_shares() -> None:
    parsed = Parsed(shares(), None, None, image_size=(100, 50), normalized=True)
    np.testing.assert_allclose(settle(parsed, "x", "y").keypoints, shares() * [100, 50], rtol=1e-6)
    bigger = settle(parsed, "x", "y", image_size=(200, 100))
    np.testing.assert_allclose(bigger.keypoints, shares() * [200, 100], rtol=1e-6)


def test_size_in_the_file_alone_scales_no_coordinates_that_only_look_like_shares() -> None:
    parsed = Parsed(shares(), None, None, image_size=(100, 50))
    found = settle(parsed, "x", "y")
    assert len(found.warnings) == 1
    np.testing.assert_array_equal(found.keypoints, shares().astype(np.float32))


def test_shares_of_a_format_that_gives_them_are_warned_about_without_a_size() -> None:
    found = settle(Parsed(shares() * 9, None, None, normalized=True), "x", "y")
    assert "are normalized" in found.warnings[0]


def test_openpose_folder_with_keypoint_scale(tmp_path: Path) -> None:
    for frame, points in enumerate(shares(joints=25)[0]):
        flat = np.concatenate([points, np.ones((25, 1))], axis=1).ravel().tolist()
        person = {"person_id": [-1], "pose_keypoints_2d": flat}
        (tmp_path / f"clip_{frame:012d}_keypoints.json").write_text(json.dumps({"people": [person]}))
    assert read_keypoints(tmp_path).warnings
    assert read_keypoints(tmp_path, image_size=(1920, 1080)).keypoints.max() > 500
