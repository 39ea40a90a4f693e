"""Cameras: the projection against the pinhole formula in float64, and everything in view."""

from __future__ import annotations

import numpy as np
import pytest

from olift_fast.data.cameras import CameraRange, Cameras, project, random_cameras, upright_rotation


def walk(rng: np.random.Generator, count: int = 24, frames: int = 20, joints: int = 9) -> np.ndarray:
    body = rng.normal(size=(count, 1, joints, 3)) * [1.0, 0.5, 0.7]
    path = np.linspace(-1, 1, frames)[:, None] * rng.normal(size=(count, 1, 3)) * [2, 2, 0.1]
    wobble = 0.1 * rng.normal(size=(count, frames, joints, 3))
    return (body + path[:, :, None] + wobble).astype(np.float32)


def camera_coordinates(positions: np.ndarray, cameras: Cameras) -> np.ndarray:
    offset = positions.astype(np.float64) - cameras.position.astype(np.float64)[:, :, None]
    rotation = np.broadcast_to(cameras.rotation.astype(np.float64), (*positions.shape[:2], 3, 3))
    return np.einsum("btij,btkj->btki", rotation, offset)


RANGES = {
    "default": CameraRange(),
    "static": CameraRange(follow=0, pan=0),
    "panning": CameraRange(pan=1.0, follow=0),
    "following": CameraRange(follow=1.0),
    "far": CameraRange(weak=1.0),
    "end on and close": CameraRange(end_on=0.5, close=0.5),
    "wide": CameraRange(elevation=(-90, 90), roll=(-180, 180), image_size=None, focal=(0.5, 4)),
}


@pytest.mark.parametrize("name", RANGES)
def test_projection_is_the_pinhole_formula(name: str) -> None:
    rng = np.random.default_rng(1)
    positions = walk(rng)
    cameras = random_cameras(rng, positions, RANGES[name])
    keypoints, joints = project(positions, cameras)
    exact = camera_coordinates(positions, cameras)
    pixels = exact[..., :2] / exact[..., 2:] * cameras.focal[:, None, None] + cameras.center[:, None, None]
    assert keypoints.dtype == np.float32 and joints.dtype == np.float32
    assert np.abs(keypoints - pixels).max() < 2e-2
    mean = exact.mean(axis=2, keepdims=True)
    target = (exact - mean) * cameras.focal[:, None, None, :1] / mean[..., 2:]
    assert np.abs(joints - target).max() < 1e-4 * np.abs(target).max()


@pytest.mark.parametrize("name", RANGES)
def test_every_joint_is_in_front_and_in_view(name: str) -> None:
    rng = np.random.default_rng(2)
    positions = walk(rng, count=60)
    ranges = RANGES[name]
    cameras = random_cameras(rng, positions, ranges)
    keypoints, _ = project(positions, cameras)
    assert camera_coordinates(positions, cameras)[..., 2].min() > 0
    half = 0.5 * cameras.image_size[:, None, None]
    reach = np.abs(keypoints - half) / half
    assert reach.max() <= ranges.fill[1] + 1e-3
    if ranges.pan == 0 and ranges.focal[0] >= 0.8:
        assert reach.max(axis=(1, 2, 3)).min() >= 0.5 * ranges.fill[0], "no clip is tiny"


def test_cameras_stand_upright_and_look_down_as_asked() -> None:
    rng = np.random.default_rng(3)
    cameras = random_cameras(rng, walk(rng, count=200), CameraRange(elevation=(10, 30), pan=0.0))
    rotation = cameras.rotation[:, 0]
    assert np.allclose(rotation @ np.swapaxes(rotation, -1, -2), np.eye(3), atol=1e-5)
    assert np.allclose(np.linalg.det(rotation), 1, atol=1e-5)
    assert np.abs(rotation[:, 0, 2]).max() < 1e-6, "the image's horizontal is the world's"
    down = np.degrees(np.arcsin(-rotation[:, 2, 2]))
    assert down.min() >= 10 - 1e-3 and down.max() <= 30 + 1e-3
    assert (rotation[:, 1, 2] < 0).all(), "up in the world is up in the image"
    azimuth = np.arctan2(rotation[:, 2, 1], rotation[:, 2, 0])
    assert np.histogram(azimuth, bins=4, range=(-np.pi, np.pi))[0].min() > 25


def test_end_on_cameras_look_along_the_body_from_both_ends() -> None:
    rng = np.random.default_rng(8)
    heading = rng.uniform(-np.pi, np.pi, 300)
    along = np.stack([np.cos(heading), np.sin(heading), np.zeros(300)], axis=-1)
    across = np.stack([-np.sin(heading), np.cos(heading), np.zeros(300)], axis=-1)
    spine, ribs = rng.normal(size=(2, 300, 1, 12, 1)) * np.array([2.0, 0.4])[:, None, None, None, None]
    walk = np.linspace(0, 9, 6)[:, None, None] * across[:, None, None]
    positions = (spine * along[:, None, None] + ribs * across[:, None, None] + walk).astype(np.float32)
    share = []
    for end_on in (0.0, 0.6, 1.0):
        cameras = random_cameras(np.random.default_rng(9), positions, CameraRange(end_on=end_on, pan=0.0))
        ahead = cameras.rotation[:, 0, 2, :2] / np.linalg.norm(cameras.rotation[:, 0, 2, :2], axis=-1, keepdims=True)
        cosine = (ahead * along[:, :2]).sum(axis=-1)
        share.append(np.mean(np.abs(cosine) > np.cos(np.radians(45))))
    assert 0.4 < share[0] < 0.6 and 0.7 < share[1] < 0.9 and share[2] > 0.95
    assert 0.4 < np.mean(cosine > 0) < 0.6, "from behind as often as from ahead"


def test_close_cameras_have_wide_lenses_and_stand_nearer() -> None:
    rng = np.random.default_rng(10)
    positions = walk(rng, count=80)
    near, usual = (
        random_cameras(np.random.default_rng(11), positions, CameraRange(close=close, weak=0.0)) for close in (1.0, 0.0)
    )
    assert near.focal.min() > 0.39 * 1050 and near.focal.max() < 0.71 * 1050
    distance = [np.linalg.norm(cameras.position[:, 0], axis=-1).mean() for cameras in (near, usual)]
    assert distance[0] < 0.6 * distance[1]


def test_upright_camera_by_hand() -> None:
    rotation = upright_rotation(np.zeros(1), np.zeros(1), np.zeros(1))[0]
    assert np.allclose(rotation @ [1, 0, 0], [0, 0, 1], atol=1e-12)
    assert np.allclose(rotation @ [0, 1, 0], [-1, 0, 0], atol=1e-12), "left of the camera is -x"
    assert np.allclose(rotation @ [0, 0, 1], [0, -1, 0], atol=1e-12), "y points down"


def test_unknown_positions_are_not_read() -> None:
    rng = np.random.default_rng(4)
    positions = walk(rng, count=6)
    labelled = rng.random(positions.shape[:3]) > 0.2
    labelled[0] = False
    labelled[0, 0, 0] = True
    poisoned = np.where(labelled[..., None], positions, np.float32(np.nan))
    cameras = random_cameras(np.random.default_rng(5), poisoned, CameraRange(), labelled)
    keypoints, joints = project(poisoned, cameras, labelled)
    assert np.isfinite(keypoints).all() and np.isfinite(joints).all()
    assert np.all(joints[~labelled] == 0) and np.all(keypoints[~labelled] == 0)
    exact = camera_coordinates(np.where(labelled[..., None], positions, 0), cameras)
    count = np.maximum(labelled.sum(axis=2), 1)[..., None]
    mean = np.where(labelled[..., None], exact, 0).sum(axis=2) / count
    mean[labelled.sum(axis=2) == 0] = 1
    target = (exact - mean[:, :, None]) * cameras.focal[:, None, None, :1] / mean[:, :, None, 2:]
    assert np.abs(joints - target)[labelled].max() < 1e-3 * np.abs(target[labelled]).max()


def test_real_calibration_gives_the_same_image() -> None:
    rng = np.random.default_rng(6)
    positions = walk(rng, count=3)
    rotation = upright_rotation(rng.uniform(0, 6, 3), rng.uniform(0, 0.5, 3), np.zeros(3))
    translation = np.array([[0.1, -0.2, 14.0], [0.3, 0.1, 12.0], [0, 0, 16.0]])
    intrinsics = np.array([[[900, 0, 500], [0, 950, 420], [0, 0, 1]]] * 3, float)
    cameras = Cameras.from_calibration(intrinsics, rotation, translation, (1000, 800))
    keypoints, joints = project(positions, cameras)
    exact = np.einsum("bij,btkj->btki", rotation, positions.astype(float)) + translation[:, None, None]
    image = np.einsum("bij,btkj->btki", intrinsics, exact)
    assert np.abs(keypoints - image[..., :2] / image[..., 2:]).max() < 1e-2
    flat = keypoints - keypoints.mean(axis=2, keepdims=True)
    assert np.abs(flat - joints[..., :2]).max() < 0.4 * np.abs(flat).max()
    assert np.array_equal(cameras.image_size, [[1000, 800]] * 3)


def test_calibrated_cameras_may_differ_in_their_pictures() -> None:
    K, R, t = np.tile(np.eye(3), (2, 1, 1)), np.tile(np.eye(3), (2, 1, 1)), np.zeros((2, 3))
    assert Cameras.from_calibration(K, R, t, (640, 480)).image_size.tolist() == [[640, 480], [640, 480]]
    assert Cameras.from_calibration(K, R, t, np.array([[640, 480], [30, 20]])).image_size.tolist() == [
        [640, 480],
        [30, 20],
    ]


def test_a_clip_of_one_known_point_is_in_view() -> None:
    positions = np.full((2, 4, 3, 3), np.nan, np.float32)
    positions[:, 1, 2] = [5, -3, 1]
    labelled = np.isfinite(positions[..., 0])
    cameras = random_cameras(np.random.default_rng(0), positions, labelled=labelled)
    keypoints, joints = project(positions, cameras, labelled)
    assert np.isfinite(keypoints).all() and np.isfinite(joints).all()
    assert (np.abs(keypoints[labelled] - 540) < 540).all() and (joints == 0).all()
