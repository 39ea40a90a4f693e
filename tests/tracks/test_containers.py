"""Tracks in 2D and 3D: types, shapes, and what is refused."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from olift_fast.errors import InputError
from olift_fast.tracks.containers import KeypointTracks, LiftedTracks
from olift_fast.tracks.skeleton import Skeleton

N, T, J = 2, 5, 3


def keypoint_arguments(**changed: Any) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    arguments = {
        "keypoints": rng.uniform(0, 100, (N, T, J, 2)),
        "confidence": rng.uniform(0, 1, (N, T, J)),
        "skeleton": Skeleton(("head", "thorax", "tail")),
        "tracks": ("one", "two"),
        "source": "flies.h5",
    }
    return arguments | changed


def lifted_arguments(**changed: Any) -> dict[str, Any]:
    arguments = keypoint_arguments() | {
        "joints": np.zeros((N, T, J, 3)),
        "visible": np.ones((N, T, J), dtype=bool),
        "scale": np.ones(N),
        "centers": np.zeros((N, T, 2)),
        "rotation": np.tile(np.eye(3), (N, 1, 1)),
        "model": "small",
        "version": "0.1.0",
    }
    return arguments | changed


def test_arrays_become_float32() -> None:
    tracks = KeypointTracks(**keypoint_arguments())
    assert tracks.keypoints.dtype == tracks.confidence.dtype == np.float32
    assert (tracks.num_tracks, tracks.num_frames) == (N, T)


def test_visible_wants_both_coordinates_and_the_confidence() -> None:
    keypoints = np.ones((1, 1, 5, 2))
    keypoints[0, 0, 0, 1] = np.nan
    keypoints[0, 0, 1, 0] = np.inf
    confidence = np.array([[[1, 1, 0.3, 0.29, np.nan]]], dtype=np.float32)
    skeleton = Skeleton(tuple("abcde"))
    tracks = KeypointTracks(keypoints, confidence, skeleton, ("only",))
    assert tracks.visible(np.float32(0.3)).tolist() == [[[False, False, True, False, False]]]
    assert tracks.visible(0).tolist() == [[[False, False, True, True, False]]]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"keypoints": np.zeros((T, J, 2))}, r"keypoints must be \(tracks, frames, joints, 2\), got \(5, 3, 2\)"),
        ({"keypoints": np.zeros((N, T, J, 3))}, r"got \(2, 5, 3, 3\)"),
        ({"keypoints": np.zeros((N, T, J + 1, 2))}, r"shape \(2, 5, 3, 2\), got \(2, 5, 4, 2\)"),
        ({"confidence": np.zeros((N, T, J, 1))}, r"confidence must have shape \(2, 5, 3\)"),
        ({"tracks": ("one",)}, r"shape \(1, 5, 3, 2\)"),
        ({"tracks": ("one", "one")}, "distinct"),
        ({"fps": 0}, "fps must be a positive number, got 0"),
        ({"fps": float("nan")}, "fps"),
        ({"frames": np.arange(T + 1)}, r"frames must have shape \(5,\)"),
        ({"frames": np.array([0, 1, 1, 2, 3])}, "increase"),
        ({"image_size": (640, 0)}, r"\(640, 0\)"),
    ],
)
def test_wrong_input_is_refused_with_its_source(changed: dict[str, Any], message: str) -> None:
    for build, arguments in ((KeypointTracks, keypoint_arguments), (LiftedTracks, lifted_arguments)):
        with pytest.raises(InputError, match=message) as caught:
            build(**arguments(**changed))
        assert str(caught.value).startswith("flies.h5: ")


@pytest.mark.parametrize("name", ["joints", "visible", "scale", "centers", "rotation"])
def test_lifted_arrays_must_fit(name: str) -> None:
    wrong = np.zeros((N, T, J, 7))
    with pytest.raises(InputError, match=f"flies.h5: {name} must have shape"):
        LiftedTracks(**lifted_arguments(**{name: wrong}))


def test_lifted_carries_its_input_and_unit() -> None:
    tracks = KeypointTracks(**keypoint_arguments(fps=np.float64(30), frames=[3, 4, 5, 6, 9], image_size=[640, 480]))
    carried = {field.name: getattr(tracks, field.name) for field in dataclasses.fields(tracks)}
    lifted = LiftedTracks(**lifted_arguments(**carried))
    assert lifted.frames is not None and lifted.frames.dtype == np.int64
    assert lifted.fps == 30.0 and lifted.image_size == (640, 480) and lifted.source == "flies.h5"
    assert lifted.joints.dtype == np.float32 and lifted.visible.dtype == np.bool_
    assert lifted.units == "pixels"
    assert dataclasses.replace(lifted, frame="object").units == "model units"
    assert dataclasses.replace(lifted, frame="world").axes == "x right, y away from the camera, z up"
    assert dataclasses.replace(lifted, meters_per_pixel=np.full(N, 0.001)).units == "meters"
    with pytest.raises(InputError, match="'image'"):
        dataclasses.replace(lifted, frame="image")
    for name, wrong in {"meters_per_pixel": np.ones(N + 1), "contacts": np.ones((N, T, J + 1))}.items():
        with pytest.raises(InputError, match=f"flies.h5: {name} must have shape"):
            dataclasses.replace(lifted, **{name: wrong})


def test_joints_may_be_unknown() -> None:
    joints = np.full((N, T, J, 3), np.nan)
    assert np.isnan(LiftedTracks(**lifted_arguments(joints=joints)).joints).all()


def test_no_frames_and_no_tracks_are_allowed() -> None:
    skeleton = Skeleton(("a",))
    empty = KeypointTracks(np.zeros((0, 4, 1, 2)), np.zeros((0, 4, 1)), skeleton, ())
    assert empty.num_tracks == 0 and empty.visible().shape == (0, 4, 1)
    assert KeypointTracks(np.zeros((1, 0, 1, 2)), np.zeros((1, 0, 1)), skeleton, ("a",)).num_frames == 0
