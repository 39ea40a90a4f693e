"""Ultralytics: what its label files leave to be told by their numbers, and the JSON of its results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from olift_fast.errors import InputError
from olift_fast.io import read_keypoints
from olift_fast.io.readers.ultralytics import _layout

SIZE = (200, 100)


def _points(frame: int, joints: int, animal: int = 0) -> npt.NDArray[np.float64]:
    """(J, 2) shares of the picture."""
    rng = np.random.default_rng(animal)
    return np.clip(np.array([0.3 + 0.3 * animal, 0.5]) + rng.uniform(-0.08, 0.08, (joints, 2)) + 0.004 * frame, 0, 1)


def _line(points: npt.NDArray[np.float64], dims: int, box: bool, track: int | None) -> str:
    low, high = points.min(axis=0), points.max(axis=0)
    values = [0, *(low + high) / 2, *(high - low)]
    for x, y in points:
        values += [x, y] + [0.75] * (dims == 3)
    values += [0.875] * box + ([] if track is None else [track])
    return " ".join(f"{value:g}" for value in values)


def _write(folder: Path, lines: dict[str, list[str]]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in lines.items():
        (folder / name).write_text("\n".join(content) + "\n")
    return folder


@pytest.mark.parametrize("joints", [3, 5, 6, 9, 12, 17, 21, 24, 26])
@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("box", [False, True])
@pytest.mark.parametrize("tracked", [False, True])
def test_layout_is_told_by_the_numbers(tmp_path: Path, joints: int, dims: int, box: bool, tracked: bool) -> None:
    lines = {
        f"clip_{frame}.txt": [
            _line(_points(frame, joints, animal), dims, box, animal + 3 if tracked else None) for animal in (0, 1)
        ]
        for frame in (1, 2, 4)
    }
    found = read_keypoints(_write(tmp_path / "labels", lines), image_size=SIZE)
    assert found.format == "ultralytics" and found.keypoints.shape == (2, 4, joints, 2)
    assert found.tracks == (("3", "4") if tracked else ("track_0", "track_1"))
    assert found.frames is not None and found.frames.tolist() == [1, 2, 3, 4]
    wanted = np.stack([_points(frame, joints) for frame in (1, 2, 4)]) * SIZE
    np.testing.assert_allclose(found.keypoints[0, [0, 1, 3]], wanted, rtol=1e-4)
    assert not found.confidence[:, 2].any()
    assert found.confidence[0, 0].tolist() == [0.75 if dims == 3 else 1] * joints
    assert found.skeleton.name == ("coco_17" if joints == 17 else None)


@pytest.mark.parametrize("joints", range(3, 13))
@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("tracked", [False, True])
def test_pairs_and_triples_are_told_apart_in_boxes_of_any_size(joints: int, dims: int, tracked: bool) -> None:
    rng = np.random.default_rng(joints)
    for _ in range(10):
        center, size = rng.uniform(0.25, 0.75, 2), rng.uniform(0.1, 0.45, 2)
        points = center + size * rng.uniform(-0.5, 0.5, (joints, 2))
        rows = [np.array(_line(points, dims, tracked, 1 if tracked else None).split(), np.float64)]
        layout = _layout(rows)
        assert (layout.dims, layout.joints) == (dims, joints)


def test_without_the_size_a_warning_says_that_these_are_shares(tmp_path: Path) -> None:
    folder = _write(tmp_path / "labels", {"a_1.txt": [_line(_points(1, 17), 3, False, None)]})
    found = read_keypoints(folder)
    assert found.keypoints.max() <= 1 and "--image-size" in found.warnings[0]


def test_single_label_file(tmp_path: Path) -> None:
    lines = [_line(_points(1, 17, animal), 3, False, None) for animal in (0, 1)]
    folder = _write(tmp_path / "labels", {"a_1.txt": lines})
    found = read_keypoints(folder / "a_1.txt")
    assert found.format == "ultralytics" and found.keypoints.shape == (2, 1, 17, 2)


def test_points_at_zero_are_hidden_and_untracked_lines_are_joined(tmp_path: Path) -> None:
    points = _points(1, 17)
    line = _line(points, 3, False, None)
    values = line.split()
    values[5:8] = ["0", "0", "0.3"]
    lines = {"a_1.txt": [" ".join(values)], "a_2.txt": [_line(_points(2, 17), 3, False, 1)], "a_3.txt": []}
    found = read_keypoints(_write(tmp_path / "labels", lines))
    assert found.tracks == ("1",) and found.num_frames == 3
    assert not found.visible()[0, 0, 0] and found.visible()[0, 0, 1:].all()


def test_run_folder_and_other_text_files_beside(tmp_path: Path) -> None:
    folder = _write(tmp_path / "run/labels", {"a_1.txt": [_line(_points(1, 17), 3, False, None)]})
    (folder / "classes.txt").write_text("person\n")
    found = read_keypoints(tmp_path / "run")
    assert found.format == "ultralytics" and "classes.txt left out: no frames" in found.notes


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("0 0.5 0.5 0.1 0.1 0.9\n", "lines of 6 values: boxes without keypoints"),
        ("0 0.5 0.5 0.1 0.1 0.4 0.4 0.5\n0 0.5 0.5 0.1 0.1 0.4 0.4 0.5 0.5 0.5 0.5 0.5 0.5\n", "no one layout"),
        ("0 0.5 0.5 0.1 0.1 0.4 0.4 nose\n", "a_1.txt: not a label file of numbers"),
        ("0 500 0.5 0.1 0.1 0.4 0.4 0.5\n", "a_1.txt: not a label file of numbers"),
    ],
)
def test_other_lines_are_refused(tmp_path: Path, content: str, message: str) -> None:
    folder = _write(tmp_path / "labels", {"a_2.txt": [_line(_points(1, 17), 3, False, None)]})
    (folder / "a_1.txt").write_text(content)
    if "values" in message or "layout" in message:
        (folder / "a_2.txt").unlink()
    with pytest.raises(InputError, match=message):
        read_keypoints(folder)


def _animal(at: float, **more: Any) -> dict[str, Any]:
    keypoints = {"x": [at + joint for joint in range(17)], "y": [5.0] * 17, "visible": [0.5] * 17}
    box = {"x1": at, "y1": 0.0, "x2": at + 17, "y2": 9.0}
    return {"name": "person", "class": 0, "confidence": 0.9, "box": box, "keypoints": keypoints} | more


@pytest.mark.parametrize("lines", [False, True])
def test_results_of_a_video(tmp_path: Path, lines: bool) -> None:
    frames = [[], [_animal(10, track_id=2), _animal(300, track_id=1)], [_animal(302, track_id=1)]]
    path = tmp_path / "results.json"
    path.write_text("\n".join(map(json.dumps, frames)) if lines else json.dumps(frames))
    found = read_keypoints(path)
    assert found.format == "ultralytics-json" and found.tracks == ("2", "1") and found.skeleton.name == "coco_17"
    np.testing.assert_array_equal(found.keypoints[:, :, 0, 0], [[np.nan, 10, np.nan], [np.nan, 300, 302]])
    assert found.confidence[0, 1, 0] == 0.5 and not found.warnings


def test_results_of_one_picture_and_normalized_ones(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(json.dumps([_animal(10), _animal(300)]))
    assert read_keypoints(path).keypoints.shape == (2, 1, 17, 2)
    shares = _animal(0)
    shares["keypoints"] = {"x": [0.01 * (joint + 1) for joint in range(17)], "y": [0.5] * 17}
    shares["box"] = {"x1": 0.0, "y1": 0.4, "x2": 0.2, "y2": 0.6}
    path.write_text(json.dumps([shares]))
    found = read_keypoints(path, image_size=SIZE)
    np.testing.assert_allclose(found.keypoints[0, 0, :2], [[2, 50], [4, 50]], rtol=1e-6)
    path.write_text(json.dumps([{"name": "person", "class": 0, "confidence": 0.9, "box": shares["box"]}]))
    with pytest.raises(InputError, match="none of 1 frames has an animal with keypoints: was this a pose model"):
        read_keypoints(path)


@pytest.mark.parametrize("notes", ["notes.txt", "about.txt"])
def test_notes_in_another_encoding_are_left_out(tmp_path: Path, notes: str) -> None:
    folder = _write(
        tmp_path / "labels", {f"clip_{frame}.txt": [_line(_points(frame, 5), 3, True, 1)] for frame in (1, 2)}
    )
    (folder / notes).write_bytes("Mäuse".encode("latin-1"))
    found = read_keypoints(folder, image_size=SIZE)
    assert found.num_frames == 2 and any(f"{notes} left out" in note for note in found.notes)


def test_results_of_all_frames_in_one_list(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(json.dumps([_animal(10.0 + frame, frame=frame, track_id=1) for frame in (4, 5, 7)]))
    found = read_keypoints(path)
    assert found.tracks == ("1",) and found.frames is not None and found.frames.tolist() == [4, 5, 6, 7]
    path.write_text(json.dumps([_animal(10.0 + frame, track_id=1) for frame in range(3)]))
    with pytest.raises(InputError, match="track_id 1 comes twice in one list"):
        read_keypoints(path)


def test_results_as_text_and_by_frame(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(json.dumps(["[]", *(json.dumps([_animal(10.0 + frame)]) for frame in (1, 2))]))
    found = read_keypoints(path)
    assert found.format == "ultralytics-json" and found.visible()[0, :, 0].tolist() == [False, True, True]
    path.write_text(json.dumps({f"frame_{frame}": [_animal(10.0 + frame)] for frame in (3, 4)}))
    found = read_keypoints(path)
    assert found.frames is not None and found.frames.tolist() == [3, 4] and found.visible().all()
