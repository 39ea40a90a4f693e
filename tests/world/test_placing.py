"""Results in the world frame: axes, floor, contacts, root path, reprojection, and odd tracks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from made_up_lifts import TABLE, lifted, seen_from, standing

from benchmarks.walkers import Walker, planted
from olift_fast.data.cameras import upright_rotation
from olift_fast.errors import InputError
from olift_fast.tracks.containers import LiftedTracks
from olift_fast.tracks.skeleton import Skeleton
from olift_fast.tracks.world_frame import Calibration
from olift_fast.world import parse_length, pitch_and_roll, reproject, to_world


@pytest.fixture(scope="module")
def walkers() -> list[tuple[Walker, LiftedTracks]]:
    """A dozen bodies with planted feet, lifted with noise of 1 % of their radius."""
    return [(walker, walker.true_lift(0.01, number)) for number, walker in enumerate(planted(12, frames=90, seed=4))]


def root_of(joints: np.ndarray) -> np.ndarray:
    return np.asarray(joints.mean(axis=-2), dtype=np.float64)


def apart(root: np.ndarray, true: np.ndarray) -> float:
    """The root mean square distance of two paths on the floor, after the best turn and shift."""
    a, b = (path[:, :2] - path[:, :2].mean(axis=0) for path in (root, true))
    u, _, vt = np.linalg.svd(a.T @ b)
    turn = u @ np.diag([1, np.sign(np.linalg.det(u @ vt))]) @ vt
    return float(np.sqrt(np.square(a @ turn - b).sum(axis=1).mean()))


def own_error(result: LiftedTracks) -> float:
    return float(np.median(np.linalg.norm(result.joints[..., :2] - result.keypoints, axis=-1)[result.visible]))


@pytest.mark.parametrize("pitch", [0, 25, 90])
def test_axes_are_right_away_and_up(pitch: float) -> None:
    """A camera at azimuth 90° looks along the world's y, so that its x is the world's x."""
    rotation = upright_rotation(*np.radians([[90.0], [pitch], [0.0]]))[0]
    result = lifted(seen_from(standing(), rotation)[None])
    placed = to_world(result, pitch=pitch, floor=False)
    wanted = 100 * (standing() - standing().mean(axis=1, keepdims=True))
    found = placed.joints[0] - placed.joints[0].mean(axis=1, keepdims=True)
    np.testing.assert_allclose(found, wanted, atol=1e-3)
    assert (placed.frame, placed.units) == ("world", "pixels")
    assert placed.axes == "x right, y away from the camera, z up"


def test_feet_stand_on_the_floor_at_0() -> None:
    rotation = upright_rotation(*np.radians([[60.0], [20.0], [0.0]]))[0]
    placed = to_world(lifted(seen_from(standing(), rotation)[None]), pitch=20)
    assert np.abs(placed.joints[0, :, :4, 2]).max() < 1.5
    np.testing.assert_allclose(placed.world.floor, 0)
    np.testing.assert_array_equal(placed.contacts[0].all(axis=0), [True] * 4 + [False] * 5)
    assert not placed.contacts[0][:, 4:].any()


def test_every_fifth_frame_of_a_video_is_placed_as_what_it_is(walkers: list[tuple[Walker, LiftedTracks]]) -> None:
    _, result = walkers[0]
    slow = to_world(replace(result, fps=result.fps / 5))
    fifth = to_world(replace(result, frames=5 * np.arange(result.num_frames)))
    np.testing.assert_array_equal(fifth.joints, slow.joints)
    np.testing.assert_array_equal(fifth.contacts, slow.contacts)
    assert not np.array_equal(fifth.contacts, to_world(result).contacts)


def test_without_a_floor_nobody_looks_for_contacts() -> None:
    rotation = upright_rotation(*np.radians([[60.0], [20.0], [0.0]]))[0]
    placed = to_world(lifted(seen_from(standing(), rotation)[None]), pitch=20, floor=False)
    assert placed.contacts is None and placed.world.floor is None and placed.world.path == "in-plane"


def test_contacts_are_found_and_few_others(walkers: list[tuple[Walker, LiftedTracks]]) -> None:
    found = true = both = 0
    for walker, result in walkers:
        placed = to_world(result, focal=walker.matrix[0, 0])
        feet = walker.contacts.any(axis=0)
        said, is_true = placed.contacts[0][:, feet], walker.contacts[:, feet]
        found, true, both = found + said.sum(), true + is_true.sum(), both + (said & is_true).sum()
    assert both / found > 0.9
    assert both / true > 0.9


@pytest.mark.parametrize("known", ["focal", "nothing"])
def test_reprojection_matches_the_keypoints_within_the_lifts_own_error(
    walkers: list[tuple[Walker, LiftedTracks]], known: str
) -> None:
    for walker, result in walkers:
        length = parse_length("=".join(("-".join(walker.tracks.skeleton.names[:2]), "20cm")), "bone", result.skeleton)
        placed = to_world(result, focal=walker.matrix[0, 0] if known == "focal" else None, lengths=[length])
        distances = np.linalg.norm(reproject(placed) - result.keypoints, axis=-1)[result.visible]
        assert np.median(distances) < 1.3 * own_error(result) + 1e-3
        if known == "nothing":
            np.testing.assert_allclose(reproject(placed), result.joints[..., :2], atol=0.01)


def test_the_path_has_depth_with_a_focal_length(walkers: list[tuple[Walker, LiftedTracks]]) -> None:
    errors, lengths, said = [], [], []
    for walker, result in walkers:
        names = walker.tracks.skeleton.names
        a, b = walker.tracks.skeleton.edges[1]
        bone = np.median(np.linalg.norm(walker.positions[:, a] - walker.positions[:, b], axis=-1))
        length = parse_length(f"{names[a]}-{names[b]}={bone:.6f}m", "bone", result.skeleton)
        placed = to_world(result, pitch=pitch_and_roll(walker.up)[0], focal=walker.matrix[0, 0], lengths=[length])
        true = root_of(walker.positions)
        errors.append(apart(root_of(placed.joints[0]), true))
        lengths.append(np.linalg.norm(true[-1] - true[0]))
        said.append(placed.world.path_error[0])
        assert placed.world.path in ("size", "size and floor")
    assert np.median(np.array(errors) / lengths) < 0.1
    assert np.median(errors) < np.median(said)


def test_without_one_the_path_is_in_the_pictures_plane_unless_the_floor_tells(walkers) -> None:
    for walker, result in walkers:
        world = to_world(result, pitch=pitch_and_roll(walker.up)[0]).world
        if abs(pitch_and_roll(walker.up)[0]) < 9:
            assert world.path == "in-plane" and np.isnan(world.path_error).all()
        elif abs(pitch_and_roll(walker.up)[0]) > 11:
            assert world.path == "floor" and np.isfinite(world.path_error).all()
        assert world.matrix is None


def test_a_level_camera_sees_no_depth() -> None:
    joints = seen_from(standing(), upright_rotation(*np.radians([[90.0], [0.0], [0.0]]))[0])
    joints[..., 0] += 3 * np.arange(len(joints))[:, None]
    root = root_of(to_world(lifted(joints[None]), pitch=0).joints[0])
    assert np.ptp(root[:, 1]) < 1e-6 and np.ptp(root[:, 0]) > 100


def test_a_small_body_far_away_is_where_it_is() -> None:
    """Weak perspective is exact for it: depth, place and size follow from one bone."""
    depth = np.linspace(4, 6, 60)
    across = np.stack([np.linspace(-1, 1, 60), np.linspace(0.2, -0.2, 60)], axis=-1)
    bodies = 0.01 * (standing(60) - standing(60).mean(axis=1, keepdims=True))
    points = bodies + np.concatenate([across, depth[:, None]], axis=-1)[:, None]
    matrix = np.array([[800.0, 0, 320], [0, 800, 240], [0, 0, 1]])
    keypoints = (points @ matrix.T)[..., :2] / points[..., 2:]
    middle = root_of(points)
    joints = bodies * 800 / depth[:, None, None]
    # As a model sees it: each frame as if it were in the middle of the picture.
    rays = middle / np.linalg.norm(middle, axis=-1, keepdims=True)
    x, y, z = rays.T
    turns = np.array(
        [[1 - x * x / (1 + z), -x * y / (1 + z), x], [-x * y / (1 + z), 1 - y * y / (1 + z), y], [-x, -y, z]]
    )
    joints = np.einsum("ijt,tki->tkj", turns, joints)
    joints[..., :2] += keypoints.mean(axis=1, keepdims=True)
    length = parse_length("left_hip-left_shoulder=10mm", "bone", TABLE)
    calibration = Calibration(matrix=matrix)
    placed = to_world(
        lifted(joints[None], keypoints=keypoints[None]),
        calibration=calibration,
        up=(0, -1, 0),
        lengths=[length],
        floor=False,
    )
    camera = (placed.joints[0] - placed.world.origin[0]) @ placed.world.rotation
    np.testing.assert_allclose(root_of(camera), middle, rtol=0.01, atol=0.003)
    np.testing.assert_allclose(camera, points, rtol=0.01, atol=0.003)


def calibrated(walker: Walker, unit: float = 1.0) -> Calibration:
    """The camera of a walker, its place in units of so many meters."""
    rotation = walker.cameras.rotation[0, 0].astype(np.float64)
    return Calibration(
        matrix=walker.matrix, rotation=rotation, translation=-rotation @ walker.cameras.position[0, 0] / unit
    )


def bone_of(walker: Walker, place: int = 1) -> str:
    a, b = walker.tracks.skeleton.edges[place]
    bone = np.median(np.linalg.norm(walker.positions[:, a] - walker.positions[:, b], axis=-1))
    return f"{walker.tracks.skeleton.names[a]}-{walker.tracks.skeleton.names[b]}={bone:.6f}m"


def test_a_calibration_brings_its_own_world(walkers: list[tuple[Walker, LiftedTracks]]) -> None:
    for walker, result in walkers[:6]:
        length = parse_length(bone_of(walker), "bone", result.skeleton)
        calibration = calibrated(walker)
        placed = to_world(result, calibration=calibration, lengths=[length], calibration_unit=1.0)
        assert placed.world.calibrated and placed.world.gravity == "calibration"
        assert placed.axes == "those of the calibration's world"
        error = np.linalg.norm(root_of(placed.joints[0]) - root_of(walker.positions), axis=-1)
        assert np.median(error) < 3 * placed.world.path_error[0]
        assert abs(placed.world.floor[0]) < 3 * placed.world.path_error[0]
        np.testing.assert_allclose(reproject(placed), reproject(placed), equal_nan=True)


def test_the_unit_of_a_calibration_is_told_or_taken_from_its_size(walkers: list[tuple[Walker, LiftedTracks]]) -> None:
    walker, result = walkers[0]
    length = parse_length(bone_of(walker), "bone", result.skeleton)
    meters = to_world(result, calibration=calibrated(walker), lengths=[length])
    guessed = to_world(result, calibration=calibrated(walker, 0.001), lengths=[length])
    told = to_world(result, calibration=calibrated(walker, 0.01), lengths=[length], calibration_unit=0.01)
    assert any("in millimeters" in warning for warning in guessed.warnings)
    assert not any("millimeters" in warning for warning in (*meters.warnings, *told.warnings))
    for other in (guessed, told):
        np.testing.assert_allclose(other.joints, meters.joints, atol=1e-3)


def test_a_calibrated_world_needs_a_length(walkers: list[tuple[Walker, LiftedTracks]]) -> None:
    walker, result = walkers[0]
    placed = to_world(result, calibration=calibrated(walker))
    assert not placed.world.calibrated and placed.world.gravity == "calibration"
    assert any("no length is known" in warning for warning in placed.warnings)


def test_tracks_of_nothing_and_gaps_stay_empty() -> None:
    rotation = upright_rotation(*np.radians([[60.0], [20.0], [0.0]]))[0]
    joints = np.stack([seen_from(standing(), rotation), np.full((40, 9, 3), np.nan), seen_from(standing(), rotation)])
    joints[2, 10:15] = np.nan
    joints[2, :, 4] = np.nan
    result = lifted(joints)
    length = parse_length("left_hip-right_hip=40cm", "bone", TABLE)
    for options in ({}, {"focal": 900.0}, {"lengths": [length]}, {"focal": 900.0, "lengths": [length], "floor": False}):
        placed = to_world(result, pitch=20, **options)
        np.testing.assert_array_equal(np.isfinite(placed.joints), np.isfinite(result.joints))
        if placed.contacts is not None:
            assert not placed.contacts[1].any() and placed.contacts[2].any()
            assert "no floor was found under track_1" in placed.warnings[-1]


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_a_few_frames_are_placed(frames: int) -> None:
    rotation = upright_rotation(*np.radians([[60.0], [20.0], [0.0]]))[0]
    result = lifted(seen_from(standing(frames), rotation)[None])
    for options in ({}, {"focal": 500.0}):
        placed = to_world(result, **options)
        assert np.isfinite(placed.joints).all() and np.isfinite(reproject(placed)).all()


def test_one_joint_and_no_edges_are_placed() -> None:
    one = lifted(np.array([[[[100.0, 90, 0]], [[110, 90, 0]], [[120, 90, 0]]]]), Skeleton(("nose",)))
    plain = lifted(seen_from(standing(), np.eye(3))[None], Skeleton(TABLE.names))
    for result in (one, plain):
        for options in ({}, {"focal": 500.0}):
            assert np.isfinite(to_world(result, **options).joints).all()


def test_uncertainty_is_in_the_unit_of_the_joints() -> None:
    joints = seen_from(standing(), np.eye(3))[None]
    result = lifted(joints, uncertainty=np.full((1, 40, 9), 4.0), uncertainty_xy=np.full((1, 40, 9), 2.0))
    placed = to_world(result, pitch=0, lengths=[parse_length("2.5", "pixel", TABLE)])
    np.testing.assert_allclose(placed.uncertainty, 0.01)
    np.testing.assert_allclose(placed.uncertainty_xy, 0.005)


def test_what_can_not_be_is_refused() -> None:
    result = lifted(seen_from(standing(), np.eye(3))[None])
    with pytest.raises(InputError, match="is in 'world'"):
        to_world(to_world(result))
    with pytest.raises(InputError, match="is in 'object'"):
        to_world(replace(result, frame="object"))
    with pytest.raises(InputError, match="needs the picture's size"):
        to_world(replace(result, image_size=None), focal=500.0)
    with pytest.raises(InputError, match="positive number of pixels, got 0"):
        to_world(result, focal=0.0)
    with pytest.raises(InputError, match="focal 500 and a calibration tell the same"):
        to_world(result, focal=500.0, calibration=Calibration(matrix=np.diag([500, 500, 1.0])))
    with pytest.raises(InputError, match="without its WorldFrame"):
        reproject(result)
