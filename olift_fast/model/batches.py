"""Stretches of frames of many tracks, padded to batches that are lifted at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from olift_fast.runtime.arrays import Array, Counts, Mask


class Stretch(NamedTuple):
    """The frames ``start … stop`` of a track, and the frames ``first … last`` that their results depend on."""

    track: int
    start: int
    stop: int
    first: int
    last: int

    @property
    def length(self) -> int:
        """The number of frames from first to last, which are all lifted."""
        return self.last - self.first


class Padded(NamedTuple):
    """A batch as `Lifter.forward` takes it: keypoints ``(B, T, J, 2)``, visible ``(B, T, J)``, and the frames of each
    stretch that are not padding, ``(B,)``; None where nothing is padded."""

    keypoints: Array
    visible: Mask
    lengths: Counts | None


def stretches_of(track: int, reached: Mask, field: tuple[int, int], chunk: int) -> Iterator[Stretch]:
    """The runs of True in `reached`, cut into stretches of at most `chunk` frames, with the frames around them.

    Args:
        track: the track's number.
        reached: ``(T,)``, True for frames to lift.
        field: the number of frames before and after that a frame depends on.
        chunk: frames.
    """
    before, after = field
    edges = np.flatnonzero(np.diff(np.concatenate([[False], reached, [False]]).astype(np.int8)))
    for begin, end in edges.reshape(-1, 2).tolist():
        for start in range(begin, end, chunk):
            stop = min(start + chunk, end)
            yield Stretch(track, start, stop, max(start - before, 0), min(stop + after, len(reached)))


def batches_of(stretches: Iterable[Stretch], frames: int) -> Iterator[list[Stretch]]:
    """The stretches in batches of similar lengths, each of at most `frames` frames with padding.

    A longer stretch is a batch by itself.
    """
    batch: list[Stretch] = []
    for stretch in sorted(stretches, key=lambda stretch: stretch.length):
        if batch and (len(batch) + 1) * stretch.length > frames:
            yield batch
            batch = []
        batch.append(stretch)
    if batch:
        yield batch


def padded(batch: Sequence[Stretch], keypoints: Sequence[Array], visible: Sequence[Mask]) -> Padded:
    """The frames of a batch; keypoints ``(T, J, 2)`` and visible ``(T, J)`` are of all tracks."""
    parts = [(keypoints[track][first:last], visible[track][first:last]) for track, _, _, first, last in batch]
    lengths = [stretch.length for stretch in batch]
    if len(set(lengths)) == 1:
        return Padded(np.stack([points for points, _ in parts]), np.stack([seen for _, seen in parts]), None)
    first_points, first_seen = parts[0]
    points = np.zeros((len(batch), max(lengths), *first_points.shape[1:]), first_points.dtype)
    seen = np.zeros(points.shape[:-1], first_seen.dtype)
    for row, (part_points, part_seen) in enumerate(parts):
        points[row, : lengths[row]], seen[row, : lengths[row]] = part_points, part_seen
    return Padded(points, seen, np.array(lengths))


def reached_from(seen: Mask, field: tuple[int, int]) -> Mask:
    """``(T,)`` True where some frame of t-before … t+after is True."""
    before, after = field
    count = np.concatenate([[0], np.cumsum(seen)])
    time = np.arange(len(seen))
    first = np.maximum(time - before, 0)
    last = np.minimum(time + after + 1, len(seen))
    return np.asarray(count[last] > count[first], dtype=np.bool_)
