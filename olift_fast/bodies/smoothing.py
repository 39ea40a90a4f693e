"""Smooths joints over time by the filter of Savitzky and Golay (1964), which keeps the height of movements."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from olift_fast.errors import InputError, MissingExtraError
from olift_fast.tracks.containers import KeypointTracks, LiftedTracks
from olift_fast.tracks.rates import frame_step

Floats = npt.NDArray[np.float64]

ORDER = 2
"""Degree of the parabola that is fitted to the frames of a window."""


@dataclass(frozen=True)
class Smoothing:
    """A filter over `frames` frames (an odd number), which are `step` frames of the video apart, at `fps`."""

    frames: int
    step: int
    fps: float

    @property
    def reach(self) -> float:
        """Seconds before and after a frame that its result depends on: the delay that a live filter would have."""
        return (self.frames // 2) * self.step / self.fps

    def __str__(self) -> str:
        return (
            f"smoothed over {self.frames} frames ({self.frames * self.step / self.fps:.3g} s, Savitzky-Golay of order "
            f"{ORDER}): no lag, for it looks {self.reach:.3g} s ahead and back"
        )


def smoothing_of(result: KeypointTracks | LiftedTracks, seconds: float) -> Smoothing:
    """The filter of this many seconds for a result: the nearest odd number of its frames.

    Raises:
        InputError: `seconds` is not a positive number, the frame rate is not known, or the window has fewer than five
            frames, with which the filter changes almost nothing.
    """
    if not 0 < seconds < float("inf"):
        raise InputError(f"smoothing must be over a positive number of seconds, got {seconds:g}")
    if result.fps is None:
        told = f"{result.source} does not tell them" if result.source else "they are not known"
        raise InputError(f"smoothing needs the frames a second, and {told}: --fps gives them")
    step = frame_step(result)
    frames = 2 * int(seconds * result.fps / step / 2) + 1
    least = ORDER + 3
    if frames < least:
        wanted = (least - 1) * step / result.fps
        raise InputError(
            f"smoothing must be over {wanted:.2g} s or more at {result.fps / step:g} frames a second "
            f"({least} frames), got {seconds:g}"
        )
    return Smoothing(frames, step, result.fps)


def smooth_joints(result: LiftedTracks, seconds: float) -> LiftedTracks:
    """Smooth each joint's path: a parabola is fitted to the window around each frame.

    Joints that are NaN stay NaN. Each stretch between NaN or missing frames is smoothed by itself, with a shorter
    window if the stretch is shorter than the window. Its first and last half window are taken from the parabolas there.

    Args:
        result: in any frame.
        seconds: length of the window. A swing keeps 98 % of its height if its cycle takes two windows, three quarters
            if it takes one window, and vanishes if it takes half a window.

    Raises:
        InputError: as `smoothing_of`.
        MissingExtraError: scipy is not installed.
    """
    window = smoothing_of(result, seconds)
    require_scipy()
    numbers = np.arange(result.num_frames) if result.frames is None else result.frames
    after_gap = np.flatnonzero(np.diff(numbers) != window.step) + 1
    joints = result.joints.copy()
    for track in joints:
        for alike in _alike(np.isfinite(track).all(axis=-1)):
            there = np.isfinite(track[:, alike[0]]).all(axis=-1)
            for start, stop in _stretches(there, after_gap):
                track[start:stop, alike] = _smoothed(track[start:stop, alike], window.frames)
    return replace(result, joints=joints, notes=(*result.notes, str(window)))


def require_scipy() -> None:
    """Raises MissingExtraError if scipy is not installed."""
    try:
        import scipy.signal  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(what="smoothing", extra="smooth") from error


def _smoothed(values: npt.NDArray[np.float32], frames: int) -> npt.NDArray[np.float32]:
    from scipy.signal import savgol_filter

    window = min(frames, len(values) - 1 + len(values) % 2)
    if window <= ORDER:
        return values
    smooth = savgol_filter(values.astype(np.float64), window, ORDER, axis=0, mode="interp")
    return np.asarray(smooth, dtype=np.float32)


def _alike(there: npt.NDArray[np.bool_]) -> list[npt.NDArray[np.intp]]:
    """The joints, grouped by the frames (T, J) in which they are there."""
    _, group = np.unique(there, axis=1, return_inverse=True)
    return [np.flatnonzero(group.ravel() == number) for number in range(int(group.max(initial=-1)) + 1)]


def _stretches(there: npt.NDArray[np.bool_], after_gap: npt.NDArray[np.intp]) -> list[tuple[int, int]]:
    """Start and stop of each stretch of frames with the joint; a gap in the recording ends a stretch, too."""
    edge = np.flatnonzero(np.diff(there.astype(np.int8), prepend=0, append=0))
    found: list[tuple[int, int]] = []
    for start, stop in edge.reshape(-1, 2).tolist():
        cuts = [start, *after_gap[(after_gap > start) & (after_gap < stop)].tolist(), stop]
        found += pairwise(cuts)
    return found
