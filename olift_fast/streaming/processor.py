"""3D inside another program's loop: a processor for DeepLabCut-Live, and a function for any iterable of poses."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from olift_fast.errors import InputError
from olift_fast.model import AnyLifter, Normalization, load
from olift_fast.renamed import old_argument
from olift_fast.streaming.messages import FrameMessage
from olift_fast.streaming.recording import Recording
from olift_fast.streaming.session import Event, Lifted, Session
from olift_fast.streaming.streaming_lifter import StreamingLifter
from olift_fast.tracks.containers import CoordinateFrame
from olift_fast.tracks.rigs import load_skeleton
from olift_fast.tracks.skeleton import Skeleton
from olift_fast.tracks.without_bones import bones_reported, warn_of_skeleton

Pose = TypeVar("Pose")


class LiftingProcessor:
    """Lifts the poses that pass through, and returns them unchanged.

    It has the two methods of a DeepLabCut-Live processor: ``DLCLive(path, processor=LiftingProcessor(…))``.
    DeepLabCut-Live itself need not be installed.

    Args:
        skeleton: the body parts in the order of the poses; a rig's name, or a JSON file.
        model: the lifter, or the name of a shipped one.
        tracks: how many animals; with more than one, poses are ``(N, J, 3)`` and row n is track n.
        frame, normalization, align, pitch: see `StreamingLifter`.
        fit_frames: hold results back until the scale is fitted to this many frames. By default the scale is fitted
            while poses come, and there is a result from the first one on.
        min_confidence: keypoints with a lower confidence count as hidden.
        fps: frames a second, for `save`; by default from `frame_time`, if that is given.
        on_result: called with each result, `latency_frames` frames after its pose.
        output: the old name of `frame`.

    Raises:
        InputError: an unknown skeleton or model, or an argument is out of range.

    Warns:
        UserWarning: the skeleton has no bones.
    """

    def __init__(
        self,
        skeleton: Skeleton | str | Path,
        model: AnyLifter | str = "small-causal",
        *,
        tracks: int = 1,
        frame: CoordinateFrame = "camera",
        fit_frames: int | None = None,
        normalization: Normalization | None = None,
        align: int | None = None,
        pitch: float | None = None,
        min_confidence: float = 0.3,
        fps: float | None = None,
        on_result: Callable[[Lifted], None] | None = None,
        output: CoordinateFrame | None = None,
    ) -> None:
        frame = old_argument(frame, output, new="frame", old="output")
        self.skeleton = _skeleton_of(skeleton)
        warn_of_skeleton(self.skeleton)
        lifter = load(model) if isinstance(model, str) else model
        with bones_reported():
            stream = StreamingLifter(
                lifter,
                self.skeleton,
                tracks=tracks,
                frame=frame,
                fit="running" if fit_frames is None else "hold",
                fit_frames=fit_frames,
                normalization=normalization,
                align=align,
                pitch=pitch,
            )
        stream.warmup()
        self.latency_frames = stream.latency_frames
        self.latest: dict[int, Lifted] = {}
        """The last result of each track, by its row: joints, keypoints, frame and more, see `Lifted`."""
        self._tracks, self._on_result = tracks, on_result
        self._session = Session(stream, min_confidence=min_confidence, idle=float("inf"))
        self._settings: dict[str, Any] = {"frame": frame, "model": lifter.name, "pitch": pitch, "fps": fps}
        self._recording = Recording(self.skeleton, **self._settings)
        # For each pose whose result has not come yet, whether to keep the result.
        self._kept: list[deque[bool]] = [deque() for _ in range(tracks)]
        self._started = False

    @property
    def joints(self) -> npt.NDArray[np.float32] | None:
        """``(J, 3)`` of the last result of track 0, in the frame and unit that were asked for; None before the first.

        They belong to the pose `latency_frames` before the last one, and are NaN if nothing was visible.
        """
        return self.latest[0].joints if 0 in self.latest else None

    def process(self, pose: Pose, **kwargs: Any) -> Pose:
        """Takes a pose in and returns it unchanged.

        Args:
            pose: ``(J, 3)`` x, y, confidence, or ``(J, 2)``; ``(N, J, …)`` for several animals, where N may change.
            kwargs: as DeepLabCut-Live passes them. `frame_time` in seconds becomes the result's `t`; with
                ``record=False`` the frame is lifted but not kept for `save`.

        Raises:
            InputError: the first pose does not fit the skeleton. A later pose that does not fit is left out with a
                warning, because an experiment is running.
        """
        try:
            points = self._points(pose)
        except InputError as error:
            if not self._started:
                raise
            warnings.warn(f"not lifted: {error}", stacklevel=2)
            return pose
        self._started = True
        t = kwargs.get("frame_time")
        frames = [_frame(str(row), values, None if t is None else float(t)) for row, values in enumerate(points)]
        for row in range(len(frames)):
            self._kept[row].append(bool(kwargs.get("record", True)))
        self._take(self._session.feed([(None, frame) for frame in frames], 0.0))
        return pose

    def save(self, file: str | Path = "") -> bool:
        """Ends the tracks and writes all results since the last `save`, for `read_lifted` and `olift view`.

        Args:
            file: its suffix chooses the format, as for `write_lifted`; `.npz` is added to a name without a suffix.

        Returns:
            whether there were results to write.

        Raises:
            InputError: the file can't be written; the results are kept for the next `save`.
        """
        from olift_fast.io.write import SUFFIXES

        self.flush()
        wanted = bool(len(self._recording) and str(file))
        if wanted:
            path = Path(file)
            if not path.name.lower().endswith(tuple(SUFFIXES)):
                path = path.with_name(f"{path.name}.npz")
            self._recording.write(path)
        # Only now: if the file can't be written, the results can be saved elsewhere.
        self._recording = Recording(self.skeleton, **self._settings)
        return wanted

    def flush(self) -> None:
        """Ends the tracks and gives the results still due. The next pose starts new tracks."""
        self._take(self._session.close())

    def _take(self, events: Iterable[Event]) -> None:
        for event in events:
            if not isinstance(event, Lifted):
                self._recording.add(event)
                continue
            row = int(event.track)
            if self._kept[row].popleft():
                self._recording.add(event)
            self.latest[row] = event
            if self._on_result is not None:
                self._on_result(event)

    def _points(self, pose: Any) -> npt.NDArray[np.float32]:
        """The pose as ``(N, J, 2 or 3)``, without the rows that have no track; warns about those."""
        points = np.array(pose, dtype=np.float32)
        joints = self.skeleton.num_joints
        if points.ndim == 2:
            points = points[None]
        if points.ndim != 3 or points.shape[1] != joints or points.shape[2] not in (2, 3):
            raise InputError(f"a pose must be ({joints}, 3) as the skeleton has joints, got {np.shape(pose)}")
        if len(points) > self._tracks:
            message = f"{len(points)} animals, and tracks={self._tracks}: the others are not lifted"
            warnings.warn(message, stacklevel=3)
        return points[: self._tracks]


def lift_poses(
    poses: Iterable[Any],
    skeleton: Skeleton | str | Path,
    *,
    frame: CoordinateFrame = "camera",
    output: CoordinateFrame | None = None,
    **options: Any,
) -> Iterator[Lifted]:
    """Yields the results of poses ``(J, 3)`` or ``(J, 2)`` as they come, `latency_frames` frames after their pose.

    Args:
        poses: any iterable, such as a camera's loop; see `LiftingProcessor.process`.
        frame, output, options: as for `LiftingProcessor`.
    """
    # The generator runs only when it is iterated. Warnings in it would name this file, not the caller's.
    frame = old_argument(frame, output, new="frame", old="output")
    skeleton = _skeleton_of(skeleton)
    warn_of_skeleton(skeleton)
    return _lifted_poses(poses, skeleton, frame=frame, **options)


def _skeleton_of(skeleton: Skeleton | str | Path) -> Skeleton:
    return skeleton if isinstance(skeleton, Skeleton) else load_skeleton(str(skeleton))


def _lifted_poses(poses: Iterable[Any], skeleton: Skeleton, **options: Any) -> Iterator[Lifted]:
    results: list[Lifted] = []
    with bones_reported():
        processor = LiftingProcessor(skeleton, on_result=results.append, **options)
    for pose in poses:
        processor.process(pose, record=False)
        yield from results
        results.clear()
    processor.flush()
    yield from results


def _frame(track: str, values: npt.NDArray[np.float32], t: float | None) -> FrameMessage:
    points = values[:, :2]
    confidence = values[:, 2].copy() if values.shape[1] == 3 else np.ones(len(values), np.float32)
    missing = ~np.isfinite(values).all(axis=1)
    points[missing], confidence[missing] = np.nan, 0
    return FrameMessage(track, points, confidence, t)
