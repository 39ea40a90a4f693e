"""Lift whole recordings in three steps: `prepare` the keypoints, `run` the model, `place` the joints in the picture.

`lift_tracks` takes these steps for each track of a recording in memory, `olift_fast.streaming.lift_long` for each part
of a recording on disk, and `olift bench` times each of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from olift_fast._version import __version__
from olift_fast.errors import InputError
from olift_fast.model.alignment import camera_aligned, check_frame
from olift_fast.model.lifter import Lifter
from olift_fast.model.normalization import Normalization
from olift_fast.renamed import old_argument
from olift_fast.tracks import containers
from olift_fast.tracks.containers import CoordinateFrame, KeypointTracks, LiftedTracks
from olift_fast.tracks.overhead import steep_warning
from olift_fast.tracks.skeleton import Skeleton

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Progress = Callable[[int, int], None]

CHUNK = 1024


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
    model: Lifter,
    tracks: KeypointTracks,
    *,
    min_confidence: float = 0.3,
    frame: CoordinateFrame = "camera",
    mirror: bool = False,
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
        mirror: lift the mirror image, too, and average (see `lift_mirrored`): more accurate, twice the work.
        pitch: degrees by which the camera looks down (90: straight down, negative: from below), for models that can be
            told (`LifterConfig.pitch`).
        progress: called with (frames done, frames in all).
        output: the old name of `frame`.

    Raises:
        InputError: no keypoint of any track is visible, `frame` is unknown, or `pitch` is out of range or given to a
            model that can't be told.
    """
    frame = old_argument(frame, output, new="frame", old="output")
    check_frame(frame)
    check_pitch(model, pitch)
    visible = tracks.visible(min_confidence)
    if not visible.any():
        where = f"{tracks.source}: " if tracks.source else ""
        raise InputError(f"{where}no keypoint is visible at min_confidence {min_confidence:g}")
    total = tracks.num_tracks * tracks.num_frames
    absent = tracks.absent()

    def lift(index: int) -> tuple[Array, Array, Array, np.float32, Array]:
        def advance(frames: int) -> None:
            if progress is not None:
                progress(index * tracks.num_frames + frames, total)

        prepared = replace(prepare_track(tracks, index, visible[index], absent[index]), pitch=pitch)
        lifted = run(model, prepared, mirror=mirror, uncertainty=model.config.uncertainty, advance=advance)
        joints, rotation, scale = place(lifted[..., :3], prepared, frame)
        deviations = lifted[..., 3:] * (scale if frame == "camera" else np.float32(1))
        advance(tracks.num_frames)
        joints, deviations = (with_absent(values, absent[index]) for values in (joints, deviations))
        return joints, deviations, rotation, scale, prepared.centers

    # Track by track, so that what only the steps need is in memory for one track at a time.
    lifted = map(lift, range(tracks.num_tracks))
    joints, deviations, rotation, scale, centers = (np.stack(parts) for parts in zip(*lifted, strict=True))
    warning = steep_warning(tracks, min_confidence, takes_pitch=model.config.pitch) if pitch is None else None
    return LiftedTracks(
        joints=joints,
        keypoints=tracks.keypoints,
        confidence=tracks.confidence,
        visible=visible,
        skeleton=tracks.skeleton,
        tracks=tracks.tracks,
        fps=tracks.fps,
        frames=tracks.frames,
        image_size=tracks.image_size,
        source=tracks.source,
        format=tracks.format,
        notes=tracks.notes,
        warnings=(*tracks.warnings, warning) if warning else tracks.warnings,
        frame=frame,
        scale=scale,
        centers=centers,
        rotation=rotation,
        pitch=pitch,
        model=model.name,
        version=__version__,
        **dict(zip(("uncertainty_xy", "uncertainty"), np.moveaxis(deviations, -1, 0), strict=False)),
    )


def prepare_track(tracks: KeypointTracks, index: int, visible: Mask, absent: Mask | None = None) -> Prepared:
    """`prepare` for one of several tracks, without the joints that it never has: they are another animal's.

    Args:
        tracks: of all animals.
        index: the track's.
        visible: ``(T, J)`` of the track.
        absent: ``(J,)`` the joints to leave out.
    """
    keypoints, skeleton = tracks.keypoints[index], tracks.skeleton
    if absent is None or not absent.any():
        return prepare(keypoints, visible, skeleton)
    names = [name for name, missing in zip(skeleton.names, absent, strict=True) if not missing]
    return prepare(keypoints[:, ~absent], visible[:, ~absent], skeleton.subset(names))


def with_absent(values: Array, absent: Mask) -> Array:
    """Values ``(T, J, …)`` of the joints that `prepare_track` kept, and NaN in those that it left out."""
    if not absent.any():
        return values
    whole = np.full((len(values), len(absent), *values.shape[2:]), np.nan, np.float32)
    whole[:, ~absent] = values
    return whole


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
    model: Lifter,
    prepared: Prepared,
    *,
    chunk: int = CHUNK,
    mirror: bool = False,
    uncertainty: bool = False,
    advance: Callable[[int], None] | None = None,
) -> Array:
    """Joints ``(T, J, 3)`` in model units, centered on each frame's joints; arguments as `lift_in_chunks`'s.

    With `uncertainty` ``(T, J, 5)``: then come the standard deviation of x and y, and that of z.
    """
    lifted = lift_in_chunks(
        model,
        torch.from_numpy(prepared.keypoints),
        torch.from_numpy(prepared.visible),
        prepared.skeleton,
        chunk=chunk,
        mirror=mirror,
        pitch=prepared.pitch,
        uncertainty=uncertainty,
        advance=advance,
    ).numpy()
    lifted[..., :3] -= lifted[..., :3].mean(axis=1, keepdims=True)
    return lifted


def place(joints: Array, prepared: Prepared, frame: CoordinateFrame = "camera") -> tuple[Array, Array, np.float32]:
    """What `run` returned for a whole track, in the frame that is asked for.

    Returns:
        joints ``(T, J, 3)``, the rotation ``(3, 3)`` that they were turned by, and the pixels in one model unit. The
        "object" frame, and a track that shows nothing, keep the joints as they are.
    """
    if frame == "object" or not prepared.visible.any():
        return joints, np.eye(3, dtype=np.float32), np.float32(prepared.normalization.scale)
    return camera_aligned(joints, prepared.keypoints, prepared.visible, prepared.centers, prepared.normalization)


def lift_in_chunks(
    model: Lifter,
    keypoints: torch.Tensor,
    visible: torch.Tensor,
    skeleton: Skeleton,
    *,
    chunk: int = CHUNK,
    mirror: bool = False,
    pitch: float | None = None,
    uncertainty: bool = False,
    advance: Callable[[int], None] | None = None,
) -> torch.Tensor:
    """Normalized keypoints ``(T, J, 2)``, visible ``(T, J)`` → joints ``(T, J, 3)`` in bounded memory, exactly.

    Each chunk is lifted with the frames around it that its results depend on (`LifterConfig.receptive_field`), so the
    result is that of the whole sequence. Frames with nothing visible among those are not lifted; they hold NaN.

    A model that counts frames (`LifterConfig.counts_frames`) can't be lifted in such chunks. With ``time_encoding``
    "absolute" the sequence is lifted whole; with "table" in clips as long as the table, which don't see one another.

    Args:
        model: the lifter.
        keypoints: what `prepare` makes of pixels; hidden ones may hold anything.
        visible: bool.
        skeleton: of the keypoints.
        chunk: frames at a time.
        mirror: see `lift_mirrored`.
        pitch: degrees by which the camera looks down, for models that can be told.
        uncertainty: ``(T, J, 5)``, with the standard deviation of x and y and that of z, for models that give it.
        advance: called with the number of frames done.
    """
    frames = len(keypoints)
    before, after = model.config.receptive_field
    reached = _reached(visible.any(dim=-1).numpy(), (before, after))
    stretches = _chunks(reached, chunk)
    if model.config.counts_frames and reached.any():
        longest = model.config.time_rows if model.config.time_encoding == "table" else frames
        stretches = [(start, min(start + longest, frames)) for start in range(0, frames, longest)]
        before = after = 0
    device = next(model.parameters()).device
    told = model_inputs(model, skeleton, pitch)
    lift = lift_mirrored if mirror else Lifter.__call__
    joints = torch.full((*keypoints.shape[:2], 5 if uncertainty else 3), torch.nan)
    with torch.inference_mode():
        for start, stop in stretches:
            first, last = max(start - before, 0), min(stop + after, frames)
            part = (x[None, first:last].to(device) for x in (keypoints, visible))
            lifted = lift(model, *part, **told, uncertainty=uncertainty)[0]
            joints[start:stop] = lifted[start - first : stop - first].cpu()
            if advance is not None:
                advance(stop)
    joints[torch.from_numpy(~reached)] = torch.nan
    return joints


def model_inputs(model: Lifter, skeleton: Skeleton, pitch: float | None = None) -> dict[str, Any]:
    """What `Lifter.forward` is told of one track beside its keypoints: graph, sides and, if the model takes them, more.

    Raises:
        InputError: see `check_pitch`.
    """
    check_pitch(model, pitch)
    device = next(model.parameters()).device
    told = {
        "graph": torch.from_numpy(skeleton.graph(model.config.hops)).to(device) if skeleton.edges else None,
        "sides": torch.tensor(skeleton.sides, dtype=torch.float32, device=device),
    }
    if model.config.kinds:
        told["kinds"] = torch.tensor(skeleton.kinds, device=device)
    if pitch is not None:
        told["pitch"] = torch.tensor([pitch], dtype=torch.float32, device=device)
    return told


def check_pitch(model: Lifter, pitch: float | None) -> None:
    """Raises InputError where the pitch is not from -90 to 90 degrees, or the model can't be told it."""
    containers.check_pitch(pitch)
    if pitch is not None and not model.config.pitch:
        raise InputError(f"the model {model.name!r} can't be told the camera's pitch, got {pitch:g}: leave it out")


def lift_mirrored(
    model: Lifter, keypoints: torch.Tensor, visible: torch.Tensor, *, sides: torch.Tensor, **told: Any
) -> torch.Tensor:
    """The mean of what the model gives for a clip and for its mirror image, mirrored back, ``(B, T, J, 3)`` or more.

    x turns to -x, left to right. It takes a model whose output stands in the camera's frame, as training with a
    reprojection weight makes it. Arguments as `Lifter.forward`'s.
    """
    straight = model(keypoints, visible, sides=sides, **told)
    flip = straight.new_ones(straight.shape[-1])
    flip[0] = -1
    return 0.5 * (straight + flip * model(flip[:2] * keypoints, visible, sides=-sides, **told))


def _chunks(reached: Mask, chunk: int) -> list[tuple[int, int]]:
    """The runs of True, cut into stretches ``start … stop`` of at most `chunk` frames."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], reached, [False]]).astype(np.int8)))
    runs = edges.reshape(-1, 2).tolist()
    return [(first, min(first + chunk, stop)) for start, stop in runs for first in range(start, stop, chunk)]


def _reached(seen: Mask, field: tuple[int, int]) -> Mask:
    """``(T,)`` True where some frame of t-before … t+after is True."""
    before, after = field
    count = np.concatenate([[0], np.cumsum(seen)])
    time = np.arange(len(seen))
    first = np.maximum(time - before, 0)
    last = np.minimum(time + after + 1, len(seen))
    return np.asarray(count[last] > count[first], dtype=np.bool_)
