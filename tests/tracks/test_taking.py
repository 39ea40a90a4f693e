"""Some tracks of a recording, and of a result."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from olift_fast.errors import InputError
from olift_fast.tracks.containers import KeypointTracks, LiftedTracks
from olift_fast.tracks.skeleton import Skeleton
from olift_fast.tracks.taking import take_keypoints, take_tracks
from olift_fast.tracks.world_frame import Calibration, WorldFrame


def result() -> LiftedTracks:
    rng = np.random.default_rng(0)
    shape = (3, 4, 3)
    joints = rng.normal(size=(*shape, 3))
    joints[0, :, 2] = joints[1:, :, 0] = np.nan
    return LiftedTracks(
        joints=joints,
        keypoints=rng.normal(size=(*shape, 2)),
        confidence=rng.uniform(size=shape),
        visible=rng.uniform(size=shape) > 0.5,
        skeleton=Skeleton(("wing", "body", "tail"), ((0, 1), (1, 2)), inferred=(True, False)),
        tracks=("bird", "mouse", "rat"),
        scale=[1, 2, 3],
        centers=rng.normal(size=(3, 4, 2)),
        rotation=rng.normal(size=(3, 3, 3)),
        model="small",
        version="1.0",
        uncertainty=rng.uniform(size=shape),
        uncertainty_xy=rng.uniform(size=shape),
        meters_per_pixel=[0.1, 0.2, 0.3],
        contacts=rng.uniform(size=shape) > 0.5,
        notes=("as read",),
        frame="world",
        world=WorldFrame(
            rotation=np.diag([1.0, -1.0, -1.0]),
            origin=rng.normal(size=(3, 3)),
            gravity="feet",
            gravity_error=7.0,
            path="size",
            path_error=np.array([1.0, np.nan, 3.0]),
            floor=np.array([0.0, 0.0, np.nan]),
            matrix=np.diag([800.0, 800.0, 1.0]),
            size_spread=np.array([0.1, 0.2, 0.3]),
        ),
        calibration=Calibration(matrix=np.diag([800.0, 800.0, 1.0])),
    )


def test_every_field_follows_its_track() -> None:
    whole = result()
    taken = take_tracks(whole, ["rat", "bird", "rat"])
    assert taken.tracks == ("rat", "bird") and taken.skeleton == whole.skeleton and taken.notes == whole.notes
    arrays = [field.name for field in fields(whole) if isinstance(getattr(whole, field.name), np.ndarray)]
    assert len(arrays) == 11
    for name in arrays:
        np.testing.assert_array_equal(getattr(taken, name), getattr(whole, name)[[2, 0]], err_msg=name)
    assert taken.calibration is whole.calibration and taken.world is not None and whole.world is not None
    of_camera = ("rotation", "matrix")
    for name, values in vars(whole.world).items():
        own = values[[2, 0]] if isinstance(values, np.ndarray) and name not in of_camera else values
        np.testing.assert_array_equal(getattr(taken.world, name), own, err_msg=name)


def test_joints_that_only_other_tracks_have_are_left_out() -> None:
    whole = result()
    taken = take_tracks(whole, ["mouse"])
    assert taken.skeleton == Skeleton(("body", "tail"), ((0, 1),)) and taken.contacts is not None
    np.testing.assert_array_equal(taken.joints, whole.joints[1:2, :, 1:])
    assert taken.contacts.shape == (1, 4, 2)


def test_tracks_of_a_recording_are_taken_in_order_with_the_joints_that_they_have() -> None:
    whole = result()
    confidence = whole.confidence.copy()
    confidence[1:, :, 0] = 0
    confidence[2, :3, 2] = 0  # seen in one frame: a joint that the track has
    points = np.where(confidence[..., None] > 0, whole.keypoints, np.nan)
    tracks = KeypointTracks(points, confidence, whole.skeleton, whole.tracks, fps=30.0)
    taken = take_keypoints(tracks, ["rat", "mouse", "rat"])
    assert taken.tracks == ("rat", "mouse") and taken.skeleton.names == ("body", "tail") and taken.fps == 30
    np.testing.assert_array_equal(taken.keypoints, tracks.keypoints[[2, 1], :, 1:])
    np.testing.assert_array_equal(taken.confidence, tracks.confidence[[2, 1], :, 1:])
    assert take_keypoints(tracks, ["mouse", "bird"]).skeleton.names == whole.skeleton.names
    with pytest.raises(InputError, match="has no track 'cat'; it has bird, mouse, rat"):
        take_keypoints(tracks, ["cat"])


def test_tracks_that_are_not_there_are_named() -> None:
    with pytest.raises(InputError, match="has no track 'cat'; it has bird, mouse, rat"):
        take_tracks(result(), ["bird", "cat"])
