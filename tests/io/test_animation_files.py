"""BVH and glTF, read again by bvhio, pygltflib and trimesh: joints and bones are where the result has them."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from lifted_motions import FRAMES, in_meters, lifted, swinging, without

from olift_fast.errors import InputError
from olift_fast.io import read_keypoints, write_lifted
from olift_fast.io.writers.axes import y_up
from olift_fast.tracks import rig
from olift_fast.tracks.containers import LiftedTracks
from olift_fast.tracks.skeleton import Skeleton

DOG = rig("ap10k_17")


def places(path: Path, frames: int) -> dict[str, npt.NDArray[np.float64]]:
    """(T, 3) where each joint of a BVH file is, and (T) its turns, as bvhio computes them."""
    bvhio = pytest.importorskip("bvhio")
    root = bvhio.readAsHierarchy(str(path))
    nodes = [node for node, _, _ in root.layout()]
    found = np.zeros((frames, len(nodes), 3))
    for frame in range(frames):
        root.loadPose(frame)
        found[frame] = [list(node.PositionWorld) for node in nodes]
    return {node.Name: found[:, place] for place, node in enumerate(nodes)}


def true_joints(result: LiftedTracks, track: int = 0) -> npt.NDArray[np.floating]:
    return y_up(result.joints[track], result.frame) * in_meters(result)


@pytest.mark.parametrize("kind", FRAMES)
def test_joints_of_bvh_are_where_rigid_bones_are(tmp_path: Path, kind: str) -> None:
    result = lifted(DOG, swinging(DOG, 12), **FRAMES[kind])
    found = places(write_lifted(result, tmp_path / "dog.bvh"), 12)
    wanted = true_joints(result)
    length = np.linalg.norm(wanted[0, 0] - wanted[0, 1])
    for joint, name in enumerate(DOG.names):
        np.testing.assert_allclose(found[name], wanted[:, joint], atol=0.02 * length, err_msg=name)


def test_bones_of_bvh_point_where_they_do_though_their_lengths_change(tmp_path: Path) -> None:
    joints = swinging(DOG, 12) * np.linspace(0.8, 1.2, 12)[:, np.newaxis, np.newaxis]
    result = lifted(DOG, joints)
    found, wanted = places(write_lifted(result, tmp_path / "dog.bvh"), 12), true_joints(result)
    for a, b in DOG.edges:
        if {DOG.names[a], DOG.names[b]} == {"left_eye", "right_eye"}:
            continue  # closes a loop
        bone, way = found[DOG.names[b]] - found[DOG.names[a]], wanted[:, b] - wanted[:, a]
        cosine = np.einsum("ti,ti->t", bone, way) / np.linalg.norm(bone, axis=-1) / np.linalg.norm(way, axis=-1)
        assert np.degrees(np.arccos(np.clip(cosine, -1, 1))).max() < 0.2, (DOG.names[a], DOG.names[b])
        assert np.ptp(np.linalg.norm(bone, axis=-1)) < 1e-4


def test_bvh_has_names_rate_and_no_bone_without_length(tmp_path: Path) -> None:
    names = ("nose", "left ear{", "left\tear ", "", "tail")
    skeleton = Skeleton(names, ((0, 1), (0, 2), (0, 3), (3, 4)))
    joints = swinging(skeleton, 9)
    joints[:, 4] = joints[:, 3]
    path = write_lifted(lifted(skeleton, joints, fps=59.94), tmp_path / "odd.bvh")
    lines = path.read_text().splitlines()
    assert [line.split()[1] for line in lines if line.split()[0] in ("ROOT", "JOINT") and "_to_" not in line] == [
        *("nose", "joint", "tail", "left_ear_", "left_ear__2")
    ]
    assert "Frames: 9" in lines and f"Frame Time: {1 / 59.94:.9g}" in lines
    ends = [line.split()[1:] for place, line in enumerate(lines) if "OFFSET" in line and "_to_" not in lines[place - 2]]
    assert all(np.linalg.norm(np.array(end, float)) > 1e-6 for end in ends[1:])
    assert set(places(path, 9)) >= {"left_ear_", "left_ear__2", "joint"}


def test_pieces_of_bvh_have_places_of_their_own(tmp_path: Path) -> None:
    skeleton = Skeleton(("a", "b", "c", "d", "alone", "scene"), ((0, 1), (2, 3), (2, 5)))
    result = lifted(skeleton, swinging(skeleton, 8))
    found = places(write_lifted(result, tmp_path / "pieces.bvh"), 8)
    assert "scene_2" in found
    for joint, name in enumerate(skeleton.names):
        np.testing.assert_allclose(found[name], true_joints(result)[:, joint], atol=0.02)


def test_frames_that_the_video_skips_are_filled_and_unknown_joints_bridged(tmp_path: Path) -> None:
    straight = swinging(DOG, 1) + np.arange(6)[:, np.newaxis, np.newaxis] * np.array([5.0, 0, 0])
    kept = [0, 1, 4, 5]
    result = without(lifted(DOG, straight[kept], frames=np.array(kept) * 2 + 10, fps=50.0), 0, slice(1, 2), 3)
    path = write_lifted(result, tmp_path / "gaps.bvh")
    assert "Frames: 6\nFrame Time: 0.04\n" in path.read_text()
    found = places(path, 6)
    wanted = y_up(straight, "camera") / 80
    for joint, name in enumerate(DOG.names):
        np.testing.assert_allclose(found[name], wanted[:, joint], atol=0.01)


def test_joints_that_a_track_never_has_are_left_out_of_animations(tmp_path: Path) -> None:
    result = without(lifted(DOG, swinging(DOG, 5)), 0, slice(None), DOG.names.index("neck"))
    found = places(write_lifted(result, tmp_path / "dog.bvh"), 5)
    assert "neck" not in found and "nose" in found
    nodes = json.loads(write_lifted(result, tmp_path / "dog.gltf").read_text())["nodes"]
    assert not any("neck" in node["name"] for node in nodes)


def test_a_long_chain_is_written(tmp_path: Path) -> None:
    skeleton = Skeleton(tuple(f"j{joint}" for joint in range(1100)), tuple((j, j + 1) for j in range(1099)))
    joints = np.cumsum(np.ones((2, 1100, 3)), axis=1)
    path = write_lifted(lifted(skeleton, joints), tmp_path / "chain.bvh")
    assert path.read_text().count("JOINT") == 1100  # 1099 joints, and the other way out of the root


class Gltf:
    """A file as glTF 2.0 says that it is to be read; nodes by their place."""

    def __init__(self, path: Path) -> None:
        library = pytest.importorskip("pygltflib")
        self.file = library.GLTF2().load(str(path))
        validator = __import__("pygltflib.validator", fromlist=["validate"])
        validator.validate(self.file)
        self.nodes = self.file.nodes
        uri = self.file.buffers[0].uri
        self.data = base64.b64decode(uri.split(",")[1]) if uri else self.file.binary_blob()
        self.parents = {child: place for place, node in enumerate(self.nodes) for child in node.children or ()}
        self.known: dict[int, npt.NDArray[np.float64]] = {}
        (animation,) = self.file.animations
        self.curves = {
            (channel.target.node, channel.target.path): animation.samplers[channel.sampler]
            for channel in animation.channels
        }

    def array(self, accessor: int) -> npt.NDArray[Any]:
        one = self.file.accessors[accessor]
        view = self.file.bufferViews[one.bufferView]
        width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}[one.type]
        kind = np.dtype("<f4") if one.componentType == 5126 else np.dtype("<u2")
        values = np.frombuffer(self.data, kind, one.count * width, view.byteOffset).reshape(one.count, width)
        if one.min is not None:
            np.testing.assert_array_equal(values.min(axis=0), np.float32(one.min))
            np.testing.assert_array_equal(values.max(axis=0), np.float32(one.max))
        return values

    def times(self) -> npt.NDArray[np.float32]:
        (accessor,) = {sampler.input for sampler in self.curves.values()}
        return self.array(accessor)[:, 0]

    def matrices(self, node: int) -> npt.NDArray[np.float64]:
        """(T, 4, 4) from a node's axes to the scene's, at all times of the animation."""
        if node not in self.known:
            self.known[node] = self._matrices(node)
        return self.known[node]

    def _matrices(self, node: int) -> npt.NDArray[np.float64]:
        count = len(self.times())
        matrix = np.tile(np.eye(4), (count, 1, 1))
        translation = self._curve(node, "translation", self.nodes[node].translation or [0, 0, 0], count)
        x, y, z, w = self._curve(node, "rotation", self.nodes[node].rotation or [0, 0, 0, 1], count).T
        scale = self._curve(node, "scale", self.nodes[node].scale or [1, 1, 1], count)
        turn = np.array(
            [
                [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
                [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
                [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
            ]
        )
        matrix[:, :3, :3] = turn.transpose(2, 0, 1) * scale[:, np.newaxis]
        matrix[:, :3, 3] = translation
        return self.matrices(self.parents[node]) @ matrix if node in self.parents else matrix

    def _curve(self, node: int, path: str, still: list[float], count: int) -> npt.NDArray[np.float64]:
        sampler = self.curves.get((node, path))
        values = np.tile(still, (count, 1)) if sampler is None else self.array(sampler.output)
        assert len(values) == count
        return values.astype(float)

    def below(self, name: str) -> dict[str, int]:
        """The nodes below the one of this name, by their names."""
        top = next(place for place, node in enumerate(self.nodes) if node.name == name)
        found, waiting = {}, [top]
        while waiting:
            place = waiting.pop()
            found[self.nodes[place].name] = place
            waiting += self.nodes[place].children or []
        return found


@pytest.mark.parametrize("suffix", [".glb", ".gltf"])
@pytest.mark.parametrize("kind", FRAMES)
def test_joints_and_bones_of_gltf_are_where_the_result_has_them(tmp_path: Path, kind: str, suffix: str) -> None:
    joints = np.stack([swinging(DOG, 7, seed) * np.linspace(1, 1.3, 7)[:, None, None] for seed in (0, 1)])
    frames = np.array([3, 4, 8, 9, 10, 11, 40])
    result = lifted(DOG, joints, ("a", "b"), frames=frames, **FRAMES[kind])
    file = Gltf(write_lifted(result, tmp_path / f"dogs{suffix}"))
    np.testing.assert_allclose(file.times(), (frames - 3) / 30, rtol=1e-6)
    for track, label in enumerate(result.tracks):
        nodes, wanted = file.below(label), true_joints(result, track)
        size = np.abs(wanted).max()
        for joint, name in enumerate(DOG.names):
            np.testing.assert_allclose(
                file.matrices(nodes[name])[:, :3, 3], wanted[:, joint], atol=2e-6 * size, err_msg=name
            )
        for a, b in DOG.edges:
            tip = file.matrices(nodes[f"{DOG.names[a]} to {DOG.names[b]}"]) @ (0, 1, 0, 1)
            np.testing.assert_allclose(tip[:, :3], wanted[:, b], atol=1e-5 * size)


def test_gltf_tells_where_it_comes_from(tmp_path: Path) -> None:
    result = lifted(DOG, swinging(DOG, 3), frame="world", meters_per_pixel=[0.002], pitch=20.0)
    extras = json.loads(write_lifted(result, tmp_path / "dog.gltf").read_text())["asset"]["extras"]
    assert extras["units"] == "meters" and extras["source"] == "clip.csv" and extras["model"] == "small 1.0"
    assert extras["edges"] == [list(edge) for edge in DOG.edges] and extras["pitch"] == 20


def test_rotations_of_gltf_do_not_flip(tmp_path: Path) -> None:
    file = Gltf(write_lifted(lifted(DOG, swinging(DOG, 60)), tmp_path / "dog.glb"))
    for (_, path), sampler in file.curves.items():
        if path == "rotation":
            turns = file.array(sampler.output).astype(float)
            np.testing.assert_allclose(np.linalg.norm(turns, axis=-1), 1, atol=1e-6)
            assert np.einsum("ti,ti->t", turns[1:], turns[:-1]).min() > 0


def test_gltf_is_drawn(tmp_path: Path) -> None:
    """trimesh finds as many balls and sticks as there are joints and bones, and their shapes have an inside."""
    trimesh = pytest.importorskip("trimesh")
    joints = swinging(DOG, 3)
    scene = trimesh.load_scene(write_lifted(lifted(DOG, joints), tmp_path / "dog.glb"))
    drawn = [scene.geometry[scene.graph[node][1]] for node in scene.graph.nodes_geometry]
    balls = [mesh for mesh in drawn if len(mesh.vertices) == 12 and len(mesh.faces) == 20]
    assert len(drawn) == DOG.num_joints + len(DOG.edges) and len(balls) == DOG.num_joints
    assert all(mesh.volume > 0 and mesh.is_watertight for mesh in balls)
    places = {node: scene.graph[node][0] for node in scene.graph.nodes_geometry}
    for a, b in DOG.edges:
        tip = places[f"{DOG.names[a]} to {DOG.names[b]}"] @ (0, 1, 0, 1)
        np.testing.assert_allclose(tip[:3], places[DOG.names[b]][:3, 3], atol=1e-4)


@pytest.mark.parametrize("suffix", [".glb", ".gltf"])
def test_one_joint_and_no_edges_are_an_animation(tmp_path: Path, suffix: str) -> None:
    for skeleton in (Skeleton(("point",)), Skeleton(("a", "b", "c"))):
        result = lifted(skeleton, swinging(skeleton, 4))
        file = Gltf(write_lifted(result, tmp_path / f"points{suffix}"))
        for joint, name in enumerate(skeleton.names):
            found = file.matrices(file.below("dog")[name])[:, :3, 3]
            np.testing.assert_allclose(found, true_joints(result)[:, joint], rtol=1e-5)


def test_tracks_without_a_joint_are_left_out_of_gltf(tmp_path: Path) -> None:
    result = lifted(DOG, np.stack([swinging(DOG, 4)] * 2), ("seen", "unseen"))
    hidden = replace(result, joints=np.stack([result.joints[0], np.full_like(result.joints[0], np.nan)]))
    nodes = json.loads(write_lifted(hidden, tmp_path / "dogs.gltf").read_text())["nodes"]
    assert [nodes[child]["name"] for child in nodes[0]["children"]] == ["seen"]
    nothing = replace(result, joints=np.full_like(result.joints, np.nan))
    for path, case in (("no.glb", nothing), ("no.bvh", lifted(DOG, np.full((4, 17, 3), np.nan)))):
        with pytest.raises(InputError, match="needs a joint in at least one frame"):
            write_lifted(case, tmp_path / path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["dogs.gltf"]


@pytest.mark.parametrize("suffix", [".bvh", ".glb", ".gltf"])
def test_animations_are_not_taken_for_keypoints(tmp_path: Path, suffix: str) -> None:
    path = write_lifted(lifted(DOG, swinging(DOG, 3)), tmp_path / f"dog{suffix}")
    with pytest.raises(InputError, match=r"nothing to lift|of no known format") as error:
        read_keypoints(path)
    assert "\n" not in str(error.value)
