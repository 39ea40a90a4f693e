"""How right the world frame is: ``python -m benchmarks.world FOLDER``.

The figures go to benchmarks/results/scores/world.json, and the tables of docs/world.md are made from them.

Generated animals walk before a camera that stands still: those of the generator, and for contacts bodies whose feet
are planted. Each is taken as a model without error would lift it (with noise of 2 % of the body's radius), and as
`small` lifts it from keypoints with a detector's faults. FOLDER holds paired/, with a person and a rat before real
calibrated cameras, and their measured 3D.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.walkers import Walker, planted, walkers
from olift_fast.model import Lifter, lift_tracks
from olift_fast.tracks.containers import KeypointTracks, LiftedTracks
from olift_fast.tracks.skeleton import Skeleton
from olift_fast.tracks.world_frame import Calibration
from olift_fast.world import parse_length, pitch_and_roll, reproject, to_world, undistorted
from olift_fast.world.calibration import rotation_of
from olift_fast.world.path import along_rays

Floats = npt.NDArray[np.float64]

RESULTS = Path(__file__).parent / "results" / "scores" / "world.json"
CLIPS, PLANTED, FRAMES = 105, 45, 150
NOISE = 0.02
SEVERAL = 5
SEED = 29
PAIRED = {
    "person": ("human_pose2sim_balancing.npz", 1.0, "RHip-RKnee"),
    "rat": ("rat7m_gimbal_6cam_100f.npz", 0.001, "SpineF-SpineL"),
}


def generated(model: Lifter) -> Iterator[dict[str, Any]]:
    """One row for each clip of a generated animal and each way to lift it."""
    for number, walker in enumerate(walkers(CLIPS, frames=FRAMES, seed=SEED)):
        for lifted, result in _lifts(model, walker, number):
            yield {"lifted": lifted, "family": walker.family, **_gravity(walker, result), **_size(walker, result)}


def standing(model: Lifter) -> Iterator[dict[str, Any]]:
    """One row for each clip of a body with planted feet and each way to lift it: the counts of right contacts."""
    for number, walker in enumerate(planted(PLANTED, frames=FRAMES, seed=SEED)):
        for lifted, result in _lifts(model, walker, number):
            for told, options in (("focal", {"focal": float(walker.matrix[0, 0])}), ("nothing", {})):
                placed = to_world(result, **options)
                assert placed.contacts is not None and walker.contacts is not None
                feet = walker.contacts.any(axis=0)
                found, true = placed.contacts[0][:, feet], walker.contacts[:, feet]
                counts = {"found": int(found.sum()), "true": int(true.sum()), "both": int((found & true).sum())}
                yield {"lifted": lifted, "family": walker.family, "told": told, **counts}


def real(model: Lifter, folder: Path) -> Iterator[dict[str, Any]]:
    """One row for each camera of the paired recordings."""
    for name, (file, unit, bone) in PAIRED.items():
        with np.load(folder / "paired" / file) as content:
            held = dict(content)
        skeleton = Skeleton(tuple(held["joint_names"].tolist()), tuple(map(tuple, held["edges"].tolist())))
        truth = held["positions"].astype(np.float64) * unit
        first, second = (skeleton.names.index(joint) for joint in bone.split("-"))
        length = float(np.nanmedian(np.linalg.norm(truth[:, first] - truth[:, second], axis=-1)))
        for camera in range(len(held["cam_names"])):
            calibration = Calibration(
                matrix=held["K"][camera],
                distortion=held["dist"][camera],
                rotation=rotation_of(held["rvec"][camera]),
                translation=held["tvec"][camera],
                image_size=tuple(held["image_size"][camera].astype(int)),
                name=str(held["cam_names"][camera]),
            )
            points = held["keypoints_2d"][camera].astype(np.float64)
            score = points[..., 2] if points.shape[-1] > 2 else np.isfinite(points[..., 0]).astype(float)
            seen = np.where(score[..., None] > 0, points[..., :2], np.nan)
            tracks = KeypointTracks(seen[None], score[None], skeleton, (name,), fps=float(held["fps"]))
            result = lift_tracks(model, undistorted(tracks, calibration))
            yield {
                "recording": name,
                "camera": calibration.name,
                **_measured(result, calibration, truth, unit, bone, length),
            }


def _lifts(model: Lifter, walker: Walker, number: int) -> Iterator[tuple[str, LiftedTracks]]:
    yield "truth", walker.true_lift(NOISE, number)
    yield model.name, lift_tracks(model, walker.tracks)


def _gravity(walker: Walker, result: LiftedTracks) -> dict[str, Any]:
    """Degrees between the true gravity and that of a pitch given to the degree, of an estimate, and what that says."""
    pitch, _ = pitch_and_roll(walker.up)
    told = to_world(result, pitch=round(pitch)).world
    plain = to_world(result).world
    lens = to_world(result, focal=float(walker.matrix[0, 0])).world
    assert told is not None and plain is not None and lens is not None
    return {
        "gravity_told": _angle(told.up, walker.up),
        "gravity": _angle(plain.up, walker.up),
        "gravity_lens": _angle(lens.up, walker.up),
        "gravity_said": plain.gravity_error,
        "source": plain.gravity,
    }


def _size(walker: Walker, result: LiftedTracks) -> dict[str, Any]:
    """The size by one true bone, the longest that is seen, and the root path, with the lens known.

    Besides, the size by the five longest, and by the whole true body: the best that the lifted joints allow.
    """
    first, second = np.array(walker.tracks.skeleton.edges).T
    bones = np.median(np.linalg.norm(walker.positions[:, first] - walker.positions[:, second], axis=-1), axis=0)
    seen = (result.visible[0][:, first] & result.visible[0][:, second]).mean(axis=0) > 0.3
    names, order = walker.tracks.skeleton.names, np.argsort(-np.where(seen, bones, 0))
    texts = [f"{names[first[bone]]}-{names[second[bone]]}={bones[bone]:.6f}m" for bone in order[:SEVERAL]]
    lengths = [parse_length(text, "bone", walker.tracks.skeleton) for text in texts]
    options: dict[str, Any] = {"pitch": pitch_and_roll(walker.up)[0], "focal": float(walker.matrix[0, 0])}
    several = to_world(result, lengths=lengths, floor=False, **options)
    placed = to_world(result, lengths=lengths[:1], **options)
    world = placed.world
    assert world is not None and placed.meters_per_pixel is not None and several.meters_per_pixel is not None
    camera = (walker.positions - walker.cameras.position[0, 0]) @ walker.cameras.rotation[0, 0].T
    depth = float(np.median(camera[..., 2].mean(axis=1)))
    root = placed.joints[0].mean(axis=1).astype(np.float64)
    true = walker.positions.mean(axis=1).astype(np.float64)
    apart = np.linalg.norm(reproject(placed) - result.keypoints, axis=-1)[result.visible]
    own = np.linalg.norm(result.joints[..., :2] - result.keypoints, axis=-1)[result.visible]
    return {
        "size": float(placed.meters_per_pixel[0]) / (depth / float(walker.matrix[0, 0])) - 1,
        "size_several": float(several.meters_per_pixel[0]) / (depth / float(walker.matrix[0, 0])) - 1,
        "size_body": _scale(along_rays(result, walker.matrix)[0], camera, depth) / (depth / float(walker.matrix[0, 0]))
        - 1,
        "size_spread": float(world.size_spread[0]) if world.size_spread is not None else None,
        "path": world.path,
        "path_error": _path_error(root, true) / walker.radius,
        "path_said": float(world.path_error[0]) / walker.radius,
        "path_length": float(np.linalg.norm(true[-1, :2] - true[0, :2])) / walker.radius,
        "distance": depth / walker.radius,
        "reprojection": float(np.median(apart) / np.median(own)),
        "floor": float(np.median(_lowest(placed.joints[0])) - np.median(_lowest(walker.positions))) / walker.radius,
    }


def _scale(joints: Floats, true: Floats, depth: float) -> float:
    """The median over frames of the scale that brings joints (T, J, 3) nearest to the true ones at this depth."""
    a, b = (points - points.mean(axis=1, keepdims=True) for points in (joints, true))
    u, s, vt = np.linalg.svd(np.einsum("tji,tjk->tik", a, b))
    s[:, 2] *= np.sign(np.linalg.det(u @ vt))
    scales = s.sum(axis=1) / np.square(a).sum(axis=(1, 2))
    return float(np.median(scales * depth / true[..., 2].mean(axis=1)))


def _measured(
    result: LiftedTracks, calibration: Calibration, truth: Floats, unit: float, bone: str, length: float
) -> dict[str, Any]:
    """What one real camera says, beside the measured 3D (T, J, 3) in meters."""
    assert calibration.rotation is not None and calibration.translation is not None
    known = parse_length(f"{bone}={length:.6f}m", "bone", result.skeleton)
    placed = to_world(result, calibration=calibration, lengths=[known], calibration_unit=unit)
    plain = to_world(result).world
    lens = to_world(result, calibration=Calibration(matrix=calibration.matrix)).world
    assert placed.world is not None and plain is not None and lens is not None
    camera = truth @ calibration.rotation.T + calibration.translation * unit
    depth = float(np.nanmedian(camera[..., 2]))
    focal = 0.5 * (calibration.matrix[0, 0] + calibration.matrix[1, 1])
    joints = placed.joints[0].astype(np.float64)
    there = np.isfinite(truth[..., 0])
    apart = np.linalg.norm(joints - truth, axis=-1)[there]
    root = _mean(joints, there) - _mean(truth, there)
    view = calibration.rotation[2]
    assert placed.meters_per_pixel is not None and placed.world.floor is not None
    radius = float(np.sqrt(np.nanmean(np.square(truth - np.nanmean(truth, axis=1, keepdims=True)).sum(-1))))
    still = joints - _mean(joints, there)[:, None] - truth + _mean(truth, there)[:, None]
    return {
        "pitch": round(pitch_and_roll(calibration.rotation[:, 2])[0], 1),
        "gravity": _angle(plain.up, calibration.rotation[:, 2]),
        "gravity_lens": _angle(lens.up, calibration.rotation[:, 2]),
        "gravity_said": lens.gravity_error,
        "size": float(placed.meters_per_pixel[0]) / (depth / focal) - 1,
        "root_across": float(np.median(np.linalg.norm(root - (root @ view)[:, None] * view, axis=-1))),
        "root_depth": float(np.median(np.abs(root @ view))),
        "depth_said": float(placed.world.path_error[0]),
        "distance": depth,
        "joints": float(np.median(apart)),
        "joints_about_root": float(np.median(np.linalg.norm(still, axis=-1)[there])),
        "floor": float(placed.world.floor[0]) - float(np.quantile(truth[..., 2][there], 0.02)),
        "angles": float(np.median(_angle_errors(joints, truth, result.skeleton))),
        "radius": radius,
    }


def _angle_errors(joints: Floats, truth: Floats, skeleton: Skeleton) -> Floats:
    """Degrees by which the angle between two bones of a joint is off, of all such pairs and frames."""
    neighbors = defaultdict(list)
    for a, b in skeleton.edges:
        neighbors[a].append(b)
        neighbors[b].append(a)
    found = []
    for joint, ends in neighbors.items():
        if len(ends) == 2:
            found.append(_bend(joints, joint, ends) - _bend(truth, joint, ends))
    values = np.abs(np.concatenate(found))
    return np.asarray(values[np.isfinite(values)])


def _bend(joints: Floats, joint: int, ends: Sequence[int]) -> Floats:
    first, second = (joints[:, end] - joints[:, joint] for end in ends)
    share = (first * second).sum(-1) / (np.linalg.norm(first, axis=-1) * np.linalg.norm(second, axis=-1))
    return np.asarray(np.degrees(np.arccos(np.clip(share, -1, 1))))


def _mean(joints: Floats, there: npt.NDArray[np.bool_]) -> Floats:
    count = np.maximum(there.sum(axis=1), 1)[:, None]
    return np.asarray(np.where(there[..., None], joints, 0).sum(axis=1) / count)


def _lowest(joints: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    return np.asarray(np.nanmin(joints[..., 2], axis=1))


def _angle(a: Floats, b: Floats) -> float:
    return float(np.degrees(np.arccos(np.clip(a @ b, -1, 1))))


def _path_error(root: Floats, true: Floats) -> float:
    """The root mean square distance of two paths (T, 3) on the floor, after the best turn and shift."""
    a, b = (path[:, :2] - path[:, :2].mean(axis=0) for path in (root, true))
    u, _, vt = np.linalg.svd(a.T @ b)
    turn = u @ np.diag([1, np.sign(np.linalg.det(u @ vt))]) @ vt
    return float(np.sqrt(np.square(a @ turn - b).sum(axis=1).mean()))


def main(folder: str) -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", RuntimeWarning)
    model = Lifter.from_pretrained("small")
    content = {"noise": NOISE, "frames": FRAMES, "seed": SEED}
    content |= {"real": list(real(model, Path(folder)))}
    for row in content["real"]:
        print(row)
    content |= {"contacts": list(standing(model)), "generated": list(generated(model))}
    parts = [f'"{key}": {json.dumps(value)}' for key, value in content.items() if not isinstance(value, list)]
    for key, rows in content.items():
        if isinstance(rows, list):
            lines = ",\n  ".join(json.dumps(_rounded(row)) for row in rows)
            parts.append(f'"{key}": [\n  {lines}\n ]')
    RESULTS.write_text("{" + ",\n ".join(parts) + "}\n")


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    return {key: float(f"{value:.4g}") if isinstance(value, float) else value for key, value in row.items()}


if __name__ == "__main__":
    main(*sys.argv[1:])
