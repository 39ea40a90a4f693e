"""MediaPipe's landmarks in tables, as the usual scripts dump them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from olift_fast.errors import InputError
from olift_fast.io import read_keypoints
from olift_fast.tracks.containers import KeypointTracks
from olift_fast.tracks.rigs import rig

POSE = rig("mediapipe_pose_33").names
HAND = rig("mediapipe_hand_21").names
RNG = np.random.default_rng(3)


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., KeypointTracks]:
    """Reads a table of columns, each with a value for each frame, of a picture of 200 x 100 pixels."""

    def read(names: Sequence[str], rows: Sequence[Sequence[object]], size: tuple[int, int] | None = (200, 100)):  # type: ignore[no-untyped-def]
        path = tmp_path / "table.csv"
        path.write_text("\n".join(",".join(map(str, row)) for row in (names, *rows)) + "\n")
        return read_keypoints(path, image_size=size)

    return read


def dump(landmarks: int, parts: str = "xyzv", frames: int = 2) -> np.ndarray:
    """(frames, landmarks, parts) numbers as MediaPipe gives them."""
    return RNG.uniform(0.1, 0.9, (frames, landmarks, len(parts))).round(4)


@pytest.mark.parametrize(
    "pattern",
    ["{name}_{part}", "{NAME}_{part}", "{part}{number}", "{part}_{number}", "lmk{number}_{part}", "{part}{from_one}"],
)
@pytest.mark.parametrize("visibility", ["visibility", "v", None])
@pytest.mark.parametrize("deep", [True, False])
def test_a_row_a_frame_in_the_usual_names(
    read: Callable[..., KeypointTracks], pattern: str, visibility: str | None, deep: bool
) -> None:
    if visibility is None and not deep and "name" not in pattern.casefold():
        return  # 33 numbered points that nothing else tells from those of another tool.
    values = dump(33)
    kept = [0, 1, *([2] if deep else []), *([3] if visibility else [])]
    parts = [part for part in ("x", "y", "z" if deep else None, visibility) if part]
    names = [
        pattern.format(name=name, NAME=name.upper(), number=number, from_one=number + 1, part=part)
        for number, name in enumerate(POSE)
        for part in parts
    ]
    found = read(["frame", *names], [[frame, *row[:, kept].ravel()] for frame, row in enumerate(values)])
    assert found.format == "mediapipe-csv" and found.skeleton == rig("mediapipe_pose_33")
    np.testing.assert_allclose(found.keypoints[0], values[..., :2] * [200, 100], rtol=1e-6)
    np.testing.assert_allclose(found.confidence[0], values[..., 3] if visibility else 1, rtol=1e-6)
    assert any("relative depth" in note for note in found.notes) == deep


@pytest.mark.parametrize("named", [True, False])
def test_a_row_a_landmark(read: Callable[..., KeypointTracks], named: bool) -> None:
    values = dump(33, frames=3)
    rows = [
        [frame, frame * 40, name.upper() if named else number, *values[frame, number]]
        for frame in range(3)
        for number, name in enumerate(POSE)
    ]
    found = read(["frame", "timestamp_ms", "landmark", "x", "y", "z", "visibility"], rows)
    assert found.format == "mediapipe-csv" and found.skeleton == rig("mediapipe_pose_33") and found.fps == 25
    np.testing.assert_allclose(found.keypoints[0], values[..., :2] * [200, 100], rtol=1e-6)
    np.testing.assert_allclose(found.confidence[0], values[..., 3], rtol=1e-6)


def test_without_the_pictures_size_a_warning_names_the_option(read: Callable[..., KeypointTracks]) -> None:
    found = read([f"{name}_{part}" for name in POSE for part in "xyzv"], [row.ravel() for row in dump(33)], None)
    assert "--image-size" in found.warnings[0] and float(found.keypoints.max()) < 1


def test_hands_are_tracks_and_their_unset_visibility_is_no_confidence(read: Callable[..., KeypointTracks]) -> None:
    values = dump(42, "xyz", 1)[0]
    columns = [f"{side}_hand_{number}_{part}" for side in ("left", "right") for number in range(21) for part in "xyzv"]
    found = read(columns, [np.concatenate([values, np.zeros((42, 1))], axis=1).ravel()])
    assert found.tracks == ("left_hand", "right_hand") and found.skeleton == rig("mediapipe_hand_21")
    np.testing.assert_allclose(found.keypoints[1, 0], values[21:, :2] * [200, 100], rtol=1e-6)
    assert (found.confidence == 1).all()
    rows = [
        [0, side, number, *values[21 * place + number]]
        for place, side in enumerate(("Left", "Right"))
        for number in range(21)
    ]
    again = read(["frame", "handedness", "landmark_id", "x", "y", "z"], rows)
    assert again.tracks == ("Left", "Right")
    np.testing.assert_array_equal(again.keypoints, found.keypoints)


def test_of_holistic_landmarks_the_body_is_taken(read: Callable[..., KeypointTracks]) -> None:
    values = dump(543, "xyz", 1)[0]
    kinds = [("face", 468), ("left_hand", 21), ("pose", 33), ("right_hand", 21)]
    marks = [(kind, number) for kind, count in kinds for number in range(count)]
    rows = [[7, kind, number, *xyz] for (kind, number), xyz in zip(marks, values, strict=True)]
    found = read(["frame", "type", "landmark_index", "x", "y", "z"], rows)
    assert found.skeleton == rig("mediapipe_pose_33")
    np.testing.assert_allclose(found.keypoints[0, 0], values[489:522, :2] * [200, 100], rtol=1e-6)
    # The body's 33 and then the face's 468, numbered from 1, after a label of what is done.
    values = dump(501, frames=1)[0]
    names = ["class", *(f"{part}{number}" for number in range(1, 502) for part in "xyzv")]
    found = read(names, [["happy", *values.ravel()]])
    np.testing.assert_allclose(found.keypoints[0, 0], values[:33, :2] * [200, 100], rtol=1e-6)


def test_a_face_has_no_names(read: Callable[..., KeypointTracks]) -> None:
    found = read([f"face_{number}_{part}" for number in range(478) for part in "xyz"], [dump(478, "xyz", 1).ravel()])
    assert found.skeleton.names[:2] == ("keypoint_0", "keypoint_1") and found.skeleton.num_joints == 478


def test_frames_without_a_body_are_hidden(read: Callable[..., KeypointTracks]) -> None:
    values = dump(33, frames=3)
    rows = [values[0].ravel(), [""] * 132, np.zeros(132), values[1].ravel(), [""] * 132]
    found = read([f"{name}_{part}" for name in POSE for part in "xyzv"], rows)
    assert found.visible(0.0)[0].any(axis=-1).tolist() == [True, False, False, True]


def test_world_landmarks_are_refused_as_3d(read: Callable[..., KeypointTracks]) -> None:
    with pytest.raises(InputError, match="world landmarks, 3D points in meters"):
        read([f"{name}_{part}" for name in POSE for part in "xyz"], [row.ravel() - 0.5 for row in dump(33, "xyz")])


def test_world_landmarks_beside_those_in_the_picture_are_left_out(read: Callable[..., KeypointTracks]) -> None:
    values = dump(66, "xyz", 1)[0]
    values[:33] -= 0.5
    columns = [f"{label}_{number}_{part}" for label in ("pose_world", "pose") for number in range(33) for part in "xyz"]
    found = read(columns, [values.ravel()])
    assert found.skeleton == rig("mediapipe_pose_33")
    np.testing.assert_allclose(found.keypoints[0, 0], values[33:, :2] * [200, 100], rtol=1e-6)


def test_pixels_stay_pixels(read: Callable[..., KeypointTracks]) -> None:
    values = dump(33)
    values[..., :2] *= [640, 480]
    found = read([f"{name}_{part}" for name in POSE for part in "xyzv"], [row.ravel() for row in values], None)
    np.testing.assert_allclose(found.keypoints[0], values[..., :2], rtol=1e-6)
    assert found.warnings == ()


def test_other_tools_3d_points_are_still_refused(read: Callable[..., KeypointTracks]) -> None:
    with pytest.raises(InputError, match="holds 3D points"):
        read([f"{name}_{part}" for name in POSE[:20] for part in "xyz"], [row.ravel() for row in dump(20, "xyz")])
    assert len(HAND) == 21


def test_some_of_the_landmarks_of_a_body(tmp_path: Path) -> None:
    names = ("left_shoulder", "right_shoulder", "left_hip")
    header = ",".join(f"{name}_{part}" for name in names for part in ("x", "y", "z", "visibility"))
    path = tmp_path / "some.csv"
    path.write_text(f"{header}\n" + "0.5,0.25,-0.1,0.9,0.4,0.25,-0.2,0.8,0.5,0.5,0.01,0.7\n" * 2)
    found = read_keypoints(path, image_size=(1000, 100))
    assert found.format == "mediapipe-csv" and found.skeleton.names == names
    assert found.keypoints[0, 0].tolist() == [[500, 25], [400, 25], [500, 50]]
    path.write_text(f"{header}\n" + "50,25,10,0.9,40,25,20,0.8,500,50,30,0.7\n" * 2)
    with pytest.raises(InputError, match="3D"):
        read_keypoints(path)
