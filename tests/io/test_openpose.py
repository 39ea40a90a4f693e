"""OpenPose folders: order, gaps, people, and which of the sets of joints it is."""

from __future__ import annotations

import gzip
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
    with pytest.raises(InputError, match=r"without files, .*; its folders are clip: give one of them"):
        read_keypoints(tmp_path)
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


@pytest.mark.parametrize(
    ("points", "name", "joints"),
    [(26, "halpe_26", 26), (17, "coco_17", 17), (133, "coco_17", 17), (136, "halpe_26", 26),
     (135, "openpose_body_25b", 25)],
)  # fmt: skip
def test_sets_that_other_tools_write_in_this_form(tmp_path: Path, points: int, name: str, joints: int) -> None:
    frames = {f"cam01_{frame:06}.json": [_person(points, float(frame))] if frame != 1 else [] for frame in range(3)}
    found = read_keypoints(_write(tmp_path / "cam01_json", frames))
    assert found.skeleton == rig(name) and found.keypoints.shape == (1, 3, joints, 2)
    np.testing.assert_array_equal(found.keypoints[0, :, 0, 0], [0, np.nan, 2])
    assert any(f"{points} points" in note for note in found.notes)


def test_17_points_whose_bones_fit_the_animal_are_the_animal(tmp_path: Path) -> None:
    skeleton = rig("ap10k_17")
    distances = skeleton.hop_distances().astype(float)
    centered = distances**2 - (distances**2).mean(0) - (distances**2).mean(1)[:, None] + (distances**2).mean()
    values, vectors = np.linalg.eigh(-centered / 2)
    places = vectors[:, -2:] * np.sqrt(values[-2:]) * 100 + 500
    flat = np.concatenate([places, np.full((17, 1), 0.9)], axis=1).ravel().tolist()
    found = read_keypoints(_write(tmp_path / "clip", {"a_0.json": [{"pose_keypoints_2d": flat}]}))
    assert found.skeleton == skeleton


def test_files_of_a_mac_and_of_another_kind_are_left_out(tmp_path: Path) -> None:
    folder = _write(tmp_path / "clip", {f"v_{frame:012}_keypoints.json": [_person(25, frame)] for frame in range(3)})
    (folder / "._v_000000000000_keypoints.json").write_bytes(b"\x00\x05\x16\x07")
    (folder / "camera_params.json").write_text('{"fx": 1}')
    (folder / "camera_2.json").write_text('{"fx": 1}')
    (folder / "notes.json").write_text("to do")
    found = read_keypoints(folder)
    assert found.num_frames == 3
    assert found.notes == ("camera_2.json, camera_params.json, notes.json left out: no frames",)


def test_two_cameras_in_a_folder_are_recordings(tmp_path: Path) -> None:
    frames = {f"{camera}_{frame}.json": [_person(18, at + frame)] for camera, at in (("left", 0), ("right", 500))
              for frame in range(3)}  # fmt: skip
    found = read_keypoints(_write(tmp_path / "clip", frames))
    assert found.tracks == ("left/person_0", "right/person_0")
    np.testing.assert_array_equal(found.keypoints[:, :, 0, 0], [[0, 1, 2], [500, 501, 502]])


@pytest.mark.parametrize("lines", [False, True])
@pytest.mark.parametrize("shares", [False, True])
def test_list_of_frames_with_the_size_of_the_canvas(tmp_path: Path, lines: bool, shares: bool) -> None:
    def frame(at: float) -> dict[str, Any]:
        flat = [value for joint in range(18) for value in ((at + joint) / (200 if shares else 1),
                                                           50 / (100 if shares else 1), 1.0)]  # fmt: skip
        flat[:3] = [0, 0, 0]
        person = {"pose_keypoints_2d": flat, "face_keypoints_2d": None, "hand_left_keypoints_2d": None}
        return {"people": [person], "canvas_width": 200, "canvas_height": 100}

    frames = [frame(1), {"people": None, "canvas_width": 200, "canvas_height": 100}, frame(3)]
    frames[2]["people"].append({"pose_keypoints_2d": None, "face_keypoints_2d": None})
    path = tmp_path / "poses.json"
    path.write_text("\n".join(map(json.dumps, frames)) if lines else json.dumps(frames))
    found = read_keypoints(path)
    assert found.format == "openpose-list" and found.image_size == (200, 100) and not found.warnings
    assert found.skeleton == rig("openpose_coco_18")
    np.testing.assert_allclose(found.keypoints[0, :, 2], [[3, 50], [np.nan, np.nan], [5, 50]], rtol=1e-6)
    assert not found.visible()[0, 0, 0]
    path.write_text(json.dumps([frames[0], {"persons": []}]))
    with pytest.raises(InputError, match="1: not an OpenPose frame"):
        read_keypoints(path)


def test_list_with_the_numbers_of_its_frames(tmp_path: Path) -> None:
    flat = [value for joint in range(25) for value in (100.0 + joint, 50.0, 0.5)]
    frames = [{"frame_index": 2 * frame, "people": [{"pose_keypoints_2d": flat}]} for frame in range(3)]
    path = tmp_path / "poses.json"
    path.write_text(json.dumps(frames))
    assert read_keypoints(path).visible()[0, :, 0].tolist() == [True, False, True, False, True]


def test_packed_files_of_a_folder(tmp_path: Path) -> None:
    flat = [value for joint in range(25) for value in (100.0 + joint, 50.0, 0.5)]
    for frame in (0, 1, 3):
        path = tmp_path / f"a_{frame:012}_keypoints.json.gz"
        path.write_bytes(gzip.compress(json.dumps({"people": [{"pose_keypoints_2d": flat}]}).encode()))
    found = read_keypoints(tmp_path)
    assert found.format == "openpose" and found.visible()[0, :, 0].tolist() == [True, True, False, True]


def test_people_without_a_body_are_told(tmp_path: Path) -> None:
    path = tmp_path / "a_000_keypoints.json"
    path.write_text(json.dumps({"people": [{"pose_keypoints_2d": [], "hand_left_keypoints_2d": [1.0] * 63}]}))
    with pytest.raises(InputError, match="has a person with a body, but hand_left_keypoints_2d: only bodies are read"):
        read_keypoints(path)


def test_animals_of_comfyui_are_ap10k(tmp_path: Path) -> None:
    animal = [[100.0 + joint, 50.0, 0.5] for joint in range(17)]
    frames = [{"version": "ap10k", "animals": [animal], "canvas_width": 200, "canvas_height": 100}] * 2
    path = tmp_path / "poses.json"
    path.write_text(json.dumps(frames))
    found = read_keypoints(path)
    assert found.skeleton == rig("ap10k_17") and found.keypoints[0, 1, 3].tolist() == [103, 50]
    path.write_text(json.dumps([frame | {"people": []} for frame in frames]))
    assert read_keypoints(path).skeleton == rig("ap10k_17")
    person = {"people": [_person(18, 3.0)], "animals": [], "canvas_width": 200, "canvas_height": 100}
    path.write_text(json.dumps([person, person]))
    assert read_keypoints(path).skeleton == rig("openpose_coco_18")


def test_coordinates_from_minus_one_to_one_are_shares(tmp_path: Path) -> None:
    flat = [value for joint in range(18) for value in (joint / 9 - 0.95, -0.5, 0.9)]
    flat[3:6] = [0, 0, 0]
    folder = _write(tmp_path / "clip", {"a_0.json": [{"pose_keypoints_2d": flat}]})
    found = read_keypoints(folder, image_size=(200, 100))
    np.testing.assert_allclose(found.keypoints[0, 0, [0, 2]], [[5, 25], [(2 / 9 + 0.05) * 100, 25]], rtol=1e-4)
    assert not found.visible()[0, 0, 1] and "keypoint_scale 4" in found.notes[0]
    assert "--image-size" in read_keypoints(folder).warnings[0]


def test_old_versions_call_the_points_otherwise(tmp_path: Path) -> None:
    frames = {"a_0.json": [{"pose_keypoints": _person(18, 3.0)["pose_keypoints_2d"]}]}
    assert read_keypoints(_write(tmp_path / "clip", frames)).keypoints[0, 0, 1, 0] == 4


def test_convention_that_the_count_tells_gives_way_to_the_skeleton_that_is_given(tmp_path: Path) -> None:
    folder = _write(tmp_path / "clip", {f"a_{frame}.json": [_person(17, frame)] for frame in range(2)})
    assert read_keypoints(folder).skeleton == rig("coco_17")
    assert read_keypoints(folder, skeleton=rig("ap10k_17")).skeleton == rig("ap10k_17")
    with pytest.raises(InputError, match="no single joint for"):
        read_keypoints(folder, skeleton=rig("animalpose_20"))


def test_links_that_lead_nowhere_are_left_out(tmp_path: Path) -> None:
    person = {"pose_keypoints_2d": [float(value) for value in range(1, 76)]}
    for frame in range(3):
        (tmp_path / f"clip_{frame:03}_keypoints.json").write_text(json.dumps({"people": [person]}))
    (tmp_path / "clip_003_keypoints.json").symlink_to(tmp_path / "moved.json")
    assert read_keypoints(tmp_path).num_frames == 3
