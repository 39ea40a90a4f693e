"""Skeletons of projects and of keypoint files, asked for, or found beside a DeepLabCut file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from olift_fast.errors import InputError
from olift_fast.io import read_keypoints, read_skeleton
from olift_fast.tracks.rigs import rig

SINGLE = """
Task: reaching
bodyparts:
- hand
- wrist
- elbow
- tongue
skeleton:
- - hand
  - wrist
- - wrist
  - elbow
- - objectA
  - bodypart3
skeleton_color: black
"""
SEVERAL = """
Task: openfield
multianimalproject: true
bodyparts: MULTI!
multianimalbodyparts: [nose, spine, tail]
uniquebodyparts: [corner]
skeleton: [[nose, spine], [spine, tail], [tail, spine]]
"""
LIGHTNING = """
data:
  keypoint_names: [paw_top, paw_bot]
  num_keypoints: 2
"""


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def table(path: Path, joints: list[str]) -> Path:
    rows = [
        ["scorer", *["DLC"] * (3 * len(joints))],
        ["bodyparts", *(joint for joint in joints for _ in range(3))],
        ["coords", *["x", "y", "likelihood"] * len(joints)],
        *([str(frame), *(f"{10 * joint + frame}.5,7.5,0.9" for joint in range(len(joints)))] for frame in range(3)),
    ]
    return write(path, "\n".join(map(",".join, rows)) + "\n")


def test_deeplabcut_project(tmp_path: Path) -> None:
    found = read_skeleton(write(tmp_path / "config.yaml", SINGLE))
    assert found.names == ("hand", "wrist", "elbow", "tongue") and found.edges == ((0, 1), (1, 2))
    assert found.name == "reaching"


def test_deeplabcut_project_of_several_animals(tmp_path: Path) -> None:
    found = read_skeleton(write(tmp_path / "config.yaml", SEVERAL))
    assert found.names == ("nose", "spine", "tail", "corner") and found.edges == ((0, 1), (1, 2))


def test_lightning_pose_project_has_names_alone(tmp_path: Path) -> None:
    found = read_skeleton(write(tmp_path / "config.yaml", LIGHTNING))
    assert found.names == ("paw_top", "paw_bot") and found.edges == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "not valid YAML"),
        ("- 1", "must hold keys and values, got list"),
        ("bodyparts: [[a], [b]]", "bodyparts must be a list of names"),
        ("Task: x", "holds no body parts"),
        ("", "must hold keys and values, got NoneType"),
        ("!!python/object/apply:os.system ['true']", "not valid YAML"),
    ],
)
def test_other_configurations_are_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path / "config.yaml", text)
    with pytest.raises(InputError, match=message) as refused:
        read_skeleton(path)
    assert str(refused.value).startswith(f"{path}: ") and "\n" not in str(refused.value)


def test_repeated_aliases_do_not_grow(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    with pytest.raises(InputError, match="list of names"):
        read_skeleton(write(tmp_path / "config.yaml", "\n".join([*lines, "bodyparts: *a11"])))
    found = read_skeleton(write(tmp_path / "config.yaml", "\n".join([*lines, "Task: *a11", "bodyparts: [hand]"])))
    assert found.name is None


def test_merge_keys_are_refused(tmp_path: Path) -> None:
    lines = ["a0: &a0 {x: 1}"]
    lines += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 12)]
    with pytest.raises(InputError, match="merge keys"):
        read_skeleton(write(tmp_path / "config.yaml", "\n".join(lines)))


def test_names_files_and_json(tmp_path: Path) -> None:
    assert read_skeleton("coco_17") == rig("coco_17")
    path = write(tmp_path / "mine.json", json.dumps({"names": ["a", "b"], "edges": [["a", "b"]]}))
    assert read_skeleton(path).edges == ((0, 1),)
    with pytest.raises(InputError, match="neither a skeleton file nor a built-in skeleton"):
        read_skeleton("no_such_rig")


def test_keypoint_files_with_names_and_edges(tmp_path: Path) -> None:
    category = {"id": 1, "name": "mouse", "keypoints": ["nose", "tail"], "skeleton": [[1, 2]]}
    annotation = {"image_id": 1, "category_id": 1, "keypoints": [1, 2, 2, 3, 4, 2]}
    content = {"images": [{"id": 1}], "categories": [category], "annotations": [annotation]}
    found = read_skeleton(write(tmp_path / "coco.json", json.dumps(content)))
    assert found.names == ("nose", "tail") and found.edges == ((0, 1),)


def test_sleap_project(real_data: Path) -> None:
    path = real_data / "keypoints2d/sleap/minimal_instance.slp"
    assert read_skeleton(path) == read_keypoints(path).skeleton and read_skeleton(path).edges


@pytest.mark.parametrize("place", ["videos/a.csv", "labeled-data/a/CollectedData_me.csv", "a.csv"])
def test_edges_of_the_project_that_a_deeplabcut_file_lies_in(tmp_path: Path, place: str) -> None:
    write(tmp_path / "project" / "config.yaml", SINGLE)
    found = read_keypoints(table(tmp_path / "project" / place, ["elbow", "wrist", "hand"]))
    assert found.skeleton.names == ("elbow", "wrist", "hand")
    assert {frozenset(edge) for edge in found.skeleton.edges} == {frozenset((2, 1)), frozenset((1, 0))}
    assert len(found.notes) == 1 and str(tmp_path / "project" / "config.yaml") in found.notes[0]


def test_another_project_s_configuration_is_not_taken(tmp_path: Path) -> None:
    write(tmp_path / "config.yaml", SINGLE)
    found = read_keypoints(table(tmp_path / "videos" / "a.csv", ["nose", "tail"]))
    assert found.skeleton.edges == () and found.notes == ()
    for other in ("a: [", "bodyparts: MULTI!\nmultianimalbodyparts: 3"):
        write(tmp_path / "config.yaml", other)
        assert read_keypoints(tmp_path / "videos" / "a.csv").skeleton.edges == ()


def test_a_configuration_that_may_not_be_opened_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    write(tmp_path / "config.yaml", SINGLE)
    monkeypatch.setattr("olift_fast.io.project.skeleton_of_config", refuse)
    assert read_keypoints(table(tmp_path / "a.csv", ["hand", "wrist"])).skeleton.edges == ()


def test_skeleton_that_is_asked_for_goes_before_the_project_s(tmp_path: Path) -> None:
    write(tmp_path / "config.yaml", SINGLE)
    path = table(tmp_path / "a.csv", ["hand", "wrist", "elbow"])
    asked = read_skeleton(write(tmp_path / "mine.json", json.dumps({"names": ["hand", "wrist", "elbow"]})))
    found = read_keypoints(path, skeleton=asked)
    assert found.skeleton.edges == () and found.notes == ()


def _node(name: str) -> dict[str, object]:
    return {"py/object": "sleap.skeleton.Node", "py/state": {"py/tuple": [name, 1.0]}}


def _kind(number: int) -> dict[str, object]:
    return {"py/reduce": [{"py/type": "sleap.skeleton.EdgeType"}, {"py/tuple": [number]}]}


def _graph(together: bool) -> dict[str, object]:
    """SLEAP's skeleton of a, b, c, d with the bones c-a and a-b, and b and c as twins; d has no bone.

    Args:
        together: nodes and types of links are numbered together, as SLEAP does it, and not each by themselves.
    """
    numbers = {"c": 1, "a": 2, "b": 4 if together else 3}
    links = [
        {"edge_insert_idx": 0, "key": 0, "source": _node("c"), "target": _node("a"), "type": _kind(1)},
        {"edge_insert_idx": 1, "key": 0, "source": {"py/id": 2} if together else _node("a"), "target": _node("b"),
         "type": {"py/id": 3 if together else 1}},
        {"key": 0, "source": {"py/id": numbers["b"]} if together else _node("b"),
         "target": {"py/id": 1} if together else _node("c"), "type": _kind(2)},
    ]  # fmt: skip
    nodes = [{"id": {"py/id": numbers[name]}} for name in "abc"] + [{"id": _node("d")}]
    return {"directed": True, "graph": {"name": "fly"}, "links": links, "multigraph": True, "nodes": nodes}


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("template", [False, True])
def test_skeleton_of_sleap_in_json(tmp_path: Path, together: bool, template: bool) -> None:
    content = {"description": "", "nx_graph": _graph(together)} if template else _graph(together)
    skeleton = read_skeleton(write(tmp_path / "skeleton.json", json.dumps(content)))
    assert skeleton.names == ("a", "b", "c", "d") and skeleton.edges == ((2, 0), (0, 1)) and skeleton.name == "fly"


def test_skeleton_of_sleap_in_yaml(tmp_path: Path) -> None:
    text = """
fly:
  nodes:
  - name: a
  - name: b
  edges:
  - source:
      name: b
    destination:
      name: a
  symmetries: []
"""
    skeleton = read_skeleton(write(tmp_path / "skeleton.yaml", text))
    assert skeleton.names == ("a", "b") and skeleton.edges == ((1, 0),) and skeleton.name == "fly"
    with pytest.raises(InputError, match="holds 2 skeletons"):
        read_skeleton(write(tmp_path / "two.yaml", text + text.replace("fly", "mouse")))


@pytest.mark.parametrize(
    "content",
    [
        {"nodes": ["a", "b", "c"], "edges": [[0, 1], [1, 2]]},
        {"nodes": [{"name": "a"}, {"name": "b"}, {"name": "c"}], "edges": [["a", "b"], ["b", "c"]]},
        {"keypoints": ["a", "b", "c"], "skeleton": [[1, 2], [2, 3]]},
        {"bodyparts": ["a", "b", "c"], "skeleton": [["a", "b"], ["b", "c"]]},
        {"categories": [{"id": 1, "name": "x", "keypoints": ["a", "b", "c"], "skeleton": [["a", "b"], ["b", "c"]]}]},
    ],
)
def test_skeleton_of_names_and_bones(tmp_path: Path, content: dict[str, object]) -> None:
    skeleton = read_skeleton(write(tmp_path / "skeleton.json", json.dumps(content)))
    assert skeleton.names == ("a", "b", "c") and skeleton.edges == ((0, 1), (1, 2))


@pytest.mark.parametrize("edges", [[["a", "x"]], [["a"]], [7]])
def test_bones_between_joints_that_are_not_there(tmp_path: Path, edges: list[object]) -> None:
    path = write(tmp_path / "skeleton.json", json.dumps({"nodes": ["a", "b"], "edges": edges}))
    with pytest.raises(InputError, match="an edge"):
        read_skeleton(path)
