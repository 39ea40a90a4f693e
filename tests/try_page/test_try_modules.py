"""The modules of the page that lifts in the browser answer, in node, what the Python package answers."""

from __future__ import annotations

import base64
import io
import itertools
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from asking import ask

from olift_fast.errors import InputError
from olift_fast.io import read_keypoints, read_lifted, write_lifted
from olift_fast.model import Normalization
from olift_fast.model.alignment import fit_cameras
from olift_fast.model.batches import reached_from, stretches_of
from olift_fast.tracks import body_parts as words
from olift_fast.tracks import with_inferred_skeleton
from olift_fast.tracks.anatomy import edges_by_name
from olift_fast.tracks.containers import LiftedTracks
from olift_fast.tracks.hands import hand_of, is_hand
from olift_fast.tracks.rigs import rig, rig_names
from olift_fast.tracks.sides import infer_sides
from olift_fast.tracks.skeleton import Skeleton
from olift_fast.view.packing import pack


def made_up_names(rng: random.Random) -> list[str]:
    """Names of 3 to 14 joints from the vocabulary, with sides and numbers, written in one of the usual ways."""
    vocabulary = sorted({*words.MEANING, *words.GIRDLES, *words.POSITIONS, *words.JOINTS, *words.TOES, *words.FINS})
    names = []
    for _ in range(rng.randint(3, 14)):
        spoken = rng.choices(vocabulary, k=rng.randint(1, 2))
        if side := rng.choice(("", "", "l", "r", "left", "right")):
            spoken.insert(rng.choice((0, len(spoken))), side)
        if rng.random() < 0.25:
            spoken.append(str(rng.randint(0, 12)))
        capitals = "".join(word.capitalize() for word in spoken)
        names.append(rng.choice(("_".join(spoken), capitals, " ".join(spoken), "".join(spoken))))
    return list(dict.fromkeys(names))


def test_names_tell_the_same_bones_and_sides_as_in_python(tmp_path: Path) -> None:
    rng = random.Random(0)
    lists = [list(rig(name).names) for name in rig_names()] + [made_up_names(rng) for _ in range(300)]
    lists += [
        [f"{side}{leg}{joint}" for side in "LR" for leg in "123" for joint in "ABCDE"],
        ["mixamorig:Hips", "Bip01 L Thigh"],
        *([f"{joint}_{side}" for joint in ("Wrist", "Thumb_Tip", "Palm")] for side in ("L", "R", "L_R")),
    ]
    for names, found in zip(lists, ask("names", tmp_path, lists=lists), strict=True):
        assert found["sides"] == list(infer_sides(names)), names
        assert [tuple(edge) for edge in found["edges"]] == list(edges_by_name(tuple(names))), names


def test_the_name_of_a_track_tells_which_hand_it_is_as_in_python(tmp_path: Path) -> None:
    rng = random.Random(0)
    of_hands = (
        "wrist",
        "palm",
        "thumb",
        "thumb_tip",
        "index",
        "index_tip",
        "middle",
        "ring_1",
        "pinky",
        "finger",
        "x7",
    )
    others = ("elbow", "toe", "foot", "paw", "claw", "hand", "nose", "heel", "ankle", "hind_toe", "carpus")
    made = [rng.sample(of_hands, rng.randint(2, 6)) + rng.sample(others, rng.choice((0, 0, 1))) for _ in range(300)]
    lists = [*made, *(list(rig(name).names) for name in rig_names()), *(made_up_names(rng) for _ in range(100))]
    tracks = ("left_hand", "Right hand", "handRight", "left or right", "leftover", "hand")
    told = 0
    for names, found in zip(lists, ask("hands", tmp_path, lists=lists, tracks=tracks), strict=True):
        skeleton = Skeleton(tuple(names), sides=(0,) * len(names))
        assert found["hand"] == is_hand(skeleton), names
        assert found["sides"] == [list(hand_of(skeleton, track).sides) for track in tracks], names
        told += found["hand"]
    assert 50 < told < 300


@pytest.mark.slow
def test_real_files_are_read_as_in_python(tmp_path: Path, real_data: Path) -> None:
    folder = real_data / "keypoints2d"
    tables = [*sorted(folder.glob("deeplabcut_csv/*.csv")), *sorted(folder.glob("lightning_pose/*.csv"))]
    sources = [*tables, *sorted(folder.glob("coco/*.json")), *sorted((folder / "openpose_body25b").iterdir())]
    recordings = [
        [str(file) for file in (sorted(source.iterdir()) if source.is_dir() else [source])] for source in sources
    ]
    assert len(sources) > 12
    for source, found in zip(sources, ask("read", tmp_path, recordings=recordings), strict=True):
        assert_read_alike(found, source)


def assert_read_alike(found: dict[str, Any], source: Path) -> None:
    tracks = with_inferred_skeleton(read_keypoints(source))
    shape = found["N"], found["T"], found["J"]
    keypoints = np.array(found["keypoints"], dtype=np.float64).reshape(*shape, 2)
    np.testing.assert_array_equal(keypoints, tracks.keypoints, err_msg=str(source))
    np.testing.assert_array_equal(np.reshape(found["confidence"], shape), tracks.confidence, err_msg=str(source))
    skeleton = found["skeleton"]
    assert skeleton["names"] == list(tracks.skeleton.names)
    assert [tuple(edge) for edge in skeleton["edges"]] == list(tracks.skeleton.edges), source
    assert skeleton["sides"] == list(tracks.skeleton.sides)
    assert skeleton["inferred"] == any(tracks.skeleton.inferred)
    assert found["tracks"] == list(tracks.tracks) and found["format"] == tracks.format
    assert found["frames"] == (None if tracks.frames is None else tracks.frames.tolist())
    assert found["notes"] == list(tracks.notes), source
    assert found["fps"] == tracks.fps and found["imageSize"] == (tracks.image_size and list(tracks.image_size)), source


MMPOSE = (
    '{"meta_info": {"keypoint_id2name": {"0": "nose", "1": "neck", "2": "tail"}, "skeleton_links": [[0, 1], [1, 2]]},'
    '"instance_info": [{"frame_id": 1, "instances": [{"keypoints": [[1, 2], [30, 4], [50, 66]], "keypoint_scores":'
    '[0.9, 0.8, NaN]}]}, {"frame_id": 4, "instances": [{"keypoints": [[2, 2], [31, 4], [51, 65]],'
    '"keypoint_scores": [0.9, 0.1, 1]}]}]}'
)
COCO_RESULTS = (
    '[{"image_id": 3, "category_id": 1, "track_id": 7, "keypoints": [9, 8, 0.5, 70, 60, 0.9]},'
    '{"image_id": 5, "category_id": 1, "track_id": 7, "keypoints": [9, 9, 0.5, 71, 60, 0]},'
    '{"image_id": 5, "category_id": 1, "track_id": 8, "keypoints": [1, 9, 0.5, 7, 20, 0.1]}]'
)
MARKED = "scorer,s,s,s,s\nbodyparts,nose,nose,tail,tail\ncoords,x,y,x,y\n3,40,50,-1,-1\n5,41,52,-1,-1\n6,44,50,80,90\n"


def test_small_files_of_other_formats_are_read_as_in_python(tmp_path: Path) -> None:
    made = {"mmpose.json": MMPOSE, "results.json": COCO_RESULTS, "marked.csv": MARKED}
    for name, text in made.items():
        (tmp_path / name).write_text(text)
    points = np.random.default_rng(0).normal(300, 80, (2, 5, 4, 2))
    points[0, 2, 1] = np.nan
    names = np.array(["left_eye", "right_eye", "nose", "tail_base"])
    given = {"keypoints": points, "names": names, "fps": 25.0, "frames": np.array([2, 3, 4, 8, 9])}
    np.savez_compressed(tmp_path / "ours.npz", **given)
    np.save(tmp_path / "bare.npy", np.concatenate([points[0], np.full((5, 4, 1), 0.7)], axis=-1).astype(np.float32))
    files = [tmp_path / name for name in (*made, "ours.npz", "bare.npy")]
    for file, found in zip(files, ask("read", tmp_path, recordings=[[str(file)] for file in files]), strict=True):
        assert_read_alike(found, file)
        assert found["fps"] == (25.0 if file.name == "ours.npz" else None)


def _coco(frames: list[int], **given: Any) -> dict[str, Any]:
    flat = [10, 20, 2, 30, 45, 2]
    images = [{"id": frame, "file_name": f"a_{frame}.png", "width": 99, "height": 99} for frame in frames]
    annotations = [{"image_id": frame, "category_id": 1, "keypoints": flat, "track_id": 1} for frame in frames]
    categories = [{"id": 1, "name": "mouse", "keypoints": ["nose", "tail"]}]
    return {"images": images, "annotations": annotations, "categories": categories} | given


def _mmpose(numbers: list[Any], **instance: Any) -> dict[str, Any]:
    usual = {"keypoints": [[1, 2], [30, 4], [50, 66]], "keypoint_scores": [0.9, 0.8, 0.7]}
    frames = [{"frame_id": number, "instances": [usual]} for number in numbers]
    return {"instance_info": [{"frame_id": 0, "instances": [usual | instance]}, *frames]}


def _openpose(*people: Any, **frame: Any) -> list[Any]:
    usual = {"pose_keypoints_2d": [value for joint in range(18) for value in (10 + 7 * joint, 9 + 3 * joint, 0.5)]}
    return [{"people": [usual], **frame}, *({"people": given, **frame} for given in people)]


ODD: dict[str, Any] = {
    "far.json": _coco([1, 2, 90]),
    "same image.json": _coco([1, 1]),
    "unordered.json": _coco([3, 1]),
    "frames by name.json": _coco(
        [0, 30, 31, 59],
        images=[
            {"id": frame, "file_name": f"v_{frame:04}.png", "width": 99, "height": 99} for frame in (0, 30, 31, 59)
        ],
        annotations=[{"image_id": frame, "category_id": 1, "keypoints": [1, 2, 2, 9, 9, 2]} for frame in (0, 59)],
    ),
    "no frames.json": [],
    "no annotation.json": _coco([1, 2], annotations=[]),
    "no score.json": _coco([1], annotations=[{"image_id": 1, "category_id": 1, "keypoints": [1, 2, None, 9, 9, -1]}]),
    "frame null.json": _mmpose([None]),
    "frame text.json": _mmpose(["1", " 2"]),
    "frame half.json": _mmpose([1.5]),
    "frames unordered.json": _mmpose([9, 3]),
    "one without a number.json": _mmpose([0, None, 0]),
    "keypoints null.json": _mmpose([3], keypoints=None),
    "score null.json": _mmpose([3], keypoint_scores=[None, 0.5, None]),
    "scores short.json": _mmpose([3], keypoint_scores=[1, 1]),
    "point null.json": _mmpose([3], keypoints=[[None, None], [3, 4], [5, 6]]),
    "deep.json": _mmpose([3], keypoints=[[1, 2, 30], [3, 4, 5], [5, 6, 7]]),
    "people null.json": _openpose(None, []),
    "person null.json": _openpose([{"pose_keypoints_2d": None}], [{"pose_keypoints_2d": []}]),
    "person empty.json": _openpose([{}]),
    "points short.json": _openpose([{"pose_keypoints_2d": [1, 2, 0.5, 3]}]),
    "frame half of openpose.json": _openpose(frame=5.5),
    "frame below 0.json": _openpose([], frame=-5),
    "frame twice.json": _openpose([], frame=5),
    "row short.csv": MARKED + "7,1,2,3\n",
    "row long.csv": MARKED.replace("\n6,", "\n\n6,") + "\n7,1,2,3,4,5\n",
    "row with empty cells.csv": MARKED + "7,1,2,3,4,,\n",
    "time missing.csv": MARKED.replace("\n3,", "\n0.1,").replace("\n5,", "\n0.2,").replace("\n6,", "\n,"),
    "row without values.csv": MARKED + "7,,\n",
    "row without number.csv": MARKED + ",1,2,3,4\n",
    "number below 0.csv": MARKED.replace("\n3,", "\n-3,"),
    "unordered.csv": MARKED.replace("\n3,", "\n9,"),
    **{
        f"{name}.npz": {"keypoints": np.arange(40.0).reshape(5, 4, 2) ** 1.5 + 9, name.split()[0]: np.array(value)}
        for name, value in {
            "frames half": [0, 1, 2, 3, 4.5],
            "frames huge": [0, 1, 2, 3, 1e300],
            "frames twofold": [[0, 1, 2, 3, 4]],
            "frames bool": [False, True, True, True, True],
            "names twofold": [["a", "b", "c", "d"]],
            "names numbers": [4, 5, 6, 7],
            "tracks text": "a",
            "fps twofold": [25.0, 30.0],
            "fps unknown": np.nan,
            "image_size of three": [1, 2, 3],
            "image_size none": [0, 0],
            "image_size half": [640.5, 480],
            "confidence turned": np.ones((4, 5)),
            "confidence none": np.full((5, 4), np.nan),
        }.items()
    },
}


def test_odd_files_are_read_as_in_python_or_refused_in_the_same_words(tmp_path: Path) -> None:
    refused = compare_with_python(ODD, tmp_path)
    assert len(ODD) // 3 < refused < len(ODD) // 3 * 2


def compare_with_python(contents: dict[str, Any], folder: Path) -> int:
    """How many of the files are refused; a file of arrays is an .npz, another value than text becomes JSON."""
    for name, content in contents.items():
        if name.endswith(".npz"):
            np.savez(folder / name, **content)
        else:
            (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    refused = 0
    answers = ask("read", folder, recordings=[[str(folder / name)] for name in contents])
    for name, found in zip(contents, answers, strict=True):
        try:
            read_keypoints(folder / name)
        except InputError as error:
            assert found.get("refused") == str(error).replace(f"{folder}/", "")
            refused += 1
        else:
            assert "refused" not in found, found
            assert_read_alike(found, folder / name)
    return refused


def made_up_recording(rng: random.Random) -> Any:
    """Animals that walk, are gone for a while, and have an id, or sometimes one, in one of three formats."""
    joints, animals, span = rng.choice((2, 3, 17, 25)), rng.randint(1, 5), rng.randint(1, 30)
    frames = sorted(rng.sample(range(2 * span), span)) if rng.random() < 0.5 else list(range(span))
    # Whole numbers: several animals are often equally near.
    starts = [(rng.randrange(0, 600, 20), rng.randrange(0, 400, 20)) for _ in range(animals)]
    gone = [range(start := rng.randint(0, span), start + rng.randint(0, 50)) for _ in range(animals)]
    known, kind = rng.choice((0, 0, 0.5, 1)), rng.choice(("mmpose", "openpose", "coco"))
    poses: list[tuple[int, list[Any] | None, Any]] = []
    for frame in frames:
        for animal, (x, y) in enumerate(starts):
            flat: list[Any] | None = []
            for joint in range(joints):
                point = [x + 9 * joint + frame * rng.choice((0, 1, 4)), y + 5 * joint, rng.randint(1, 100) / 100]
                flat += rng.choices((point, [*point[:2], None], [None] * 3, [0, 0, 0]), (90, 3, 4, 3))[0]
            flat = rng.choices((flat, [], None), (96, 2, 2))[0]
            name = animal if rng.random() < known else rng.choice((None, -1, ""))
            poses += [] if frame in gone[animal] else [(frame, flat, name)]
    rng.shuffle(poses)
    if kind == "coco":
        pattern = rng.choice(("{:04}.png", "v_{:04}.jpg", "a/b_{}.png", "IMG_{}.png", "{}_jpg.rf.ab1.jpg"))
        images = [{"id": n, "file_name": pattern.format(n), "width": 640, "height": 480} for n in frames]
        category = {"id": 1, "name": "m", "keypoints": [f"j{joint}" for joint in range(joints)]}
        items = [{"image_id": n, "category_id": 1, "keypoints": flat, "track_id": name} for n, flat, name in poses]
        return {"images": images, "annotations": items, "categories": [category]}
    own = {frame: [(flat, name) for number, flat, name in poses if number == frame] for frame in frames}
    if kind == "openpose":
        people = {n: [{"pose_keypoints_2d": flat, "person_id": [name]} for flat, name in own[n]] for n in frames}
        return [{"people": people[n], "frame": n} for n in frames]
    pairs = {n: [(flat and [flat[i : i + 2] for i in range(0, len(flat), 3)], flat, name) for flat, name in own[n]]
             for n in frames}  # fmt: skip
    made = {n: [{"keypoints": points, "keypoint_scores": (flat or [])[2::3], "track_id": name}
                for points, flat, name in pairs[n]] for n in frames}  # fmt: skip
    return {"instance_info": [{"frame_id": n, "instances": made[n]} for n in frames]}


def test_animals_are_told_apart_as_in_python(tmp_path: Path) -> None:
    rng = random.Random(0)
    contents = {f"{number}.json": json.dumps(made_up_recording(rng)) for number in range(150)}
    refused = compare_with_python(contents, tmp_path)
    assert refused < 15


def archive_of(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


BROKEN = {
    "backward.npz": (
        archive_of(keypoints=np.ones((3, 2, 2)), names=np.array(["a", "b"]), frames=np.array([3, 2, 6])),
        "backward.npz: frame numbers must increase",
    ),
    "empty.csv": (b"", "empty.csv: is empty"),
    "words.csv": (
        b"a,b\n1,2\n",
        "wanted a table with header rows scorer, [individuals,] bodyparts, coords, got a first line 'a,b'",
    ),
    "cell.csv": (MARKED.replace("41", "4l").encode(), "cell.csv: line 5, column 2: wanted a number, got '4l'"),
    "deep.csv": (MARKED.replace("x,y\n3", "x,z\n3").encode(), "holds 3D points (x, y, z), needs 2D (x, y)"),
    "twice.csv": (MARKED.replace("\n5,", "\n3,").encode(), "frame 3 comes twice"),
    "joined.json": (MMPOSE.replace('"frame_id": 4', '"frame_id": 1').encode(), "frame 1 comes twice"),
    "cut.json": (MMPOSE[:200].encode(), "not valid JSON (cut short?)"),
    "other.json": (b'{"a": 1}', "JSON of no format that this page reads, with keys a"),
    "cut.npz": (b"PK\x03\x04 cut", "not a readable NumPy archive (cut short?)"),
    "hidden.csv": (
        b"bodyparts,nose,nose\ncoords,x,y\n0,,\n1,4,\n",
        "no keypoint is visible (1 track, 2 frames, 1 joint)",
    ),
    "picture.png": (b"\x89PNG\r\n\x1a\n\0\0", "binary data in no format that this page reads"),
}


def test_what_is_broken_is_refused_in_one_line_that_names_the_file(tmp_path: Path) -> None:
    for name, (content, _) in BROKEN.items():
        (tmp_path / name).write_bytes(content)
    found = ask("read", tmp_path, recordings=[[str(tmp_path / name)] for name in BROKEN])
    for (name, (_, wanted)), answer in zip(BROKEN.items(), found, strict=True):
        assert "refused" in answer, name
        assert wanted in answer["refused"] and answer["refused"].startswith(f"{name}: "), answer
        assert "\n" not in answer["refused"]


def test_cameras_are_fitted_as_in_python(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(200, 40, 5)) @ rng.normal(size=(200, 5, 5))
    points[0, :, 2] *= 1e-3  # nearly flat joints
    points[1, :, 1:3] = 0  # joints on a line
    points[2] = 0
    points[3, :, :3] *= 1e4  # other units than the keypoints'
    moments = points.swapaxes(1, 2) @ points
    rotations, scales = fit_cameras(moments)
    for index, found in enumerate(ask("camera", tmp_path, moments=moments.tolist())):
        fitted = np.array(found["rotation"])
        assert found["scale"] == pytest.approx(scales[index], rel=1e-6)
        # What the moments do not tell is free: what the joints become is not.
        joints = points[index, :, :3]
        np.testing.assert_allclose(
            joints @ fitted[:2].T, joints @ rotations[index][:2].T, atol=1e-5 * abs(joints).max()
        )
        np.testing.assert_allclose(fitted @ fitted.T, np.eye(3), atol=1e-9)
        assert np.linalg.det(fitted) == pytest.approx(1)


def test_frames_are_cut_into_the_same_stretches_as_in_python(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for share, chunk in itertools.product((0.0, 0.02, 0.5, 1.0), (7, 64)):
        seen = rng.random(150) < share
        field = (5, 3)
        expected = stretches_of(0, reached_from(seen, field), field, chunk)
        given = {"visible": seen.astype(int).tolist(), "before": field[0], "after": field[1], "chunk": chunk}
        found = ask("stretches", tmp_path, **given)
        assert [tuple(one.values()) for one in found] == [(s.start, s.stop, s.first, s.last) for s in expected]


def test_keypoints_are_normalized_as_in_python(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    keypoints = rng.normal(400, 90, (20, 6, 2)).astype(np.float32)
    visible = rng.random((20, 6)) > 0.4
    visible[3], visible[4] = False, [True, *[False] * 5]
    keypoints[~visible] = np.nan
    normalization = Normalization.fit(keypoints, visible)
    normalized, centers = normalization.apply(keypoints, visible)
    listed = [None if value != value else value for value in keypoints.ravel().tolist()]
    found = ask("prepare", tmp_path, keypoints=listed, visible=visible.ravel().astype(int).tolist(), T=20, J=6)
    assert found["scale"] == pytest.approx(normalization.scale, rel=1e-7)
    np.testing.assert_allclose(np.reshape(found["keypoints"], (20, 6, 2)), normalized, atol=1e-6)
    np.testing.assert_allclose(np.array(found["centers"], float).reshape(20, 2), centers, rtol=1e-6)


def lifted() -> LiftedTracks:
    """Two tracks; a joint that one of them never has, frames that hold nothing, inferred edges."""
    rng = np.random.default_rng(3)
    joints = rng.normal(200, 60, (2, 30, 4, 3)).astype(np.float32)
    joints[0, :3], joints[1, :, 2] = np.nan, np.nan
    keypoints = joints[..., :2] + 1
    confidence = np.where(np.isfinite(keypoints).all(axis=-1), rng.random((2, 30, 4)), 0).astype(np.float32)
    skeleton = Skeleton(
        ("nose", 'a "quoted", name', "Ärmel L", "Ärmel R"), ((0, 1), (0, 2), (0, 3)), inferred=(True,) * 3
    )
    return LiftedTracks(
        joints=joints,
        keypoints=keypoints,
        confidence=confidence,
        visible=confidence >= 0.3,
        skeleton=skeleton,
        tracks=("one", "two & <b>"),
        fps=50.0,
        frames=np.arange(30) * 2,
        image_size=(640, 480),
        source="made.csv",
        format="deeplabcut",
        notes=("a note",),
        scale=np.array([3.5, 4]),
        centers=rng.normal(200, 5, (2, 30, 2)),
        rotation=np.tile(np.eye(3), (2, 1, 1)),
        model="small",
        version="1.2.3",
    )


def as_lists(result: LiftedTracks) -> dict[str, Any]:
    arrays = {}
    for name in ("joints", "keypoints", "confidence", "visible", "scale", "centers", "rotation"):
        values = getattr(result, name).astype(np.float64).ravel().tolist()
        arrays[name] = [None if value != value else value for value in values]
    skeleton = result.skeleton
    shape = dict(zip("NTJ", result.visible.shape, strict=True))
    texts = {name: getattr(result, name) for name in ("fps", "source", "format", "model", "version")}
    inferred = any(skeleton.inferred)
    lists = {name: list(getattr(result, name)) for name in ("tracks", "notes", "warnings")}
    told = {name: getattr(skeleton, name) for name in ("names", "edges", "sides", "name")}
    frames = None if result.frames is None else result.frames.tolist()
    others = {"frames": frames, "imageSize": result.image_size, "skeleton": {**told, "inferred": inferred}}
    return {**shape, **arrays, **texts, **lists, **others}


@pytest.mark.parametrize("stride", [1, 4])
def test_the_viewer_is_given_what_python_gives_it(tmp_path: Path, stride: int) -> None:
    result = lifted()
    info, blob = pack(result, stride)
    found = ask("pack", tmp_path, result=as_lists(result), stride=stride)
    for name, value in info.items():
        if name in ("joint", "keypoint"):
            for part in ("offset", "step"):
                assert found["info"][name][part] == pytest.approx(value[part], rel=1e-6)
            np.testing.assert_allclose(found["info"][name]["range"], value["range"], rtol=2e-5)
        elif name.startswith("reach"):
            np.testing.assert_allclose(found["info"][name], value, rtol=2e-5)
        else:
            assert found["info"][name] == (list(value) if isinstance(value, tuple) else value), name
    own = base64.b64decode(found["bytes"])
    assert len(own) == len(blob)
    assert np.mean(np.frombuffer(own, np.uint8) == np.frombuffer(blob, np.uint8)) > 0.999


def test_results_are_written_as_python_writes_them(tmp_path: Path) -> None:
    result = lifted()
    npz, table, expected = tmp_path / "own.npz", tmp_path / "own.csv", tmp_path / "python.csv"
    ask("write", tmp_path, result=as_lists(result), npz=str(npz), csv=str(table))
    read = read_lifted(npz)
    for name in ("joints", "keypoints", "confidence", "visible", "scale", "centers", "rotation", "frames"):
        np.testing.assert_array_equal(getattr(read, name), getattr(result, name), err_msg=name)
    assert read.skeleton == result.skeleton and read.tracks == result.tracks and read.fps == 50
    assert (read.source, read.format, read.notes, read.image_size) == (
        "made.csv",
        "deeplabcut",
        ("a note",),
        (640, 480),
    )
    write_lifted(result, expected)
    rows, wanted = table.read_text().splitlines(), expected.read_text().splitlines()
    assert rows[:4] == wanted[:4] and len(rows) == len(wanted)
    for row, other in zip(rows[4:], wanted[4:], strict=True):
        assert [cell and np.float32(cell) for cell in row.split(",")] == [
            cell and np.float32(cell) for cell in other.split(",")
        ]
