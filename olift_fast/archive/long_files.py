"""Lifts long recordings of an archive, with their joints on disk and not in memory."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from olift_fast.atomic import writing
from olift_fast.model import AnyLifter
from olift_fast.model.normalization import frame_centers
from olift_fast.model.results import lifted_of, visible_of
from olift_fast.runtime.arrays import Array
from olift_fast.streaming.long_recordings import LongResult, lift_long
from olift_fast.tracks.containers import CoordinateFrame, KeypointTracks, LiftedTracks
from olift_fast.tracks.hands import hand_of
from olift_fast.tracks.skeleton import Skeleton
from olift_fast.tracks.without_bones import bones_reported

_FRAMES = 16384


@contextmanager
def lift_on_disk(
    model: AnyLifter,
    tracks: KeypointTracks,
    work: Path | None,
    *,
    min_confidence: float,
    frame: CoordinateFrame,
    mirror: bool,
    pitch: float | None,
) -> Iterator[LiftedTracks]:
    """The result of `lift_tracks`, up to 1e-6 of the scale, with the joints in a memory map on disk.

    The memory map is there until the block ends. In memory are the keypoints with their confidence, a flag for each
    keypoint, a center for each frame (8 bytes), and the uncertainties of a model that gives them. If a killed process
    has begun a track in `work`, the track goes on from its last finished chunk (`lift_long`).

    Args:
        model: the lifter.
        tracks: the recording.
        work: the folder for the files. It is made, and removed when the block ends. If None, a temporary folder.
        min_confidence, frame, pitch: as for `lift_tracks`.
        mirror: must be False.

    Raises:
        InputError: as `lift_long`.
    """
    assert not mirror
    folder = Path(tempfile.mkdtemp(prefix="olift-archive-")) if work is None else work
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        visible, absent = visible_of(tracks, min_confidence), tracks.absent()
        shape = visible.shape
        joints: Any = np.lib.format.open_memmap(folder / "joints.npy", "w+", np.float32, (*shape, 3))
        deviations = np.full((2, *shape), np.nan, np.float32) if model.config.uncertainty else None
        centers = np.empty((*shape[:2], 2), np.float32)
        rotation, scale = np.tile(np.eye(3, dtype=np.float32), (shape[0], 1, 1)), np.ones(shape[0], np.float32)
        for index in range(shape[0]):
            there, own = ~absent[index], tracks.keypoints[index]
            for start in range(0, shape[1], _FRAMES):
                frames = slice(start, start + _FRAMES)
                centers[index, frames] = frame_centers(own[frames][:, there], visible[index, frames][:, there])
            if not visible[index].any():
                joints[index] = np.nan
                continue
            skeleton = _without(hand_of(tracks.skeleton, tracks.tracks[index]), there)
            out = folder / f"track {index}{'.npy' if deviations is None else '.h5'}"
            with bones_reported():  # by the manifest
                found = lift_long(
                    model,
                    own[:, there],
                    out,
                    skeleton=skeleton,
                    visible=visible[index][:, there],
                    frame=frame,
                    pitch=pitch,
                )
            _copy(found, joints[index], None if deviations is None else deviations[:, index], there)
            rotation[index] = found.rotation
            scale[index] = found.scale if frame == "camera" else found.normalization.scale
            out.unlink()
        extra = {} if deviations is None else {"uncertainty_xy": deviations[0], "uncertainty": deviations[1]}
        yield lifted_of(
            model,
            tracks,
            min_confidence=min_confidence,
            pitch=pitch,
            visible=visible,
            joints=joints,
            frame=frame,
            scale=scale,
            centers=centers,
            rotation=rotation,
            **extra,
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _without(skeleton: Skeleton, there: Any) -> Skeleton:
    if there.all():
        return skeleton
    return skeleton.subset([name for name, has in zip(skeleton.names, there, strict=True) if has])


def _copy(found: LongResult, joints: Any, deviations: Array | None, there: Any) -> None:
    """Copies a track's joints, part by part, and its standard deviations. Joints that it never has stay NaN."""
    if deviations is None:
        _copy_rows(np.load(found.path, mmap_mode="r"), joints, there)
        return
    import h5py

    with h5py.File(found.path, "r") as file:
        _copy_rows(file["joints"], joints, there)
        for row, name in enumerate(("uncertainty_xy", "uncertainty")):
            deviations[row][:, there] = file[name][()]


def _copy_rows(rows: Any, joints: Any, there: Any) -> None:
    for start in range(0, len(joints), _FRAMES):
        part = np.full((len(joints[start : start + _FRAMES]), *joints.shape[1:]), np.nan, np.float32)
        part[:, there] = rows[start : start + _FRAMES]
        joints[start : start + _FRAMES] = part
