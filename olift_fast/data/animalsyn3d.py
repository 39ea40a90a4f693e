"""AnimalSyn3D: synthetic animals with exact 3D, the data set of "Object Agnostic 3D Lifting in Space and Time".

An animal's folder has a JSON file for each animation, such as ``AnimalSyn3D/foxZED/Walk1.json``, with

    model, animation         names; a known model (`olift_fast.tracks.rigs`) names the joints
    connections              pairs of joint indices
    camera.intrinsic         (3, 3) in pixels, camera.extrinsic (3, 4) or (4, 4) from world to camera
    camera.width, .height    of the image in pixels
    points.2d                (T, J, 2) pixels
    points.cam_3d            (T, J, 3) camera space

This module follows the README and the code of the data set's public tooling (CJcool06/AnimalSyn3D). It has not been
tried on the published files.

- The tooling's camera is level. Its y axis points **up**, and so do its pixels. The tooling also exchanges y and z of
  the meshes, which are right-handed with Z up, so its world is a mirror image. Both are undone here: 2D and 3D have y
  down, as everywhere in this package; left is left; and the world has Z up. Any other camera is refused, because its
  world can't be known.
- `points.3d` is `points.cam_3d` times `points.scaling_factor` of each frame. These two are not read, and neither are
  `joint_group_idxs`, `optimised_joints` and `rel_mesh_path`.
- The files have no frame rate; 30 is assumed.
"""

from __future__ import annotations

import json
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from olift_fast.data.bad_files import OnBad, read_each
from olift_fast.data.cameras import Cameras, project
from olift_fast.data.clips import ClipBatch
from olift_fast.data.mocap import Paired
from olift_fast.errors import InputError
from olift_fast.odd_files import refuse_odd
from olift_fast.tracks.animalsyn3d import y_is_up
from olift_fast.tracks.rigs import ANIMALSYN3D_MODELS, rig
from olift_fast.tracks.skeleton import Skeleton

FRAMES = 48
"""Frames of a clip; the published animations were resampled to a multiple of it."""
FPS = 30.0
SEED = 2412


def load_animalsyn3d(folder: str | Path, on_bad: OnBad = "raise") -> dict[str, list[Paired]]:
    """All animations by the name of their animal's folder, in the order of the files' names.

    Args:
        folder: has a folder for each animal.
        on_bad: "skip" leaves unusable files out, with a warning that counts and names them.

    Raises:
        InputError: there are no such files, one is unusable (with "skip": all are), or the animations of one animal
            have different skeletons.
    """
    paths = sorted(path for path in Path(folder).glob("*/*.json") if path.is_file())
    if not paths:
        raise InputError(f"{folder}: must hold ANIMAL/ANIMATION.json files, got none")
    loaded = read_each(paths, load_animation, on_bad)
    usual: dict[str, Skeleton] = {}
    for animal in {path.parent.name for path in loaded}:
        counts = Counter(animation.skeleton for path, animation in loaded.items() if path.parent.name == animal)
        usual[animal] = counts.most_common(1)[0][0]

    def of_its_animal(path: Path) -> Paired:
        wanted, got = usual[path.parent.name], loaded[path].skeleton
        if got != wanted:
            raise InputError(
                f"{path}: must have the {wanted.num_joints} joints and {len(wanted.edges)} connections of the other "
                f"animations in its folder, got {_differing(got, wanted)}"
            )
        return loaded[path]

    animals: dict[str, list[Paired]] = {}
    for path, animation in read_each(list(loaded), of_its_animal, on_bad).items():
        animals.setdefault(path.parent.name, []).append(animation)
    return animals


def load_animation(path: str | Path) -> Paired:
    """One animation: its 3D in a world with Z up, one camera, and the 2D of that camera.

    A point with a null or NaN coordinate is unknown: unlabeled in 3D, hidden in 2D.

    Raises:
        InputError: the file can't be read or has another format, its shapes disagree, or its 2D is not the projection
            of its 3D.
    """
    path = Path(path)
    refuse_odd(path)
    try:
        return _parse(_read(path), path)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def split_animations(
    animals: Mapping[str, Sequence[Paired]], seed: int = SEED, held_out: float = 0.2
) -> tuple[dict[str, list[Paired]], dict[str, list[Paired]]]:
    """Animations to train on and animations to hold out, both by animal.

    Of each animal's n animations ⌊0.2 n⌋ are held out: the paper trains on 80 %, which its tooling rounds up. They are
    drawn with a fixed seed from the sorted names, so they do not depend on the order of the files or on other animals.
    Which ones the paper held out is not known.

    Args:
        animals: of `load_animalsyn3d`.
        seed: of the draw.
        held_out: share to hold out.

    Raises:
        InputError: `held_out` is not between 0 and 1, two animations have one name, or an animal has too few to split.
    """
    if not 0 < held_out < 1:
        raise InputError(f"held_out must be between 0 and 1, got {held_out}")
    train: dict[str, list[Paired]] = {}
    kept: dict[str, list[Paired]] = {}
    for animal, animations in animals.items():
        ordered = sorted(animations, key=lambda animation: animation.source)
        repeated = [name for name, times in Counter(animation.source for animation in ordered).items() if times > 1]
        if repeated:
            raise InputError(f"{animal}: animations must have distinct names, got {repeated[0]} more than once")
        # Rounded first, because 0.29 x 100 is less than 29.
        count = int(round(held_out * len(ordered), 6))
        if count == 0:
            needed = int(np.ceil(round(1 / held_out, 6)))
            raise InputError(f"{animal}: needs {needed} animations to hold out {held_out} of them, got {len(ordered)}")
        order = np.random.default_rng((seed, zlib.crc32(animal.encode()))).permutation(len(ordered))
        chosen = set(order[:count].tolist())
        train[animal] = [animation for index, animation in enumerate(ordered) if index not in chosen]
        kept[animal] = [animation for index, animation in enumerate(ordered) if index in chosen]
    return train, kept


def clips_of(animations: Sequence[Paired], family: str, frames: int = FRAMES) -> ClipBatch:
    """The animations of one animal, cut into clips one after another, as their own camera sees them.

    The 2D is that of the files, without a detector's faults. Frames at the end that do not fill a clip are left out.

    Args:
        animations: of one skeleton, as `load_animalsyn3d` gives them.
        family: the animal's name.
        frames: of a clip.

    Raises:
        InputError: `frames` < 1, no animation with that many frames, or different skeletons.
    """
    if frames < 1:
        raise InputError(f"frames must be >= 1, got {frames}")
    if len({animation.skeleton for animation in animations}) > 1:
        counts = sorted({animation.skeleton.num_joints for animation in animations})
        raise InputError(f"{family}: animations must be of one skeleton, got several, of {counts} joints")
    counts = [len(animation.positions) // frames for animation in animations]
    if not sum(counts):
        longest = max((len(animation.positions) for animation in animations), default=0)
        raise InputError(f"{family}: needs an animation of {frames} frames, got at most {longest}")

    def cut(arrays: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
        parts = [a[: n * frames].reshape(n, frames, *a.shape[1:]) for a, n in zip(arrays, counts, strict=True)]
        return np.concatenate(parts)

    positions = cut([animation.positions for animation in animations])
    keypoints = cut([animation.keypoints_2d[0] for animation in animations])
    K, R, t, sizes = (
        np.repeat([getattr(animation, name)[0] for animation in animations], counts, axis=0)
        for name in ("K", "R", "t", "image_sizes")
    )
    cameras = Cameras.from_calibration(K, R, t, sizes)
    labelled = np.asarray(np.isfinite(positions).all(axis=-1))
    visible = np.asarray(np.isfinite(keypoints).all(axis=-1))
    _, joints = project(positions, cameras, labelled)
    keypoints = np.where(visible[..., None], keypoints, np.float32(0))
    return ClipBatch(keypoints, visible, joints, labelled, animations[0].skeleton, family, cameras.pitch)


# To the tooling's world, which has Y up and is mirrored, from a world with Z up: y and z are exchanged.
_WORLD = np.array([[1.0, 0, 0], [0, 0, 1], [0, 1, 0]])
_Y_DOWN = np.diag([1.0, -1.0, 1.0])
_NEEDED = (
    *("model", "animation", "connections", "camera.intrinsic", "camera.extrinsic", "camera.width", "camera.height"),
    *("points.2d", "points.cam_3d"),
)


def _read(path: Path) -> dict[str, Any]:
    """The values of `_NEEDED`, by their dotted names."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"not valid JSON (cut short?): {' '.join(str(error).split())}") from error
    found: dict[str, Any] = {}
    for name in _NEEDED:
        value = content
        for key in name.split("."):
            if not isinstance(value, dict) or key not in value:
                has = ", ".join(map(str, value)) if isinstance(value, dict) else type(value).__name__
                raise InputError(f"must have {name} of an AnimalSyn3D animation, got {has or 'nothing'}")
            value = value[key]
        found[name] = value
    return found


def _parse(content: Mapping[str, Any], path: Path) -> Paired:
    pixels, seen = _numbers(content, "points.2d", 3), _numbers(content, "points.cam_3d", 3)
    if not seen.size or seen.shape[2] != 3 or pixels.shape != (*seen.shape[:2], 2):
        wanted = "(frames, joints, 2) and (frames, joints, 3)"
        raise InputError(f"points.2d and points.cam_3d must be {wanted}, got {pixels.shape} and {seen.shape}")
    skeleton = _skeleton(content, seen.shape[1])
    width, height = (_side(content, name) for name in ("camera.width", "camera.height"))
    intrinsic, extrinsic = _numbers(content, "camera.intrinsic", 2), _numbers(content, "camera.extrinsic", 2)
    if intrinsic.shape != (3, 3) or extrinsic.shape not in ((3, 4), (4, 4)):
        wanted = "(3, 3) and (3, 4)"
        raise InputError(
            f"camera.intrinsic and camera.extrinsic must be {wanted}, got {intrinsic.shape} and {extrinsic.shape}"
        )
    rotation, translation = extrinsic[:3, :3], extrinsic[:3, 3]
    known = np.asarray(np.isfinite(seen).all(axis=-1))
    _check_camera(intrinsic, rotation, translation, seen, pixels, known)

    positions = np.where(known[..., None], (seen - translation) @ rotation @ _WORLD, np.nan)
    upright = np.array([[1.0, 0, 0], [0, -1, height], [0, 0, 1]])
    there = np.asarray(np.isfinite(pixels).all(axis=-1))
    return Paired(
        positions=positions.astype(np.float32),
        keypoints_2d=np.where(there[..., None], pixels * [1, -1] + [0, height], np.nan).astype(np.float32)[None],
        confidence=there.astype(np.float32)[None],
        K=(upright @ intrinsic @ _Y_DOWN)[None],
        dist=np.zeros((1, 5)),
        R=(_Y_DOWN @ rotation @ _WORLD)[None],
        t=(_Y_DOWN @ translation)[None],
        image_sizes=np.array([[width, height]], dtype=np.int64),
        camera_names=("camera",),
        fps=FPS,
        sequence=True,
        skeleton=skeleton,
        source=f"{path.parent.name}/{path.stem}",
        units="of the mesh",
        up_known=True,
    )


def _check_camera(
    intrinsic: npt.NDArray[np.float64],
    rotation: npt.NDArray[np.float64],
    translation: npt.NDArray[np.float64],
    seen: npt.NDArray[np.float64],
    pixels: npt.NDArray[np.float64],
    known: npt.NDArray[np.bool_],
) -> None:
    if not np.isfinite(intrinsic).all() or not np.isfinite(translation).all():
        raise InputError("camera.intrinsic and camera.extrinsic must be finite, got NaN or infinity")
    turned = np.abs(rotation @ rotation.T - np.eye(3)).max()
    if not turned < 1e-3 or np.linalg.det(rotation) < 0:
        raise InputError(f"camera.extrinsic must hold a rotation, got one that is off by {turned:.3g}, or a mirror")
    if not y_is_up(rotation):
        raise InputError(
            "camera.extrinsic must have the camera's y axis along the world's, up, as the data set's tooling has it, "
            f"got one with {rotation[1, 1]:.3g} of it along that"
        )
    if not known.any():
        raise InputError("points.cam_3d must be known somewhere, got no point with three finite coordinates")
    nearest = seen[known][:, 2].min()
    if not nearest > 0:
        raise InputError(f"points.cam_3d must lie ahead of the camera, at z > 0, got {nearest:.4g}")
    projected = seen[known] @ intrinsic.T
    error = np.abs(projected[:, :2] / projected[:, 2:] - pixels[known])
    if np.isfinite(error).any() and np.nanmax(error) > 1:
        raise InputError(
            f"points.2d must be points.cam_3d seen by camera.intrinsic, got points {np.nanmax(error):.4g} pixels apart"
        )


def _skeleton(content: Mapping[str, Any], joints: int) -> Skeleton:
    model, edges = str(content["model"]), _numbers(content, "connections", 2)
    if edges.shape[1:] != (2,) or not (edges == np.floor(edges)).all():
        raise InputError(f"connections must be pairs of joint indices, got shape {edges.shape}")
    pairs = tuple((int(a), int(b)) for a, b in edges)
    if model not in ANIMALSYN3D_MODELS:
        return Skeleton(tuple(f"joint_{joint}" for joint in range(joints)), pairs, name=model)
    known = rig(model)
    if known.num_joints != joints:
        raise InputError(f"model {model} must have {known.num_joints} joints, got {joints}")
    return Skeleton(known.names, pairs, name=known.name)


def _numbers(content: Mapping[str, Any], name: str, dimensions: int) -> npt.NDArray[np.float64]:
    try:
        values = np.array(content[name], dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{name} must hold numbers in rows of one length: {' '.join(str(error).split())}") from error
    if values.ndim != dimensions:
        raise InputError(f"{name} must have {dimensions} dimensions, got shape {values.shape}")
    return values


def _side(content: Mapping[str, Any], name: str) -> int:
    value = content[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value < 1e6:
        raise InputError(f"{name} must be a positive number of pixels, got {value!r:.40}")
    return int(value)


def _differing(got: Skeleton, wanted: Skeleton) -> str:
    if got.num_joints != wanted.num_joints:
        return f"{got.num_joints} joints"
    if got.names != wanted.names:
        return f"the joints of {got.name}, not of {wanted.name}"
    return "other connections" if got.edges != wanted.edges else f"model {got.name}, not {wanted.name}"
