"""The 3D scene of a movie: axes with z up, the floor, and a camera that shows what it should."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from films import lifted

from olift_fast.tracks.world_frame import WorldFrame
from olift_fast.view.packing import pack
from olift_fast.view.scene import Camera, Scene, floor_lines, nice_step, scene_of, upright

ALL = slice(None)


def test_camera_axes_are_turned_so_that_z_is_up() -> None:
    result = lifted()
    x, y, z = np.moveaxis(result.joints, -1, 0)
    np.testing.assert_array_equal(upright(result), np.stack([x, z, -y], axis=-1))


def test_pitch_turns_the_world_of_a_camera_that_looks_down() -> None:
    """What is nearer to a camera that looks straight down is higher; what is higher in its picture is farther away."""
    result = replace(lifted(), pitch=90.0)
    x, y, z = np.moveaxis(result.joints, -1, 0)
    np.testing.assert_allclose(upright(result), np.stack([x, -y, -z], axis=-1), atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(upright(replace(result, pitch=37.0)), axis=-1),
                               np.linalg.norm(result.joints, axis=-1), rtol=1e-5)  # fmt: skip


def test_world_stays_as_it_is_and_its_known_floor_is_at_zero() -> None:
    result = replace(lifted(), frame="world", contacts=np.zeros((1, 30, 4), bool))
    np.testing.assert_array_equal(upright(result), result.joints)
    assert scene_of(result, ALL, follow=True, smooth=9).floor == 0
    unknown = scene_of(replace(result, contacts=None), ALL, follow=True, smooth=9).floor
    assert unknown == pytest.approx(np.percentile(result.joints[..., 2], 0.5))


def test_the_floor_of_a_calibrated_world_is_where_it_was_found() -> None:
    floor = np.array([0.5, np.nan])
    world = WorldFrame(
        rotation=np.eye(3), origin=np.zeros((2, 3)), gravity="calibration", gravity_error=1, path="size",
        path_error=np.ones(2), floor=floor, calibrated=True,
    )  # fmt: skip
    result = replace(lifted(tracks=2), frame="world", contacts=np.zeros((2, 30, 4), bool), world=world)
    assert scene_of(result, ALL, follow=True, smooth=9).floor == 0.5
    assert pack(result, 1)[0]["floor"] == {"height": 0.5, "known": True}
    lost = replace(result, world=replace(world, floor=np.full(2, np.nan)))
    assert scene_of(lost, ALL, follow=True, smooth=9).floor == pytest.approx(np.percentile(lost.joints[..., 2], 0.5))
    assert not pack(lost, 1)[0]["floor"]["known"]


def test_camera_that_does_not_turn_sees_as_the_recording_one() -> None:
    """To the right stays right, up stays up, and what is farther away is drawn nearer to the middle."""
    camera = Camera((100, 50, 400, 300), 10, 10, azimuth=0, elevation=0)
    target = np.array([5, 6, 7], np.float32)
    points = target + np.array([[0, 0, 0], [4, 0, 0], [0, 0, 4], [0, 9, 0], [4, 9, 0]], np.float32)
    (middle, right, up, away, right_away), depth = camera.project(points, target)
    np.testing.assert_allclose(middle, [300, 200])
    np.testing.assert_allclose(away, middle, atol=1e-3)
    assert right[0] > middle[0] and right[1] == middle[1]
    assert up[1] < middle[1] and up[0] == pytest.approx(middle[0])
    assert middle[0] < right_away[0] < right[0]
    assert depth[3] > depth[0]


def test_camera_turns_about_its_target_and_looks_down() -> None:
    front = np.array([[0, -5, 0]], np.float32)
    quarter = Camera((0, 0, 400, 300), 10, 10, azimuth=np.pi / 2, elevation=0)
    # Turned to the left by a quarter, it looks along x: what was in front is now on its right.
    place, _ = quarter.project(front, np.zeros(3, np.float32))
    assert place[0, 0] > 210 and place[0, 1] == pytest.approx(150, abs=0.01)
    above = Camera((0, 0, 400, 300), 10, 10, azimuth=0, elevation=np.pi / 2)
    seen, depth = above.project(np.array([[0, 0, 3], [0, 3, 0]], np.float32), np.zeros(3, np.float32))
    assert depth[0] < depth[1] and seen[1, 1] < 150, "from above, away is up"


@pytest.mark.parametrize("follow", [True, False])
@pytest.mark.parametrize("azimuth", [0.0, 0.7, 2.0, 4.4])
def test_joints_stay_in_the_picture_as_it_turns(follow: bool, azimuth: float) -> None:
    result = lifted(frames=200, change=lambda joints: joints.__setitem__((..., 0), joints[..., 0] * 6))
    scene = scene_of(result, ALL, follow=follow, smooth=25)
    camera = Camera((0, 0, 400, 300), scene.radius, scene.height, azimuth, 0.28)
    places = np.stack([camera.project(scene.joints[:, f], scene.targets[f])[0] for f in range(200)])
    assert (places > -8).all() and (places < [408, 308]).all()
    if follow:
        widest = np.ptp(places[..., 0], axis=(1, 2)).max()
        assert widest > 60, "it is near enough"


def test_following_camera_is_nearer_than_one_that_shows_the_whole_way() -> None:
    result = lifted(frames=400, change=lambda joints: joints.__setitem__(
        (..., 0), joints[..., 0] + 10 * np.arange(400)[None, :, None]))  # fmt: skip
    near, far = (scene_of(result, ALL, follow=follow, smooth=25) for follow in (True, False))
    assert near.radius < far.radius / 5
    assert np.ptp(far.targets, axis=0).max() == 0
    assert np.ptp(near.targets[:, 0]) > 3000 and np.ptp(near.targets[:, 2]) == 0


def test_camera_climbs_with_an_animal_that_does() -> None:
    def climb(joints: np.ndarray) -> None:
        joints[..., 1] -= 20 * np.arange(300)[None, :, None]

    scene = scene_of(lifted(frames=300, change=climb), ALL, follow=True, smooth=25)
    assert np.ptp(scene.targets[:, 2]) > 4000 and scene.height < 500


def test_frames_without_joints_have_a_target_between_their_neighbors() -> None:
    def gap(joints: np.ndarray) -> None:
        joints[:, 5:15] = np.nan

    scene = scene_of(lifted(change=gap), ALL, follow=True, smooth=1)
    assert np.isfinite(scene.targets).all()
    steps = np.diff(scene.targets[4:16, 0])
    np.testing.assert_allclose(steps, steps[0], rtol=1e-3)


def test_floor_lies_still_while_the_camera_moves_over_it() -> None:
    still = Scene(*(np.zeros((1, 1, 1, 3), np.float32),) * 2, np.zeros((1, 3), np.float32), 4, 4, -2.0)
    here, there = (floor_lines(still, np.array([x, 0, 0], np.float32)) for x in (0.0, 0.7))
    assert (here[..., 2] == -2).all() and (there[..., 2] == -2).all()
    step = nice_step(2)
    for lines in (here, there):
        across = lines[np.ptp(lines[..., 0], axis=1) == 0][:, 0, 0]
        np.testing.assert_allclose(across / step, np.round(across / step), atol=1e-6)


def test_steps_are_round() -> None:
    assert [nice_step(x) for x in (0.013, 0.2, 0.4, 1.4, 6, 80)] == pytest.approx([0.01, 0.2, 0.5, 1, 5, 100])
