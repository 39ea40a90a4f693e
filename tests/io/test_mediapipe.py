"""MediaPipe landmarks in the forms that people save them in: lists, objects and lines of JSON, and arrays."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from olift_fast.errors import InputError
from olift_fast.io import read_keypoints
from olift_fast.tracks.rigs import rig

SIZE = (200, 100)


def _values(frame: int, joints: int = 33, person: int = 0) -> npt.NDArray[np.float64]:
    """(J, 4) x, y, z, visibility."""
    place = np.arange(joints) / 100 + 0.01 * frame + 0.5 * person
    return np.stack([place, 0.5 - place / 4, -place, np.full(joints, 0.75)], axis=-1)


def _dicts(values: npt.NDArray[np.float64]) -> list[dict[str, float]]:
    return [dict(zip(("x", "y", "z", "visibility"), map(float, row), strict=True)) for row in values]


def _named(values: npt.NDArray[np.float64]) -> dict[str, dict[str, float]]:
    return dict(zip(rig("mediapipe_pose_33").names, _dicts(values), strict=True))


FRAMES: dict[str, Callable[[int], Any]] = {
    "landmarks": lambda frame: {"timestamp": 0.1 * frame, "landmarks": _dicts(_values(frame))},
    "pose_landmarks": lambda frame: {"pose_landmarks": _dicts(_values(frame)), "pose_world_landmarks": [{"x": 9.0}]},
    "camel case": lambda frame: {"poseLandmarks": [_dicts(_values(frame))], "poseWorldLandmarks": []},
    "protobuf": lambda frame: {"pose_landmarks": {"landmark": _dicts(_values(frame))}},
    "rows": lambda frame: {"pose_landmarks": _values(frame).tolist()},
    "bare": lambda frame: _dicts(_values(frame)),
    "bare rows": lambda frame: _values(frame).tolist(),
    "names": lambda frame: {"landmarks": _named(_values(frame))},
    "holistic": lambda frame: {
        "pose_landmarks": _dicts(_values(frame)),
        "left_hand_landmarks": _dicts(_values(frame, 21)),
        "face_landmarks": None,
    },
}


@pytest.mark.parametrize("kind", list(FRAMES))
@pytest.mark.parametrize("around", ["list", "frames", "lines"])
def test_body_in_frames(tmp_path: Path, kind: str, around: str) -> None:
    frames = [FRAMES[kind](frame) for frame in range(3)]
    path = tmp_path / "pose.json"
    if around == "lines":
        path.write_text("\n".join(map(json.dumps, frames)))
    else:
        frames[1] = None if kind.startswith("bare") else dict.fromkeys(frames[1])
        about = {"fps": 25, "width": SIZE[0], "height": SIZE[1], "frames": frames}
        path.write_text(json.dumps(frames if around == "list" else about))
    found = read_keypoints(path, image_size=None if around == "frames" else SIZE)
    assert found.format == "mediapipe" and found.keypoints.shape == (1, 3, 33, 2) and found.image_size == SIZE
    assert found.skeleton == rig("mediapipe_pose_33") and found.fps == (25 if around == "frames" else None)
    seen = [0, 1, 2] if around == "lines" else [0, 2]
    assert found.visible().all(axis=-1)[0].nonzero()[0].tolist() == seen
    np.testing.assert_allclose(found.keypoints[0, 2], _values(2)[:, :2] * SIZE, rtol=1e-6)
    assert found.confidence[0, 2].tolist() == [0.75] * 33
    assert any("left hand" in note for note in found.notes) == (kind == "holistic")


def test_names_in_another_order_are_matched_with_the_rig(tmp_path: Path) -> None:
    named = {name.upper(): point for name, point in reversed(_named(_values(0)).items())}
    path = tmp_path / "pose.json"
    path.write_text(json.dumps([{"landmarks": named}]))
    found = read_keypoints(path)
    assert found.skeleton.names[-1] == "NOSE" and len(found.skeleton.edges) == len(rig("mediapipe_pose_33").edges)
    assert found.keypoints[0, 0, -1].tolist() == [0, 0.5]


def test_frame_numbers_and_people(tmp_path: Path) -> None:
    frames = [
        {"frame": number, "pose_landmarks": [_dicts(_values(number)), _dicts(_values(number, person=1))]}
        for number in (4, 5, 8)
    ]
    path = tmp_path / "pose.json"
    path.write_text(json.dumps(frames))
    found = read_keypoints(path)
    assert found.frames is not None and found.frames.tolist() == [4, 5, 6, 7, 8]
    assert found.tracks == ("person_0", "person_1") and "normalized" in found.warnings[0]
    path.write_text(json.dumps({f"frame_{frame['frame']}": frame for frame in frames}))
    np.testing.assert_array_equal(read_keypoints(path).keypoints, found.keypoints)


def test_hands_are_tracks_and_their_zero_visibility_says_nothing(tmp_path: Path) -> None:
    hand = [point | {"visibility": 0.0} for point in _dicts(_values(0, 21))]
    path = tmp_path / "hands.json"
    path.write_text(json.dumps([{"left_hand_landmarks": hand, "right_hand_landmarks": None}, {}]))
    found = read_keypoints(path)
    assert found.tracks == ("left_hand",) and found.skeleton == rig("mediapipe_hand_21")
    assert found.confidence[0].tolist() == [[1] * 21, [0] * 21]
    path.write_text(json.dumps([{"multi_hand_landmarks": [hand, _dicts(_values(0, 21, 1))]}]))
    assert read_keypoints(path).tracks == ("person_0", "person_1")


def test_pixels_stay_pixels(tmp_path: Path) -> None:
    path = tmp_path / "pose.json"
    path.write_text(json.dumps([{"landmarks": _dicts(_values(0) * [640, 480, 1, 1])}]))
    found = read_keypoints(path)
    assert found.keypoints[0, 0, 32, 0] == np.float32(0.32 * 640) and not found.warnings


def test_world_landmarks_alone_are_3d(tmp_path: Path) -> None:
    path = tmp_path / "pose.json"
    path.write_text(json.dumps([{"pose_world_landmarks": _dicts(_values(0))}]))
    with pytest.raises(InputError, match="holds 3D points"):
        read_keypoints(path)


def test_a_long_list_of_points_is_no_frame(tmp_path: Path) -> None:
    rows = [{"frame": frame, "landmark_id": joint, "x": 0.1, "y": 0.2} for frame in range(3) for joint in range(33)]
    path = tmp_path / "pose.json"
    path.write_text(json.dumps(rows))
    with pytest.raises(
        InputError, match="a JSON list of no known format, its items have keys frame, landmark_id, x, y"
    ):
        read_keypoints(path)


@pytest.mark.parametrize("joints", [33, 21, 468])
def test_arrays(tmp_path: Path, joints: int) -> None:
    video = np.stack([_values(frame, joints) for frame in range(5)])
    video[3] = 0
    for name, array in {"four": video, "three": video[..., :3], "people": np.stack([video, video])}.items():
        np.save(tmp_path / f"{name}.npy", array)
        found = read_keypoints(tmp_path / f"{name}.npy", image_size=SIZE)
        assert found.format == "mediapipe-npy" and found.num_frames == 5 and not found.visible()[:, 3].any()
        np.testing.assert_allclose(found.keypoints[-1, 2], video[2, :, :2] * SIZE, rtol=1e-6)
        assert found.confidence[0, 2, 5] == (1 if name == "three" else 0.75)
        assert found.skeleton.name == {33: "mediapipe_pose_33", 21: "mediapipe_hand_21"}.get(joints)
    np.save(tmp_path / "swapped.npy", np.stack([video, video], axis=1))
    assert read_keypoints(tmp_path / "swapped.npy").keypoints.shape == (2, 5, joints, 2)


@pytest.mark.parametrize("length", [132, 258, 1662])
def test_flat_frames_begin_with_the_body(tmp_path: Path, length: int) -> None:
    flat = np.zeros((5, length))
    flat[:, :132] = np.stack([_values(frame).ravel() for frame in range(5)])
    np.save(tmp_path / "flat.npy", flat)
    found = read_keypoints(tmp_path / "flat.npy", image_size=SIZE)
    np.testing.assert_allclose(found.keypoints[0, 2], _values(2)[:, :2] * SIZE, rtol=1e-6)


def test_other_arrays_are_bare_ones(tmp_path: Path) -> None:
    """freemocap's (cameras, frames, points, 2) in pixels: each camera is a track."""
    cameras = np.random.default_rng(0).uniform(1, 900, (3, 7, 553, 2))
    np.save(tmp_path / "freemocap.npy", cameras)
    found = read_keypoints(tmp_path / "freemocap.npy")
    assert found.format == "npy"
    np.testing.assert_array_equal(found.keypoints, cameras.astype(np.float32))
    scored = np.concatenate([_values(0)[None, :, :2], np.full((1, 33, 1), 0.5)], axis=-1)
    np.save(tmp_path / "scored.npy", scored)
    assert read_keypoints(tmp_path / "scored.npy").format == "npy"


def test_folder_of_one_json_for_each_picture(tmp_path: Path) -> None:
    for frame in (3, 4, 6):
        content = [] if frame == 4 else FRAMES["pose_landmarks"](frame)
        (tmp_path / f"frame_{frame:05}.json").write_text(json.dumps(content))
    (tmp_path / "settings.json").write_text('{"model": 1}')
    found = read_keypoints(tmp_path, image_size=SIZE)
    assert found.format == "mediapipe-pictures" and found.notes[0] == "settings.json left out: no frames"
    assert found.frames is not None and found.frames.tolist() == [3, 4, 5, 6]
    np.testing.assert_allclose(found.keypoints[0, 3], _values(6)[:, :2] * SIZE, rtol=1e-6)
    assert not found.visible()[0, 1:3].any()
    (tmp_path / "last.json").write_text(json.dumps(FRAMES["bare"](1)))
    with pytest.raises(InputError, match=r"not number them like frames of one video: frame_00003\.json"):
        read_keypoints(tmp_path)


@pytest.mark.parametrize("posenet", [False, True])
def test_poses_of_tensorflow_js(tmp_path: Path, posenet: bool) -> None:
    def point(name: str, at: float) -> dict[str, Any]:
        place = {"x": at, "y": 50.0}
        return {"position": place, "part": name, "score": 0.5} if posenet else {**place, "name": name, "score": 0.5}

    names = rig("coco_17").names
    frames = [[], *([{"score": 0.9, "keypoints": [point(name, 100.0 + frame + 9 * place)
              for place, name in enumerate(names)]}] for frame in range(2))]  # fmt: skip
    path = tmp_path / "poses.json"
    path.write_text(json.dumps(frames))
    found = read_keypoints(path)
    assert found.format == "mediapipe" and found.skeleton == rig("coco_17") and not found.warnings
    np.testing.assert_array_equal(found.keypoints[0, :, 1, 0], [np.nan, 109, 110])
    assert found.confidence[0, 1, 0] == 0.5
