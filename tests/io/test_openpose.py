"""OpenPose folders: order, gaps, people, and which of the sets of joints it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from olift_fast.errors import InputError
from olift_fast.io import read_keypoints
from olift_fast.tracks.rigs import rig


def _person(points: int, at: float, identity: int = -1) -> dict[str, Any]:
    flat = [value for joint in range(points) for value in (at + joint, 2.0 * joint + 1, 0.7)]
    return {"person_id": [identity], "pose_keypoints_2d": flat, "face_keypoints_2d": []}


def _write(folder: Path, frames: dict[str, list[dict[str, Any]]]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, people in frames.items():
        (folder / name).write_text(json.dumps({"version": 1.3, "people": people}))
    return folder


def test_frames_go_by_number_and_missing_ones_are_hidden(tmp_path: Path) -> None:
    names = ["v2_9_keypoints.json", "v2_10_keypoints.json", "v2_12_keypoints.json"]
    folder = _write(tmp_path / "clip", {name: [_person(18, float(at))] for at, name in enumerate(names)})
    (folder / "notes.txt").write_text("not a frame")
    found = read_keypoints(folder)
    assert found.format == "openpose" and found.skeleton == rig("openpose_coco_18") and found.tracks == ("person_0",)
    assert found.frames is not None and found.frames.tolist() == [9, 10, 11, 12]
    np.testing.assert_array_equal(found.keypoints[0, :, 3, 0], [3, 4, np.nan, 5])
    np.testing.assert_array_equal(found.confidence[0, :, 3], np.array([0.7, 0.7, 0, 0.7], np.float32))


def test_points_at_zero_and_empty_people_are_hidden(tmp_path: Path) -> None:
    half = _person(18, 5.0)
    half["pose_keypoints_2d"][6:9] = [0, 0, 0]
    folder = _write(tmp_path / "clip", {"a_0.json": [{"pose_keypoints_2d": []}, half], "a_1.json": []})
    found = read_keypoints(folder)
    assert found.keypoints.shape == (1, 2, 18, 2)
    assert found.visible().sum(axis=-1).tolist() == [[17, 0]] and not found.visible()[0, 0, 2]


def test_person_ids_name_the_tracks(tmp_path: Path) -> None:
    frames = {
        "a_0.json": [_person(18, 0.0, 4), _person(18, 100.0, 2)],
        "a_1.json": [_person(18, 100.0, 4), _person(18, 0.0, 2)],
    }
    found = read_keypoints(_write(tmp_path / "clip", frames))
    assert found.tracks == ("person_4", "person_2")
    np.testing.assert_array_equal(found.keypoints[0, :, 0, 0], [0, 100])


@pytest.mark.parametrize("name", ["openpose_body_25", "openpose_body_25b"])
def test_sets_of_25_points_are_told_apart_by_their_bones(tmp_path: Path, name: str) -> None:
    skeleton = rig(name)
    # A drawing of the skeleton in which bones are short: each joint beside the one it hangs on.
    distances = skeleton.hop_distances().astype(float)
    centered = distances**2 - (distances**2).mean(0) - (distances**2).mean(1)[:, None] + (distances**2).mean()
    values, vectors = np.linalg.eigh(-centered / 2)
    places = vectors[:, -2:] * np.sqrt(values[-2:]) * 100 + 500
    flat = np.concatenate([places, np.full((25, 1), 0.9)], axis=1).ravel().tolist()
    found = read_keypoints(_write(tmp_path / "clip", {"a_0.json": [{"pose_keypoints_2d": flat}]}))
    assert found.skeleton == skeleton


def test_single_frame_file_reads(tmp_path: Path) -> None:
    folder = _write(tmp_path / "clip", {"a_7.json": [_person(18, 1.0), _person(18, 300.0)]})
    assert read_keypoints(folder / "a_7.json").keypoints.shape == (2, 1, 18, 2)


def test_bad_folders_name_the_file_and_the_cause(tmp_path: Path) -> None:
    folder = tmp_path / "clip"
    folder.mkdir()
    with pytest.raises(InputError, match="clip: a folder without files"):
        read_keypoints(folder)
    _write(folder, {"a_1.json": [], "a_2.json": []})
    with pytest.raises(InputError, match="holds no tracks: none of 2 frames has a person"):
        read_keypoints(folder)
    _write(folder, {"b_2.json": []})
    with pytest.raises(InputError, match=r"b_2\.json: frame 2 comes twice"):
        read_keypoints(folder)
    (folder / "b_2.json").unlink()
    (folder / "a_3.json").write_text('{"people": [{"pose_')
    with pytest.raises(InputError, match=r"clip: a_3\.json: not valid JSON \(cut short\?\): .* line 1"):
        read_keypoints(folder)
    for broken in ("[1, 2]", '{"fx": 1}', '{"people": 3}', '{"people": [{"face_keypoints_2d": []}]}'):
        (folder / "a_3.json").write_text(broken)
        with pytest.raises(InputError, match=r"a_3\.json: not an OpenPose frame"):
            read_keypoints(folder)


@pytest.mark.parametrize(("trial", "people"), [("S00_P00_T01_BalancingTrial", 3), ("S00_P01_T02_Participants1-2", 4)])
def test_real_folder_keeps_every_point_and_two_steady_people(real_data: Path, trial: str, people: int) -> None:
    folder = real_data / "keypoints2d/openpose_body25b" / trial
    found = read_keypoints(folder)
    assert found.skeleton == rig("openpose_body_25b") and found.keypoints.shape == (people, 48, 25, 2)
    points = [
        np.reshape(person["pose_keypoints_2d"], (-1, 3))
        for path in sorted(folder.glob("*.json"))
        for person in json.loads(path.read_text())["people"]
    ]
    seen = np.concatenate(points)
    seen = seen[seen[:, 2] > 0]
    assert np.isfinite(found.keypoints[..., 0]).sum() == len(seen)
    np.testing.assert_allclose(np.sort(found.confidence[found.confidence > 0]), np.sort(seen[:, 2]), rtol=1e-6)
    steady = found.visible(0.0).any(axis=-1).sum(axis=-1)
    assert sorted(steady)[-2:] == [48, 48]
    steps = np.linalg.norm(np.diff(found.keypoints[np.argsort(steady)[-2:]], axis=1), axis=-1)
    assert np.nanmedian(steps, axis=-1).max() < 40, "no track jumps to another person"
