"""Predictions of SLEAP that were corrected by hand: one animal, in the .slp files, their packages and the JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import numpy.typing as npt
import pytest

from olift_fast.errors import InputError
from olift_fast.io import read_keypoints
from olift_fast.tracks.containers import KeypointTracks

BODY = np.array([[0.0, 0], [200, 40], [400, 0]])
POINT = [("x", "f8"), ("y", "f8"), ("visible", "?"), ("complete", "?")]
SKELETON = {"links": [], "nodes": [{"id": 0}, {"id": 1}, {"id": 2}]}


class Animal(NamedTuple):
    """One animal in one frame; `source` is the place in the list of the prediction that a hand label was made from."""

    frame: int
    points: npt.NDArray[np.float64]
    labeled: bool = False
    track: int = -1
    source: int = -1
    video: int = 0
    skeleton: int = 0


def _write(path: Path, animals: list[Animal], tracks: int = 0, skeletons: int = 1) -> Path:
    """A project in format 1.2."""
    places = sorted({(animal.video, animal.frame) for animal in animals})
    rows, points = [], {True: [], False: []}  # type: ignore[var-annotated]
    for number, animal in enumerate(animals):
        held = points[animal.labeled]
        start = len(held)
        held += [(x, y, True, True) if animal.labeled else (x, y, True, True, 0.5) for x, y in animal.points]
        rows.append(
            (number, 0 if animal.labeled else 1, places.index((animal.video, animal.frame)), animal.skeleton,
             animal.track, animal.source, start, len(held))
        )  # fmt: skip
    nodes = [{"name": name} for name in ("nose", "spine", "tail", "left", "right", "top")]
    other = {"links": [], "nodes": [{"id": 3}, {"id": 4}, {"id": 5}]}
    metadata = {"skeletons": [SKELETON, other][:skeletons], "nodes": nodes}
    with h5py.File(path, "w") as file:
        file.create_group("metadata").attrs["format_id"] = 1.2
        file["metadata"].attrs["json"] = np.bytes_(json.dumps(metadata))
        kinds = [("frame_id", "u8"), ("video", "u4"), ("frame_idx", "u8")]
        file["frames"] = np.array([(number, *place) for number, place in enumerate(places)], dtype=kinds)
        kinds = [("instance_id", "i8"), ("instance_type", "u1"), ("frame_id", "u8"), ("skeleton", "u4")]
        kinds += [("track", "i4"), ("from_predicted", "i8"), ("point_id_start", "u8"), ("point_id_end", "u8")]
        file["instances"] = np.array(rows, dtype=kinds)
        file["points"] = np.array(points[True], dtype=POINT)
        file["pred_points"] = np.array(points[False], dtype=[*POINT, ("score", "f8")])
        file["tracks_json"] = np.array([json.dumps([0, "ab"[track]]) for track in range(tracks)], dtype="S")
    return path


def _nose(found: KeypointTracks) -> list[list[float]]:
    return [[round(float(value), 3) for value in track] for track in found.keypoints[:, :, 0, 0]]


def test_one_animal_corrected_in_a_frame_is_one_track(tmp_path: Path) -> None:
    predicted = [Animal(frame, BODY + 10 * frame) for frame in range(3)]
    corrected = Animal(1, BODY + 14, labeled=True, source=1)
    found = read_keypoints(_write(tmp_path / "a.slp", [*predicted, corrected]))
    assert found.tracks == ("track_0",) and _nose(found) == [[0, 14, 20]]
    np.testing.assert_array_equal(found.confidence[0, :, 0], [0.5, 1, 0.5])


def test_without_links_a_label_still_corrects_the_only_animal(tmp_path: Path) -> None:
    predicted = [Animal(frame, BODY + 10 * frame) for frame in range(3)]
    found = read_keypoints(_write(tmp_path / "a.slp", [*predicted, Animal(1, BODY + 300, labeled=True)]))
    assert _nose(found) == [[0, 300, 20]]


def test_of_several_animals_the_corrected_one_is_replaced(tmp_path: Path) -> None:
    predicted = [Animal(frame, BODY + 10 * frame + at) for frame in range(3) for at in (0, 500)]
    linked = Animal(1, BODY + 600, labeled=True, source=3)
    found = read_keypoints(_write(tmp_path / "linked.slp", [*predicted, linked]))
    assert _nose(found) == [[0, 10, 20], [500, 600, 520]]
    over = Animal(1, BODY + 530, labeled=True)
    found = read_keypoints(_write(tmp_path / "over.slp", [*predicted, over]))
    assert _nose(found) == [[0, 10, 20], [500, 530, 520]]
    third = Animal(1, BODY + 5000, labeled=True)
    found = read_keypoints(_write(tmp_path / "third.slp", [*predicted, third]))
    assert found.tracks == ("track_0", "track_1", "track_2") and found.visible().any(axis=-1).sum() == 7


def test_correction_without_a_track_inherits_that_of_the_prediction(tmp_path: Path) -> None:
    predicted = [Animal(frame, BODY + 10 * frame + 500 * track, track=track) for frame in range(3) for track in (0, 1)]
    loose = Animal(1, BODY + 17, labeled=True, source=2)
    found = read_keypoints(_write(tmp_path / "loose.slp", [*predicted, loose], tracks=2))
    assert found.tracks == ("a", "b") and _nose(found) == [[0, 17, 20], [500, 510, 520]]
    same = Animal(1, BODY + 517, labeled=True, track=1)
    found = read_keypoints(_write(tmp_path / "same.slp", [*predicted, same], tracks=2))
    assert _nose(found) == [[0, 10, 20], [500, 517, 520]] and not found.warnings


def test_frames_without_an_animal_are_kept(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.slp", [Animal(frame, BODY + frame) for frame in (0, 1, 2, 3, 4, 5, 8)])
    with h5py.File(path, "r+") as file:
        rows = file["instances"][:-1]
        del file["instances"]
        file["instances"] = rows
    assert read_keypoints(path).num_frames == 9


@pytest.mark.parametrize(("labeled", "frames"), [(False, 103), (True, 6)])
def test_predictions_of_parts_of_a_video_keep_their_distance(tmp_path: Path, labeled: bool, frames: int) -> None:
    animals = [Animal(frame, BODY + frame, labeled, track=0) for frame in (0, 1, 2, 100, 101, 102)]
    assert read_keypoints(_write(tmp_path / "a.slp", animals, tracks=1)).num_frames == frames


def test_label_without_a_track_is_of_the_animal_that_the_model_missed(tmp_path: Path) -> None:
    animals = [Animal(frame, BODY + frame, labeled=frame == 3, track=-1 if frame == 3 else 0) for frame in range(6)]
    found = read_keypoints(_write(tmp_path / "a.slp", animals, tracks=1))
    assert len(found.tracks) == 1 and found.visible().all()


def test_videos_without_tracks_are_joined_each_by_itself(tmp_path: Path) -> None:
    animals = [Animal(frame, BODY + frame, video=video) for video in (0, 1) for frame in range(3)]
    found = read_keypoints(_write(tmp_path / "a.slp", animals))
    assert found.tracks == ("video0/track_0", "video1/track_0") and _nose(found) == [[0, 1, 2]] * 2


def test_skeletons_with_different_nodes_are_refused_where_both_are_used(tmp_path: Path) -> None:
    animals = [Animal(0, BODY), Animal(1, BODY)]
    assert read_keypoints(_write(tmp_path / "one.slp", animals, skeletons=2)).skeleton.names[0] == "nose"
    animals[1] = animals[1]._replace(skeleton=1)
    with pytest.raises(InputError, match=r"different nodes \(nose, spine, tail and left, right, top\), wanted one"):
        read_keypoints(_write(tmp_path / "two.slp", animals, skeletons=2))


@pytest.mark.parametrize("tracked", [False, True])
def test_json_project_is_corrected_likewise(tmp_path: Path, tracked: bool) -> None:
    def points(at: float, **score: float) -> dict[str, Any]:
        return {str(node): {"x": x + at, "y": y + at, "visible": True} | score for node, (x, y) in enumerate(BODY)}

    labels = []
    for frame in range(3):
        instances: list[dict[str, Any]] = [
            {"skeleton": 0, "track": track if tracked else None, "_points": points(10 * frame + at, score=0.5)}
            for track, at in ((0, 0), (1, 500))
        ]
        if frame == 1:
            copy = {"_points": points(10, score=0.5), "score": 0.9}
            instances.append({"track": 0 if tracked else None, "_points": points(30), "from_predicted": copy})
        labels.append({"video": 0, "frame_idx": frame, "_instances": instances})
    content = {
        "skeletons": [SKELETON],
        "nodes": [{"name": name} for name in ("nose", "spine", "tail")],
        "tracks": [[0, "a"], [0, "b"]],
        "labels": labels,
    }
    path = tmp_path / "labels.json"
    path.write_text(json.dumps(content))
    found = read_keypoints(path)
    assert found.tracks == (("a", "b") if tracked else ("track_0", "track_1"))
    assert _nose(found) == [[0, 30, 20], [500, 510, 520]]


@pytest.mark.parametrize("animals", [1, 2])
@pytest.mark.parametrize("tracked", [False, True])
def test_sleap_io_gives_the_same_numbers(tmp_path: Path, animals: int, tracked: bool) -> None:
    sleap_io = pytest.importorskip("sleap_io")
    rng = np.random.default_rng(3)
    skeleton = sleap_io.Skeleton(["nose", "spine", "tail"])
    video = sleap_io.Video(filename="clip.mp4")
    tracks = [sleap_io.Track(name) for name in "ab"]
    frames = []
    for frame in range(6):
        instances = []
        for animal in range(animals):
            track = tracks[animal] if tracked else None
            points = BODY + 4000 * animal + rng.normal(0, 3, (3, 2))
            predicted = sleap_io.PredictedInstance.from_numpy(
                points, skeleton=skeleton, point_scores=np.full(3, 0.5), score=0.5, track=track
            )
            instances.append(predicted)
            if frame in (2, 4) and animal == frame // 4:
                moved = points + rng.normal(0, 30, (3, 2))
                label = sleap_io.Instance.from_numpy(moved, skeleton=skeleton, track=track)
                label.from_predicted = predicted
                instances.append(label)
        frames.append(sleap_io.LabeledFrame(video=video, frame_idx=frame, instances=instances))
    labels = sleap_io.Labels(frames, videos=[video], skeletons=[skeleton], tracks=tracks if tracked else [])
    path = tmp_path / "clip.slp"
    sleap_io.save_file(labels, str(path))
    wanted = sleap_io.load_slp(str(path), open_videos=False).numpy(untracked=not tracked)
    found = read_keypoints(path).keypoints
    assert found.shape == (animals, 6, 3, 2)
    by_frame = np.sort(found[..., 0, 0], axis=0), np.sort(wanted[..., 0, 0].T, axis=0)
    np.testing.assert_allclose(*by_frame, rtol=1e-6)
    if tracked:
        np.testing.assert_allclose(found, wanted.swapaxes(0, 1), rtol=1e-6)
