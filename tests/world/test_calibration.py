"""Calibrated cameras from files, and what their lenses do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from olift_fast.errors import InputError
from olift_fast.tracks.containers import KeypointTracks
from olift_fast.tracks.skeleton import Skeleton
from olift_fast.tracks.world_frame import Calibration
from olift_fast.world import distort, read_calibration, read_calibrations, undistort, undistorted

MATRIX = [[1681.2, 0.0, 532.9], [0.0, 1680.7, 948.1], [0.0, 0.0, 1.0]]
QUARTER = [[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
POSE2SIM = f"""
[cam_01]
name = "cam_01"
size = [ 1088.0, 1920.0]
matrix = {MATRIX}
distortions = [ -0.1, 0.02, 0.001, -0.002]
rotation = [ 0.0, 0.0, {np.pi / 2}]
translation = [ 0.3, 0.9, 2.8]
fisheye = false

[cam_02]
name = "cam_02"
size = [ 1088.0, 1920.0]
matrix = {MATRIX}
distortions = [ 0.0, 0.0, 0.0, 0.0]
rotation = [ 0.0, 0.0, 0.0]
translation = [ 0.0, 0.0, 3.0]
fisheye = false

[metadata]
adjusted = false
error = 0.0
"""
ANIPOSE = POSE2SIM.replace("[cam_01]", "[cam_0]").replace("[cam_02]", "[cam_1]")


def written(folder: Path, text: str | dict[str, Any] | list[Any], name: str = "calibration.toml") -> Path:
    path = folder / name
    path.write_text(text if isinstance(text, str) else json.dumps(text))
    return path


@pytest.mark.parametrize("text", [POSE2SIM, ANIPOSE], ids=["Pose2Sim", "Anipose"])
def test_toml_of_pose2sim_and_anipose(tmp_path: Path, text: str) -> None:
    path = written(tmp_path, text)
    assert list(read_calibrations(path)) == ["cam_01", "cam_02"]
    camera = read_calibration(path, "cam_01")
    np.testing.assert_allclose(camera.matrix, MATRIX)
    np.testing.assert_allclose(camera.distortion, [-0.1, 0.02, 0.001, -0.002])
    np.testing.assert_allclose(camera.rotation, QUARTER, atol=1e-12)
    np.testing.assert_allclose(camera.translation, [0.3, 0.9, 2.8])
    assert (camera.image_size, camera.fisheye) == ((1088, 1920), False)
    assert read_calibration(path, "CAM_02").distortion.size == 0


def test_the_calibration_of_a_real_recording(real_data: Path) -> None:
    path = real_data / "paired" / "human_pose2sim" / "Calib_qualisys.toml"
    with np.load(real_data / "paired" / "human_pose2sim_balancing.npz") as content:
        for place, camera in enumerate(read_calibrations(path).values()):
            np.testing.assert_allclose(camera.matrix, content["K"][place])
            np.testing.assert_allclose(camera.distortion, content["dist"][place])
            np.testing.assert_allclose(camera.translation, content["tvec"][place])


ONE = {"K": MATRIX, "dist": [0.1, 0, 0, 0, 0], "R": QUARTER, "t": [[1], [2], [3]]}
OPENCV = {"rows": 3, "cols": 3, "dt": "d", "data": np.ravel(MATRIX).tolist()}


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (ONE, ["camera"]),
        ([ONE, {**ONE, "name": "left"}], ["camera1", "left"]),
        ({"a": ONE, "b": ONE}, ["a", "b"]),
        ({"cameras": {"a": ONE}}, ["a"]),
        ({"cameras": [{**ONE, "id": 7}]}, ["7"]),
        (
            {"camera_matrix": OPENCV, "dist_coeffs": [0.1, 0, 0, 0], "rvec": [0, 0, np.pi / 2], "tvec": [1, 2, 3]},
            ["camera"],
        ),
    ],
)
def test_json_of_one_camera_or_of_several(tmp_path: Path, content: Any, names: list[str]) -> None:
    cameras = read_calibrations(written(tmp_path, content, "calibration.json"))
    assert list(cameras) == names
    for camera in cameras.values():
        np.testing.assert_allclose(camera.matrix, MATRIX)
        np.testing.assert_allclose(camera.rotation, QUARTER, atol=1e-12)
        np.testing.assert_allclose(camera.translation, [1, 2, 3])
        assert camera.distortion[0] == 0.1


def test_a_camera_without_a_place_has_none(tmp_path: Path) -> None:
    camera = read_calibration(written(tmp_path, {"K": MATRIX}))
    assert camera.rotation is None and camera.translation is None and camera.distortion.size == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "has no camera"),
        ("[cam]\nsize = [1, 2]", "has no camera"),
        ("no = = toml", "neither TOML nor JSON"),
        ('{"K": ', "neither TOML nor JSON"),
        ({"K": [[1, 2], [3, 4]]}, "matrix must have 9 numbers or be fx, fy, cx, cy"),
        ({"K": "wide"}, "matrix must be numbers, got 'wide'"),
        ({"K": [10**400] * 9}, "matrix must be numbers"),
        ({"K": (-np.array(MATRIX)).tolist()}, r"matrix must be \[\[fx"),
        ({**ONE, "dist": [1, 2, 3]}, "distortion must have"),
        ({**ONE, "dist": [float("nan"), 0, 0, 0]}, "distortion must be 0, 4, 5 or 8 finite numbers"),
        ({**ONE, "R": np.ones((3, 3)).tolist()}, "rotation must be a rotation"),
        ({**ONE, "R": [1, 2]}, "rotation must have 3 or 9 numbers, got 2"),
        ({**ONE, "t": [1, 2]}, "translation must have 3 numbers, got 2"),
        ({"K": MATRIX, "R": QUARTER}, "rotation and translation must both be given"),
        ({**ONE, "size": [0, 5]}, "size must be a width and a height"),
        ({"a": ONE, "b": ONE}, "has 2 cameras: name one of a, b with --camera"),
    ],
)
def test_bad_files_are_refused_in_one_line(tmp_path: Path, content: Any, message: str) -> None:
    path = written(tmp_path, content)
    with pytest.raises(InputError, match=message) as caught:
        read_calibration(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def test_unknown_cameras_and_files(tmp_path: Path) -> None:
    path = written(tmp_path, POSE2SIM)
    with pytest.raises(InputError, match="has no camera 'cam_1'; did you mean cam_0"):
        read_calibration(path, "cam_1")
    with pytest.raises(InputError, match="has no camera 'top'; it has cam_01, cam_02"):
        read_calibration(path, "top")
    with pytest.raises(InputError, match="no such file"):
        read_calibration(tmp_path / "none.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="is no text"):
        read_calibration(tmp_path / "binary.toml")


def lens(*terms: float, fisheye: bool = False) -> Calibration:
    return Calibration(matrix=[[1000, 0, 640], [0, 1000, 360], [0, 0, 1]], distortion=terms, fisheye=fisheye)


def test_the_lens_bends_as_opencvs_formulas_say() -> None:
    """By hand: x = 0.3, y = 0.4, r² = 0.25."""
    point = np.array([940.0, 760.0])
    radial = 1 + 0.1 * 0.25 - 0.2 * 0.0625
    np.testing.assert_allclose(distort(point, lens(0.1, -0.2, 0, 0)), [640 + 300 * radial, 360 + 400 * radial])
    shift = np.array([2 * 0.01 * 0.12 + 0.02 * (0.25 + 0.18), 0.01 * (0.25 + 0.32) + 2 * 0.02 * 0.12])
    np.testing.assert_allclose(distort(point, lens(0, 0, 0.01, 0.02)), point + 1000 * shift)
    angle = np.arctan(0.5)
    bent = angle * (1 + 0.05 * angle**2) / 0.5
    fisheye = distort(point, lens(0.05, 0, 0, 0, fisheye=True))
    np.testing.assert_allclose(fisheye, [640 + 300 * bent, 360 + 400 * bent])


LENSES = [
    lens(-0.3, 0.1, 0.001, 0.002, 0.01),
    lens(0.1, -0.02, 0, 0),
    lens(-0.25, 0.07, 0, 0, 0, 0.02, 0.01, 0.001),
    lens(0.1, -0.02, 0.003, -0.001, fisheye=True),
]


@pytest.mark.parametrize("calibration", LENSES)
def test_undistortion_undoes_it(calibration: Calibration) -> None:
    straight = np.random.default_rng(2).uniform([100, 50], [1200, 700], (7, 50, 2))
    bent = distort(straight, calibration)
    assert np.linalg.norm(bent - straight, axis=-1).max() > 5
    np.testing.assert_allclose(undistort(bent, calibration), straight, atol=0.02)


def test_keypoints_are_undistorted_and_lost_ones_left_out() -> None:
    calibration = lens(-0.3, 0.0, 0, 0)
    straight = np.array([[[[700.0, 400.0], [900, 600], [np.nan, np.nan], [0, 0]]]])
    bent = distort(straight, calibration)
    bent[0, 0, 3] = (9000, 9000)  # no ray comes so far out
    tracks = KeypointTracks(bent, np.isfinite(bent[..., 0]), Skeleton(tuple("abcd")), ("one",))
    found = undistorted(tracks, calibration)
    np.testing.assert_allclose(found.keypoints[0, 0, :2], straight[0, 0, :2], atol=0.02)
    assert np.isnan(found.keypoints[0, 0, 2:]).all()
    assert found.confidence.tolist() == [[[1, 1, 0, 0]]]
    assert "keypoints moved by up to" in found.notes[0]
    assert found.warnings == ("1 keypoints are beyond what the lens of camera can show, and left out",)


def test_a_lens_without_distortion_changes_nothing() -> None:
    points = np.array([[[[700.0, 400.0]]]])
    tracks = KeypointTracks(points, np.ones((1, 1, 1)), Skeleton(("a",)), ("one",))
    found = undistorted(tracks, lens(0, 0, 0, 0))
    np.testing.assert_array_equal(found.keypoints, tracks.keypoints)
    assert found.notes == ()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"matrix": np.eye(2)}, r"matrix must be \(3, 3\)"),
        ({"image_size": (640, 480, 3)}, "image size must be a width and a height"),
        ({"distortion": [1, 2, 3, 4, 5], "fisheye": True}, "0 or 4 finite numbers"),
        ({"distortion": [0] * 8 + [1, 0, 0, 0]}, "at most 8 terms"),
        ({"rotation": np.eye(3)}, "must both be given"),
        ({"rotation": -np.eye(3), "translation": [0, 0, 0]}, "must be a rotation"),
    ],
)
def test_no_such_camera(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Calibration(**({"matrix": MATRIX} | changed))
