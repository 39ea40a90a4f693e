"""Clips that a lifter is scored on and never trained on: held-out recordings or families, or generated animals."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np

from olift_fast.data.cameras import CameraRange, Cameras, project
from olift_fast.data.clips import ClipBatch, concatenate
from olift_fast.data.corruption import Corruption
from olift_fast.data.generator import AnimalGenerator
from olift_fast.data.mocap import (
    Paired,
    Segment,
    cut_clips,
    held_out_clips,
    load_all,
    load_motion,
    load_paired,
    segments_of,
    split,
)
from olift_fast.data.sources import observe
from olift_fast.errors import InputError
from olift_fast.train.batches import Batch, collate
from olift_fast.train.families import check_patterns, expanded, held_out_as, recordings

FRAMES = 48
CAMERAS = 4
MIN_CONFIDENCE = 0.3

GENERATED_SEED = (2412, 1166, 0)
"""Three numbers. The generators of a training have pairs of numbers as seeds, so these animals are never trained on."""
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
    """Held-out clips of real recordings, by source.

    Recorded motion (``folder/motion3d``) is seen by random upright cameras, 4 for each clip by default, that look down
    0 … 40°. Paired recordings (``folder/paired``) are seen by their own calibrated cameras. Their 2D is that of the
    file: a detector's keypoints for the human, hand labels for the mouse.

    Args:
        folder: the folder of real recordings.
        noise: whether the 2D of recorded motion has a detector's faults.
        seed: of cameras and faults.
        frames: in a clip. If no stretch of a recording is that long, its longest stretch is one clip.
        cameras: for each clip of recorded motion.
        paired: whether the paired recordings are included.
        corruption: other faults for the 2D of recorded motion, in place of `noise`.
        seen: other cameras for recorded motion.

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


def end_on(clips: ClipBatch, degrees: float = 30.0) -> ClipBatch:
    """The clips in which the body points at the camera: its longest axis is within `degrees` of the viewing axis.

    The longest axis is the first principal axis of the labeled joints of all frames, with each frame centered. A
    standing person's is upright, so no level camera sees a standing person end-on.
    """
    centered = np.where(clips.labelled[..., None], clips.joints, 0.0).astype(np.float64)
    count = np.maximum(clips.labelled.sum(axis=2), 1)[..., None, None]
    centered = np.where(clips.labelled[..., None], centered - centered.sum(axis=2, keepdims=True) / count, 0.0)
    _, axes = np.linalg.eigh(np.einsum("btji,btjk->bik", centered, centered))
    return clips.take(np.abs(axes[:, 2, -1]) > np.cos(np.radians(degrees)))


def held_out_families(
    folders: Sequence[Path],
    patterns: Sequence[str],
    noise: bool = False,
    seed: int = 2412,
    *,
    frames: int = FRAMES,
    cameras: int = CAMERAS,
    corruption: Corruption | None = None,
    seen: CameraRange | None = None,
) -> dict[str, ClipBatch]:
    """Clips of families and persons that are held out whole, by family.

    All takes of a family are cut into clips, one after another. A shorter take is repeated if it is cyclic, and left
    out if not; but if a family has only short takes, its longest is a clip. A family's clips and cameras depend on the
    seed and its name alone.

    Args:
        folders: of .npz recordings.
        patterns: as in `Mixture.held_out`. A family is named by its recording, or by a pattern of persons.
        noise, seed, corruption, seen: as in `held_out`.
        frames: in a clip.
        cameras: for each clip.

    Raises:
        InputError: a pattern matches nothing, or a folder has no recordings.
    """
    if corruption is None:
        corruption = Corruption() if noise else Corruption.none()
    paths = recordings(folders)
    names = [pattern.partition(":")[0] for pattern in expanded(patterns)]
    read = [load_motion(path) for name, path in paths.items() if any(fnmatchcase(name, each) for each in names)]
    families: dict[str, list[Segment]] = {}
    segments = [segment for motion in read for segment in segments_of(motion)]
    check_patterns(patterns, paths, segments)
    for segment in segments:
        if family := held_out_as(segment, patterns):
            families.setdefault(family, []).append(segment)
    if not families:
        where = ", ".join(map(str, folders)) or "no folder"
        raise InputError(f"{where}: must hold recordings that {', '.join(patterns)} matches, found none")
    sets = {}
    for family, parts in families.items():
        rng = np.random.default_rng((seed, zlib.crc32(family.encode())))
        positions = np.repeat(cut_clips(parts, frames, frames), cameras, axis=0)
        sets[family] = observe(positions, parts[0], rng, seen or CameraRange(), corruption, family)
    return sets


def held_out_batches(
    folder: Path | None,
    hops: int,
    folders: Sequence[Path] = (),
    patterns: Sequence[str] = (),
    *,
    noise: bool = False,
    sources: Sequence[str] = (),
) -> list[Batch]:
    """A batch for each source of `held_out` and for each family, for early stopping and calibration.

    With neither folder nor patterns, there is a batch for each of 12 generated skeletons, whose 2D has a detector's
    faults.

    Args:
        folder: of real recordings.
        hops: how far along the bones the local heads see.
        folders, patterns: of families, as for `held_out_families`. They are seen by one camera a clip.
        noise: as for `held_out`.
        sources: names of the recordings of `folder`; all by default.

    Raises:
        InputError: the folder holds no recordings, or not these; or a pattern matches nothing.
    """
    groups: list[ClipBatch] = []
    if patterns:
        groups += held_out_families(folders, patterns, noise, cameras=1).values()
    if folder is not None:
        found = held_out(folder, noise)
        if unknown := sorted(set(sources) - set(found)):
            raise InputError(f"{folder}: sources must be among {', '.join(found)}, got {', '.join(unknown)}")
        groups += [found[name] for name in sources or found]
    if folder is None and not patterns:
        generator = AnimalGenerator(GENERATED_SEED)
        groups += [generator.batch(GENERATED_CLIPS, GENERATED_FRAMES) for _ in range(GENERATED_SKELETONS)]
    return [collate([clips], hops) for clips in groups]


def _through_real_cameras(paired: Paired, name: str) -> ClipBatch:
    """Clips of every camera: of consecutive frames if the recording is a sequence, else of single frames."""
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
    pitch = cameras.pitch if paired.up_known else np.full(count, np.nan, np.float32)
    return ClipBatch(keypoints, visible, joints, labelled, paired.skeleton, name, pitch)
