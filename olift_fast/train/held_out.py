"""Held-out real recordings as clips to score a model on: never trained on, seen by upright or real cameras."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from olift_fast.data.cameras import CameraRange, Cameras, project
from olift_fast.data.clips import ClipBatch, concatenate
from olift_fast.data.corruption import Corruption
from olift_fast.data.mocap import Paired, load_all, load_paired, split
from olift_fast.data.mocap import held_out_clips as cut
from olift_fast.data.sources import observe
from olift_fast.errors import InputError

FRAMES = 48
CAMERAS = 4
MIN_CONFIDENCE = 0.3


def held_out(
    folder: Path,
    noise: bool = False,
    seed: int = 2412,
    *,
    frames: int = FRAMES,
    cameras: int = CAMERAS,
    paired: bool = True,
    corruption: Corruption | None = None,
    seen: CameraRange | None = None,
) -> dict[str, ClipBatch]:
    """Clips of `frames` frames by source; where no stretch is that long, the longest as one clip.

    Real motion (``folder/motion3d``) is seen by 4 random upright cameras a clip, looking down 0 … 40°, the same for
    the same seed. Paired recordings (``folder/paired``) are seen by their own calibrated cameras; their 2D is what is
    in the file: a detector's for the human, hand labels' for the mouse.

    Args:
        folder: the folder of real recordings.
        noise: put detector-like faults on the 2D of the real motion.
        frames, cameras: of a clip of real motion.
        paired: with the paired recordings.
        corruption: other faults on the 2D of the real motion, in place of `noise`.
        seen: other cameras for the real motion.

    Raises:
        InputError: the folder holds no recordings.
    """
    if corruption is None:
        corruption = Corruption() if noise else Corruption.none()
    sets: dict[str, ClipBatch] = {}
    recorded = load_all(folder / "motion3d") if any((folder / "motion3d").glob("*.npz")) else {}
    for name, motion in recorded.items():
        rng = np.random.default_rng((seed, len(sets)))
        positions = np.repeat(cut(motion, frames, frames), cameras, axis=0)
        segment = split(motion)[1][0]
        sets[name] = observe(positions, segment, rng, seen or CameraRange(), corruption, name)
    for path in sorted((folder / "paired").glob("*.npz")) if paired else ():
        sets[path.stem] = _through_real_cameras(load_paired(path), path.stem)
    if not sets:
        raise InputError(f"{folder}: must hold recordings in motion3d/{' or paired/' if paired else ''}, found none")
    return sets


def _through_real_cameras(paired: Paired, name: str) -> ClipBatch:
    """The clips of every camera: consecutive frames if the recording is a sequence, else frames on their own."""
    frames = min(FRAMES, len(paired.positions)) if paired.sequence else 1
    return concatenate([_one_camera(paired, camera, frames, name) for camera in range(len(paired.K))])


def _one_camera(paired: Paired, camera: int, frames: int, name: str) -> ClipBatch:
    count = len(paired.positions) // frames
    positions = paired.positions[: count * frames].reshape(count, frames, -1, 3)
    labelled = np.asarray(np.isfinite(positions).all(axis=-1))
    cameras = Cameras.from_calibration(
        np.repeat(paired.K[camera : camera + 1], count, axis=0),
        np.repeat(paired.R[camera : camera + 1], count, axis=0),
        np.repeat(paired.t[camera : camera + 1], count, axis=0),
        (int(paired.image_sizes[camera, 0]), int(paired.image_sizes[camera, 1])),
    )
    _, joints = project(positions, cameras, labelled)
    keypoints = paired.keypoints_2d[camera, : count * frames].reshape(count, frames, -1, 2)
    confidence = paired.confidence[camera, : count * frames].reshape(count, frames, -1)
    visible = np.isfinite(keypoints).all(axis=-1) & (confidence >= MIN_CONFIDENCE)
    keypoints = np.where(visible[..., None], keypoints, 0).astype(np.float32)
    return ClipBatch(keypoints, visible, joints, labelled, paired.skeleton, name)
