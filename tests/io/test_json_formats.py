"""COCO, AlphaPose, MMPose, AnimalSyn3D, BADJA and AlphaTracker: tiny files written here, and the real ones."""

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

NAN = [np.nan, np.nan]
Writer = Callable[[Any], Path]


def _coco(**images: Any) -> dict[str, Any]:
    return {
        "images": [
            {"id": 70, "file_name": "frame_011.png", "width": 64, "height": 48} | images,
            {"id": 90, "file_name": "frame_012.png", "width": 64, "height": 48},
        ],
        "annotations": [
            {"id": 1, "image_id": 90, "category_id": 3, "keypoints": [1, 2, 2, 3, 4, 1, 0, 0, 0]},
            {"id": 2, "image_id": 70, "category_id": 3, "keypoints": [2, 2, 2, 4, 4, 2, 6, 6, 2]},
            {"id": 3, "image_id": 70, "category_id": 8, "bbox": [0, 0, 1, 1]},
        ],
        "categories": [
            {"id": 3, "name": "owl", "keypoints": ["beak", "wing_l", "wing_r"], "skeleton": [[1, 2], [1, 3], [3, 1]]},
            {"id": 8, "name": "tree"},
        ],
    }


def test_coco_images_of_a_video_are_frames(write_json: Writer) -> None:
    found = read_keypoints(write_json(_coco()))
    assert found.format == "coco" and found.tracks == ("track_0",) and found.image_size == (64, 48)
    assert found.frames is not None and found.frames.tolist() == [11, 12]
    assert found.skeleton.names == ("beak", "wing_l", "wing_r"), "category's names"
    assert found.skeleton.edges == ((0, 1), (0, 2)), "1-based in the file, each bone once"
    np.testing.assert_array_equal(found.keypoints[0], [[[2, 2], [4, 4], [6, 6]], [[1, 2], [3, 4], NAN]])
    np.testing.assert_array_equal(found.confidence[0], [[1, 1, 1], [1, 1, 0]])


def test_coco_stills_are_tracks_of_one_frame(write_json: Writer) -> None:
    found = read_keypoints(write_json(_coco(width=32)))
    assert found.tracks == ("image_90/animal_1", "image_70/animal_2") and found.image_size is None
    np.testing.assert_array_equal(found.keypoints[:, 0], [[[1, 2], [3, 4], NAN], [[2, 2], [4, 4], [6, 6]]])


def test_coco_track_ids_are_kept(write_json: Writer) -> None:
    content = _coco()
    content["annotations"] = [item | {"track_id": 10 - item["id"]} for item in content["annotations"]]
    found = read_keypoints(write_json(content))
    assert found.tracks == ("9", "8")
    assert np.isfinite(found.keypoints[..., 0]).sum(axis=-1).tolist() == [[0, 2], [3, 0]]


def _two_crossing(**keys: Any) -> dict[str, Any]:
    """Two owls that change places in four frames; `keys` gives what goes into an annotation of animal 0 or 1."""
    content = _coco()
    content["images"] = [{"id": 70 + frame, "file_name": f"frame_{frame:03}.PNG", "width": 640, "height": 480}
                         for frame in range(4)]  # fmt: skip
    content["annotations"] = [
        {"id": 2 * frame + animal, "image_id": 70 + frame, "category_id": 3,
         "keypoints": [260 + 40 * abs(3 * animal - frame), 100, 2, 460 + 40 * abs(3 * animal - frame), 100, 2, 0, 0, 0]}
        | {key: value(animal, frame) for key, value in keys.items()}
        for frame in range(4)
        for animal in (0, 1)
    ]  # fmt: skip
    return content


@pytest.mark.parametrize(
    ("keys", "note"),
    [
        ({"track_id": lambda animal, frame: animal}, None),
        ({"attributes": lambda animal, frame: {"occluded": False, "track_id": animal}}, "attributes.track_id"),
        ({"attributes": lambda animal, frame: {"object_id": str(animal)}}, "attributes.object_id"),
        ({"attributes": lambda animal, frame: {"id": animal}}, "attributes.id"),
        ({"instance_id": lambda animal, frame: float(animal)}, "instance_id"),
        ({"track": lambda animal, frame: animal, "attributes": lambda animal, frame: {"id": 7}}, "track"),
    ],
)
def test_coco_ids_that_tools_write(write_json: Writer, keys: dict[str, Any], note: str | None) -> None:
    found = read_keypoints(write_json(_two_crossing(**keys)))
    assert found.tracks == ("0", "1")
    assert found.keypoints[:, :, 0, 0].tolist() == [[260, 300, 340, 380], [380, 340, 300, 260]]
    assert found.notes == (() if note is None else (f"animals are told apart by `{note}`",))


@pytest.mark.parametrize(
    "keys",
    [
        {"track_id": lambda animal, frame: -1},
        {"attributes": lambda animal, frame: {"track_id": None, "id": 2 * frame + animal}},
        {"attributes": lambda animal, frame: {"id": 5}},
    ],
)
def test_coco_numbers_that_are_no_ids_of_animals(write_json: Writer, keys: dict[str, Any]) -> None:
    found = read_keypoints(write_json(_two_crossing(**keys)))
    assert found.tracks == ("track_0", "track_1") and not found.warnings
    assert found.notes == ("poses without an id are joined by nearness, into 2 tracks",)


def test_coco_annotations_without_an_id_among_others_are_joined_by_themselves(write_json: Writer) -> None:
    content = _two_crossing(track_id=lambda animal, frame: 4 if animal == 0 else -1)
    found = read_keypoints(write_json(content))
    assert found.tracks == ("4", "track_0") and found.keypoints[1, :, 0, 0].tolist() == [380, 340, 300, 260]


@pytest.mark.parametrize("by", ["video_id", "vid_id", "folder"])
@pytest.mark.parametrize("tracked", [False, True])
def test_coco_videos_are_read_each_by_itself(write_json: Writer, by: str, tracked: bool) -> None:
    content = _two_crossing(**({"track_id": lambda animal, frame: 1} if tracked else {}))
    content["annotations"] = content["annotations"][::2]
    for place, image in enumerate(content["images"]):
        image["file_name"] = f"{place // 2 if by == 'folder' else 'all'}/frame_{place % 2:03}.png"
        if by != "folder":
            image[by] = place // 2
    found = read_keypoints(write_json(content))
    names = ("0", "1") if by == "folder" else ("video_0", "video_1")
    assert found.tracks == tuple(f"{name}/{'1' if tracked else 'track_0'}" for name in names)
    assert found.keypoints[:, :, 0, 0].tolist() == [[260, 300], [340, 380]]


def test_coco_two_poses_with_one_id_in_one_image_are_told(write_json: Writer) -> None:
    content = _two_crossing(track_id=lambda animal, frame: animal if frame else 1)
    found = read_keypoints(write_json(content))
    assert found.warnings == ("1 of 8 poses left out: their frame has another pose of the same id, more confident",)


def test_coco_one_id_for_all_tells_no_animals_apart(write_json: Writer) -> None:
    found = read_keypoints(write_json(_two_crossing(track_id=lambda animal, frame: 1)))
    assert len(found.tracks) == 2 and found.visible()[..., :2].all() and found.warnings == ()
    assert found.notes[0] == "all poses have the id 1, which tells no animals apart"


def test_coco_exports_of_roboflow_and_edges_that_count_from_zero(write_json: Writer) -> None:
    content = _two_crossing()
    for frame, image in enumerate(content["images"]):
        image["file_name"] = f"frame_{frame + 4:04}_jpg.rf.{97531 * (frame + 3)}ab12.jpg"
    content["categories"][0]["skeleton"] = [[0, 1], [0, 2]]
    found = read_keypoints(write_json(content))
    assert found.frames is not None and found.frames.tolist() == [4, 5, 6, 7]
    assert found.skeleton.edges == ((0, 1), (0, 2))


def _one_owl(names: list[str], each: int = 1, visible: float = 2) -> dict[str, Any]:
    """Owls in pictures of one size with these names, `each` of them in a picture."""
    content = _coco()
    content["images"] = [
        {"id": place, "file_name": name, "width": 640, "height": 480} for place, name in enumerate(names)
    ]
    content["annotations"] = [
        {"id": each * place + animal, "image_id": place, "category_id": 3,
         "keypoints": [value for joint in range(3) for value in (90 + place + 200 * animal + 20 * joint, 80, visible)]}
        for place in range(len(names))
        for animal in range(each)
    ]  # fmt: skip
    return content


@pytest.mark.parametrize(
    ("names", "frames"),
    [
        ([f"img_{number:05}.jpg" for number in range(10, 70, 10)], [10, 20, 30, 40, 50, 60]),
        ([f"mouse_{number:04}.png" for number in (3, 10, 17, 40, 55, 80)], [3, 10, 17, 40, 55, 80]),
        ([f"frame{number}.png" for number in (3, 10, 17, 40, 55, 80)], [3, 10, 17, 40, 55, 80]),
    ],
)
@pytest.mark.parametrize("each", [1, 2])
def test_coco_pictures_far_apart_in_a_video(write_json: Writer, names: list[str], frames: list[int], each: int) -> None:
    found = read_keypoints(write_json(_one_owl(names, each)))
    assert len(found.tracks) == each and found.frames is not None and found.frames.tolist() == frames
    assert found.visible().all()


@pytest.mark.parametrize("tracked", [False, True])
def test_coco_videos_of_one_folder_are_told_apart_by_their_names(write_json: Writer, tracked: bool) -> None:
    content = _one_owl([f"{video}_{frame:03}.png" for video in "vw" for frame in range(5)])
    if tracked:
        content["annotations"] = [item | {"track_id": 1} for item in content["annotations"]]
    found = read_keypoints(write_json(content))
    name = "1" if tracked else "track_0"
    assert found.tracks == (f"v/{name}", f"w/{name}") and found.num_frames == 5 and found.visible().all()


def test_coco_numbered_images_of_one_video_may_have_other_names(write_json: Writer) -> None:
    content = _one_owl([f"{video}_{frame:03}.png" for video in "vw" for frame in range(5)])
    content["images"] = [image | {"frame_id": place} for place, image in enumerate(content["images"])]
    found = read_keypoints(write_json(content))
    assert found.tracks == ("track_0",) and found.num_frames == 10


def test_coco_stills_are_noted(write_json: Writer) -> None:
    content = _one_owl([f"IMG_{number}.jpg" for number in (1042, 1377, 8121)])
    found = read_keypoints(write_json(content))
    assert len(found.tracks) == 3 and found.notes[0].startswith("3 images are taken as stills")


def test_coco_confidence_in_the_place_of_the_visibility(write_json: Writer) -> None:
    names = [f"frame_{frame:03}.png" for frame in range(3)]
    assert read_keypoints(write_json(_one_owl(names, visible=0.7))).confidence[0, 0].tolist() == [np.float32(0.7)] * 3
    assert read_keypoints(write_json(_one_owl(names, visible=1))).confidence[0, 0].tolist() == [1] * 3


def test_coco_bones_that_name_their_joints(write_json: Writer) -> None:
    content = _coco()
    content["categories"][0]["skeleton"] = [["beak", "wing_l"], ["beak", "wing_r"]]
    assert read_keypoints(write_json(content)).skeleton.edges == ((0, 1), (0, 2))


def test_coco_whole_body_annotations_give_the_body(write_json: Writer) -> None:
    content = _two_crossing(foot_kpts=lambda animal, frame: [0] * 18, face_kpts=lambda animal, frame: [0] * 204)
    found = read_keypoints(write_json(content))
    assert found.keypoints.shape[2] == 3 and any("feet, face and hands" in note for note in found.notes)


def test_coco_results_on_lines(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    pose = [value for joint in range(17) for value in (joint, 2 * joint, 0.5)]
    path.write_text("\n".join(json.dumps({"image_id": image, "keypoints": pose}) for image in (4, 5, 7)))
    found = read_keypoints(path)
    assert found.format == "coco-results" and found.frames is not None and found.frames.tolist() == [4, 5, 6, 7]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["categories"][0].update(skeleton=[[1, 4]]), r"edge \(0, 3\) must join joints 0 … 2"),
        (lambda c: c["categories"][0].update(keypoints=["a", "a", "b"]), "names must be distinct, got 'a'"),
        (lambda c: c["annotations"][0].update(image_id=5), "image 5, which is not among the images"),
        (lambda c: c["annotations"][0].update(keypoints=[1, 2]), "flat list of x, y, confidence"),
        (lambda c: c["annotations"][0].update(keypoints=[1, 2, 2]), "has 1 keypoints, wanted 3"),
        (lambda c: c["annotations"][0].update(keypoints=[1, 2, "much"]), "must hold numbers"),
        (lambda c: c.update(annotations=[]), "none of 0 annotations has keypoints"),
        (lambda c: c["annotations"][1].update(keypoints=[0] * 9) or c["annotations"].pop(0), "no keypoint is visible"),
    ],
)
def test_bad_coco_names_the_cause(write_json: Writer, change: Callable[[Any], object], message: str) -> None:
    content = _coco()
    change(content)
    with pytest.raises(InputError, match=message) as error:
        read_keypoints(write_json(content))
    assert "keypoints.json: " in str(error.value) and "\n" not in str(error.value)


def test_coco_results_of_a_video_and_of_stills(write_json: Writer) -> None:
    pose = [value for joint in range(17) for value in (joint, 2 * joint, 0.5)]
    items = [{"image_id": image, "category_id": 1, "keypoints": pose, "score": 0.9} for image in (4, 5, 7)]
    found = read_keypoints(write_json(items))
    assert found.format == "coco-results" and found.skeleton.name == "coco_17" and found.tracks == ("track_0",)
    assert found.frames is not None and found.frames.tolist() == [4, 5, 6, 7]
    assert found.visible().any(axis=-1).tolist() == [[True, True, False, True]]
    items[2]["image_id"] = 900_000
    assert read_keypoints(write_json(items)).keypoints.shape == (3, 1, 17, 2)
    items[2]["image_id"] = 10**30
    with pytest.raises(InputError, match="image_id must be a whole number below"):
        read_keypoints(write_json(items))


@pytest.mark.parametrize(
    ("points", "name", "joints"), [(26, "halpe_26", 26), (136, "halpe_26", 26), (17, "coco_17", 17)]
)
def test_alphapose_people_by_idx_and_body_by_count(write_json: Writer, points: int, name: str, joints: int) -> None:
    def pose(at: float) -> list[float]:
        return [value for joint in range(points) for value in (at + joint, at, 0.8 if joint else 0.0)]

    content = [
        {"image_id": f"{frame}.jpg", "category_id": 1, "keypoints": pose(at), "score": 2.9, "idx": idx}
        for frame, at, idx in [(10, 5.0, 2), (10, 50.0, [[1.0]]), (9, 6.0, 2)]
    ]
    found = read_keypoints(write_json(content))
    assert found.format == "alphapose" and found.skeleton == rig(name)
    assert found.tracks == ("person_2", "person_1")
    assert found.frames is not None and found.frames.tolist() == [9, 10]
    np.testing.assert_array_equal(found.keypoints[0, :, 1], [[7, 6], [6, 5]])
    np.testing.assert_array_equal(found.keypoints[1, :, 1], [NAN, [51, 50]])
    assert found.keypoints.shape[2] == joints and not found.confidence[:, :, 0].any()


def _mmpose(**meta: Any) -> dict[str, Any]:
    def instance(at: float) -> dict[str, Any]:
        return {"keypoints": [[at, 1.0], [at, 31.0]], "keypoint_scores": [0.9, 0.4], "bbox": [[0, 0, 9, 9]]}

    return {
        "meta_info": {"keypoint_id2name": {"0": "hip", "1": "knee"}, "skeleton_links": [[0, 1]]} | meta,
        "instance_info": [
            {"frame_id": 1, "instances": [instance(10), instance(300)]},
            {"frame_id": 2, "instances": []},
            {"frame_id": 3, "instances": [instance(301), instance(10.5)]},
        ],
    }


@pytest.mark.parametrize("links", [[[0, 1]], [["hip", "knee"]], {"__ndarray__": [[0, 1]], "dtype": "int64"}])
def test_mmpose_names_links_and_tracks(write_json: Writer, links: Any) -> None:
    found = read_keypoints(write_json(_mmpose(skeleton_links=links)))
    assert found.format == "mmpose" and found.skeleton.names == ("hip", "knee") and found.skeleton.edges == ((0, 1),)
    np.testing.assert_array_equal(found.keypoints[0, :, 0], [[10, 1], NAN, [10.5, 1]])
    np.testing.assert_array_equal(found.keypoints[1, :, 0], [[300, 1], NAN, [301, 1]])
    np.testing.assert_array_equal(found.confidence[0, 2], np.array([0.9, 0.4], np.float32))


def test_mmpose_lists_without_meta_information(write_json: Writer) -> None:
    frames = _mmpose()["instance_info"]
    found = read_keypoints(write_json(frames))
    assert found.keypoints.shape == (2, 3, 2, 2) and found.skeleton.names == ("keypoint_0", "keypoint_1")
    one_picture = read_keypoints(write_json(frames[0]["instances"]))
    np.testing.assert_array_equal(one_picture.keypoints[:, 0], found.keypoints[:, 0])


def test_mmpose_3d_predictions_and_wrong_names_are_refused(write_json: Writer) -> None:
    content = _mmpose()
    content["instance_info"][0]["instances"][0]["keypoints"] = [[1, 2, 3], [4, 5, 6]]
    with pytest.raises(InputError, match="holds 3D points"):
        read_keypoints(write_json(content))
    with pytest.raises(InputError, match="meta_info names 1 keypoints, wanted 2"):
        read_keypoints(write_json(_mmpose(keypoint_id2name={"0": "hip"})))
    with pytest.raises(InputError, match="none of 1 frames has an instance"):
        read_keypoints(write_json([{"frame_id": 0, "instances": []}]))


def test_animalsyn3d_names_connections_and_size(write_json: Writer) -> None:
    points = np.random.default_rng(0).uniform(0, 1080, (3, 26, 2))
    content = {
        "model": "foxZED",
        "animation": "walk",
        "connections": [[0, 1], [1, 0], [1, 2]],
        "camera": {"width": 1080, "height": 1070},
        "points": {"2d": points.tolist(), "3d": np.zeros((3, 26, 3)).tolist()},
    }
    found = read_keypoints(write_json(content))
    assert found.format == "animalsyn3d" and found.tracks == ("foxZED/walk",) and found.image_size == (1080, 1070)
    assert found.skeleton.names == rig("foxZED").names and found.skeleton.edges == ((0, 1), (1, 2))
    np.testing.assert_array_equal(found.keypoints[0], points.astype(np.float32))
    content["model"] = "unicorn"
    assert read_keypoints(write_json(content)).skeleton.names[:2] == ("keypoint_0", "keypoint_1")


def test_animalsyn3d_pixels_of_a_camera_with_y_up_are_turned_down(write_json: Writer) -> None:
    points = np.random.default_rng(0).uniform(0, 1080, (3, 26, 2))
    rotation = np.array([[0.6, 0, 0.8, 1], [0, 1, 0, 2], [-0.8, 0, 0.6, 9]])
    content: dict[str, Any] = {
        "model": "foxZED",
        "connections": [[0, 1]],
        "camera": {"width": 1080, "height": 1070, "extrinsic": rotation.tolist()},
        "points": {"2d": points.tolist()},
    }
    found = read_keypoints(write_json(content)).keypoints[0]
    np.testing.assert_array_equal(found, (points * [1, -1] + [0, 1070]).astype(np.float32))
    for other in (
        [[1, 0, 0, 0], [0, -1, 0, 0], [0, 0, -1, 9]],
        [[1, 0, 0, 0], [0, 0.6, -0.8, 0], [0, 0.8, 0.6, 9]],
        [],
        "level",
    ):
        content["camera"]["extrinsic"] = other
        np.testing.assert_array_equal(read_keypoints(write_json(content)).keypoints[0], points.astype(np.float32))
    content["camera"] = {"extrinsic": rotation.tolist()}
    np.testing.assert_array_equal(
        read_keypoints(write_json(content)).keypoints[0], (points * [1, -1]).astype(np.float32)
    )


def _badja_by_hand(content: Any) -> npt.NDArray[np.float64]:
    return np.array([[[x, y] if there else NAN for (y, x), there in zip(f["joints"], f["visibility"], strict=True)]
                     for f in content])  # fmt: skip


def test_badja_swaps_rows_and_columns(write_json: Writer) -> None:
    joints = [[100 + joint, joint] for joint in range(37)]
    visibility = [joint != 33 for joint in range(37)]
    content = [
        {"image_path": f"cat/{number:05}.jpg", "joints": joints, "visibility": visibility} for number in (0, 5, 12)
    ]
    found = read_keypoints(write_json(content))
    assert found.format == "badja" and found.frames is not None and found.frames.tolist() == [0, 5, 12]
    neck, nose = found.skeleton.names.index("neck"), found.skeleton.names.index("nose")
    np.testing.assert_array_equal(found.keypoints[0, 1, neck], [15, 115])
    assert np.isnan(found.keypoints[0, :, nose]).all()
    content[1]["joints"] = joints[:20]
    with pytest.raises(InputError, match="joints must hold numbers in rows of one length"):
        read_keypoints(write_json(content))


@pytest.mark.parametrize(
    "name", ["bear", "camel", "cat_jump", "cows", "dog-agility", "dog", "horsejump-high", "horsejump-low", "tiger"]
)
def test_real_badja_keeps_every_annotated_point(real_data: Path, name: str) -> None:
    path = real_data / f"keypoints2d/badja/{name}.json"
    found = read_keypoints(path)
    wanted = _badja_by_hand(json.loads(path.read_text()))
    assert found.num_frames == len(wanted)
    assert np.isfinite(found.keypoints).sum() == np.isfinite(wanted).sum()
    assert np.nansum(found.keypoints[..., 0]) == np.nansum(wanted[..., 0])
    assert np.nansum(found.keypoints[..., 1]) == np.nansum(wanted[..., 1])
    tops = [
        found.skeleton.names.index(f"{side}_{leg}_leg_top") for side in ("left", "right") for leg in ("front", "back")
    ]
    paws = [found.skeleton.names.index(f"{side}_{leg}_paw") for side in ("left", "right") for leg in ("front", "back")]
    below = found.keypoints[0, :, paws, 1] - found.keypoints[0, :, tops, 1]
    assert np.nanmedian(below) > 0, "y points down, so a paw is below the top of its leg"


@pytest.mark.parametrize(("name", "animals"), [("test_coco", 12), ("test_ap10k", 2)])
def test_real_coco_annotations(real_data: Path, name: str, animals: int) -> None:
    path = real_data / f"keypoints2d/coco/{name}.json"
    found = read_keypoints(path)
    content = json.loads(path.read_text())
    assert found.keypoints.shape == (animals, 1, 17, 2)
    by_id = {str(item["id"]): np.reshape(item["keypoints"], (17, 3)) for item in content["annotations"]}
    for track, label in enumerate(found.tracks):
        flat = by_id[label.rsplit("_", 1)[1]]
        np.testing.assert_array_equal(found.keypoints[track, 0], np.where(flat[:, 2:] > 0, flat[:, :2], np.nan))
    assert len(found.skeleton.edges) == len(content["categories"][0]["skeleton"])


def test_alphatracker_boxes_are_animals(write_json: Writer, real_data: Path) -> None:
    box, point = {"class": "Face", "x": 0, "y": 0, "width": 3, "height": 3}, {"class": "point"}
    content = [
        {"filename": "img2.png", "annotations": [box, point | {"x": 1, "y": 2}, box, point | {"x": 3, "y": 4}]},
        {"filename": "img4.png", "annotations": [box, point | {"x": 5, "y": 6}]},
    ]
    found = read_keypoints(write_json(content))
    np.testing.assert_array_equal(found.keypoints[:, :, 0], [[[1, 2], [5, 6]], [[3, 4], NAN]])
    assert found.frames is not None and found.frames.tolist() == [2, 4]
    with pytest.raises(InputError, match=r"img4\.png: a point comes before the first box"):
        read_keypoints(write_json([content[0], {"filename": "img4.png", "annotations": content[1]["annotations"][1:]}]))
    real = read_keypoints(real_data / "keypoints2d/sleap/at_testdata.json")
    np.testing.assert_array_equal(real.keypoints[0, :, :, 0], np.repeat([[1], [2], [3], [4]], 3, axis=1))
    np.testing.assert_array_equal(real.keypoints[1, :, :, 0], np.repeat([[2], [4], [6], [8]], 3, axis=1))
