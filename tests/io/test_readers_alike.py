"""The same fault in files of different tools: each reader does the same about it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from seeds import points

from olift_fast.errors import InputError
from olift_fast.io import read_keypoints

Writer = Callable[[Any], Path]
Content = Callable[[list[Any]], Any]


def _flat(joints: int, at: float = 10.0, score: Any = 0.75) -> list[Any]:
    """x, y, confidence of each joint in one list."""
    return [value for joint in range(joints) for value in (at + 7 * joint, at + 3.5 * joint, score)]


def _landmarks(at: float) -> list[dict[str, float]]:
    return [{"x": at, "y": joint / 50, "visibility": 0.9} for joint in range(33)]


def _ultralytics(at: float) -> list[dict[str, Any]]:
    keypoints = {"x": [at, at + 9], "y": [20.0, 40.0]}
    return [{"name": "dog", "class": 0, "box": {"x1": at, "y1": 10.0, "x2": 90.0, "y2": 95.0}, "keypoints": keypoints}]


#: By format: a file whose frames have the given numbers.
NUMBERED: dict[str, Content] = {
    "mmpose": lambda numbers: {
        "instance_info": [
            {"frame_id": number, "instances": [{"keypoints": [[1, 2], [9, 9]], "keypoint_scores": [1, 1]}]}
            for number in numbers
        ]
    },
    "openpifpaf": lambda numbers: {"LINES": [{"frame": n, "predictions": [{"keypoints": _flat(17)}]} for n in numbers]},
    "openpose-list": lambda numbers: [
        {"frame": number, "people": [{"pose_keypoints_2d": _flat(18)}]} for number in numbers
    ],
    "mediapipe": lambda numbers: [{"frame": number, "landmarks": _landmarks(0.1)} for number in numbers],
    "ultralytics-json": lambda numbers: {
        f"{'ab'[place % 2]}_{number}": _ultralytics(10) for place, number in enumerate(numbers)
    },
}


@pytest.mark.parametrize("name", NUMBERED)
def test_a_frame_number_that_comes_twice_is_refused(tmp_path: Path, name: str) -> None:
    """As in two files that somebody has put one after the other: their poses are not two animals of one video."""

    def write(numbers: list[int]) -> Path:
        content = NUMBERED[name](numbers)
        lines = content.get("LINES") if isinstance(content, dict) else None
        path = tmp_path / "poses.json"
        path.write_text(json.dumps(content) if lines is None else "".join(f"{json.dumps(line)}\n" for line in lines))
        return path

    found = read_keypoints(write([4, 5, 7]))
    assert found.format == name and found.num_frames == 4
    with pytest.raises(InputError, match="frame 5 comes twice"):
        read_keypoints(write([4, 5, 5, 7]))


@pytest.mark.parametrize("name", ["mmpose", "openpifpaf", "openpose-list", "mediapipe"])
@pytest.mark.parametrize("numbers", [[None, None, None], [1, None, 1]])
def test_frames_are_counted_if_one_has_no_number(tmp_path: Path, name: str, numbers: list[int | None]) -> None:
    content = NUMBERED[name](numbers)
    lines = content.get("LINES") if isinstance(content, dict) else None
    path = tmp_path / "poses.json"
    path.write_text(json.dumps(content) if lines is None else "".join(f"{json.dumps(line)}\n" for line in lines))
    found = read_keypoints(path)
    assert found.format == name and found.num_frames == 3 and found.frames is None
    assert found.visible().any(axis=-1)[0].all()


#: By format: a file of one frame with two keypoints or more, in which all have this confidence.
SCORED: dict[str, Callable[[Any], Any]] = {
    "coco": lambda score: {
        "images": [{"id": 1, "file_name": "a_1.png"}, {"id": 2, "file_name": "a_2.png"}],
        "annotations": [{"image_id": 1, "category_id": 1, "keypoints": _flat(2, score=score), "track_id": 1}],
        "categories": [{"id": 1, "keypoints": ["nose", "tail"]}],
    },
    "coco-results": lambda score: [{"image_id": 1, "category_id": 1, "keypoints": _flat(17, score=score)}],
    "alphapose": lambda score: [{"image_id": "1.jpg", "keypoints": _flat(17, score=score), "idx": 1}],
    "mmpose": lambda score: [
        {"frame_id": 1, "instances": [{"keypoints": [[1, 2], [9, 9]], "keypoint_scores": [score, score]}]}
    ],
    "openpose-list": lambda score: [{"people": [{"pose_keypoints_2d": _flat(18, score=score)}]}],
    "superanimal": lambda score: [{"bodyparts": [[[10.0 + part, 20.0, score] for part in range(27)]]}],
    "easy-vitpose": lambda score: {
        "keypoints": [{"0": [[20.0, 10.0, score], [30.0, 15.0, score]]}],
        "skeleton": {"0": "nose", "1": "tail"},
    },
    "mars": lambda score: {"keypoints": (points(3, 2, 2, 7) + 1).tolist(), "scores": [[[score] * 7] * 2] * 3},
}


@pytest.mark.parametrize("name", SCORED)
@pytest.mark.parametrize("score", [None, np.nan])
def test_a_keypoint_without_a_confidence_counts_as_certain(write_json: Writer, name: str, score: float | None) -> None:
    given = read_keypoints(write_json(SCORED[name](0.5)))
    found = read_keypoints(write_json(SCORED[name](score)))
    assert given.format == found.format == name
    np.testing.assert_array_equal(found.keypoints, given.keypoints)
    visible = given.visible()
    assert visible.any() and (given.confidence[visible] == 0.5).all() and (found.confidence[visible] == 1).all()


#: By format: a file of three frames, the second of which has the given in place of its keypoints.
WITHOUT: dict[str, Callable[[Any], Any]] = {
    "coco-results": lambda none: [
        {"image_id": image, "category_id": 1, "keypoints": none if image == 2 else _flat(17)} for image in (1, 2, 3)
    ],
    "alphapose": lambda none: [
        {"image_id": f"{image}.jpg", "keypoints": none if image == 2 else _flat(17), "idx": 1} for image in (1, 2, 3)
    ],
    "mmpose": lambda none: [
        {"frame_id": frame, "instances": [{"keypoints": none if frame == 2 else [[1, 2]], "keypoint_scores": [1]}]}
        for frame in (1, 2, 3)
    ],
    "openpose-list": lambda none: [
        {"people": [{"pose_keypoints_2d": none if frame == 2 else _flat(18)}]} for frame in (1, 2, 3)
    ],
    "easy-vitpose": lambda none: {
        "keypoints": [{"0": none if frame == 2 else [[20.0, 10.0, 0.9]]} for frame in (1, 2, 3)],
        "skeleton": {"0": "nose"},
    },
    "ultralytics-json": lambda none: [
        [item | ({"keypoints": none} if frame == 2 else {}) for item in _ultralytics(10)] for frame in (1, 2, 3)
    ],
    "superanimal": lambda none: [
        {"bodyparts": none if frame == 2 else [[[10.0 + part, 20.0, 0.9] for part in range(27)]]} for frame in (1, 2, 3)
    ],
    "openpifpaf": lambda none: {
        "LINES": [
            {"frame": frame, "predictions": [{"keypoints": none if frame == 2 else _flat(17)}]} for frame in (1, 2, 3)
        ]
    },
}


@pytest.mark.parametrize("name", WITHOUT)
@pytest.mark.parametrize("none", [None, []])
def test_an_animal_without_keypoints_is_hidden_in_its_frame(tmp_path: Path, name: str, none: Any) -> None:
    content = WITHOUT[name](none)
    lines = content.get("LINES") if isinstance(content, dict) else None
    path = tmp_path / "poses.json"
    path.write_text(json.dumps(content) if lines is None else "".join(f"{json.dumps(line)}\n" for line in lines))
    found = read_keypoints(path)
    assert found.format == name and found.num_tracks == 1
    assert found.visible().any(axis=-1)[0].tolist() == [True, False, True]


@pytest.mark.parametrize("name", ["coco-results", "alphapose"])
def test_results_without_any_keypoints_are_told(write_json: Writer, name: str) -> None:
    content = [item | {"keypoints": []} for item in WITHOUT[name](None)]
    with pytest.raises(InputError, match="holds no tracks: none of 3 results has keypoints"):
        read_keypoints(write_json(content))


@pytest.mark.parametrize("box", [None, {}, {"x1": None, "y1": None}])
def test_animals_without_boxes_have_pixels_or_shares_by_their_coordinates(write_json: Writer, box: Any) -> None:
    def content(scale: float) -> list[Any]:
        keypoints = {"x": [10 * scale, 60 * scale], "y": [20 * scale, 40 * scale]}
        return [[_ultralytics(10)[0] | {"box": box, "keypoints": keypoints}]]

    assert read_keypoints(write_json(content(1))).warnings == ()
    (warning,) = read_keypoints(write_json(content(0.01))).warnings
    assert "look normalized" in warning


def _badja(numbers: list[Any]) -> Any:
    return [
        {"joints": [[number, joint] for joint in range(37)], "visibility": [True] * 37, "image_path": f"cat/{name}.jpg"}
        for number, name in enumerate(numbers)
    ]


def _alphatracker(numbers: list[Any]) -> Any:
    box, point = {"class": "Face"}, {"class": "point"}
    return [
        {"filename": f"{name}.png", "annotations": [box, point | {"x": 7, "y": number}]}
        for number, name in enumerate(numbers)
    ]


@pytest.mark.parametrize("content", [_badja, _alphatracker])
def test_labeled_pictures_are_in_the_order_of_their_numbers(write_json: Writer, content: Content) -> None:
    """The y of every point is the place of its picture in the file."""
    found = read_keypoints(write_json(content(["img10", "img2", "img7"])))
    assert found.frames is not None and found.frames.tolist() == [2, 7, 10]
    assert found.keypoints[0, :, 0, 1].tolist() == [1, 2, 0]
    twice = read_keypoints(write_json(content(["a_3", "b_2", "c_3"])))
    assert twice.frames is None and twice.keypoints[0, :, 0, 1].tolist() == [0, 1, 2]
    assert twice.warnings == (
        "several pictures have the number 3: they count as frames 0, 1, …, in the order of the file",
    )
    nameless = read_keypoints(write_json(content(["left", "right"])))
    assert nameless.frames is None
    assert nameless.notes == ("pictures have names without a number: they count as frames 0, 1, …",)


def test_tracks_of_a_merged_project_may_share_a_name(tmp_path: Path) -> None:
    """SLEAP's analysis file of it, as its project and its table."""
    with h5py.File(tmp_path / "clip.analysis.h5", "w") as file:
        file["tracks"] = points(3, 2, 2, 4) + 1
        file["node_names"] = np.array(["head", "tail"], dtype="S")
        file["track_names"] = np.array(["fly", "fly", "moth"], dtype="S")
    assert read_keypoints(tmp_path / "clip.analysis.h5").tracks == ("fly_0", "fly_1", "moth")


def test_labelmes_points_are_one_pair_each(write_json: Writer) -> None:
    def content(given: Any) -> Any:
        shapes = [{"label": "nose", "points": given, "shape_type": "point"}]
        return {"shapes": shapes, "imagePath": "a.png"}

    assert read_keypoints(write_json(content([[3, 4]]))).keypoints.tolist() == [[[[3, 4]]]]
    for given, message in (
        ([[3, 4], [5, 6]], r"'nose' must be one point \(x, y\), got 2"),
        ([], r"the points of 'nose' must be a list of \(x, y\), got shape \(0,\)"),
        ([["x", 4]], "the points of 'nose' must hold numbers"),
    ):
        with pytest.raises(InputError, match=f"0.json: {message}"):
            read_keypoints(write_json(content(given)))


def test_names_must_be_as_many_as_the_points(write_json: Writer) -> None:
    content = SCORED["easy-vitpose"](0.5) | {"skeleton": {"0": "nose", "1": "ear", "2": "tail"}}
    with pytest.raises(InputError, match="skeleton names 3 keypoints, wanted 2"):
        read_keypoints(write_json(content))
