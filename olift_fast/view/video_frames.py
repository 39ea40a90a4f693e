"""Matches the frames of a result with those of a video."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from olift_fast.errors import InputError

if TYPE_CHECKING:
    from olift_fast.tracks.containers import LiftedTracks
    from olift_fast.view.video import Video

_FARTHEST = 2**40


def video_frames(result: LiftedTracks, offset: int) -> npt.NDArray[np.int64]:
    """The number ``(T,)`` of each frame of `result` in its video, plus `offset`."""
    numbers = np.arange(result.num_frames) if result.frames is None else result.frames
    return np.asarray(numbers + offset, dtype=np.int64)


def check_offset(result: LiftedTracks, video: Video, offset: int | None) -> tuple[str, ...]:
    """Notes for the user on how a video fits a result, a line each.

    Raises:
        InputError: no offset is given, and the video has fewer frames than the result, or has more and the result has
            no numbers of frames; or no frame of the result is in the video.
    """
    if offset is not None and abs(offset) > _FARTHEST:
        raise InputError(f"offset must be within ±{_FARTHEST:,} frames, got {offset:,}")
    numbers = video_frames(result, offset or 0)
    last = int(numbers[-1]) if len(numbers) else 0
    surplus = video.frames - (last + 1)
    rates = _rates(result, video)
    if offset is None and (surplus < 0 or (surplus > 0 and result.frames is None)):
        count = f"{abs(surplus):,} {'fewer' if surplus < 0 else 'more'} than the result ({last + 1:,})"
        raise InputError(
            f"{video.path}: has {video.frames:,} frames, {count}{'; ' + rates if rates else ''}; with --offset N frame "
            "n of the result is frame n + N of the video (0 where both begin together)"
        )
    if len(numbers) and not ((numbers >= 0) & (numbers < video.frames)).any():
        raise InputError(
            f"{video.path}: has frames 0 … {video.frames - 1:,}, none of the result's, which are "
            f"{int(numbers[0]):,} … {last:,}" + (f" with --offset {offset}" if offset else "")
        )
    return (f"{rates}; frames are matched by their numbers",) if rates else ()


def _rates(result: LiftedTracks, video: Video) -> str:
    """How the frame rates differ, in words; "" if they do not."""
    if result.fps is None or video.fps is None or abs(video.fps / result.fps - 1) <= 0.01:
        return ""
    return f"the video has {video.fps:.4g} frames/s, the result {result.fps:.4g}"
