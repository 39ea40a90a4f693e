"""Lift whole recordings in three steps: `prepare` the keypoints, `run` the model, `place` the joints in the picture.

`lift_tracks` takes these steps for the tracks of a recording in memory, many short ones at once,
`olift_fast.streaming.lift_long` for each part of a recording on disk, and `olift bench` times each of them.

Who calls whom: `lift_tracks` → `lift_recordings` → `prepare_track` for each track, then for many tracks at once
`run_together` → `lift_together`, and `place_together`. `prepare`, `run`, `lift_in_chunks` and `place` do the same for
one track.
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

Progress = Callable[[int, int], None]

CHUNK = 1024
TOGETHER = 16 * CHUNK
"""Frames of the tracks that are prepared, lifted and placed together, at most."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """A track, or some frames of one, as the model takes it.

    Args:
        keypoints: ``(T, J, 2)`` model units, relative to the center of the frame; 0 where hidden.
        visible: ``(T, J)``.
        centers: ``(T, 2)`` pixels; NaN in a frame that shows nothing.
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
    """3D joints of every track, any number of frames in bounded memory.

    The result's warnings tell if the recording looks as if filmed from above or below, and no pitch is given.

    Args:
        model: the lifter.
        tracks: what `olift_fast.io.read_keypoints` returns.
        min_confidence: keypoints below it count as hidden.
        frame: "camera": x, y overlay the input in pixels and z is depth in pixels relative to the animal's center;
            "object": the model's own frame and unit, centered on each frame's joints.
        mirror: lift the mirror image, too, and average (see `lift_mirrored`): more accurate, twice the work. A
            `MirrorDisagreement` does so, and counts how far the two are apart.
        pitch: degrees by which the camera looks down (90: straight down, negative: from below), for models that can be
            told (`LifterConfig.pitch`).
        progress: called with (frames done, frames in all).
        output: the old name of `frame`.

    Raises:
        InputError: no keypoint of any track is visible, `frame` is unknown, or `pitch` is out of range or given to a
            model that can't be told.
    """
    frame = old_argument(frame, output, new="frame", old="output")
    given: dict[str, Any] = {"min_confidence": min_confidence, "frame": frame, "mirror": mirror, "pitch": pitch}
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
    """`lift_tracks` for each recording; short tracks of one skeleton share a pass, whichever recordings they are of.

    The results are those of `lift_tracks`: with the native kernels to the last bit, with others up to rounding.

    Args:
        model: the lifter.
        recordings: what `olift_fast.io.read_keypoints` returns of each.
        min_confidence, frame, mirror, pitch: as for `lift_tracks`.
        progress: called with (frames done, frames in all), of all recordings.

    Raises:
        InputError: as `lift_tracks`, for any of the recordings.
    """
    check_frame(frame)
    check_pitch(model, pitch)
    results = [ResultBuffers.of(model, tracks, min_confidence) for tracks in recordings]
    order = [(recording, index) for recording in results for index in range(recording.tracks.num_tracks)]
    total, before = sum(recording.tracks.num_frames for recording, _ in order), 0

    def advance(frames: int) -> None:
        if progress is not None:
            progress(before + frames, total)

    # Some tracks at a time, so that what only the steps need is in memory for these.
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
    """`prepare` for one of several tracks, without the joints that it never has: they are another animal's.

    A hand is left or right where the track's name says so (`hand_of`).

    Args:
        tracks: of all animals.
        index: the track's.
        visible: ``(T, J)`` of the track.
        absent: ``(J,)`` the joints to leave out.
    """
    keypoints, skeleton = tracks.keypoints[index], hand_of(tracks.skeleton, tracks.tracks[index])
    if absent is None or not absent.any():
        return prepare(keypoints, visible, skeleton)
    names = [name for name, missing in zip(skeleton.names, absent, strict=True) if not missing]
    return prepare(keypoints[:, ~absent], visible[:, ~absent], skeleton.subset(names))


def prepare(
    keypoints: Array, visible: Mask, skeleton: Skeleton, normalization: Normalization | None = None
) -> Prepared:
    """Pixels to what the model takes.

    Args:
        keypoints: ``(T, J, 2)`` pixels; hidden ones may hold anything.
        visible: ``(T, J)``.
        skeleton: of the track.
        normalization: of the whole track, where these are only some of its frames; fitted to them by default.
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
    """Joints ``(T, J, 3)`` in model units, centered on each frame's joints; arguments as `lift_in_chunks`'s.

    With `uncertainty` ``(T, J, 5)``: then come the standard deviation of x and y, and that of z.
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
    """`run` for each track; those of one skeleton and pitch are lifted together, see `lift_together`."""
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
    """What `run` returned for a whole track, in the frame that is asked for.

    Returns:
        joints ``(T, J, 3)``, the rotation ``(3, 3)`` that they were turned by, and the pixels in one model unit. The
        "object" frame, and a track that shows nothing, keep the joints as they are.
    """
    return place_together([joints], [prepared], frame)[0]


def place_together(
    joints: Sequence[Array], tracks: Sequence[Prepared], frame: CoordinateFrame = "camera"
) -> list[tuple[Array, Array, np.float32]]:
    """`place` for each track; the rotations of all are fitted at once."""
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
    result is that of the whole sequence. Frames with nothing visible among those are not lifted; they hold NaN.

    A model that counts frames (`LifterConfig.counts_frames`) can't be lifted in such chunks. With ``time_encoding``
    "absolute" the sequence is lifted whole; with "table" in clips as long as the table, which don't see one another.

    Args:
        model: the lifter.
        keypoints: what `prepare` makes of pixels; hidden ones may hold anything. An array, or a tensor on the CPU: the
            joints are the same.
        visible: bool.
        skeleton: of the keypoints.
        chunk: frames at a time.
        mirror: see `lift_mirrored`.
        pitch: degrees by which the camera looks down, for models that can be told.
        uncertainty: ``(T, J, 5)``, with the standard deviation of x and y and that of z, for models that give it.
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

    A frame's result does not depend on what else is in its batch: with the native kernels to the last bit, with others
    up to rounding.

    Args:
        keypoints: ``(T, J, 2)`` of each track.
        visible: ``(T, J)`` of each track.
        skeleton, chunk, mirror, pitch, uncertainty: as for `lift_in_chunks`.
        advance: called with the number of frames done, of all tracks.
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
    """What a lifter is told of one track beside its keypoints: graph, sides and, if the model takes them, more.

    Arrays, as `AnyLifter.lift_arrays` takes them.

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
    """Raises InputError where the pitch is not from -90 to 90 degrees, or the model can't be told it."""
    containers.check_pitch(pitch)
    if pitch is not None and not model.config.pitch:
        raise InputError(
            f"the model {model.name!r} can't be told the camera's pitch, got {pitch:g}: leave it out, "
            "or take a model that can, such as small-all"
        )
