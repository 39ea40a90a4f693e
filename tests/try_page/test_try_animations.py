"""BVH and GLB that the page that lifts in the browser writes, in node, are those that the Python package writes."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from animations_alike import assert_bvh_alike, assert_glb_alike
from asking import ask
from test_try_modules import as_lists, made_up_names

from olift_fast.errors import InputError
from olift_fast.io import write_lifted
from olift_fast.io.write import check_can_hold
from olift_fast.io.writers.rotations import euler_zxy, proper, quaternions
from olift_fast.tracks.containers import LiftedTracks
from olift_fast.tracks.kinds import KINDS, kinds_of
from olift_fast.tracks.rigs import rig, rig_names
from olift_fast.tracks.skeleton import Skeleton
from olift_fast.tracks.taking import take_tracks

DOG = rig("ap10k_17")
PEOPLE = rig("coco_17")


def moving(skeleton: Skeleton, frames: int = 12, seed: int = 0) -> npt.NDArray[np.float64]:
    """Joints (T, J, 3) of a body that goes on while each joint swings by itself."""
    rng = np.random.default_rng(seed)
    time = np.linspace(0, 1, frames)[:, np.newaxis, np.newaxis]
    place, phase = rng.normal(0, 100, (skeleton.num_joints, 3)), rng.uniform(0, 6, (skeleton.num_joints, 3))
    swinging = 40 * np.sin(rng.uniform(2, 9, (skeleton.num_joints, 3)) * time + phase)
    return place + swinging + time * rng.normal(0, 300, 3) + rng.normal(0, 3, (frames, skeleton.num_joints, 3))


def lifted(
    skeleton: Skeleton, joints: npt.NDArray[np.floating], tracks: tuple[str, ...] = ("dog",), **changes: Any
) -> LiftedTracks:
    """A result of these joints (T, J, 3), or (N, T, J, 3) of several tracks, as the page has it."""
    joints = np.asarray(joints, np.float32).reshape(len(tracks), -1, skeleton.num_joints, 3)
    rng = np.random.default_rng(1)
    fields: dict[str, Any] = {
        "joints": joints,
        "keypoints": joints[..., :2],
        "confidence": np.ones(joints.shape[:3]),
        "visible": np.ones(joints.shape[:3], np.bool_),
        "skeleton": skeleton,
        "tracks": tracks,
        "fps": 30.0,
        "source": "clip.csv",
        "format": "deeplabcut",
        "scale": np.full(len(tracks), 80.0),
        "centers": np.zeros((*joints.shape[:2], 2)),
        "rotation": proper(rng.normal(size=(len(tracks), 3, 3))),
        "model": "small",
        "version": "1.0",
    }
    return LiftedTracks(**(fields | changes))


def with_gaps(skeleton: Skeleton, seed: int = 0) -> LiftedTracks:
    """Many joints are not there: at the first frames, at the last, in between, and one never is."""
    joints = moving(skeleton, 30, seed)
    joints[np.random.default_rng(seed).random(joints.shape[:2]) < 0.3] = np.nan
    joints[:, 3], joints[:4, 1], joints[-5:, 2] = np.nan, np.nan, np.nan
    return lifted(skeleton, joints)


def without(joints: npt.NDArray[np.float64], joint: int) -> npt.NDArray[np.float64]:
    """The joints, with one that is never there."""
    joints[:, joint] = np.nan
    return joints


def hanging() -> LiftedTracks:
    """Bones straight up and down, one that turns over at once, and one without length in some frames or all."""
    skeleton = Skeleton(("top", "middle", "low", "same", "side"), ((0, 1), (1, 2), (2, 3), (1, 4)))
    joints = np.zeros((9, 5, 3))
    joints[:, 1:, 1] = 50
    joints[:, 2:4, 1] = 120
    joints[4:, 2:4, 1] = -20
    joints[:, 4, 0] = np.arange(9) % 3 * 20
    return lifted(skeleton, joints)


def one_joint(**changes: Any) -> LiftedTracks:
    skeleton = Skeleton(("point",))
    return lifted(skeleton, moving(skeleton), **changes)


PIECES = Skeleton(("a", "b", "c", "d", "alone", "scene"), ((0, 1), (2, 3), (2, 5)))
LOOPS = Skeleton(("a", "b", "c", "d", "e"), ((0, 1), (1, 2), (2, 0), (2, 3), (3, 4), (4, 1)), inferred=(True,) * 6)
ODD = Skeleton(("left ear{", "left\tear ", "", "Ärmel\u00a0L", '"', "a_to_b"), ((0, 1), (0, 2), (2, 3), (2, 4), (2, 5)))
CASES = {
    **{f"rig {name}": lifted(rig(name), moving(rig(name))) for name in rig_names()},
    "pieces": lifted(PIECES, moving(PIECES), fps=59.94),
    "loops": lifted(LOOPS, moving(LOOPS)),
    "odd names": lifted(ODD, moving(ODD)),
    "gaps": with_gaps(DOG),
    "gaps of people": with_gaps(PEOPLE, 1),
    "no hip seen": lifted(PEOPLE, without(moving(PEOPLE), PEOPLE.names.index("left_hip"))),
    "hanging": hanging(),
    "one frame": lifted(DOG, moving(DOG, 1)),
    "one bone": lifted(Skeleton(("a", "b"), ((0, 1),)), moving(Skeleton(("a", "b"), ((0, 1),)))),
    "one joint": one_joint(),
    "no bones": lifted(Skeleton(("a", "b", "c")), moving(Skeleton(("a", "b", "c")))),
    "numbers": lifted(DOG, moving(DOG, 5), frames=np.array([3, 5, 9, 11, 21]), fps=50.0, image_size=(640, 480)),
    "far numbers": lifted(DOG, moving(DOG, 3), frames=np.array([0, 1, 5000])),
    "small": lifted(DOG, 1e-3 * moving(DOG, 6, 3), scale=[0.08]),
    "large": lifted(DOG, 1e5 * moving(DOG, 6, 3), scale=[8e6]),
    "all in one place": lifted(DOG, np.broadcast_to(np.array([3.0, 4.0, 5.0]), (5, 17, 3))),
    "long": lifted(LOOPS, moving(LOOPS, 4321)),
}


@pytest.mark.slow
def test_animations_are_written_as_python_writes_them(tmp_path: Path) -> None:
    asked: list[dict[str, Any]] = []
    for name, result in CASES.items():
        asked.append({"result": as_lists(result), "glb": str(tmp_path / f"{name}.glb")})
        if can_be_bvh(result):
            asked[-1]["bvh"] = str(tmp_path / f"{name}.bvh")
    for (name, result), question, found in zip(
        CASES.items(), asked, ask("animate", tmp_path, results=asked), strict=True
    ):
        assert found["kinds"] == [kind for kind in ("bvh", "glb") if kind in question], name
        assert "refused" not in found, name
        for kind in found["kinds"]:
            assert_written_alike(Path(question[kind]), result)
    assert sum("bvh" in question for question in asked) == len(CASES) - 3


def assert_written_alike(own: Path, result: LiftedTracks) -> None:
    wanted = write_lifted(result, own.with_stem(f"{own.stem} of python"))
    (assert_bvh_alike if own.suffix == ".bvh" else assert_glb_alike)(own, wanted)


def can_be_bvh(result: LiftedTracks) -> bool:
    try:
        check_can_hold(Path("result.bvh"), result)
    except InputError:
        return False
    return True


def test_several_tracks_are_one_scene_in_glb_and_one_by_one_in_bvh(tmp_path: Path) -> None:
    joints = np.stack([moving(DOG, 12, seed) for seed in range(4)])
    joints[1] = np.nan
    joints[2, :6] = np.nan
    tracks = ("one", "never there", "late", "two & <b> ö")
    result = lifted(DOG, joints, tracks, scale=[70.0, 1.0, 91.0, 85.5], notes=("a note",), warnings=("a warning",))
    glb = {"result": as_lists(result), "glb": str(tmp_path / "page.glb")}
    each = [{"result": as_lists(result), "bvh": str(tmp_path / f"{track}.bvh"), "track": track} for track in range(4)]
    whole, *single = ask("animate", tmp_path, results=[glb, *each])
    assert whole == {"kinds": ["bvh", "glb"], "lacks": [], "tracks": [0, 2, 3]}
    assert_written_alike(tmp_path / "page.glb", result)
    for track in (0, 2, 3):
        assert_written_alike(tmp_path / f"{track}.bvh", take_tracks(result, [tracks[track]]))
    assert single[1]["refused"] == "BVH needs a joint in at least one frame, track 'never there' has none"
    assert not (tmp_path / "1.bvh").exists()


def test_glb_is_read_and_drawn_by_others_as_that_of_python(tmp_path: Path) -> None:
    pygltflib = pytest.importorskip("pygltflib")
    trimesh = pytest.importorskip("trimesh")
    validator = __import__("pygltflib.validator", fromlist=["validate"])
    result = lifted(DOG, np.stack([moving(DOG, 12, seed) for seed in (0, 1)]), ("one", "two"))
    own, wanted = tmp_path / "page.glb", write_lifted(result, tmp_path / "python.glb")
    ask("animate", tmp_path, results=[{"result": as_lists(result), "glb": str(own)}])
    file = pygltflib.GLTF2().load(str(own))
    validator.validate(file)
    (animation,) = file.animations
    joints_and_bones = 2 * (DOG.num_joints + len(DOG.edges))
    assert len(animation.channels) == 2 * joints_and_bones
    assert {file.nodes[channel.target.node].mesh is None for channel in animation.channels} == {False}
    scene, expected = trimesh.load_scene(own), trimesh.load_scene(wanted)
    assert set(scene.graph.nodes_geometry) == set(expected.graph.nodes_geometry)
    assert len(scene.graph.nodes_geometry) == joints_and_bones
    for node in expected.graph.nodes_geometry:
        np.testing.assert_allclose(scene.graph[node][0], expected.graph[node][0], atol=1e-6, err_msg=node)
    for name, mesh in expected.geometry.items():
        np.testing.assert_allclose(scene.geometry[name].vertices, mesh.vertices, rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(scene.geometry[name].faces, mesh.faces)


def test_joints_of_another_animal_are_in_no_bvh_of_a_track(tmp_path: Path) -> None:
    names = ("nose", "left_hip", "right_hip", "tail", "spoon", "bowl")
    skeleton = Skeleton(names, ((0, 1), (0, 2), (1, 2), (1, 3), (4, 5)))
    joints = np.stack([moving(skeleton, 8, seed) for seed in range(3)])
    joints[0, :, 4:], joints[1, :, :4], joints[2, :, :5] = np.nan, np.nan, np.nan
    tracks = ("mouse", "spoon and bowl", "bowl")
    result = lifted(skeleton, joints, tracks, scale=[50.0, 60.0, 70.0])
    asked = [
        {"result": as_lists(result), "track": place, "bvh": str(tmp_path / f"{name}.bvh")}
        for place, name in enumerate(tracks[:2])
    ]
    *_, alone = ask("animate", tmp_path, results=[*asked, {"result": as_lists(result), "track": 2}])
    for name in tracks[:2]:
        assert_written_alike(tmp_path / f"{name}.bvh", take_tracks(result, [name]))
    assert "spoon" not in (tmp_path / "mouse.bvh").read_text()
    assert alone["kinds"] == ["glb"] and "needs the bones" in alone["lacks"][0]


LACKS = {
    "fps": (lifted(DOG, moving(DOG, 3), fps=None), [], "BVH and GLB need the frames a second."),
    "bones": (
        one_joint(),
        ["glb"],
        "BVH needs the bones between the joints, which neither the file nor the names tell.",
    ),
    "even times": (
        CASES["far numbers"],
        ["glb"],
        "BVH needs frames at even times, got 3 frames with numbers from 0 to 5000.",
    ),
}


@pytest.mark.parametrize("what", LACKS)
def test_what_an_animation_lacks_is_said_in_one_line(tmp_path: Path, what: str) -> None:
    result, kinds, line = LACKS[what]
    (found,) = ask("animate", tmp_path, results=[{"result": as_lists(result)}])
    assert found["kinds"] == kinds and found["lacks"] == [line]
    with pytest.raises(InputError):
        check_can_hold(Path("result.bvh"), result)


def test_without_rate_and_bones_both_are_said(tmp_path: Path) -> None:
    (found,) = ask("animate", tmp_path, results=[{"result": as_lists(one_joint(fps=None))}])
    assert found["kinds"] == [] and len(found["lacks"]) == 2


def test_names_tell_the_kinds_of_joints_that_animations_ask_for(tmp_path: Path) -> None:
    rng = random.Random(5)
    lists = [list(rig(name).names) for name in rig_names()] + [made_up_names(rng) for _ in range(300)]
    limbs = ("shoulder", "hip", "coxa", "scapula", "leg", "iliac")
    lists += [[f"{pair}_{limb}_{side}" for limb in limbs for side in "LR"] for pair in ("fore", "mid", "hind")]
    lists += [["hips", "root", "pelvis", "Hips_end", "Bip01"], ["chest", "hips_", "left_hip", "right_hip"]]
    asked_for = {"pelvis", "root", "hip", "shoulder", "ear", "nose"}
    met = set()
    for names, found in zip(lists, ask("kinds", tmp_path, lists=lists), strict=True):
        wanted = [KINDS[kind] for kind in kinds_of(tuple(names))]
        assert [kind if kind in asked_for else "" for kind in found] == [
            kind if kind in asked_for else "" for kind in wanted
        ], names
        met |= set(wanted) & asked_for
    assert met == asked_for


def about(axis: int, degrees: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """(T, 3, 3) rotations about an axis."""
    turn = np.tile(np.eye(3), (len(degrees), 1, 1))
    one, other = [(1, 2), (2, 0), (0, 1)][axis]
    turn[:, one, one] = turn[:, other, other] = np.cos(np.radians(degrees))
    turn[:, other, one] = np.sin(np.radians(degrees))
    turn[:, one, other] = -turn[:, other, one]
    return turn


def test_rotations_are_those_of_python_however_little_tells_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    bases = proper(rng.normal(size=(40, 3, 3)))
    lines = np.einsum("ti,tj->tij", *(rng.normal(size=(40, 3)) for _ in range(2)))
    matrices = np.concatenate(
        [rng.normal(size=(40, 3, 3)), lines + 1e-6 * bases, lines + 1e-3 * lines[::-1] + 1e-6 * bases, 1e-9 * bases]
    )
    assert (np.linalg.det(matrices) < 0).any()
    # About three turns around each axis, through the angles where two of the axes are one.
    steps = np.linspace(0, 1100, 221)
    sequence = np.concatenate([about(axis, steps) for axis in range(3)])
    sequence = np.concatenate([sequence, about(2, steps) @ about(0, 2 * steps) @ about(1, -3 * steps)])
    found = ask("rotations", tmp_path, matrices=matrices.ravel().tolist(), sequence=sequence.ravel().tolist())
    np.testing.assert_allclose(np.reshape(found["proper"], (-1, 3, 3)), proper(matrices), atol=1e-8)
    np.testing.assert_allclose(np.reshape(found["euler"], (-1, 3)), euler_zxy(sequence), atol=1e-6)
    np.testing.assert_allclose(np.reshape(found["quaternions"], (-1, 4)), quaternions(sequence), atol=1e-6)
