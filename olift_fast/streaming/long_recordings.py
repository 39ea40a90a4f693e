"""Lifts recordings longer than memory from disk to disk. A killed run is continued where it stopped."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from olift_fast._version import __version__
from olift_fast.atomic import atomic_path
from olift_fast.errors import InputError
from olift_fast.model import AnyLifter, Normalization
from olift_fast.model.alignment import camera_offsets, carried, check_frame, fit_camera, moments, placed, sum_moments
from olift_fast.model.inference import CHUNK, Progress, check_pitch, prepare, run
from olift_fast.model.normalization import frame_centers, spread
from olift_fast.renamed import old_argument
from olift_fast.runtime.arrays import Array, Mask
from olift_fast.streaming.chunk_journal import ChunkJournal
from olift_fast.tracks.containers import CoordinateFrame
from olift_fast.tracks.skeleton import Skeleton
from olift_fast.tracks.without_bones import warn_of_skeleton

SUFFIXES = (".npy", ".h5")


class Rows(Protocol):
    """Anything that can be sliced by rows: an array, a memory map, an HDF5 dataset, a zarr array."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of all rows together."""
        ...

    def __getitem__(self, rows: slice, /) -> Any: ...


class LongResult(NamedTuple):
    """The file with the joints ``(T, J, 3)``, and their normalization, rotation and scale.

    In the "object" frame the rotation is the identity and the scale 1.
    """

    path: Path
    normalization: Normalization
    rotation: Array
    scale: float


def lift_long(
    model: AnyLifter,
    keypoints: Rows,
    out: str | Path,
    *,
    skeleton: Skeleton,
    visible: Rows | None = None,
    min_confidence: float = 0.3,
    frame: CoordinateFrame = "camera",
    normalization: Normalization | None = None,
    pitch: float | None = None,
    chunk: int = CHUNK,
    restart: bool = False,
    progress: Progress | None = None,
    output: CoordinateFrame | None = None,
) -> LongResult:
    """Lift one track of any length to 3D joints in bounded memory, with exactly the result of `lift_tracks`.

    Until the result is complete, the joints are in two hidden files beside `out`. After a crash, a kill or a full disk
    the same call continues after the last finished chunk, and writes the same bytes. Finished chunks have checksums: a
    chunk that was damaged is lifted again, with a warning.

    Args:
        model: a `Lifter`, the result of its `optimize`, or a `NativeLifter`.
        keypoints: pixels ``(T, J, 2)``, or ``(T, J, 3)`` with the confidence.
        out: the result's file, float32 ``(T, J, 3)``: a ``.npy``, to be read with ``np.load(out, mmap_mode="r")``, or
            a ``.h5`` with a dataset "joints". If the model gives standard deviations, the ``.h5`` has them as well:
            "uncertainty" ``(T, J)``, that of z, and "uncertainty_xy", that of x and of y, in the joints' unit. A
            ``.npy`` has no place for them.
        skeleton: of the track.
        visible: bool ``(T, J)``; by default True for finite keypoints of enough confidence. A keypoint that is not
            finite is always hidden.
        min_confidence: keypoints with a lower confidence count as hidden, if there is a confidence.
        frame, pitch: as for `lift_tracks`.
        normalization: by default fitted to the whole track.
        chunk: frames at a time. Each chunk is lifted with the frames around it that its results depend on.
        restart: begin anew, and ignore an earlier run.
        progress: called with (frames done, frames in all).
        output: the old name of `frame`.

    Raises:
        InputError: shapes don't fit; nothing is visible; the model counts frames or does not take the pitch; `out`
            can't be written, or the disk is full; another process is writing `out`; or an earlier run left chunks with
            another input, model or option, or a damaged list of chunks.

    Warns:
        UserWarning: the skeleton has no bones; or a chunk was damaged.

    For a track that fits in memory, use `lift_tracks`.
    """
    frame = old_argument(frame, output, new="frame", old="output")
    warn_of_skeleton(skeleton)
    path = Path(out)
    source = _Source(keypoints, visible, min_confidence, skeleton)
    check_frame(frame)
    check_pitch(model, pitch)
    if chunk < 1:
        raise InputError(f"chunk must be >= 1 frame, got {chunk}")
    if model.config.counts_frames:
        got = model.config.time_encoding
        raise InputError(f"chunks need time_encoding 'relative' or 'none', got {got!r}: it counts from the start")
    if path.suffix not in SUFFIXES:
        raise InputError(f"{path}: the name must end in {' or '.join(SUFFIXES)}, got {path.suffix!r}")
    if not path.parent.is_dir():
        raise InputError(f"{path}: folder {path.parent} does not exist")
    scan = source.scan()
    if not scan.shows:
        raise InputError(f"{path}: nothing to lift: no keypoint is visible at min_confidence {min_confidence:g}")
    normalization = normalization or scan.normalization
    job = _fingerprint(model, skeleton, source, scan, normalization, pitch, chunk)
    columns = 5 if model.config.uncertainty and path.suffix == ".h5" else 3
    with ChunkJournal.of(path, job, (source.frames, skeleton.num_joints, columns), chunk, restart) as journal:
        _lift_missing(model, skeleton, source, normalization, pitch, chunk, journal, progress)
        result = _finish(path, journal, source, normalization, pitch, frame)
        journal.remove()
    return result


@dataclass(frozen=True)
class _Scan:
    """The findings of one pass over the input: a checksum, whether any keypoint is visible, the scale."""

    checksum: int
    shows: bool
    normalization: Normalization


class _Source:
    """Keypoints, and which of them are visible, read by ranges of frames."""

    def __init__(self, keypoints: Rows, visible: Rows | None, min_confidence: float, skeleton: Skeleton) -> None:
        shape = tuple(keypoints.shape)
        if len(shape) != 3 or shape[1] != skeleton.num_joints or shape[2] not in (2, 3) or shape[0] < 1:
            wanted = f"(T, {skeleton.num_joints}, 2) or (T, {skeleton.num_joints}, 3)"
            raise InputError(f"keypoints must be {wanted}, got {shape}")
        if visible is not None and tuple(visible.shape) != shape[:2]:
            raise InputError(f"visible must be {shape[:2]}, got {tuple(visible.shape)}")
        self.frames = shape[0]
        self._keypoints, self._visible, self._least = keypoints, visible, min_confidence

    def read(self, start: int, stop: int) -> tuple[Array, Mask]:
        """keypoints ``(stop - start, J, 2)`` and visible ``(stop - start, J)``."""
        rows = np.asarray(self._keypoints[start:stop], dtype=np.float32)
        points = rows[..., :2]
        seen = np.isfinite(points).all(axis=-1)
        if rows.shape[-1] == 3:
            seen &= rows[..., 2] >= self._least
        if self._visible is not None:
            seen &= np.asarray(self._visible[start:stop], dtype=np.bool_)
        return points, np.asarray(seen)

    def scan(self, frames: int = 16384) -> _Scan:
        checksum, shows, squares, count = 0, False, 0.0, 0
        for start in range(0, self.frames, frames):
            points, visible = self.read(start, start + frames)
            shows = shows or bool(visible.any())
            for part in (np.where(visible[..., None], points, 0), visible):
                checksum = zlib.crc32(np.ascontiguousarray(part).data, checksum)
            more, number = spread(points, visible)
            squares, count = squares + more, count + number
        return _Scan(checksum, shows, Normalization.of_spread(squares, count))


def _lift_missing(
    model: AnyLifter,
    skeleton: Skeleton,
    source: _Source,
    normalization: Normalization,
    pitch: float | None,
    chunk: int,
    journal: ChunkJournal,
    progress: Progress | None,
) -> None:
    """Lifts the chunks that the journal lacks."""
    before, after = model.config.receptive_field
    for start in range(0, source.frames, chunk):
        stop = min(start + chunk, source.frames)
        if start not in journal.done:
            first = max(start - before, 0)
            points, visible = source.read(first, min(stop + after, source.frames))
            prepared = replace(prepare(points, visible, skeleton, normalization), pitch=pitch)
            own = slice(start - first, stop - first)
            uncertainty = journal.shape[-1] > 3
            joints = run(model, prepared, chunk=len(points), uncertainty=uncertainty)[own]
            journal.add(start, joints, moments(joints[..., :3], prepared.keypoints[own], visible[own]))
        if progress is not None:
            progress(stop, source.frames)


def _finish(
    path: Path,
    journal: ChunkJournal,
    source: _Source,
    normalization: Normalization,
    pitch: float | None,
    frame: CoordinateFrame,
) -> LongResult:
    """Writes the result: the joints as `inference.place` places them, chunk by chunk."""
    starts = sorted(journal.done)
    rotation, scale, offsets = np.eye(3, dtype=np.float32), np.float32(1), None
    if frame == "camera":
        rotation, stretch = fit_camera(sum_moments([journal.done[start] for start in starts]))
        scale = np.float32(normalization.scale * stretch)
        offsets = np.empty((source.frames, 2), dtype=np.float32)
        for start in starts:
            joints = journal.read(start)[..., :3]
            points, visible = source.read(start, start + len(joints))
            centers = frame_centers(points, visible)
            offsets[start : start + len(joints)] = camera_offsets(joints, visible, centers, rotation, scale)
        offsets = carried(offsets)

    def parts() -> Iterator[tuple[int, Array]]:
        for start in starts:
            lifted = journal.read(start)
            if offsets is not None:
                lifted[..., :3] = placed(lifted[..., :3], rotation, scale, offsets[start : start + len(lifted)])
                lifted[..., 3:] *= scale
            yield start, lifted

    facts: dict[str, Any] = {"frame": frame, "normalization": normalization.scale, "scale": float(scale)}
    facts |= {"rotation": rotation, "version": __version__}
    if pitch is not None:
        facts["pitch"] = pitch
    facts["output"] = frame  # The old name of "frame", for one release: other programs may read it.
    with atomic_path(path) as temporary:
        write = _write_hdf5 if path.suffix == ".h5" else _write_npy
        write(temporary, journal.shape, parts(), facts)
    return LongResult(path, normalization, rotation, float(scale))


def _write_npy(path: Path, shape: tuple[int, ...], parts: Iterator[tuple[int, Array]], _facts: dict[str, Any]) -> None:
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
        for _, part in parts:
            file.write(np.ascontiguousarray(part, dtype="<f4").data)


def _write_hdf5(path: Path, shape: tuple[int, ...], parts: Iterator[tuple[int, Array]], facts: dict[str, Any]) -> None:
    import h5py

    with _hdf5_errors(), h5py.File(path, "w") as file:
        rows = min(shape[0], 1024), shape[1]
        joints = file.create_dataset("joints", (*shape[:2], 3), np.float32, chunks=(*rows, 3))
        joints.attrs.update(facts)
        names = ("uncertainty_xy", "uncertainty") if shape[-1] > 3 else ()
        deviations = [file.create_dataset(name, shape[:2], np.float32, chunks=rows) for name in names]
        for start, part in parts:
            here = slice(start, start + len(part))
            joints[here] = part[..., :3]
            for column, values in enumerate(deviations, 3):
                values[here] = part[..., column]


@contextmanager
def _hdf5_errors() -> Iterator[None]:
    """Turns HDF5's error for a full disk into an OSError."""
    try:
        yield
    except RuntimeError as error:
        raise OSError(" ".join(str(error).split())) from error


def _fingerprint(
    model: AnyLifter,
    skeleton: Skeleton,
    source: _Source,
    scan: _Scan,
    normalization: Normalization,
    pitch: float | None,
    chunk: int,
) -> dict[str, Any]:
    """Everything that a chunk's result depends on, by names for error messages."""
    weights = hashlib.sha256(f"{model.config} {model!r}".encode())
    for name, held in model.weight_bytes():
        weights.update(name.encode() + held)
    rig = f"{skeleton.edges} {skeleton.sides}" + (f" {skeleton.kinds}" if model.config.kinds else "")
    return {
        "input": [source.frames, scan.checksum],
        "model": weights.hexdigest(),
        "skeleton": hashlib.sha256(rig.encode()).hexdigest(),
        "normalization": normalization.scale,
        "pitch": pitch,
        "chunk": chunk,
        "version": __version__,
    }
