"""Clips to score a lifter on, which it is never trained on: of held-out recordings, or of generated animals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from olift_fast.data.cameras import CameraRange, Cameras, project
from olift_fast.data.clips import ClipBatch, concatenate
from olift_fast.data.corruption import Corruption
from olift_fast.data.generator import AnimalGenerator
from olift_fast.data.mocap import Paired, held_out_clips, load_all, load_paired, split
from olift_fast.data.sources import observe
from olift_fast.errors import InputError
from olift_fast.train.batches import Batch, collate

FRAMES = 48
CAMERAS = 4
MIN_CONFIDENCE = 0.3

GENERATED_SEED = (2412, 1166, 0)
"""Training seeds its generators with pairs of numbers; three numbers give animals that it never sees."""
GENERATED_SKELETONS, GENERATED_CLIPS, GENERATED_FRAMES = 12, 4, 24


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
    """Clips of `frames` frames of recordings, by source; where no stretch is that long, the longest as one clip.

    Real motion (``folder/motion3d``) is seen by 4 random upright cameras a clip, looking down 0 … 40°, the same for
    the same seed. Paired recordings (``folder/paired``) are seen by their own calibrated cameras; their 2D is what is
    in the file: a detector's for the human, hand labels' for the mouse.

    Args:
        folder: the folder of real recordings.
        noise: whether the 2D of the real motion has detector-like faults.
        frames, cameras: of a clip of real motion.
        paired: whether the paired recordings are included.
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
        positions = np.repeat(held_out_clips(motion, frames, frames), cameras, axis=0)
        segment = split(motion)[1][0]
        sets[name] = observe(positions, segment, rng, seen or CameraRange(), corruption, name)
    for path in sorted((folder / "paired").glob("*.npz")) if paired else ():
        sets[path.stem] = _through_real_cameras(load_paired(path), path.stem)
    if not sets:
        raise InputError(f"{folder}: must hold recordings in motion3d/{' or paired/' if paired else ''}, found none")
    return sets


def held_out_batches(
    folder: Path | None, hops: int, *, noise: bool = False, sources: Sequence[str] = ()
) -> list[Batch]:
    """What early stopping scores and calibration takes: a batch for each source of `held_out`.

    Without a folder, there is a batch for each of 12 generated skeletons, whose 2D has detector-like faults.

    Args:
        folder: of real recordings.
        hops: of the graph that local heads see.
        noise: as for `held_out`.
        sources: the names of those to take; all by default.

    Raises:
        InputError: the folder holds no recordings, or not these.
    """
    if folder is None:
        generator = AnimalGenerator(GENERATED_SEED)
        groups = [generator.batch(GENERATED_CLIPS, GENERATED_FRAMES) for _ in range(GENERATED_SKELETONS)]
    else:
        found = held_out(folder, noise)
        if unknown := sorted(set(sources) - set(found)):
            raise InputError(f"{folder}: sources must be among {', '.join(found)}, got {', '.join(unknown)}")
        groups = [found[name] for name in sources or found]
    return [collate([clips], hops) for clips in groups]


def _through_real_cameras(paired: Paired, name: str) -> ClipBatch:
    """The clips of every camera: consecutive frames if the recording is a sequence, else single frames."""
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
