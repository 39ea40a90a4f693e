"""AnimalSyn3D's files, written here in its layout and by its camera's conventions, and read back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from olift_fast.data.animalsyn3d import clips_of, load_animalsyn3d, load_animation, split_animations
from olift_fast.data.cameras import Cameras, project, upright_rotation
from olift_fast.data.generator import AnimalGenerator
from olift_fast.data.mocap import Paired
from olift_fast.errors import InputError
from olift_fast.tracks.rigs import rig
from olift_fast.tracks.skeleton import Skeleton

SIZE = 1080
FOCAL = 35 * SIZE / 36
FOX = rig("foxZED")
Array = npt.NDArray[np.float64]


def camera_behind(positions: Array, angle: float) -> tuple[Array, Array]:
    """Rotation and position of the data set's camera in its own mirrored world with Y up; angle in degrees."""
    world = positions[..., [0, 2, 1]].reshape(-1, 3)
    low, high = world.min(axis=0), world.max(axis=0)
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    for factor in np.arange(1, 10, 0.5):
        away = factor * np.linalg.norm(high - low) * np.array([cos, 0, -sin])
        ahead = -away / np.linalg.norm(away)
        right = np.cross([0, 1, 0], ahead)
        rotation = np.stack([right, [0, 1, 0], ahead])
        place = (low + high) / 2 + away
        seen = (world - place) @ rotation.T
        if (np.abs(seen[:, :2] / seen[:, 2:]) * FOCAL < SIZE / 2).all():
            return rotation, place
    raise AssertionError("no distance shows everything")


def content(positions: Array, skeleton: Skeleton, model: str, name: str, angle: float = 30) -> dict[str, Any]:
    """An animation file's content. positions (T, J, 3): right-handed, Z up."""
    rotation, place = camera_behind(positions, angle)
    seen = (positions[..., [0, 2, 1]] - place) @ rotation.T
    pixels = seen[..., :2] / seen[..., 2:] * FOCAL + SIZE / 2
    scale = np.linalg.norm(pixels - pixels[:, :1], axis=(1, 2)) / np.linalg.norm(
        (seen - seen[:, :1])[..., :2], axis=(1, 2)
    )
    return {
        "model": model,
        "animation": name,
        "rel_mesh_path": f"animals/{model}_{name}/{model}_{name}.anime",
        "joint_group_idxs": [[0, 1]] * skeleton.num_joints,
        "connections": [list(edge) for edge in skeleton.edges],
        "camera": {
            "intrinsic": [[FOCAL, 0, SIZE / 2], [0, FOCAL, SIZE / 2], [0, 0, 1]],
            "extrinsic": np.hstack([rotation, -(rotation @ place)[:, None]]).tolist(),
            "width": SIZE,
            "height": SIZE,
        },
        "points": {
            "2d": pixels.tolist(),
            "3d": (seen * scale[:, None, None]).tolist(),
            "cam_3d": seen.tolist(),
            "scaling_factor": scale.tolist(),
        },
    }


def write(folder: Path, animal: str, name: str, value: Any) -> Path:
    path = folder / animal / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=4))
    return path


def generated(frames: int = 48, seed: int = 0) -> tuple[Array, Skeleton]:
    """One clip (T, J, 3) of a generated animal with Z up, in meters, that walks along."""
    batch = AnimalGenerator(seed, ["quadruped"], without_edges=0).batch(1, frames)
    x, down, away = np.moveaxis(batch.joints[0].astype(np.float64) / 300, -1, 0)
    skeleton = Skeleton(tuple(f"joint_{index}" for index in range(batch.skeleton.num_joints)), batch.skeleton.edges)
    return np.stack([x, away, -down], axis=-1) + np.linspace([0, 0, 0.4], [0.8, 0.3, 0.4], frames)[:, None], skeleton


def fox(frames: int = 3, seed: int = 0) -> Array:
    """(T, 26, 3) a fox-like cloud that faces +x: left joints on its left."""
    positions = np.random.default_rng(seed).uniform(-0.3, 0.3, (frames, 26, 3)) * [1, 0.1, 1]
    positions[..., 1] += 0.3 * np.array(FOX.sides)
    return positions


@pytest.mark.parametrize("angle", [0, 77, 180, 301])
def test_generated_clips_come_back_as_an_upright_camera_sees_them(tmp_path: Path, angle: float) -> None:
    positions, skeleton = generated(100, seed=int(angle))
    stored = content(positions, skeleton, "unicorn", "Walk1", angle)
    write(tmp_path, "unicorn", "Walk1", stored)
    (animation,) = load_animalsyn3d(tmp_path)["unicorn"]
    clips = clips_of([animation], "unicorn")
    assert clips.keypoints.shape == (2, 48, skeleton.num_joints, 2) and clips.family == "unicorn"
    assert clips.skeleton.edges == skeleton.edges and clips.visible.all() and clips.labelled.all()

    # The 2D is exactly the file's, with y pointing down.
    exact = np.array(stored["points"]["2d"])[:96].reshape(clips.keypoints.shape) * [1, -1] + [0, SIZE]
    np.testing.assert_array_equal(clips.keypoints, exact.astype(np.float32))

    # A camera of this package at the same place, level, looking at the animal, in a world that was never mirrored.
    place = camera_behind(positions, angle)[1][[0, 2, 1]]
    low, high = positions.min(axis=(0, 1)), positions.max(axis=(0, 1))
    ahead = (low + high) / 2 - place
    rotation = upright_rotation(np.arctan2(ahead[1:2], ahead[:1]), np.zeros(1), np.zeros(1))
    camera = Cameras(
        rotation.astype(np.float32)[:, None],
        place.astype(np.float32)[None, None],
        np.full((1, 2), FOCAL, np.float32),
        np.full((1, 2), SIZE / 2, np.float32),
        np.full((1, 2), SIZE, np.float32),
    )
    keypoints, joints = project(positions.astype(np.float32)[None], camera)
    np.testing.assert_allclose(clips.keypoints.reshape(96, -1, 2), keypoints[0, :96], atol=5e-3)
    np.testing.assert_allclose(clips.joints.reshape(96, -1, 3), joints[0, :96], atol=5e-3)
    np.testing.assert_allclose(animation.positions, positions, atol=1e-5)


def test_published_depth_is_ours_up_to_the_scale_of_a_frame(tmp_path: Path) -> None:
    positions, skeleton = generated()
    stored = content(positions, skeleton, "unicorn", "Run")
    clips = clips_of([load_animation(write(tmp_path, "unicorn", "Run", stored))], "unicorn")
    published = np.array(stored["points"]["3d"]) * [1, -1, 1]
    published -= published.mean(axis=1, keepdims=True)
    ratio = np.linalg.norm(published, axis=(1, 2)) / np.linalg.norm(clips.joints[0], axis=(1, 2))
    np.testing.assert_allclose(clips.joints[0] * ratio[:, None, None], published, atol=1e-2)
    assert ratio.min() > 0.7 and ratio.max() < 1.4


def test_left_is_left_and_up_is_up_and_a_known_model_has_names(tmp_path: Path) -> None:
    """Seen from behind, an animal's left is on the left of the picture."""
    stored = content(fox(), FOX, "foxZED", "Idle", angle=180)
    clips = clips_of([load_animation(write(tmp_path, "foxZED", "Idle", stored))], "fox", frames=3)
    assert clips.skeleton.names == FOX.names and clips.skeleton.name == "animalsyn3d_fox"
    sides = np.array(clips.skeleton.sides)
    x = clips.keypoints[..., 0]
    assert x[..., sides > 0].max() < SIZE / 2 < x[..., sides < 0].min()
    higher = fox()[0, :, 2]
    assert np.corrcoef(clips.keypoints[0, 0, :, 1], higher)[0, 1] < -0.95


def test_an_intrinsic_off_centre_and_an_extrinsic_of_four_rows_are_read(tmp_path: Path) -> None:
    stored = content(fox(), FOX, "foxZED", "Idle")
    stored["camera"]["extrinsic"].append([0, 0, 0, 1])
    stored["camera"]["height"] = 900
    stored["camera"]["intrinsic"][0][2] += 7
    stored["camera"]["intrinsic"][1][2] -= 40
    stored["points"]["2d"] = np.add(stored["points"]["2d"], [7, -40]).tolist()
    animation = load_animation(write(tmp_path, "foxZED", "Idle", stored))
    seen = animation.positions @ animation.R[0].T + animation.t[0]
    pixels = (seen @ animation.K[0].T)[..., :2] / seen[..., 2:]
    np.testing.assert_allclose(pixels, animation.keypoints_2d[0], atol=5e-3)
    exact = np.array(stored["points"]["2d"]) * [1, -1] + [0, 900]
    np.testing.assert_array_equal(animation.keypoints_2d[0], exact.astype(np.float32))
    assert animation.image_sizes.tolist() == [[SIZE, 900]] and np.linalg.det(animation.R[0]) == pytest.approx(1)


def test_unknown_points_are_hidden_in_2d_and_unlabelled_in_3d(tmp_path: Path) -> None:
    stored = content(fox(), FOX, "foxZED", "Idle")
    whole = clips_of([load_animation(write(tmp_path, "foxZED", "Idle", stored))], "fox", frames=3)
    stored["points"]["2d"][0][4][1] = None
    stored["points"]["cam_3d"][2][7][0] = float("nan")
    clips = clips_of([load_animation(write(tmp_path, "foxZED", "Idle", stored))], "fox", frames=3)
    assert np.argwhere(~clips.visible).tolist() == [[0, 0, 4]] and (clips.keypoints[0, 0, 4] == 0).all()
    assert np.argwhere(~clips.labelled).tolist() == [[0, 2, 7]] and (clips.joints[0, 2, 7] == 0).all()
    np.testing.assert_array_equal(clips.keypoints[0, 1:], whole.keypoints[0, 1:])
    np.testing.assert_array_equal(clips.joints[0, :2], whole.joints[0, :2])


def named(animal: str, names: list[str]) -> list[Paired]:
    empty = np.zeros((1, 1, 3), np.float32)
    flat = np.zeros((1, 1, 1, 2), np.float32)
    K, t = np.eye(3)[None], np.zeros((1, 3))
    described = (np.ones((1, 1, 1), np.float32), K, np.zeros((1, 5)), K, t, np.ones((1, 2), np.int64), ("c",))
    one = Paired(empty, flat, *described, 30.0, True, Skeleton(("a",)), "", "m")
    return [replace(one, source=f"{animal}/{name}") for name in names]


def sources(side: dict[str, list[Paired]]) -> dict[str, list[str]]:
    return {animal: [animation.source for animation in animations] for animal, animations in side.items()}


def test_split_is_by_animation_of_each_animal_and_whatever_the_order() -> None:
    names = [f"Walk{index}" for index in range(67)]
    few = [f"Peck{index}" for index in range(7)]
    animals = {"bear": named("bear", names), "chicken": named("chicken", few)}
    train, kept = (sources(side) for side in split_animations(animals))
    # 80 % for training, rounded up.
    assert {animal: (len(train[animal]), len(kept[animal])) for animal in animals} == {
        "bear": (54, 13),
        "chicken": (6, 1),
    }
    for animal, animations in animals.items():
        assert sorted(train[animal] + kept[animal]) == sorted(animation.source for animation in animations)
    shuffled = {"chicken": animals["chicken"][::-1], "bear": animals["bear"][30:] + animals["bear"][:30]}
    assert [sources(side) for side in split_animations(shuffled)] == [train, kept]
    alone = split_animations({"bear": animals["bear"]})
    assert sources(alone[1])["bear"] == kept["bear"]
    other = split_animations(animals, seed=1)
    assert sources(other[1])["bear"] != kept["bear"]
    renamed = split_animations({"bear2": named("bear2", names)})[1]["bear2"]
    assert [animation.source[1 + len("bear2") :] for animation in renamed] != [name[5:] for name in kept["bear"]]


@pytest.mark.parametrize(("count", "held"), [(5, 1), (10, 2), (15, 3), (45, 9), (68, 13)])
def test_held_out_share_is_rounded_down(count: int, held: int) -> None:
    _, kept = split_animations({"elk": named("elk", [str(index) for index in range(count)])})
    assert len(kept["elk"]) == held


def test_an_empty_side_of_the_split_is_an_error() -> None:
    with pytest.raises(InputError, match=r"elk: needs 5 animations to hold out 0.2 of them, got 4"):
        split_animations({"elk": named("elk", list("abcd"))})
    with pytest.raises(InputError, match="distinct names, got elk/a more than once"):
        split_animations({"elk": named("elk", list("aabcd"))})
    with pytest.raises(InputError, match="between 0 and 1, got 1"):
        split_animations({"elk": named("elk", list("abcde"))}, held_out=1)


def test_too_short_animations_give_no_clip(tmp_path: Path) -> None:
    animation = load_animation(write(tmp_path, "foxZED", "Idle", content(fox(5), FOX, "foxZED", "Idle")))
    assert len(clips_of([animation, animation], "fox", frames=2)) == 4
    with pytest.raises(InputError, match="fox: needs an animation of 48 frames, got at most 5"):
        clips_of([animation], "fox")
    with pytest.raises(InputError, match="got at most 0"):
        clips_of([], "fox")
    with pytest.raises(InputError, match="one skeleton"):
        clips_of([animation, *named("elk", ["a"])], "fox", frames=1)


MISSING = object()
BAD = {
    "points.2d": [
        (MISSING, "must have points.2d of an AnimalSyn3D animation, got 3d, cam_3d, scaling_factor"),
        ([[[1.0, 2.0]]], r"got \(1, 1, 2\) and \(3, 26, 3\)"),
        ([[[1.0], [1.0, 2.0]]], "points.2d must hold numbers in rows of one length"),
        (
            fox()[..., :2].tolist(),
            r"points.2d must be points.cam_3d seen by camera.intrinsic, got points .* pixels apart",
        ),
    ],
    "points.cam_3d": [
        (MISSING, "must have points.cam_3d"),
        ([], "points.cam_3d must have 3 dimensions"),
        ((-1 - np.abs(fox())).tolist(), "must lie ahead of the camera, at z > 0"),
        (np.full((3, 26, 3), None).tolist(), "known somewhere"),
    ],
    "camera.extrinsic": [
        (MISSING, "must have camera.extrinsic"),
        (np.eye(3).tolist(), r"got \(3, 3\) and \(3, 3\)"),
        ((2 * np.eye(4)[:3]).tolist(), "must hold a rotation, got one that is off by 3"),
        (np.diag([1.0, 1, -1, 1])[:3].tolist(), "or a mirror"),
        (
            np.diag([1.0, -1, -1, 1])[:3].tolist(),
            "y axis along the world's, up, as the data set's tooling has it, got one with -1",
        ),
        (np.full((3, 4), np.nan).tolist(), "must be finite"),
    ],
    "camera.intrinsic": [([[1, 2], [3, 4]], r"must be \(3, 3\) and \(3, 4\), got \(2, 2\)")],
    "camera.width": [(0, "camera.width must be a positive number of pixels, got 0"), ("wide", "got 'wide'")],
    "connections": [
        ([[0, 26]], r"edge \(0, 26\) must join joints 0 … 25"),
        ([0, 1], "connections must have 2 dimensions"),
        ([[0, 1, 2]], "pairs of joint indices"),
    ],
    "model": [("rabbit7L6", "model rabbit7L6 must have 25 joints, got 26"), (MISSING, "must have model")],
}


@pytest.mark.parametrize(("key", "value", "message"), [(k, v, m) for k, cases in BAD.items() for v, m in cases])
def test_bad_files_are_refused_in_one_line_that_names_them(tmp_path: Path, key: str, value: Any, message: str) -> None:
    stored = content(fox(), FOX, "foxZED", "Idle")
    part = stored
    *parents, last = key.split(".")
    for name in parents:
        part = part[name]
    if value is MISSING:
        del part[last]
    else:
        part[last] = value
    path = write(tmp_path, "foxZED", "Idle", stored)
    with pytest.raises(InputError, match=message) as caught:
        load_animation(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def test_unusable_files_are_raised_or_skipped_with_a_count(tmp_path: Path) -> None:
    for index in range(6):
        write(tmp_path, "foxZED", f"Walk{index}", content(fox(seed=index), FOX, "foxZED", f"Walk{index}"))
    cut = tmp_path / "foxZED" / "Walk1.json"
    cut.write_text(cut.read_text()[:2000])
    (tmp_path / "foxZED" / "Walk4.json").write_bytes(b"\xff\xfe nothing")
    write(tmp_path, "foxZED", "Walk5", ["a list"])
    with pytest.raises(InputError, match=r"Walk1.json: not valid JSON \(cut short\?\)"):
        load_animalsyn3d(tmp_path)
    with pytest.warns(UserWarning, match=r"skipped 3 of 6 files: .*Walk1.json.*Walk4.json.*Walk5.json.*got list"):
        animals = load_animalsyn3d(tmp_path, on_bad="skip")
    assert sources(animals) == {"foxZED": ["foxZED/Walk0", "foxZED/Walk2", "foxZED/Walk3"]}
    with pytest.raises(InputError, match=r"absent\.json: cannot be read: No such file"):
        load_animation(tmp_path / "absent.json")
    with pytest.raises(InputError, match=r"must hold ANIMAL/ANIMATION\.json files, got none"):
        load_animalsyn3d(tmp_path / "foxZED")


def test_an_animation_of_another_skeleton_is_named(tmp_path: Path) -> None:
    positions, skeleton = generated(4)
    for name in ("A", "B", "C"):
        write(tmp_path, "unicorn", name, content(positions, skeleton, "unicorn", name))
    odd = Skeleton(skeleton.names[:-1])
    fewer = replace(odd, edges=tuple((a, b) for a, b in skeleton.edges if max(a, b) < odd.num_joints))
    path = write(tmp_path, "unicorn", "A", content(positions[:, :-1], fewer, "unicorn", "A"))
    joints = skeleton.num_joints
    with pytest.raises(InputError, match=rf"A.json: must have the {joints} joints .*, got {joints - 1} joints"):
        load_animalsyn3d(tmp_path)
    with pytest.warns(UserWarning, match="skipped 1 of 3 files"):
        assert sources(load_animalsyn3d(tmp_path, on_bad="skip")) == {"unicorn": ["unicorn/B", "unicorn/C"]}
    stored = content(positions, skeleton, "unicorn", "A")
    stored["connections"] = stored["connections"][1:]
    path.write_text(json.dumps(stored))
    with pytest.raises(InputError, match="got other connections"):
        load_animalsyn3d(tmp_path)
