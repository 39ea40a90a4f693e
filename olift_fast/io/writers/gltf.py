"""Writes an animation in glTF 2.0: nodes that move and turn, for Blender, three.js and other viewers."""

from __future__ import annotations

import base64
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from olift_fast.errors import InputError
from olift_fast.io.format import OutputFormat
from olift_fast.io.writers.axes import units_in_meter, y_up
from olift_fast.io.writers.gltf_shapes import ball, color_of, stick
from olift_fast.io.writers.provenance import provenance
from olift_fast.io.writers.rotations import quaternions, swing
from olift_fast.io.writers.skeletal_motion import SkeletalMotion, skeletal_motion
from olift_fast.io.writers.timing import frame_numbers
from olift_fast.tracks.containers import LiftedTracks

_FLOAT, _SHORT = 5126, 5123
_TYPES = {(): "SCALAR", (3,): "VEC3", (4,): "VEC4"}
# The radius of a joint and of a bone, as a share of a typical bone's length.
_BALL, _STICK = 0.12, 0.06
_UP = np.array([0.0, 1.0, 0.0])


def write_glb(result: LiftedTracks, path: Path) -> None:
    """Writes all tracks in one binary file (GLB); see `_Scene` for what is in it.

    Raises:
        InputError: no joint is known in any frame, or over 4 GiB.
    """
    scene = _Scene(result)
    data = bytes(scene.data)
    text = json.dumps(scene.content(len(data)), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 4)
    total = 12 + 8 + len(text) + 8 + len(data)
    if total >= 2**32:
        raise InputError(f"GLB holds 4 GiB at most, got {total / 2**30:.1f} GiB; write fewer frames or tracks")
    with path.open("wb") as file:
        file.write(struct.pack("<4sII", b"glTF", 2, total))
        for kind, chunk in ((b"JSON", text), (b"BIN\0", data)):
            file.write(struct.pack("<I4s", len(chunk), kind) + chunk)


def write_gltf(result: LiftedTracks, path: Path) -> None:
    """Writes the same as `write_glb`, but as JSON, with the binary data in base64."""
    scene = _Scene(result)
    content = scene.content(len(scene.data))
    content["buffers"][0]["uri"] = "data:application/octet-stream;base64," + base64.b64encode(scene.data).decode()
    with path.open("wb") as file:
        file.write(json.dumps(content, ensure_ascii=False).encode())


class _Scene:
    """The nodes of a file: one that scales to meters, below it one for each track, below that the joints by the bones.

    In every frame in which a joint is known, it has its position from the result, in the result's unit. Its rotation is
    that of `skeletal_motion`. A joint's mesh is a ball; each bone is a stick below the joint where it begins. A unit in
    the file is a meter, or a unit of the model if no size is known.

    Raises:
        InputError: no joint is known in any frame.
    """

    def __init__(self, result: LiftedTracks) -> None:
        self.result = result
        self.data = bytearray()
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []
        self.materials: list[dict[str, Any]] = []
        self.meshes: list[dict[str, Any]] = []
        self.samplers: list[dict[str, Any]] = []
        self.channels: list[dict[str, Any]] = []
        size = [1 / units_in_meter(result)] * 3
        self.nodes: list[dict[str, Any]] = [{"name": "olift-fast", "scale": size, "children": []}]
        numbers = frame_numbers(result)
        assert result.fps is not None
        self.times = self._numbers(((numbers - numbers[0]) / result.fps).astype(np.float32))
        for track in range(result.num_tracks):
            joints = y_up(result.joints[track], result.frame)
            if np.isfinite(joints).all(axis=-1).any():
                self._add_track(track, skeletal_motion(joints, result.skeleton))
        if not self.nodes[0]["children"]:
            raise InputError("glTF needs a joint in at least one frame, got none")

    def content(self, size: int) -> dict[str, Any]:
        """The JSON of the file, for a buffer of `size` bytes."""
        return {
            "asset": {"version": "2.0", "generator": "olift-fast", "extras": provenance(self.result)},
            "scene": 0,
            "scenes": [{"name": "lifted", "nodes": [0]}],
            "nodes": self.nodes,
            "meshes": self.meshes,
            "materials": self.materials,
            "animations": [{"name": "lifted", "samplers": self.samplers, "channels": self.channels}],
            "accessors": self.accessors,
            "bufferViews": self.views,
            "buffers": [{"byteLength": size}],
        }

    def _add_track(self, track: int, motion: SkeletalMotion) -> None:
        skeleton = self.result.skeleton
        shapes = {side: self._shapes(track, side, motion.length) for side in (-1, 0, 1)}
        self.nodes.append({"name": self.result.tracks[track], "children": []})
        top = len(self.nodes) - 1
        self.nodes[0]["children"].append(top)
        places: dict[int, int] = {}
        for joint in motion.tree.order:
            parent = motion.tree.parents[joint]
            if parent is None:
                way, rest = motion.joints[:, joint], motion.joints[0, joint]
            else:
                way, rest = motion.offsets(parent, joint), motion.rest[joint] - motion.rest[parent]
            places[joint] = self._add_node(skeleton.names[joint], shapes[skeleton.sides[joint]][0], rest)
            self.nodes[top if parent is None else places[parent]].setdefault("children", []).append(places[joint])
            self._animate(places[joint], translation=way, rotation=quaternions(motion.local(joint)))
        for a, b in skeleton.edges:
            if a in places and b in places:
                side = int(np.sign(skeleton.sides[a] + skeleton.sides[b]))
                self._add_bone(places[a], f"{skeleton.names[a]} to {skeleton.names[b]}", shapes[side][1], motion, a, b)

    def _add_bone(self, at: int, name: str, mesh: int, motion: SkeletalMotion, a: int, b: int) -> None:
        """A stick from joint a to joint b, stretched and turned below the first one's node."""
        # The first row is the bone at rest: viewers that play no animation show the joints there.
        way = np.concatenate([[motion.rest[b] - motion.rest[a]], motion.offsets(a, b)])
        length = np.maximum(np.linalg.norm(way, axis=-1, keepdims=True), 1e-6 * motion.length)
        turn = quaternions(swing(np.broadcast_to(_UP, way.shape), _unit(way)))
        scale = np.concatenate([np.ones_like(length), length, np.ones_like(length)], axis=-1)
        node = self._add_node(name, mesh, None)
        self.nodes[node] |= {"rotation": turn[0].tolist(), "scale": scale[0].tolist()}
        self.nodes[at].setdefault("children", []).append(node)
        self._animate(node, rotation=turn[1:], scale=scale[1:])

    def _add_node(self, name: str, mesh: int, place: npt.NDArray[np.floating] | None) -> int:
        node: dict[str, Any] = {"name": name, "mesh": mesh}
        if place is not None:
            node["translation"] = place.tolist()
        self.nodes.append(node)
        return len(self.nodes) - 1

    def _animate(self, node: int, **values: npt.NDArray[np.floating]) -> None:
        for path, over_time in values.items():
            self.samplers.append({"input": self.times, "output": self._numbers(over_time.astype(np.float32))})
            self.channels.append({"sampler": len(self.samplers) - 1, "target": {"node": node, "path": path}})

    def _shapes(self, track: int, side: int, length: float) -> tuple[int, int]:
        """The meshes of a joint and of a bone."""
        pbr = {"baseColorFactor": color_of(track, side), "metallicFactor": 0.0, "roughnessFactor": 0.8}
        name = f"{self.result.tracks[track]} {('middle', 'left', 'right')[side]}"
        self.materials.append({"name": name, "pbrMetallicRoughness": pbr, "doubleSided": True})
        made = []
        for mesh in (ball(_BALL * length), stick(_STICK * length)):
            corners, normals, faces = (self._numbers(values) for values in mesh)
            primitive = {"attributes": {"POSITION": corners, "NORMAL": normals}, "indices": faces}
            self.meshes.append({"primitives": [primitive | {"material": len(self.materials) - 1}]})
            made.append(len(self.meshes) - 1)
        return made[0], made[1]

    def _numbers(self, values: npt.NDArray[Any]) -> int:
        """Appends an array to the buffer and returns the index of its accessor."""
        data = np.ascontiguousarray(values).tobytes()
        self.views.append({"buffer": 0, "byteOffset": len(self.data), "byteLength": len(data)})
        self.data += data + b"\0" * (-len(data) % 4)
        accessor: dict[str, Any] = {
            "bufferView": len(self.views) - 1,
            "componentType": _SHORT if values.dtype == np.uint16 else _FLOAT,
            "count": len(values),
            "type": _TYPES[values.shape[1:]],
        }
        if values.dtype != np.uint16 and len(values):
            low, high = values.min(axis=0), values.max(axis=0)
            accessor |= {"min": np.atleast_1d(low).tolist(), "max": np.atleast_1d(high).tolist()}
        self.accessors.append(accessor)
        return len(self.accessors) - 1


def _unit(ways: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    lengths = np.linalg.norm(ways, axis=-1, keepdims=True)
    return np.where(lengths > 0, ways / np.maximum(lengths, 1e-300), _UP)


GLB = OutputFormat(
    name="glb",
    suffix=".glb",
    extra=None,
    description="binary glTF: an animation for Blender, three.js and web pages; Y up; all tracks in one scene",
    holds="joints at the frames that know them, to rounding; rotations, times, names, edges; all facts of how it was "
    "lifted as `extras` of the asset",
    drops="which frames were not known (they are bridged), confidence, visibility, uncertainty",
    write=write_glb,
    title="glTF",
    wants=("fps",),
)
GLTF = GLB._replace(name="gltf", suffix=".gltf", description="the same as JSON", write=write_gltf)
