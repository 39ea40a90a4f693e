"""SuperAnimal, OpenPifPaf, easy_ViTPose, MARS, Labelme, and folders of one JSON a picture: small files written here."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from olift_fast.errors import InputError, PickledError
from olift_fast.io import read_keypoints
from olift_fast.tracks.rigs import rig

NAN = [np.nan, np.nan]
Writer = Callable[[Any], Path]


def _folder(path: Path, files: Mapping[str, Any]) -> Path:
    path.mkdir()
    for name, content in files.items():
        (path / name).write_text(json.dumps(content))
    return path


def _flat(points: int, at: float) -> list[float]:
    return [value for joint in range(points) for value in (at + joint, 2.0 * joint + 1, 0.5)]


def _superanimal(frame: int, parts: int) -> dict[str, Any]:
    first = [[10.0 * frame + part, 5.0, 0.9] for part in range(parts)]
    second = [[-1, -1, -1]] * parts if frame == 1 else [[100 + part, 7.0, 0.8] for part in range(parts)]
    never = [[-1, -1, -1]] * parts
    return {"bodyparts": [first, second, never], "bboxes": [[0, 0, 1, 1]] * 3, "bbox_scores": [0.9, 0.8, 0]}


@pytest.mark.parametrize(
    ("parts", "name"), [(39, "superanimal_quadruped"), (27, "superanimal_topviewmouse"), (6, None)]
)
def test_superanimal_animals_by_their_place(write_json: Writer, parts: int, name: str | None) -> None:
    found = read_keypoints(write_json([_superanimal(frame, parts) for frame in range(3)]))
    assert found.format == "superanimal" and found.tracks == ("animal_0", "animal_1")
    np.testing.assert_array_equal(found.keypoints[:, :, 0, 0], [[0, 10, 20], [100, np.nan, 100]])
    assert found.confidence[1, 0, 0] == np.float32(0.8) and found.skeleton.name == name
    assert found.notes == ("1 of 3 animals are never seen, and are left out",)


def test_superanimal_pictures_and_bad_frames(write_json: Writer) -> None:
    found = read_keypoints(write_json({"cat.jpg": _superanimal(0, 4), "dog.jpg": _superanimal(1, 4)}))
    assert found.tracks == ("cat.jpg/animal_0", "cat.jpg/animal_1", "dog.jpg/animal_0")
    with pytest.raises(InputError, match=r"same body parts, got \[4, 5\]"):
        read_keypoints(write_json([_superanimal(0, 4), _superanimal(1, 5)]))
    with pytest.raises(InputError, match=r"bodyparts must be \(animals, body parts, 3\), got \(1, 2\)"):
        read_keypoints(write_json([{"bodyparts": [[1, 2]]}]))


@pytest.mark.parametrize("points", [17, 133])
def test_openpifpaf_lines(tmp_path: Path, points: int) -> None:
    lines = [
        {"frame": 3, "predictions": [{"keypoints": _flat(points, 1), "id_": 2}, {"keypoints": _flat(points, 500)}]},
        {"frame": 4, "predictions": []},
        {"frame": 6, "predictions": [{"keypoints": _flat(points, 4), "id_": 2, "score": 0.9}]},
    ]
    path = tmp_path / "video.openpifpaf.json"
    path.write_text("\n".join(map(json.dumps, lines)) + "\n")
    found = read_keypoints(path)
    assert found.format == "openpifpaf" and found.tracks == ("2", "person_0") and found.skeleton == rig("coco_17")
    assert found.frames is not None and found.frames.tolist() == [3, 4, 5, 6]
    np.testing.assert_array_equal(found.keypoints[:, :, 1, 0], [[2, np.nan, np.nan, 5], [501] + [np.nan] * 3])
    path.write_text(json.dumps(lines[0]))
    assert read_keypoints(path).keypoints.shape == (2, 1, 17, 2)
    path.write_text(json.dumps(lines[1]))
    with pytest.raises(InputError, match="none of 1 frames has a prediction with keypoints"):
        read_keypoints(path)


def test_openpifpaf_folder(tmp_path: Path) -> None:
    folder = _folder(
        tmp_path / "out",
        {
            "v_1.jpg.predictions.json": [{"keypoints": _flat(17, 1)}],
            "v_2.jpg.predictions.json": [],
            "v_3.jpg.predictions.json": [{"keypoints": _flat(17, 4)}],
            "settings.json": {"fps": 3},
        },
    )
    found = read_keypoints(folder)
    assert found.format == "openpifpaf-pictures" and found.tracks == ("person_0",)
    np.testing.assert_array_equal(found.keypoints[0, :, 0, 0], [1, np.nan, 4])


def test_vitpose_has_y_before_x(write_json: Writer) -> None:
    frames = [
        {"0": [[1, 20, 0.5], [3, 40, 0.6]], "4": [[5, 60, 0.5], [7, 80, 0.5]]},
        {},
        {"0": [[2, 21, 0.5], [4, 41, 0]]},
    ]
    content = {"keypoints": frames, "skeleton": {"1": "tail", "0": "nose"}}
    found = read_keypoints(write_json(content))
    assert found.format == "easy-vitpose" and found.tracks == ("person_0", "person_4")
    assert found.skeleton.names == ("nose", "tail")
    np.testing.assert_array_equal(found.keypoints[0], [[[20, 1], [40, 3]], [NAN, NAN], [[21, 2], NAN]])
    with pytest.raises(InputError, match=r"keypoints must be a list of \(y, x, score\), got shape \(2, 2\)"):
        read_keypoints(write_json({"keypoints": [{"0": [[1, 2], [3, 4]]}], "skeleton": {}}))


def _mars(frames: int, at: float = 0) -> dict[str, Any]:
    keypoints = np.arange(frames * 28, dtype=float).reshape(frames, 2, 2, 7) + at
    return {"keypoints": keypoints.tolist(), "scores": np.full((frames, 2, 7), 0.5).tolist()}


def test_mars_has_all_x_before_all_y(write_json: Writer, tmp_path: Path) -> None:
    found = read_keypoints(write_json(_mars(3)))
    assert found.format == "mars" and found.tracks == ("resident", "intruder") and found.num_frames == 3
    assert found.skeleton.names[:3] == ("nose", "left_ear", "right_ear") and len(found.skeleton.edges) == 8
    np.testing.assert_array_equal(found.keypoints[1, 2, :2], [[70, 77], [71, 78]])
    content = {"annotator-id_0": {"task1/mouse001": _mars(3), "task1/mouse002": _mars(2, 500)}}
    several = read_keypoints(write_json(content))
    assert several.tracks[1:3] == ("task1/mouse001/intruder", "task1/mouse002/resident")
    np.testing.assert_array_equal(several.keypoints[:2], found.keypoints)
    assert not several.visible()[2:, 2].any() and several.keypoints[2, 1, 0].tolist() == [528, 535]
    one = read_keypoints(write_json({"annotator-id_0": {"task1/mouse001": _mars(3)}}))
    assert one.tracks == found.tracks
    np.save(tmp_path / "calms21.npy", content, allow_pickle=True)  # type: ignore[arg-type]
    with pytest.raises(PickledError):
        read_keypoints(tmp_path / "calms21.npy")
    unpickled = read_keypoints(tmp_path / "calms21.npy", allow_pickle=True)
    np.testing.assert_array_equal(unpickled.keypoints, several.keypoints)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keypoints": [[[[1, 2]]]]}, r"keypoints must be \(frames, animals, 2, joints\), got \(1, 1, 1, 2\)"),
        ({"scores": [[[0.5] * 7]]}, r"scores must be .* of the keypoints, got \(1, 1, 7\)"),
    ],
)
def test_mars_arrays_of_another_shape(write_json: Writer, change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_keypoints(write_json(_mars(3) | change))


def _labelme(*points: tuple[str, float, Any]) -> dict[str, Any]:
    shapes = [
        {"label": label, "points": [[x, 5.0]], "group_id": group, "shape_type": "point"} for label, x, group in points
    ]
    box = {"label": "mouse", "points": [[0, 0], [9, 9]], "group_id": None, "shape_type": "rectangle"}
    return {"version": "5.5.0", "shapes": [box, *shapes], "imagePath": "a.png", "imageHeight": 48, "imageWidth": 64}


def test_labelme_points_by_label_and_group(tmp_path: Path) -> None:
    files = {
        "a_1.json": _labelme(("nose", 1, 0), ("tail", 2, 0), ("nose", 11, 1)),
        "a_2.json": _labelme(("tail", 4, 0), ("tail", 14, 1)),
    }
    found = read_keypoints(_folder(tmp_path / "labels", files))
    assert found.format == "labelme" and found.tracks == ("animal_0", "animal_1") and found.image_size == (64, 48)
    assert found.skeleton.names == ("nose", "tail")
    np.testing.assert_array_equal(found.keypoints[..., 0], [[[1, 2], [np.nan, 4]], [[11, np.nan], [np.nan, 14]]])
    assert read_keypoints(tmp_path / "labels/a_1.json").keypoints.shape == (2, 1, 2, 2)
    (tmp_path / "labels/a_3.json").write_text(json.dumps(_labelme(("nose", 1, None), ("nose", 2, None))))
    with pytest.raises(InputError, match=r"a_3\.json: 'nose' comes twice for one animal: give each animal a group_id"):
        read_keypoints(tmp_path / "labels")


def test_labelme_pictures_far_apart_follow_one_another(tmp_path: Path) -> None:
    files = {f"a_{10 * frame:03}.json": _labelme(("nose", frame, None)) for frame in range(6)}
    found = read_keypoints(_folder(tmp_path / "labels", files))
    assert found.num_frames == 6 and found.frames is not None and found.frames.tolist() == [0, 10, 20, 30, 40, 50]
    files = {f"a_{frame:03}.json": _labelme(("nose", frame, None)) for frame in (0, 1, 3, 4)}
    assert read_keypoints(_folder(tmp_path / "dense", files)).num_frames == 5


def _instances(at: float, points: int = 17, **more: Any) -> list[dict[str, Any]]:
    keypoints = np.reshape(_flat(points, at), (points, 3))[:, :2].tolist()
    return [{"keypoints": keypoints, "keypoint_scores": [0.5] * points, "bbox": [[0, 0, 9, 9]]} | more]


@pytest.mark.parametrize("sapiens", [False, True])
@pytest.mark.parametrize(("points", "name"), [(17, "coco_17"), (133, "coco_17"), (308, None)])
def test_mmpose_and_sapiens_folders(tmp_path: Path, sapiens: bool, points: int, name: str | None) -> None:
    pictures = {f"img_{frame:04}.json": _instances(frame, points) if frame != 2 else [] for frame in range(5)}
    files = {key: {"instance_info": value} for key, value in pictures.items()} if sapiens else dict(pictures)
    found = read_keypoints(_folder(tmp_path / "out", {**files, "config.json": {"model": "s"}}))
    assert found.format == "mmpose-pictures" and found.tracks == ("track_0",) and found.skeleton.name == name
    np.testing.assert_array_equal(found.keypoints[0, :, 0, 0], [0, 1, np.nan, 3, 4])
    assert "config.json left out: no frames" in found.notes


@pytest.mark.parametrize("form", ["rows", "preds", "predictions"])
def test_mmpose_before_1_0_and_predictions_in_one_object(write_json: Writer, form: str) -> None:
    rows = [[[100.0 + frame + joint, 50.0, 0.5] for joint in range(26)] for frame in range(3)]
    content: Any = {
        "rows": [[{"bbox": [0, 0, 9, 9], "keypoints": pose}] for pose in rows],
        "preds": [{"preds": [pose], "image_paths": [f"data/a_{frame:03}.png"]} for frame, pose in enumerate(rows)],
        "predictions": {
            "predictions": [[{"keypoints": [row[:2] for row in pose], "keypoint_scores": [0.5] * 26}] for pose in rows]
        },
    }
    found = read_keypoints(write_json(content[form]))
    assert found.format == "mmpose" and found.keypoints.shape == (1, 3, 26, 2) and found.confidence[0, 0, 0] == 0.5
    assert found.keypoints[0, :, 0, 0].tolist() == [100, 101, 102]


@pytest.mark.parametrize("form", ["inferencer", "lists", "triples"])
def test_mmpose_lists_of_frames(write_json: Writer, form: str) -> None:
    frames = [_instances(10.0 + frame, 26) for frame in range(3)]
    if form == "inferencer":
        content = [{"predictions": [frame], "visualization": []} for frame in ([], *frames)]
    elif form == "lists":
        content = [[], *frames]
    else:
        rows = [[{"keypoints": [[x, y, 0.5] for x, y in frame[0]["keypoints"]]}] for frame in frames]
        content = [{"frame_id": place + 1, "instances": frame} for place, frame in enumerate(rows)]
    found = read_keypoints(write_json(content))
    assert found.format == "mmpose" and found.skeleton.name == "halpe_26" and len(found.tracks) == 1
    seen = found.visible()[0, :, 0].tolist()
    assert seen == ([True] * 3 if form == "triples" else [False, True, True, True])
    assert found.confidence.max() == 0.5


def test_coco_results_in_rows_of_three(write_json: Writer) -> None:
    rows = [[100.0 + joint, 50.0, 0.5] for joint in range(17)]
    found = read_keypoints(write_json([{"image_id": frame, "keypoints": rows} for frame in range(3)]))
    assert found.keypoints.shape == (1, 3, 17, 2) and found.confidence[0, 0, 0] == 0.5


def test_mmpose_folder_has_the_names_of_its_meta_information(tmp_path: Path) -> None:
    meta = {"keypoint_id2name": {"0": "hip", "1": "knee"}, "skeleton_links": [[0, 1]]}
    files = {f"{frame}.json": {"meta_info": meta, "instance_info": _instances(frame, 2)} for frame in range(2)}
    found = read_keypoints(_folder(tmp_path / "out", files))
    assert found.skeleton.names == ("hip", "knee") and found.skeleton.edges == ((0, 1),)


def test_mmpose_photos_are_stills_and_bad_files_are_named(tmp_path: Path) -> None:
    files = {"cat.json": _instances(0), "img_7.json": _instances(5) + _instances(400)}
    found = read_keypoints(_folder(tmp_path / "photos", files))
    assert found.tracks == ("cat.json/track_0", "img_7.json/track_0", "img_7.json/track_1")
    assert found.num_frames == 1 and "taken as stills" in found.notes[0]
    (tmp_path / "photos/img_8.json").write_text('{"fx": 1}')
    with pytest.raises(InputError, match=r"img_8\.json: not a list of instances"):
        read_keypoints(tmp_path / "photos")
    video = [{"frame_id": 0, "instances": _instances(1)}]
    folder = _folder(tmp_path / "videos", {"a.json": video, "b.json": video})
    with pytest.raises(InputError, match=r"a\.json: holds a whole recording: give this file alone"):
        read_keypoints(folder)
    (folder / "b.json").unlink()
    assert read_keypoints(folder).keypoints.shape == (1, 1, 17, 2)


@pytest.mark.parametrize(("people", "points"), [("bodies", "joints"), ("people", "pose_keypoints_2d")])
def test_alphapose_in_the_form_of_openpose(write_json: Writer, people: str, points: str) -> None:
    content = {
        f"{frame}.jpg": {"version": "AlphaPose v0.3", people: [{points: _flat(18, at)}]}
        for frame, at in ((4, 1.0), (5, 2.0), (7, 3.0))
    }
    found = read_keypoints(write_json(content))
    assert found.format == "alphapose-pictures" and found.skeleton == rig("openpose_coco_18")
    assert found.frames is not None and found.frames.tolist() == [4, 5, 6, 7]
    np.testing.assert_array_equal(found.keypoints[0, :, 0, 0], [1, 2, np.nan, 3])
    content["IMG_9.jpg"] = {people: [{points: [1, 2]}]}
    with pytest.raises(InputError, match=r"IMG_9\.jpg: .* must be a flat list of x, y, confidence"):
        read_keypoints(write_json(content))


def test_alphapose_photos_are_stills(write_json: Writer) -> None:
    names = ["IMG_4.jpg", "Screenshot 2021-09-27 161106.png", "Screenshot 2021-09-27 161543.png", "photo12.png"]
    items = [{"image_id": name, "keypoints": _flat(17, 3), "score": 1, "idx": [0.0]} for name in names]
    found = read_keypoints(write_json(items))
    assert found.tracks == tuple(f"{name}/person_0" for name in names) and found.num_frames == 1


def test_alphapose_without_tracking_gives_everybody_idx_0(write_json: Writer) -> None:
    items = [
        {"image_id": f"{frame}.jpg", "keypoints": _flat(17, at + frame), "score": 1, "idx": [0.0]}
        for frame in range(3)
        for at in (0, 500)
    ]
    found = read_keypoints(write_json(items))
    np.testing.assert_array_equal(found.keypoints[:, :, 0, 0], [[0, 1, 2], [500, 501, 502]])


def test_alphapose_pictures_of_two_cameras_are_kept_apart(write_json: Writer) -> None:
    items = [
        {"image_id": f"{camera}_{frame:03}.jpg", "keypoints": _flat(17, at + frame), "score": 1, "idx": 1}
        for camera, at in (("left", 0), ("right", 500))
        for frame in range(3)
    ]
    found = read_keypoints(write_json(items))
    assert found.tracks == ("left/person_1", "right/person_1")
    np.testing.assert_array_equal(found.keypoints[:, :, 0, 0], [[0, 1, 2], [500, 501, 502]])


def test_lists_on_lines_and_lists_of_lists_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for text, message in (
        ("[1, 2]\n[3, 4]\n", "JSON lines of no known format, holding lists"),
        ('{"a": 1}\n{"b": 2}\n', "JSON lines of no known format, holding objects with keys a"),
        ('{"a": 1}\n{"b": \n', "JSON lines: line 2: not valid JSON"),
        ("[[1, 2],\n[3, 4]]\n", "a JSON list of no known format: it holds lists of 2"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=message):
            read_keypoints(path)
