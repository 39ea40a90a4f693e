"""Built-in rigs against their sources, and skeletons loaded by name or from a file."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from olift_fast.errors import InputError
from olift_fast.io import read_skeleton
from olift_fast.tracks.rigs import ANIMALSYN3D_MODELS, find_rig, load_skeleton, plain_skeleton, rig, rig_names
from olift_fast.tracks.skeleton import Skeleton

PAGE = Path(__file__).parents[2] / "docs/skeletons.md"


def test_the_page_names_every_rig() -> None:
    page = PAGE.read_text(encoding="utf-8")
    (animals,) = re.findall(r"^\| `animalsyn3d_\*`: (.*?) \|", page, flags=re.MULTILINE)
    named = {f"animalsyn3d_{animal}" for animal in re.split(", and |, ", animals)}
    assert {name for name in rig_names() if f"`{name}`" not in page} == named


def bones(skeleton: Skeleton) -> set[frozenset[int]]:
    return set(map(frozenset, skeleton.edges))


def paired(flat: str) -> set[frozenset[int]]:
    numbers = [int(number) for number in flat.split(",")]
    return set(map(frozenset, zip(numbers[::2], numbers[1::2], strict=True)))


@pytest.mark.parametrize("model", ANIMALSYN3D_MODELS)
def test_animalsyn3d_rigs_are_those_of_the_dataset(real_data: Path, model: str) -> None:
    facts = json.loads((real_data / "rigs/animalsyn3d.json").read_text())[model]
    if model == "bucksYJL":
        assert facts["names"][14:16] == ["Wrist L", "Wrist L"]
        facts["names"][15] = "Paw L"
    built = rig(model)
    assert built.name == f"animalsyn3d_{ANIMALSYN3D_MODELS[model]}"
    assert list(built.names) == facts["names"]
    assert bones(built) == set(map(frozenset, facts["edges"]))


def test_all_animalsyn3d_models_are_here(real_data: Path) -> None:
    facts = json.loads((real_data / "rigs/animalsyn3d.json").read_text())
    assert set(ANIMALSYN3D_MODELS) == set(facts)
    assert len(set(ANIMALSYN3D_MODELS.values())) == len(facts)


@pytest.mark.parametrize(("file", "name"), [("test_coco", "coco_17"), ("test_ap10k", "ap10k_17")])
def test_coco_style_rigs_are_those_of_the_annotation_files(real_data: Path, file: str, name: str) -> None:
    category = json.loads((real_data / f"keypoints2d/coco/{file}.json").read_text())["categories"][0]
    assert list(rig(name).names) == category["keypoints"]
    assert bones(rig(name)) == {frozenset((a - 1, b - 1)) for a, b in category["skeleton"]}


@pytest.mark.parametrize(
    ("name", "pairs"),
    [
        (
            "openpose_body_25",
            "1,8,1,2,1,5,2,3,3,4,5,6,6,7,8,9,9,10,10,11,8,12,12,13,13,14,1,0,0,15,15,17,0,16,16,18,14,19,19,20,14,21,"
            "11,22,22,23,11,24",
        ),
        ("openpose_coco_18", "1,2,1,5,2,3,3,4,5,6,6,7,1,8,8,9,9,10,1,11,11,12,12,13,1,0,0,14,14,16,0,15,15,17"),
        ("openpose_mpi_15", "0,1,1,2,2,3,3,4,1,5,5,6,6,7,1,14,14,8,8,9,9,10,14,11,11,12,12,13"),
        ("human36m_17", "0,1,1,2,2,3,0,4,4,5,5,6,0,7,7,8,8,9,9,10,8,11,11,12,12,13,8,14,14,15,15,16"),
        (
            "halpe_26",
            "15,13,13,11,11,19,16,14,14,12,12,19,17,18,18,19,18,5,5,7,7,9,18,6,6,8,8,10,1,2,0,1,0,2,1,3,2,4,3,5,4,6,"
            "15,20,15,22,15,24,16,21,16,23,16,25",
        ),
        (
            "mediapipe_pose_33",
            "0,1,1,2,2,3,3,7,0,4,4,5,5,6,6,8,9,10,11,12,11,13,13,15,15,17,15,19,15,21,17,19,12,14,14,16,16,18,16,20,"
            "16,22,18,20,11,23,12,24,23,24,23,25,24,26,25,27,26,28,27,29,28,30,29,31,30,32,27,31,28,32,"
            "0,9,0,10,0,11,0,12",
        ),
        (
            "mediapipe_hand_21",
            "0,1,0,5,9,13,13,17,5,9,0,17,1,2,2,3,3,4,5,6,6,7,7,8,9,10,10,11,11,12,13,14,14,15,15,16,17,18,18,19,19,20",
        ),
        (
            "animalpose_20",
            "0,1,0,2,1,3,0,4,1,4,4,5,5,7,6,7,5,8,8,12,12,16,5,9,9,13,13,17,6,10,10,14,14,18,6,11,11,15,15,19",
        ),
    ],
)
def test_edges_are_those_of_the_source(name: str, pairs: str) -> None:
    assert bones(rig(name)) == paired(pairs)


def test_body_25b_order_is_that_of_real_files(real_data: Path) -> None:
    # The paired recording names its joints, and its 2D are exactly those of the files.
    content = np.load(real_data / "paired/human_pose2sim_balancing.npz")
    frame = json.loads(
        (real_data / "keypoints2d/openpose_body25b/S00_P00_T01_BalancingTrial/cam01.0000.json").read_text()
    )
    people = [np.reshape(person["pose_keypoints_2d"], (-1, 3)) for person in frame["people"]]
    names = rig("openpose_body_25b").names
    renamed = {"Neck": "UpperNeck", "Head": "HeadTop"}
    wanted = content["keypoints_2d"][0, 0, :, :2]
    places = [names.index(renamed.get(str(name), str(name))) for name in content["joint_names"]]
    assert min(np.abs(person[places, :2] - wanted).max() for person in people if len(person)) < 0.01


@pytest.mark.parametrize("name", rig_names())
def test_rig_is_one_piece_and_its_own_mirror_image(name: str) -> None:
    built = rig(name)
    assert built.hop_distances().max() < built.num_joints
    mirror = built.mirror()
    assert built.sides.count(1) == built.sides.count(-1) > 0 or name == "mediapipe_hand_21"
    assert {frozenset((int(mirror[a]), int(mirror[b]))) for a, b in built.edges} == bones(built)


@pytest.mark.parametrize("name", rig_names())
def test_find_rig_returns_the_joints_in_the_order_asked_for(name: str) -> None:
    built = rig(name)
    order = np.random.default_rng(5).permutation(built.num_joints)
    shuffled = built.permute(order)
    found = find_rig(shuffled.names)
    assert found is not None
    assert found.names == shuffled.names and bones(found) == bones(shuffled) and found.sides == shuffled.sides


def test_find_rig_wants_all_joints_and_no_others() -> None:
    names = rig("coco_17").names
    assert find_rig([name.upper().replace("_", " ") for name in names]) is not None
    assert find_rig(names[1:]) is None
    assert find_rig((*names, "tail")) is None
    assert find_rig((*names[1:], names[1])) is None
    assert find_rig(()) is None


def test_superanimal_has_39_keypoints_in_the_order_of_its_configuration() -> None:
    built = rig("superanimal_quadruped")
    assert built.num_joints == 39
    assert built.names[:3] == ("nose", "upper_jaw", "lower_jaw")
    assert built.names[29:32] == ("front_right_paw", "back_left_paw", "back_left_thai")
    assert built.names[-1] == "body_middle_left"


def test_unknown_rig_offers_close_names() -> None:
    with pytest.raises(InputError, match="did you mean animalsyn3d_fox"):
        rig("animalsyn3d_foxx")
    with pytest.raises(InputError, match=r"built in: human36m_17, .* animalsyn3d_fox, "):
        rig("?")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[]", "JSON object"),
        ('{"edges": []}', '"names"'),
        ('{"names": "ab"}', "list of strings"),
        ('{"names": ["a"], "bones": []}', "unknown key 'bones'"),
        ('{"names": ["a", "b"], "edges": [["a", "c"]]}', "got 'c'"),
        ('{"names": ["a", "b"], "edges": [[0, 1, 2]]}', "list of pairs"),
        ('{"names": ["a", "b"], "edges": [[0, 7]]}', r"edge \(0, 7\)"),
        ('{"names": ["a", "b"], "sides": ["L", "R"]}', '"sides"'),
    ],
)
def test_load_skeleton_tells_file_and_cause_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "rig.json"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        load_skeleton(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_load_skeleton_reads_files_and_built_in_rigs(tmp_path: Path) -> None:
    skeleton = Skeleton(("nose", "neck", "hip_L", "hip_R", "tag"), ((0, 1), (1, 2), (1, 3)))
    path = tmp_path / "rig.json"
    path.write_text(skeleton.to_json())
    assert load_skeleton(path) == skeleton
    assert load_skeleton("coco_17").num_joints == 17
    with pytest.raises(InputError, match=r"neither a skeleton file nor a built-in skeleton; did you mean coco_17"):
        load_skeleton("coco17")
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="UTF-8"):
        load_skeleton(path)


def test_plain_skeletons_are_those_that_read_skeleton_gives(tmp_path: Path) -> None:
    path = tmp_path / "mouse.JSON"
    path.write_text('{"names": ["nose", "left_paw", "right_paw"], "edges": [["nose", "left_paw"]]}')
    for name in ("coco_17", "animalsyn3d_dog", path, str(path)):
        assert plain_skeleton(name) == read_skeleton(name)


@pytest.mark.parametrize(
    "content",
    [
        '{"skeletons": [{"nodes": []}]}',
        '{"names": ["nose", "nose"]}',
        '{"names": "nose"}',
        '{"names": ["nose"]',
        "[" * 100_000,
        '["names"]',
        "\xff\xfe",
        "",
    ],
)
def test_what_is_no_plain_skeleton_is_left_to_others(tmp_path: Path, content: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(content, encoding="latin-1")
    assert plain_skeleton(path) is None
    assert plain_skeleton(tmp_path) is None and plain_skeleton(tmp_path / "absent.json") is None
    path.write_text(json.dumps({"names": ["nose", "tail"], "edges": []}) + " " * 1_000_000)
    assert plain_skeleton(path) is None
    path.rename(tmp_path / "skeleton.txt")
    assert plain_skeleton(tmp_path / "skeleton.txt") is None
