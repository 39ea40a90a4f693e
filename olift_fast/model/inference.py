"""Lift whole recordings: normalise, run the model in chunks with the halo it needs, turn the result to the camera."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from olift_fast._version import __version__
from olift_fast.errors import InputError
from olift_fast.model.alignment import camera_aligned, check_output
from olift_fast.model.lifter import Lifter
from olift_fast.model.normalization import Normalization
from olift_fast.tracks.containers import KeypointTracks, LiftedTracks
from olift_fast.tracks.skeleton import Skeleton

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Progress = Callable[[int, int], None]

CHUNK = 1024


def lift_tracks(
    model: Lifter,
    tracks: KeypointTracks,
    *,
    min_confidence: float = 0.3,
    output: Literal["camera", "object"] = "camera",
    mirror: bool = False,
    progress: Progress | None = None,
) -> LiftedTracks:
    """3D joints of every track, any number of frames in bounded memory.

    Args:
        model: the lifter.
        tracks: what `olift_fast.io.read_keypoints` returns.
        min_confidence: keypoints below it count as hidden.
        output: "camera": x, y overlay the input in pixels and z is depth in pixels relative to the animal's centre;
            "object": the model's own frame and unit, centred on each frame's joints.
        mirror: lift the mirror image, too, and average (see `lift_mirrored`): more accurate, twice the work.
        progress: called with (frames done, frames in all).

    Raises:
        InputError: no keypoint of any track is visible, or `output` is unknown.
    """
    check_output(output)
    visible = tracks.visible(min_confidence)
    if not visible.any():
        where = f"{tracks.source}: " if tracks.source else ""
        raise InputError(f"{where}no keypoint is visible at min_confidence {min_confidence:g}")
    lifted = []
    total = tracks.num_tracks * tracks.num_frames
    for index in range(tracks.num_tracks):
        done = index * tracks.num_frames

        def advance(frames: int, done: int = done) -> None:
            if progress is not None:
                progress(done + frames, total)

        lifted.append(
            _lift_track(model, tracks.keypoints[index], visible[index], tracks.skeleton, output, mirror, advance)
        )
    joints, scale, centers, rotation = (np.stack(parts) for parts in zip(*lifted, strict=True))
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
        frame=output,
        scale=scale,
        centers=centers,
        rotation=rotation,
        model=model.name,
        version=__version__,
    )


def lift_in_chunks(
    model: Lifter,
    keypoints: torch.Tensor,
    visible: torch.Tensor,
    skeleton: Skeleton,
    *,
    chunk: int = CHUNK,
    mirror: bool = False,
    advance: Callable[[int], None] | None = None,
) -> torch.Tensor:
    """Normalised keypoints ``(T, J, 2)``, visible ``(T, J)`` → joints ``(T, J, 3)`` in bounded memory, exactly.

    Each chunk is lifted with the frames around it that its results depend on (`LifterConfig.receptive_field`), so the
    seams don't show: the result is that of the whole sequence. A model that counts frames has no such halo: with
    ``time_encoding`` "absolute" the sequence is lifted whole, with "table" in clips of its rows, seams and all.
    Frames with nothing visible in that reach are not lifted; they hold NaN.
    """
    frames = len(keypoints)
    before, after = model.config.receptive_field
    reached = _reached(visible.any(dim=-1).numpy(), (before, after))
    stretches = _chunks(reached, chunk)
    if model.config.counts_frames:
        longest = model.config.time_rows if model.config.time_encoding == "table" else frames
        stretches = [(start, min(start + longest, frames)) for start in range(0, frames, longest)]
        before = after = 0
    device = next(model.parameters()).device
    graph = torch.from_numpy(skeleton.graph(model.config.hops)).to(device) if skeleton.edges else None
    sides = torch.tensor(skeleton.sides, dtype=torch.float32, device=device)
    lift = lift_mirrored if mirror else Lifter.__call__
    joints = torch.full((*keypoints.shape[:2], 3), torch.nan)
    with torch.inference_mode():
        for start, stop in stretches:
            first, last = max(start - before, 0), min(stop + after, frames)
            part = (x[None, first:last].to(device) for x in (keypoints, visible))
            joints[start:stop] = lift(model, *part, graph=graph, sides=sides)[0, start - first : stop - first].cpu()
            if advance is not None:
                advance(stop)
    joints[torch.from_numpy(~reached)] = torch.nan
    return joints


def lift_mirrored(
    model: Lifter, keypoints: torch.Tensor, visible: torch.Tensor, *, graph: torch.Tensor | None, sides: torch.Tensor
) -> torch.Tensor:
    """The mean of the model's joints for a clip and for its mirror image, mirrored back: ``(B, T, J, 3)``.

    x turns to -x, left to right. It takes a model whose output stands in the camera's frame, as training with a
    reprojection weight makes it. Arguments as `Lifter.forward`'s.
    """
    flip = keypoints.new_tensor([-1.0, 1.0, 1.0])
    straight = model(keypoints, visible, graph=graph, sides=sides)
    return 0.5 * (straight + flip * model(flip[:2] * keypoints, visible, graph=graph, sides=-sides))


def _lift_track(
    model: Lifter,
    keypoints: Array,
    visible: Mask,
    skeleton: Skeleton,
    output: str,
    mirror: bool,
    advance: Callable[[int], None],
) -> tuple[Array, np.float32, Array, Array]:
    """joints ``(T, J, 3)``, scale, centers ``(T, 2)`` and rotation ``(3, 3)`` of one track."""
    frames = len(keypoints)
    identity = np.eye(3, dtype=np.float32)
    if not visible.any():
        nothing = np.full((*keypoints.shape[:2], 3), np.nan, dtype=np.float32)
        advance(frames)
        return nothing, np.float32(1), np.full((frames, 2), np.nan, dtype=np.float32), identity
    normalization = Normalization.fit(keypoints, visible)
    normalised, centers = normalization.apply(keypoints, visible)
    lifted = lift_in_chunks(
        model, torch.from_numpy(normalised), torch.from_numpy(visible), skeleton, mirror=mirror, advance=advance
    ).numpy()
    lifted = lifted - lifted.mean(axis=1, keepdims=True)
    scale = np.float32(normalization.scale)
    if output == "camera":
        lifted, rotation, scale = camera_aligned(lifted, normalised, visible, centers, normalization)
    else:
        rotation = identity
    advance(frames)
    return lifted, scale, centers, rotation


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
