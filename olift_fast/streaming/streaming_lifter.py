"""`StreamingLifter` takes frames as they come and returns 3D some frames later, as from the whole recording."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from olift_fast.errors import InputError
from olift_fast.model import AnyLifter, NativeLifter, Normalization
from olift_fast.model.alignment import check_frame
from olift_fast.model.inference import model_inputs
from olift_fast.model.native_lifter import check_backend, deviations, head_graphs
from olift_fast.model.normalization import normalize_frames
from olift_fast.renamed import old_argument, warn_of_old_name
from olift_fast.streaming.rings import Indices
from olift_fast.streaming.running_alignment import RunningAlignment
from olift_fast.streaming.scales import Fit, TrackScales
from olift_fast.streaming.steps import Array, Inputs, Mask, Steps, Told
from olift_fast.streaming.steps_native import NativeSteps, encode_by
from olift_fast.tracks.containers import CoordinateFrame
from olift_fast.tracks.skeleton import Skeleton
from olift_fast.tracks.without_bones import warn_of_skeleton

FIT_FRAMES = 16
"""The number of frames that a scale is fitted to by default."""
_NEVER = -(1 << 62)


class _Frame(NamedTuple):
    track: int
    frame: int
    joints: Array


class LiftedFrame(_Frame):
    """One frame in 3D: its track, its number within the track from 0, and joints ``(J, 3)`` float32.

    `uncertainty` is ``(J, 2)``: the standard deviation of x and y and that of z, in the joints' unit; None if the model
    gives none. `scale` is the pixels in one model unit with which the frame was lifted. `provisional` is True if the
    scale was still being fitted.
    """

    uncertainty: Array | None = None
    scale: float = math.nan
    provisional: bool = False


class StreamingLifter:
    """Lifts frames as they come. Results equal those of the whole recording, and the cost per frame is constant.

    Each motion layer keeps the keys and values of the frames in its window, so a frame is computed once and not once
    for each result that depends on it. The result for frame t comes with frame ``t + latency_frames``. It equals the
    result of `Lifter` on the whole sequence at the same scale, up to float rounding, however the frames are cut into
    pushes.

    There is a slot for each track. A track starts with the first frame that is pushed to its slot and ends with `flush`
    or `reset`; then the slot is free for another track. A track without a frame in a push pauses: its next frame counts
    as the one right after its last.

    Args:
        model: a `Lifter`, the result of its `optimize`, or a `NativeLifter`. On the CPU the native passes run if they
            can, elsewhere the modules. Weights must not change while the stream runs, because packed weights are
            copies.
        skeleton: of every track.
        tracks: the number of slots.
        frame: of coordinates. "camera": x, y overlay the input in pixels and z is depth in pixels relative to the
            animal's center; "object": the model's own frame and unit, centered on each frame's joints. For "camera",
            `lift_tracks` fits a rotation to the whole recording. A stream can't do this, because frames are still to
            come: it scales the joints by the track's normalization, and moves them so that the visible joints are
            centered on the visible keypoints. This needs a model trained with a reprojection weight, as all shipped
            ones are. While nothing is visible, the last position is kept.
        normalization: of every track; by default each track has its own, fitted to its first `fit_frames` frames (16),
            counted from the first frame with two visible keypoints.
        fit: how these first frames are treated. "hold": they are held back until all have come, so that the whole track
            has one scale and equals the recording; up to ``latency_frames`` of them delay no result. "running": their
            results come when they are due, at a scale fitted to the frames so far, and are `LiftedFrame.provisional`.
            The fit ends with the last of these frames, or with a later one: the first that changes the scale by no more
            than 1 %. From one receptive field (`LifterConfig.receptive_field`) after it on, results equal the
            recording's at that scale. The default, None, means "hold" with `push`, and "running" with `serve_stream`.
        fit_frames: the number of these frames; a number without `fit` means "hold".
        align: for "camera": turn and scale the joints onto the keypoints as `lift_tracks` does, by a fit to about the
            last `align` frames (`RunningAlignment`).
        pitch: degrees by which the camera looks down (90: straight down, negative: up from below), for models that take
            it; one for all tracks.
        output: the old name of `frame`.

    Raises:
        InputError: the model counts frames (`LifterConfig.counts_frames`) or does not take the pitch, a motion layer is
            not one that the lifter makes, or an argument is out of range.

    Warns:
        UserWarning: the skeleton has no bones.
    """

    def __init__(
        self,
        model: AnyLifter,
        skeleton: Skeleton,
        *,
        tracks: int = 1,
        frame: CoordinateFrame = "camera",
        normalization: Normalization | None = None,
        fit: Fit | None = None,
        fit_frames: int | None = None,
        align: int | None = None,
        pitch: float | None = None,
        output: CoordinateFrame | None = None,
    ) -> None:
        frame = old_argument(frame, output, new="frame", old="output")
        check_frame(frame)
        if fit is not None and fit not in get_args(Fit):
            raise InputError(f"fit must be 'hold' or 'running', got {fit!r}")
        if align is not None and frame != "camera":
            raise InputError(f"align needs the frame 'camera', got {frame!r}: others are not fitted to the picture")
        for name, value in (("tracks", tracks), ("fit_frames", fit_frames), ("align", align)):
            if value is not None and value < 1:
                raise InputError(f"{name} must be >= 1, got {value}")
        warn_of_skeleton(skeleton)
        self.skeleton, self.tracks, self.frame, self.pitch = skeleton, tracks, frame, pitch
        self.fit: Fit | None = fit if fit_frames is None or fit is not None else "hold"
        self.fit_frames = FIT_FRAMES if fit_frames is None else fit_frames
        self._normalization = normalization
        self._reach, self.latency_frames = model.config.receptive_field
        self._steps = _steps_of(model, skeleton, tracks, pitch)
        remembered = self.latency_frames + 1
        self._times = np.zeros(tracks, dtype=np.int64)
        self._last_seen = np.full(tracks, _NEVER)
        self._scales = TrackScales(tracks)
        self._offsets = np.full((tracks, 2), np.nan, dtype=np.float32)
        self._centers = np.zeros((tracks, remembered, 2), dtype=np.float32)
        self._visible = np.zeros((tracks, remembered, skeleton.num_joints), dtype=np.bool_)
        self._units = np.full((tracks, remembered), np.nan, dtype=np.float32)
        self._normalized = np.zeros((tracks, remembered, skeleton.num_joints, 2), dtype=np.float32)
        self._alignment = None if align is None else RunningAlignment(tracks, align)
        self.reset()

    latency_frames: int
    """The result for frame t comes this many frames later: ``motion_layers × right``; 0 for a window ``(left, 0)``."""

    @property
    def frames_a_step(self) -> int:
        """The number of tracks to push a frame of at once: with more, the time for each does not get shorter."""
        return min(self.tracks, self._steps.together or self.tracks)

    @property
    def output(self) -> CoordinateFrame:
        """The old name of `frame`."""
        warn_of_old_name("StreamingLifter.output", "StreamingLifter.frame")
        return self.frame

    @output.setter
    def output(self, frame: CoordinateFrame) -> None:
        warn_of_old_name("StreamingLifter.output", "StreamingLifter.frame")
        self.frame = frame

    def push(
        self,
        keypoints: npt.ArrayLike,
        visible: npt.ArrayLike | None = None,
        *,
        tracks: int | Sequence[int] | None = None,
    ) -> list[LiftedFrame]:
        """Takes frames and returns the results that are due, each track's in the order of its frames.

        Args:
            keypoints: pixels ``(J, 2)``, a frame of one track; ``(T, J, 2)``, several frames of it; or
                ``(K, T, J, 2)``, frames of each of K tracks.
            visible: bool, the same shape without the last axis; by default True for finite keypoints. A keypoint that
                is not finite is always hidden.
            tracks: the slot or the K slots that the frames belong to; by default all of them. The others pause.

        Returns:
            the results. Joints are NaN if none of the frames that they depend on had a visible keypoint, and, in the
            "camera" frame, until a keypoint was visible and the scale is known.

        Raises:
            InputError: shapes don't fit, or there is no such track.
        """
        own = self._own(tracks)
        points, seen = self._checked(keypoints, visible, own)
        results: list[LiftedFrame] = []
        for frame in range(points.shape[1]):
            now = own, points[:, frame], seen[:, frame]
            if self._scales.fitting[own].any():
                now = self._fit_scales(*now, results)
            if len(now[0]):
                results += self._advance(*now)
        return results

    def flush(self, tracks: int | Sequence[int] | None = None) -> list[LiftedFrame]:
        """Ends tracks, by default all, and returns the results still due, as for a recording that ends here."""
        own = self._own(tracks)
        results: list[LiftedFrame] = []
        self._catch_up({track: self._scales.release(track) for track in own.tolist()}, results)
        started = own[self._times[own] > 0]
        lengths = self._times[started]
        for late in range(self.latency_frames if len(started) else 0):
            results += self._step(started, lengths + late, lengths, None)
        self.reset(own.tolist())
        return results

    def reset(self, tracks: int | Sequence[int] | None = None, *, normalization: Normalization | None = None) -> None:
        """Forgets tracks, by default all, and drops the results still due. The next push starts new tracks.

        Args:
            tracks: the slot or slots.
            normalization: of the tracks that start there; by default the one given to `StreamingLifter`.
        """
        own = self._own(tracks)
        self._times[own] = 0
        self._last_seen[own] = _NEVER
        self._offsets[own] = np.nan
        if self._alignment is not None:
            self._alignment.start(own)
        held = min(self.fit_frames, self.latency_frames + 1) if self.fit == "running" else self.fit_frames
        for track in own.tolist():
            self._scales.start(track, normalization or self._normalization, held, self.fit_frames)

    def normalization(self, track: int = 0) -> Normalization | None:
        """The normalization in use; None until there is one. Once settled, it holds for all later frames."""
        return self._scales.of(self._own(track)[0])

    @property
    def held_frames(self) -> int:
        """The number of frames that wait for a scale, of all tracks."""
        return self._scales.held()

    def warmup(self) -> None:
        """Does work that would delay the first frame: on a GPU it captures a step as a CUDA graph. No track changes."""
        self._steps.warmup()

    def _advance(self, tracks: Indices, keypoints: Array, visible: Mask) -> list[LiftedFrame]:
        """The next frame ``(K, J, 2)`` of each track."""
        times, scales = self._times[tracks], self._scales.values[tracks]
        # Until there is a scale, at most one keypoint is visible. It is at the center, so any scale will do.
        normalized, centers = normalize_frames(keypoints, visible, np.where(np.isnan(scales), np.float32(1), scales))
        slots = times % (self.latency_frames + 1)
        self._centers[tracks, slots] = centers
        self._visible[tracks, slots] = visible
        self._units[tracks, slots] = scales
        if self._alignment is not None:
            self._normalized[tracks, slots] = normalized
        shows = visible.any(axis=-1)
        self._last_seen[tracks[shows]] = times[shows]
        self._times[tracks] = times + 1
        return self._step(tracks, times, times + 1, Inputs(normalized, visible))

    def _step(self, tracks: Indices, times: Indices, lengths: Indices, inputs: Inputs | None) -> list[LiftedFrame]:
        answers = self._steps.step(tracks, times, lengths, inputs)
        if answers is None:
            return []
        own, frames, decoded = answers
        joints, uncertainty = decoded[..., :3], deviations(decoded[..., 3:])
        joints, units = self._placed(own, frames, joints - joints.mean(axis=1, keepdims=True))
        unknown = self._last_seen[own] < frames - self._reach
        joints[unknown], uncertainty[unknown] = np.nan, np.nan
        results = [LiftedFrame(*result) for result in zip(own.tolist(), frames.tolist(), joints, strict=True)]
        if uncertainty.size:
            for result, spread in zip(results, uncertainty * units[:, None, None], strict=True):
                result.uncertainty = spread
        scales, fitting = self._scales.values[own].tolist(), self._scales.fitting[own].tolist()
        for result, scale, provisional in zip(results, scales, fitting, strict=True):
            result.scale, result.provisional = scale, provisional
        return results

    def _placed(self, tracks: Indices, frames: Indices, joints: Array) -> tuple[Array, Array]:
        """Joints ``(N, J, 3)`` in `frame`, and the size ``(N,)`` of each track's model unit in the unit of `frame`."""
        if self.frame == "object":
            return joints, np.ones(len(joints), dtype=np.float32)
        slots = frames % (self.latency_frames + 1)
        visible, units = self._visible[tracks, slots], self._units[tracks, slots]
        if self._alignment is not None:
            rotations, stretches = self._alignment.step(tracks, joints, self._normalized[tracks, slots], visible)
            joints, units = joints @ rotations.swapaxes(1, 2), units * stretches
        joints = joints * units[:, None, None]
        count = visible.sum(axis=-1, keepdims=True)
        middle = np.where(visible[..., None], joints[..., :2], 0).sum(axis=1) / np.maximum(count, 1)
        known = count > 0
        self._offsets[tracks] = np.where(known, self._centers[tracks, slots] - middle, self._offsets[tracks])
        offsets = self._offsets[tracks]
        joints[..., :2] += offsets[:, None]
        joints[np.isnan(offsets[:, 0])] = np.nan
        return joints, units

    def _fit_scales(
        self, tracks: Indices, keypoints: Array, visible: Mask, results: list[LiftedFrame]
    ) -> tuple[Indices, Array, Mask]:
        """Adds these frames to the scales that are still being fitted; returns the frames that can be lifted now."""
        ready = np.ones(len(tracks), dtype=np.bool_)
        held: dict[int, list[tuple[Array, Mask]]] = {}
        for index in np.flatnonzero(self._scales.fitting[tracks]).tolist():
            track = int(tracks[index])
            held[track], ready[index] = self._scales.see(track, keypoints[index], visible[index])
        self._catch_up(held, results)
        return tracks[ready], keypoints[ready], visible[ready]

    def _catch_up(self, held: dict[int, list[tuple[Array, Mask]]], results: list[LiftedFrame]) -> None:
        """Lifts held-back frames of tracks whose scales are known now, one frame of each track at a time."""
        for track in held:
            before = self._units[track]
            before[np.isnan(before)] = self._scales.values[track]
        for place in range(max(map(len, held.values()), default=0)):
            own = [track for track, frames in held.items() if place < len(frames)]
            keypoints, visible = (np.stack(parts) for parts in zip(*(held[track][place] for track in own), strict=True))
            results += self._advance(np.array(own), keypoints, visible)

    def _own(self, tracks: int | Sequence[int] | None) -> Indices:
        """The slots as an array; all of them for None."""
        if tracks is None:
            return np.arange(self.tracks)
        own = np.atleast_1d(np.asarray(tracks))
        if own.ndim > 1 or own.dtype.kind not in "iu" or len(set(own.tolist())) < len(own):
            raise InputError(f"tracks must be a slot or different slots, got {tracks!r}")
        if len(own) and not 0 <= own.min() <= own.max() < self.tracks:
            raise InputError(f"tracks must be among 0 … {self.tracks - 1}, got {tracks!r}")
        return own.astype(np.int64)

    def _checked(self, keypoints: npt.ArrayLike, visible: npt.ArrayLike | None, own: Indices) -> tuple[Array, Mask]:
        """keypoints ``(K, T, J, 2)`` and visible ``(K, T, J)``."""
        points = np.asarray(keypoints, dtype=np.float32)
        joints = self.skeleton.num_joints
        if points.ndim not in (2, 3, 4) or points.shape[-2:] != (joints, 2):
            wanted = f"({joints}, 2), (T, {joints}, 2) or (K, T, {joints}, 2)"
            raise InputError(f"keypoints must be {wanted}, got {points.shape}")
        finite = np.isfinite(points).all(axis=-1)
        if visible is not None:
            seen = np.asarray(visible)
            if seen.shape != finite.shape or seen.dtype != np.bool_:
                raise InputError(f"visible must be bool {finite.shape}, got {seen.dtype} {seen.shape}")
            finite &= seen
        points = points.reshape(-1 if points.ndim == 4 else 1, points.shape[-3] if points.ndim > 2 else 1, joints, 2)
        if len(points) != len(own):
            raise InputError(f"keypoints must be of {len(own)} tracks, {own.tolist()}, got {len(points)}")
        return points, finite.reshape(points.shape[:-1])


def _steps_of(model: AnyLifter, skeleton: Skeleton, tracks: int, pitch: float | None) -> Steps:
    """Steps with the native passes if the model's layers can be fused, else with its modules."""
    config = model.config
    if config.counts_frames:
        wanted = "a stream needs time_encoding 'relative' or 'none'"
        raise InputError(f"{wanted}, got {config.time_encoding!r}: it counts frames from the start of a clip")
    given = model_inputs(model, skeleton, pitch)
    graph, sides, kinds = head_graphs(given["graph"], 1, config.heads), given["sides"], given.get("kinds")
    told = Told(sides[None], given.get("pitch"), None if kinds is None else kinds[None])
    if isinstance(model, NativeLifter):
        check_backend()
        return NativeSteps(config, encode_by(model.encoder, told), model.layers, graph, skeleton.num_joints, tracks)
    # This imports torch, which the model has imported already.
    from olift_fast.streaming.steps_modules import steps_of_modules

    return steps_of_modules(model, graph, told, tracks)  # type: ignore[arg-type]
