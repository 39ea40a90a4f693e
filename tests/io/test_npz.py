"""NumPy archives, arrays and the pickled dictionaries of Human3.6M."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from olift_fast.errors import InputError
from olift_fast.io import read_keypoints
from olift_fast.tracks.rigs import rig
from olift_fast.tracks.skeleton import Skeleton

POINTS = np.arange(2 * 5 * 3 * 2, dtype=np.float64).reshape(2, 5, 3, 2) + 1


def test_own_archive_brings_everything(tmp_path: Path) -> None:
    path = tmp_path / "clip.npz"
    confidence = np.linspace(0.1, 1, 30).reshape(2, 5, 3)
    np.savez(
        path,
        keypoints=POINTS,
        confidence=confidence,
        names=["hip", "knee_l", "knee_r"],
        edges=[[0, 1], [0, 2]],
        tracks=["a", "b"],
        fps=25.0,
        frames=np.arange(5) + 100,
        image_size=[640, 480],
    )
    found = read_keypoints(path)
    np.testing.assert_array_equal(found.keypoints, POINTS)
    np.testing.assert_array_equal(found.confidence, confidence.astype(np.float32))
    assert found.skeleton.edges == ((0, 1), (0, 2)) and found.skeleton.sides == (0, 1, -1)
    assert (found.tracks, found.fps, found.image_size, found.format) == (("a", "b"), 25.0, (640, 480), "npz")
    assert found.frames is not None and found.frames.tolist() == [100, 101, 102, 103, 104]
    assert read_keypoints(path, fps=50).fps == 50


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"points": POINTS}, "wanted an array 'keypoints' .tracks, frames, joints, 2., got points"),
        ({"positions": POINTS}, "holds 3D points"),
        ({"keypoints": POINTS, "joints": POINTS}, "is a lifted result: .* wanted 2D keypoints"),
        ({"keypoints": POINTS, "names": ["a"]}, "names must be 3 names"),
        ({"keypoints": POINTS, "tracks": ["a"]}, "tracks must be 2 names"),
        ({"keypoints": POINTS, "tracks": ["a", "a"]}, "track names must be distinct"),
        ({"keypoints": POINTS, "frames": [0, 1, 2, 2, 3]}, "frame numbers must increase"),
        ({"keypoints": POINTS, "edges": [[0, 7]]}, r"edge \(0, 7\) must join joints 0 … 2"),
        ({"keypoints": POINTS, "edges": [0, 1, 2]}, r"edges must be pairs of joints, \(E, 2\), got shape \(3,\)"),
        ({"keypoints": POINTS, "edges": [[0, 1, 2], [0, 1, 2]]}, r"edges must be pairs of joints, .* \(2, 3\)"),
        ({"keypoints": POINTS, "edges": [[0, 1.5]]}, "a joint of an edge must be a whole number .*, got 1.5"),
        ({"keypoints": POINTS, "frames": [0, 1, 2]}, r"frames must be 5 whole numbers, got shape \(3,\)"),
        ({"keypoints": POINTS, "frames": [0, 1.5, 2, 3, 4]}, "frames must be 5 whole numbers below 2.63, got 1.5"),
        ({"keypoints": POINTS, "frames": [0, 1, 2, 3, np.inf]}, "frames must be 5 whole numbers below 2.63, got inf"),
        ({"keypoints": POINTS, "frames": [0, 1, 2, 3, 1e300]}, r"below 2.63, got 1e\+300"),
        ({"keypoints": POINTS, "frames": np.array([0, 1, 2, 3, 2**64 - 1], np.uint64)}, "below 2.63, got 1844"),
        ({"keypoints": POINTS, "image_size": [np.nan, 480]}, "image_size must be width and height, got nan and 480"),
        ({"keypoints": POINTS, "image_size": [640, 480, 3]}, r"image_size must be width and height, got shape \(3,\)"),
        ({"keypoints": POINTS, "fps": [25.0, 30.0]}, r"fps must be one number, got shape \(2,\)"),
        ({"keypoints": POINTS, "frames": np.arange(5) * 1j}, "frames must be numbers, got dtype complex128"),
        ({"keypoints": POINTS, "fps": 0.0}, "fps must be a positive number, got 0"),
        ({"keypoints": POINTS, "confidence": np.ones((2, 5))}, "confidence must be"),
        ({"keypoints": np.array("abc")}, "keypoints must be numbers"),
        ({"keypoints": np.ones((4, 3, 2), "m8[s]")}, r"keypoints must be numbers, got dtype timedelta64\[s\]"),
        ({"keypoints": POINTS, "confidence": POINTS[..., 0] * 1j}, "confidence must be numbers, got dtype complex128"),
        ({"keypoints": np.array([{}], dtype=object)}, "array 'keypoints' holds pickled Python objects"),
        ({"keypoints": POINTS[:0]}, "holds no tracks"),
        ({"keypoints": POINTS[:, :0]}, "holds no frames"),
        ({"keypoints": POINTS[:, :, :0]}, "holds no joints"),
        ({}, "got nothing"),
    ],
)
def test_bad_archives_name_the_cause(tmp_path: Path, content: dict[str, Any], message: str) -> None:
    path = tmp_path / "clip.npz"
    np.savez(path, **content)
    with pytest.raises(InputError, match=message) as error:
        read_keypoints(path)
    assert str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)


def test_arrays_are_tracks(tmp_path: Path) -> None:
    one = read_keypoints(POINTS[0])
    np.testing.assert_array_equal(one.keypoints, POINTS[:1])
    assert one.tracks == ("track_0",) and one.skeleton.names == ("keypoint_0", "keypoint_1", "keypoint_2")
    scored = np.concatenate([POINTS, np.full((2, 5, 3, 1), 0.25)], axis=-1)
    scored[1, 2, 0, 2] = 0
    found = read_keypoints(scored)
    assert found.confidence[0, 0, 0] == 0.25 and np.isnan(found.keypoints[1, 2, 0]).all()
    np.save(tmp_path / "clip.npy", POINTS)
    np.testing.assert_array_equal(read_keypoints(tmp_path / "clip.npy").keypoints, POINTS)
    assert one.source == "array"


def test_one_frame_and_one_joint_are_fine() -> None:
    assert read_keypoints(np.ones((1, 1, 2))).keypoints.shape == (1, 1, 1, 2)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.random.default_rng(0).normal(0, 50, (4, 3, 3)), "are these 3D points. Needs 2D"),
        (np.ones((4, 3)), r"keypoints must be \(\[tracks,\] frames, joints, 2 or 3\), got \(4, 3\)"),
        (np.ones((4, 3, 2), complex), "keypoints must be numbers, got dtype complex128"),
        (np.full((4, 3, 2), np.nan), "no keypoint is visible .1 track, 4 frames, 3 joints., wanted at least one"),
        ("no such file.csv", "no such file or folder"),
    ],
)
def test_bad_arrays_name_the_cause(array: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_keypoints(array)


@pytest.mark.parametrize("fps", [0, -1, float("nan"), float("inf")])
def test_impossible_rates_are_refused(fps: float) -> None:
    with pytest.raises(InputError, match="fps must be a positive number"):
        read_keypoints(POINTS, fps=fps)


def test_skeleton_names_what_has_no_names_and_must_match_what_has(tmp_path: Path) -> None:
    skeleton = Skeleton(("Knee R", "Hip", "Knee L"), ((1, 0), (1, 2)), name="legs")
    assert read_keypoints(POINTS, skeleton=skeleton).skeleton == skeleton
    with pytest.raises(InputError, match="3 joints without names, but the skeleton has 1"):
        read_keypoints(POINTS, skeleton=Skeleton(("hip",)))
    path = tmp_path / "clip.npz"
    np.savez(path, keypoints=POINTS, names=["hip", "knee_l", "knee_r"])
    matched = read_keypoints(path, skeleton=skeleton).skeleton
    assert matched.names == ("hip", "knee_l", "knee_r") and set(matched.edges) == {(0, 2), (0, 1)}
    more = Skeleton((*skeleton.names, "nose"))
    assert read_keypoints(path, skeleton=more).skeleton.names == matched.names
    with pytest.raises(InputError, match=r"clip\.npz: .* no single joint for 'knee_l' \(close: kneeL2, knee_r\)"):
        read_keypoints(path, skeleton=Skeleton(("hip", "kneeL2", "knee_r")))


def _human36m(path: Path, **metadata: Any) -> Path:
    def sequence(frames: int) -> Any:
        return np.random.default_rng(frames).uniform(0, 1000, (frames, 17, 2)).astype(np.float32)

    positions = {"S1": {"Walk": [sequence(3), sequence(5)]}, "S5": {"Sit 1": [sequence(4)]}}
    np.savez(path, positions_2d=np.array(positions, dtype=object), metadata=np.array(metadata, dtype=object))
    return path


class _Payload:
    """An object that, when it is unpickled, leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_pickles_do_not_run_unless_allowed(tmp_path: Path) -> None:
    for key in ("positions_2d", "keypoints"):
        path, trace = tmp_path / f"{key}.npz", tmp_path / f"{key}_trace"
        np.savez(path, **{key: np.array([_Payload(trace)], dtype=object)})
        with pytest.raises(InputError, match="allow_pickle=True"):
            read_keypoints(path)
        assert not trace.exists()


def test_human36m_sequences_are_tracks_padded_at_the_end(tmp_path: Path) -> None:
    path = _human36m(tmp_path / "data_2d_h36m_gt.npz", layout_name="h36m", num_joints=17)
    found = read_keypoints(path, allow_pickle=True)
    assert found.format == "human36m" and found.skeleton == rig("human36m_17")
    assert found.tracks == ("S1/Walk/camera_0", "S1/Walk/camera_1", "S5/Sit 1")
    assert found.visible().all(axis=-1).sum(axis=-1).tolist() == [3, 5, 4]
    wanted = np.random.default_rng(4).uniform(0, 1000, (4, 17, 2)).astype(np.float32)
    np.testing.assert_array_equal(found.keypoints[2, :4], wanted)
    detected = _human36m(
        tmp_path / "custom.npz", layout_name="coco", video_metadata={"clip.mp4": {"w": 1920, "h": 1080}}
    )
    custom = read_keypoints(detected, allow_pickle=True)
    assert custom.skeleton == rig("coco_17") and custom.image_size == (1920, 1080)


def _detectron(path: Path) -> Path:
    """Two people in three frames, as VideoPose3D's script lists them; no one in the second."""

    def classes(frame: int) -> list[Any]:
        if frame == 1:
            return [[], []]
        person = np.stack([np.arange(17.0) + frame, np.full(17, 50.0), np.zeros(17), np.full(17, 0.01)])
        return [[], np.stack([person, person + np.array([[500], [0], [0], [0]])])]

    keypoints, boxes = np.empty((3, 2), object), np.empty((3, 2), object)
    for frame in range(3):
        keypoints[frame] = classes(frame)
        boxes[frame] = [[], []] if frame == 1 else [[], np.array([[0, 0, 9, 9, 0.9], [0, 0, 9, 9, 0.8]])]
    metadata: Any = {"w": 640, "h": 480}
    np.savez(path, boxes=boxes, segments=np.array([None] * 3), keypoints=keypoints, metadata=metadata)
    return path


def test_detections_of_videopose3d(tmp_path: Path) -> None:
    path = _detectron(tmp_path / "clip.mp4.npz")
    with pytest.raises(InputError, match="holds pickled Python objects"):
        read_keypoints(path)
    found = read_keypoints(path, allow_pickle=True)
    assert found.format == "detectron" and found.skeleton == rig("coco_17") and found.image_size == (640, 480)
    np.testing.assert_array_equal(found.keypoints[:, :, 0, 0], [[0, np.nan, 2], [500, np.nan, 502]])
    np.testing.assert_allclose(found.confidence[:, :, 5], [[0.9, 0, 0.9], [0.8, 0, 0.8]])


@pytest.mark.parametrize("animals", [1, 2])
def test_array_with_the_frames_first(tmp_path: Path, animals: int) -> None:
    start = np.array([[100.0, 80], [130, 90], [160, 95], [190, 130]])
    points = start + 3 * np.arange(18)[:, None, None, None] + 300 * np.arange(animals)[:, None, None]
    path = tmp_path / "points.npy"
    np.save(path, points)
    found = read_keypoints(path)
    np.testing.assert_array_equal(found.keypoints, points.swapaxes(0, 1).astype(np.float32))
    assert found.notes == (f"an array {points.shape} is taken as (frames, tracks, joints, values)",)
    # An array in memory is what its axes are documented to be.
    assert read_keypoints(points).keypoints.shape == points.shape


def test_array_of_many_animals_in_few_frames(tmp_path: Path) -> None:
    start = np.random.default_rng(0).uniform(0, 1000, (12, 1, 1, 2)) + np.array([[10.0, 8], [13, 9], [16, 30]])
    np.save(tmp_path / "points.npy", start + 2 * np.arange(3)[:, None, None])
    assert len(read_keypoints(tmp_path / "points.npy").tracks) == 12


@pytest.mark.parametrize("name", ["frames", "image_size", "tracks"])
def test_arrays_of_a_huge_empty_shape_are_refused_before_memory_is_taken(tmp_path: Path, name: str) -> None:
    np.savez(tmp_path / "clip.npz", keypoints=np.ones((1, 4, 3, 2)), **{name: np.zeros((2**40, 0, 2), np.int64)})
    with pytest.raises(InputError, match=r"announces shape \(1099511627776, 0, 2\)"):
        read_keypoints(tmp_path / "clip.npz")
