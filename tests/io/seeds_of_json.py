"""Seeds that are JSON, and folders of one file a picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from seeds import points, seed

from olift_fast.tracks.rigs import rig


def _json(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def _flat(joints: int, at: float = 1.0) -> list[float]:
    """x, y, confidence of each joint in one list."""
    return [value for joint in range(joints) for value in (at + 7 * joint, at + 3.5 * joint, 0.75)]


@seed("sleap-json")
def project_in_json(folder: Path) -> Path:
    points = {"0": {"x": 1, "y": 2, "visible": True}, "1": {"x": 3, "y": 4, "visible": False}}
    body = {"py/reduce": [{"py/type": "EdgeType"}, {"py/tuple": [1]}]}
    content = {
        "skeletons": [{"nodes": [{"id": 1}, {"id": 0}], "links": [{"source": 1, "target": 0, "type": body}]}],
        "nodes": [{"name": "tail"}, {"name": "nose"}],
        "tracks": [[0, "mia"]],
        "labels": [
            {"frame_idx": 4, "_instances": [{"track": 0, "_points": points}]},
            {"frame_idx": 6, "_instances": [{"track": None, "_points": points}, {"points": points}]},
        ],
    }
    return _json(folder / "labels.json", content)


def _instance(at: float, **more: Any) -> dict[str, Any]:
    return {"keypoints": [[at, 1.0], [at, 31.0]], "keypoint_scores": [0.9, 0.4], "bbox": [[0, 0, 9, 9]]} | more


@seed("mmpose")
def predictions(folder: Path) -> Path:
    content = {
        "meta_info": {"keypoint_id2name": {"0": "hip", "1": "knee"}, "skeleton_links": [[0, 1]]},
        "instance_info": [
            {"frame_id": 1, "instances": [_instance(10), _instance(300)]},
            {"frame_id": 2, "instances": []},
            {"frame_id": 4, "instances": [_instance(301, track_id=3), _instance(10.5)]},
        ],
    }
    return _json(folder / "results.json", content)


@seed("mmpose")
def instances_of_a_picture(folder: Path) -> Path:
    return _json(folder / "picture.json", [_instance(10), _instance(300, instance_id=1)])


@seed("coco")
def annotations(folder: Path) -> Path:
    content = {
        "images": [
            {"id": 70, "file_name": "frame_011.png", "width": 640, "height": 480},
            {"id": 90, "file_name": "frame_013.png", "width": 640, "height": 480},
        ],
        "annotations": [
            {"id": 1, "image_id": 90, "category_id": 3, "keypoints": [1, 2, 2, 3, 4, 1, 0, 0, 0], "track_id": 4},
            {"id": 2, "image_id": 70, "category_id": 3, "keypoints": [2, 2, 2, 4, 4, 2, 6, 6, 2], "track_id": 5},
        ],
        "categories": [
            {"id": 3, "name": "owl", "keypoints": ["beak", "wing_l", "wing_r"], "skeleton": [[1, 2], [1, 3]]}
        ],
    }
    return _json(folder / "annotations.json", content)


@seed("coco-results")
def results(folder: Path) -> Path:
    items = [{"image_id": image, "category_id": 1, "keypoints": _flat(17, image), "score": 0.9} for image in (4, 5, 7)]
    return _json(folder / "results.json", items)


@seed("openpose")
def folder_of_frames(folder: Path) -> Path:
    (folder / "frames").mkdir()
    for frame in (0, 1, 3):
        person = {"person_id": [-1], "pose_keypoints_2d": _flat(25, frame), "face_keypoints_2d": []}
        _json(folder / f"frames/clip_{frame:012}_keypoints.json", {"version": 1.3, "people": [person]})
    return folder / "frames"


@seed("openpose")
def one_frame(folder: Path) -> Path:
    people = [{"person_id": [number], "pose_keypoints_2d": _flat(18, 50 * number)} for number in (0, 3)]
    return _json(folder / "clip_000000000001_keypoints.json", {"version": 1.3, "people": people})


@seed("alphapose")
def tracked_results(folder: Path) -> Path:
    items = [
        {"image_id": f"{frame}.jpg", "category_id": 1, "keypoints": _flat(26, frame), "score": 2.9, "idx": idx}
        for frame, idx in [(10, 2), (10, [[1.0]]), (12, 2)]
    ]
    return _json(folder / "alphapose-results.json", items)


@seed("animalsyn3d")
def animation(folder: Path) -> Path:
    content = {
        "model": "foxZED",
        "animation": "walk",
        "connections": [[0, 1], [1, 0], [1, 2]],
        "camera": {"width": 1080, "height": 1070, "extrinsic": [[0.6, 0, 0.8, 1], [0, 1, 0, 2], [-0.8, 0, 0.6, 9]]},
        "points": {"2d": points(2, rig("foxZED").num_joints, 2).tolist()},
    }
    return _json(folder / "walk.json", content)


@seed("badja")
def annotated_video(folder: Path) -> Path:
    frame = {
        "joints": [[100 + joint, joint] for joint in range(37)],
        "visibility": [joint != 33 for joint in range(37)],
    }
    return _json(folder / "cat.json", [frame | {"image_path": f"cat/{number:05}.jpg"} for number in (0, 5)])


@seed("alphatracker")
def boxes(folder: Path) -> Path:
    box, point = {"class": "Face", "x": 0, "y": 0, "width": 3, "height": 3}, {"class": "point"}
    content = [
        {"filename": "img2.png", "annotations": [box, point | {"x": 1, "y": 2}, box, point | {"x": 3, "y": 4}]},
        {"filename": "img4.png", "annotations": [box, point | {"x": 5, "y": 6}]},
    ]
    return _json(folder / "labels.json", content)


@seed("mmpose-pictures")
def predictions_of_pictures(folder: Path) -> Path:
    (folder / "predictions").mkdir()
    for number in (0, 1, 3):
        _json(folder / f"predictions/img_{number:04}.json", [_instance(10 + number), _instance(300)])
    return folder / "predictions"


@seed("openpose-list")
def list_of_frames(folder: Path) -> Path:
    people = [{"pose_keypoints_2d": _flat(18), "face_keypoints_2d": None}]
    frames = [{"people": people, "canvas_width": 512, "canvas_height": 512}, {"people": []}, {"people": people}]
    return _json(folder / "poses.json", frames)


@seed("alphapose-pictures")
def pictures_with_bodies(folder: Path) -> Path:
    return _json(folder / "results.json", {f"{number}.jpg": {"bodies": [{"joints": _flat(18)}]} for number in (1, 2)})


def _labels(joints: int, more: str = "") -> str:
    """A line of Ultralytics: class, box, and x, y, confidence of each joint, as shares of the picture."""
    values = (f"0.{40 + joint} 0.{45 + joint} 0.9" for joint in range(joints))
    return f"0 0.5 0.5 0.4 0.4 {' '.join(values)}{more}\n"


@seed("ultralytics")
def folder_of_labels(folder: Path) -> Path:
    (folder / "labels").mkdir()
    for number in (1, 2, 4):
        text = _labels(5, " 0.8 1") + _labels(5, " 0.7 2")
        (folder / f"labels/clip_{number}.txt").write_bytes(text.encode())
    return folder / "labels"


@seed("ultralytics-json")
def results_of_a_picture(folder: Path) -> Path:
    box = {"x1": 10.0, "y1": 10.0, "x2": 90.0, "y2": 95.0}
    keypoints = {"x": [20.0, 30.0, 0.0], "y": [20.0, 40.0, 0.0], "visible": [0.9, 0.8, 0.1]}
    item = {"name": "dog", "class": 0, "confidence": 0.9, "box": box, "track_id": 4, "keypoints": keypoints}
    return _json(folder / "results.json", [[item], [], [item, item | {"track_id": 5}]])


@seed("superanimal")
def frames_of_bodyparts(folder: Path) -> Path:
    animal, nobody = [[10.0 + part, 20.0, 0.9] for part in range(27)], [[-1, -1, -1]] * 27
    frames = [
        {"bodyparts": [animal, other], "bboxes": [[0, 0, 9, 9]], "bbox_scores": [0.9]} for other in (animal, nobody)
    ]
    return _json(folder / "superanimal.json", frames)


def _landmarks(at: float) -> list[dict[str, float]]:
    return [{"x": at, "y": joint / 50, "z": -0.1, "visibility": 0.9} for joint in range(33)]


@seed("mediapipe")
def frames_of_landmarks(folder: Path) -> Path:
    frames = [{"frame": number, "pose_landmarks": _landmarks(0.1 * number)} for number in (1, 2, 4)]
    return _json(folder / "pose.json", [*frames, {"frame": 5, "pose_landmarks": None}])


@seed("mediapipe")
def lines_of_landmarks(folder: Path) -> Path:
    lines = (json.dumps({"frame": number, "landmarks": _landmarks(0.1 * number)}) for number in (1, 2))
    path = folder / "pose.jsonl"
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


@seed("mediapipe-pictures")
def landmarks_of_pictures(folder: Path) -> Path:
    (folder / "landmarks").mkdir()
    for number in (1, 2, 4):
        _json(folder / f"landmarks/frame_{number:04}.json", {"landmarks": _landmarks(0.1 * number)})
    return folder / "landmarks"


@seed("openpifpaf")
def lines_of_predictions(folder: Path) -> Path:
    lines = ({"frame": number, "predictions": [{"keypoints": _flat(17), "id_": 3}]} for number in (1, 2, 4))
    path = folder / "clip.mp4.openpifpaf.json"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    return path


@seed("openpifpaf-pictures")
def predictions_beside_pictures(folder: Path) -> Path:
    (folder / "out").mkdir()
    for number in (1, 2):
        _json(folder / f"out/img_{number}.jpg.predictions.json", [{"keypoints": _flat(17), "category_id": 1}])
    return folder / "out"


@seed("easy-vitpose")
def people_by_id(folder: Path) -> Path:
    people = {"0": [[20.0, 10.0, 0.9], [30.0, 15.0, 0.8]], "3": [[120.0, 10.0, 0.9], [130.0, 15.0, 0.8]]}
    return _json(folder / "result.json", {"keypoints": [people, {}, people], "skeleton": {"0": "nose", "1": "tail"}})


@seed("labelme")
def points_of_a_picture(folder: Path) -> Path:
    def shape(label: str, at: float, animal: int) -> dict[str, Any]:
        return {"label": label, "points": [[at, 2 * at]], "group_id": animal, "shape_type": "point", "flags": {}}

    shapes = [shape(label, at, animal) for animal in (1, 2) for label, at in (("nose", 5.0), ("tail", 9.0 * animal))]
    size = {"imageWidth": 64, "imageHeight": 48}
    return _json(folder / "img01.json", {"shapes": shapes, "imagePath": "img01.png", "imageData": None, **size})


@seed("mars")
def two_mice(folder: Path) -> Path:
    poses = points(3, 2, 2, 7).tolist()
    return _json(folder / "mars.json", {"keypoints": poses, "scores": (points(3, 2, 7) / 50).tolist()})


@seed("mars")
def sequences_of_calms21(folder: Path) -> Path:
    sequence = {"keypoints": points(2, 2, 2, 7).tolist(), "scores": (points(2, 2, 7) / 50).tolist()}
    return _json(folder / "calms21.json", {"annotator-id_0": {"train/mouse001": sequence, "train/mouse002": sequence}})
