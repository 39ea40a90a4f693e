"""Lift whole recordings in three steps: `prepare` the keypoints, `run` the model, `place` the joints in the picture.

`lift_tracks` does this for a recording in memory, with many short tracks at once. `olift_fast.streaming.lift_long` does
it for each part of a recording on disk. `olift bench` times each step.

The calls: `lift_tracks` → `lift_recordings` → `prepare_track` for each track, then `run_together` → `lift_together` and
`place_together` for many tracks at once. `prepare`, `run`, `lift_in_chunks` and `place` do the same for one track.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from olift_fast.errors import InputError
from olift_fast.model.alignment import camera_offsets, carried, check_frame, fit_cameras, placed, track_moments
from olift_fast.model.any_lifter import AnyLifter
from olift_fast.model.batches import Stretch, batches_of, padded, reached_from, stretches_of
from olift_fast.model.mirror import MirrorDisagreement, Points, array_of, lift_mirrored, lift_straight
from olift_fast.model.normalization import Normalization
from olift_fast.model.results import ResultBuffers, groups_of
from olift_fast.renamed import old_argument
from olift_fast.runtime.arrays import Array, Mask
from olift_fast.tracks import containers
from olift_fast.tracks.containers import CoordinateFrame, KeypointTracks, LiftedTracks
from olift_fast.tracks.hands import hand_of
from olift_fast.tracks.skeleton import Skeleton
from olift_fast.tracks.without_bones import bones_reported, warn_of_tracks

Progress = Callable[[int, int], None]

CHUNK = 1024
TOGETHER = 16 * CHUNK
"""The most frames of tracks that are prepared, lifted and placed together."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """The model's input for a track, or for some frames of one.

    Args:
        keypoints: ``(T, J, 2)`` model units, relative to the center of the frame; 0 where hidden.
        visible: ``(T, J)``.
        centers: ``(T, 2)`` pixels; NaN in a frame without visible keypoints.
        normalization: of the whole track.
        skeleton: of the track.
        pitch: degrees by which the camera looks down; None where unknown.
    """

    keypoints: Array
    visible: Mask
    centers: Array
    normalization: Normalization
    skeleton: Skeleton
    pitch: float | None = None


def lift_tracks(
    model: AnyLifter,
    tracks: KeypointTracks,
    *,
    min_confidence: float = 0.3,
    frame: CoordinateFrame = "camera",
    mirror: bool | MirrorDisagreement = False,
    pitch: float | None = None,
    progress: Progress | None = None,
    output: CoordinateFrame | None = None,
) -> LiftedTracks:
    """Lift every track to 3D joints. The model runs on chunks of frames, so its memory is bounded for any length.

    If the recording looks as if filmed from above or below and no pitch is given, the result has a warning of it.

    Args:
        model: the lifter.
        tracks: the recording, from `olift_fast.io.read_keypoints`.
        min_confidence: keypoints with a lower confidence count as hidden.
        frame: "camera": x, y overlay the input in pixels and z is depth in pixels relative to the animal's center;
            "object": the model's own frame and unit, centered on each frame's joints.
        mirror: also lift the mirror image, and return the mean (see `lift_mirrored`): more accurate, twice the work.
            With a `MirrorDisagreement`, the distance between the two is measured, too.
        pitch: degrees by which the camera looks down (90: straight down, negative: from below), for models that take it
            (`LifterConfig.pitch`).
        progress: called with (frames done, frames in all).
        output: the old name of `frame`.

    Raises:
        InputError: no keypoint of any track is visible, `frame` is unknown, or `pitch` is out of range or given to a
            model that does not take it.

    Warns:
        UserWarning: a track has no bones; `olift_fast.tracks.with_inferred_skeleton` infers them.
    """
    frame = old_argument(frame, output, new="frame", old="output")
    warn_of_tracks([tracks])
    given: dict[str, Any] = {"min_confidence": min_confidence, "frame": frame, "mirror": mirror, "pitch": pitch}
    with bones_reported():  # above, in a warning that names the caller's line
        return lift_recordings(model, [tracks], **given, progress=progress)[0]


def lift_recordings(
    model: AnyLifter,
    recordings: Sequence[KeypointTracks],
    *,
    min_confidence: float = 0.3,
    frame: CoordinateFrame = "camera",
    mirror: bool | MirrorDisagreement = False,
    pitch: float | None = None,
    progress: Progress | None = None,
) -> list[LiftedTracks]:
    """`lift_tracks` for each recording. Short tracks of one skeleton are lifted together, also across recordings.

    The results are those of `lift_tracks`: bit for bit with the native kernels, up to rounding with others.

    Args:
        model: the lifter.
        recordings: each from `olift_fast.io.read_keypoints`.
        min_confidence, frame, mirror, pitch: as for `lift_tracks`.
        progress: called with (frames done, frames in all), of all recordings.

    Raises:
        InputError: as `lift_tracks`, for any of the recordings.

    Warns:
        UserWarning: as `lift_tracks`, in one line for all recordings.
    """
    warn_of_tracks(recordings)
    check_frame(frame)
    check_pitch(model, pitch)
    results = [ResultBuffers.of(model, tracks, min_confidence) for tracks in recordings]
    order = [(recording, index) for recording in results for index in range(recording.tracks.num_tracks)]
    total, before = sum(recording.tracks.num_frames for recording, _ in order), 0

    def advance(frames: int) -> None:
        if progress is not None:
            progress(before + frames, total)

    # Some tracks at a time: only these need memory for the steps' intermediate arrays.
    for group in groups_of(order, TOGETHER):
        prepared = [replace(_prepared(recording, index), pitch=pitch) for recording, index in group]
        lifted = run_together(model, prepared, mirror=mirror, uncertainty=model.config.uncertainty, advance=advance)
        placements = place_together([part[..., :3] for part in lifted], prepared, frame)
        for (recording, index), track, part, placement in zip(group, prepared, lifted, placements, strict=True):
            recording.keep(index, track.centers, part, placement, frame)
        frames = sum(recording.tracks.num_frames for recording, _ in group)
        advance(frames)
        before += frames
    return [recording.result(model, min_confidence, frame, pitch) for recording in results]


def _prepared(recording: ResultBuffers, index: int) -> Prepared:
    return prepare_track(recording.tracks, index, recording.visible[index], recording.absent[index])


def prepare_track(tracks: KeypointTracks, index: int, visible: Mask, absent: Mask | None = None) -> Prepared:
    """`prepare` for one of several tracks, without the joints that it never has because they are another animal's.

    A hand is left or right if the track's name says so (`hand_of`).

    Args:
        tracks: the recording.
        index: the track's number.
        visible: ``(T, J)`` of the track.
        absent: ``(J,)``, True for joints to leave out.
    """
    keypoints, skeleton = tracks.keypoints[index], hand_of(tracks.skeleton, tracks.tracks[index])
    if absent is None or not absent.any():
        return prepare(keypoints, visible, skeleton)
    names = [name for name, missing in zip(skeleton.names, absent, strict=True) if not missing]
    return prepare(keypoints[:, ~absent], visible[:, ~absent], skeleton.subset(names))


def prepare(
    keypoints: Array, visible: Mask, skeleton: Skeleton, normalization: Normalization | None = None
) -> Prepared:
    """Keypoints in pixels to the model's input.

    Args:
        keypoints: ``(T, J, 2)`` pixels; hidden ones may have any value.
        visible: ``(T, J)``.
        skeleton: of the track.
        normalization: of the whole track, if these are only some of its frames; by default fitted to these frames.
    """
    normalization = normalization or Normalization.fit(keypoints, visible)
    normalized, centers = normalization.apply(keypoints, visible)
    return Prepared(normalized, visible, centers, normalization, skeleton)


def run(
    model: AnyLifter,
    prepared: Prepared,
    *,
    chunk: int = CHUNK,
    mirror: bool | MirrorDisagreement = False,
    uncertainty: bool = False,
    advance: Callable[[int], None] | None = None,
) -> Array:
    """Joints ``(T, J, 3)`` in model units, centered on each frame's joints. Arguments as in `lift_in_chunks`.

    With `uncertainty` ``(T, J, 5)``: x, y, z, the standard deviation of x and y, and that of z.
    """
    options: dict[str, Any] = {"mirror": mirror, "uncertainty": uncertainty, "advance": advance}
    return run_together(model, [prepared], chunk=chunk, **options)[0]


def run_together(
    model: AnyLifter,
    tracks: Sequence[Prepared],
    *,
    chunk: int = CHUNK,
    mirror: bool | MirrorDisagreement = False,
    uncertainty: bool = False,
    advance: Callable[[int], None] | None = None,
) -> list[Array]:
    """`run` for each track. Tracks of one skeleton and pitch are lifted together, see `lift_together`."""
    alike: dict[tuple[Skeleton, float | None], list[int]] = {}
    for index, track in enumerate(tracks):
        alike.setdefault((track.skeleton, track.pitch), []).append(index)
    found: dict[int, Array] = {}
    before = 0
    for (skeleton, pitch), own in alike.items():
        lifted = lift_together(
            model,
            [tracks[index].keypoints for index in own],
            [tracks[index].visible for index in own],
            skeleton,
            chunk=chunk,
            mirror=mirror,
            pitch=pitch,
            uncertainty=uncertainty,
            advance=None if advance is None else partial(_advance_from, before, advance),
        )
        before += sum(map(len, lifted))
        found |= dict(zip(own, lifted, strict=True))
    for joints in found.values():
        joints[..., :3] -= joints[..., :3].mean(axis=1, keepdims=True)
    return [found[index] for index in range(len(tracks))]


def _advance_from(before: int, advance: Callable[[int], None], frames: int) -> None:
    advance(before + frames)


def place(joints: Array, prepared: Prepared, frame: CoordinateFrame = "camera") -> tuple[Array, Array, np.float32]:
    """The joints that `run` returned for a whole track, brought into the frame asked for.

    Returns:
        joints ``(T, J, 3)``, the rotation ``(3, 3)`` that they were turned by, and the pixels in one model unit. In the
        "object" frame, and for a track without visible keypoints, the joints stay as they are.
    """
    return place_together([joints], [prepared], frame)[0]


def place_together(
    joints: Sequence[Array], tracks: Sequence[Prepared], frame: CoordinateFrame = "camera"
) -> list[tuple[Array, Array, np.float32]]:
    """`place` for each track; the rotations of all tracks are fitted at once."""
    turned = [frame == "camera" and bool(track.visible.any()) for track in tracks]
    given = zip(joints, tracks, turned, strict=True)
    sums = [track_moments(own, track.keypoints, track.visible) for own, track, turn in given if turn]
    fits = iter(zip(*fit_cameras(np.stack(sums)), strict=True)) if sums else iter(())
    found = []
    for own, track, turn in zip(joints, tracks, turned, strict=True):
        if turn:
            rotation, stretch = next(fits)
            scale = np.float32(track.normalization.scale * float(stretch))
            offsets = carried(camera_offsets(own, track.visible, track.centers, rotation, scale))
            found.append((placed(own, rotation, scale, offsets), rotation, scale))
        else:
            found.append((own, np.eye(3, dtype=np.float32), np.float32(track.normalization.scale)))
    return found


def lift_in_chunks(
    model: AnyLifter,
    keypoints: Points,
    visible: Any,
    skeleton: Skeleton,
    *,
    chunk: int = CHUNK,
    mirror: bool | MirrorDisagreement = False,
    pitch: float | None = None,
    uncertainty: bool = False,
    advance: Callable[[int], None] | None = None,
) -> Points:
    """Normalized keypoints ``(T, J, 2)``, visible ``(T, J)`` → joints ``(T, J, 3)`` in bounded memory, exactly.

    Each chunk is lifted with the frames around it that its results depend on (`LifterConfig.receptive_field`), so the
    result is that of the whole sequence. A frame is not lifted, and its joints are NaN, if nothing is visible in all
    the frames that it depends on.

    With a model that counts frames (`LifterConfig.counts_frames`) this can't be done. With ``time_encoding`` "absolute"
    the sequence is lifted whole; with "table" in clips as long as the table, which are lifted independently.

    Args:
        model: the lifter.
        keypoints: normalized by `prepare`; hidden ones may have any value. An array, or a tensor on the CPU: the joints
            are of the same type.
        visible: bool.
        skeleton: of the keypoints.
        chunk: frames at a time.
        mirror: see `lift_mirrored`.
        pitch: degrees by which the camera looks down, for models that take it.
        uncertainty: return ``(T, J, 5)``, with the standard deviation of x and y and that of z, from models that give
            them.
        advance: called with the number of frames done.
    """
    options: dict[str, Any] = {"mirror": mirror, "pitch": pitch, "uncertainty": uncertainty, "advance": advance}
    if isinstance(keypoints, np.ndarray):
        return lift_together(model, [keypoints], [visible], skeleton, chunk=chunk, **options)[0]
    (joints,) = lift_together(model, [array_of(keypoints)], [array_of(visible)], skeleton, chunk=chunk, **options)
    import torch

    return torch.from_numpy(joints)


def lift_together(
    model: AnyLifter,
    keypoints: Sequence[Array],
    visible: Sequence[Mask],
    skeleton: Skeleton,
    *,
    chunk: int = CHUNK,
    mirror: bool | MirrorDisagreement = False,
    pitch: float | None = None,
    uncertainty: bool = False,
    advance: Callable[[int], None] | None = None,
) -> list[Array]:
    """`lift_in_chunks` for each track of one skeleton, in batches of at most `chunk` frames with their padding.

    A frame's result does not depend on the rest of its batch: bit for bit with the native kernels, up to rounding with
    others.

    Args:
        keypoints: ``(T, J, 2)`` of each track.
        visible: ``(T, J)`` of each track.
        skeleton, chunk, mirror, pitch, uncertainty: as for `lift_in_chunks`.
        advance: called with the number of frames done in all tracks.
    """
    config = model.config
    joints = [np.full((*points.shape[:2], 5 if uncertainty else 3), np.nan, np.float32) for points in keypoints]
    reached = [reached_from(np.asarray(seen.any(axis=-1)), config.receptive_field) for seen in visible]
    stretches: list[Stretch] = []
    for track, frames in enumerate(reached):
        if config.counts_frames:
            longest = config.time_rows if config.time_encoding == "table" else len(frames)
            stretches += stretches_of(track, np.full_like(frames, frames.any()), (0, 0), longest)
        else:
            stretches += stretches_of(track, frames, config.receptive_field, chunk)
    told = model_inputs(model, skeleton, pitch)
    lift: Callable[..., Array] = lift_mirrored if mirror else lift_straight
    if isinstance(mirror, MirrorDisagreement):
        lift = mirror.lift
    total, wanted, done = sum(map(len, joints)), sum(stretch.stop - stretch.start for stretch in stretches), 0
    for batch in batches_of(stretches, chunk):
        points, seen, lengths = padded(batch, keypoints, visible)
        given = told if lengths is None else told | {"lengths": lengths}
        if pitch is not None:
            given = given | {"pitch": np.repeat(told["pitch"], len(batch))}
        lifted = lift(model, points, seen, **given, uncertainty=uncertainty)
        for (track, start, stop, first, _), values in zip(batch, lifted, strict=True):
            joints[track][start:stop] = values[start - first : stop - first]
            done += stop - start
        if advance is not None:
            advance(total * done // wanted)
    for track, frames in enumerate(reached):
        joints[track][~frames] = np.nan
    return joints


def model_inputs(model: AnyLifter, skeleton: Skeleton, pitch: float | None = None) -> dict[str, Any]:
    """A lifter's inputs for one track beside the keypoints: graph, sides and, if the model takes them, pitch and kinds.

    They are arrays, as `AnyLifter.lift_arrays` takes them.

    Raises:
        InputError: see `check_pitch`.
    """
    check_pitch(model, pitch)
    told: dict[str, Any] = {
        "graph": skeleton.graph(model.config.hops) if skeleton.edges else None,
        "sides": np.array(skeleton.sides, dtype=np.float32),
    }
    if model.config.kinds:
        told["kinds"] = np.array(skeleton.kinds, dtype=np.int64)
    if pitch is not None:
        told["pitch"] = np.array([pitch], dtype=np.float32)
    return told


def check_pitch(model: AnyLifter, pitch: float | None) -> None:
    """Raises InputError if the pitch is not from -90 to 90 degrees, or the model does not take it."""
    containers.check_pitch(pitch)
    if pitch is not None and not model.config.pitch:
        raise InputError(
            f"the model {model.name!r} does not take the camera's pitch, got {pitch:g}: leave it out, "
            "or use a model that takes it, such as small-all"
        )
