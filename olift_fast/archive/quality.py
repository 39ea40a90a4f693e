"""Figures by which the bad ones among many results are found, without looking at them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from olift_fast.tracks.containers import LiftedTracks

_FRAMES = 4096
JUMP = 0.5
"""A joint jumps where it moves, from one frame to the next, by more than this share of the animal's size."""


def quality_of(result: LiftedTracks, index: int, absent: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """The figures of one track (`records.QUALITY`); None where one can't be told.

    The animal's size is the RMS distance of its keypoints from their mean, over all frames (`LiftedTracks.scale`).
    Jumps are of joints relative to the mean of their frame's joints, so an animal that runs does not jump.

    Args:
        result: of a file.
        index: the track's.
        absent: ``(J,)`` joints that the track never has.
    """
    there = np.flatnonzero(~absent)
    size = 1.0 if result.frame == "object" else float(result.scale[index])
    drift, jumps = _Drift(result.skeleton.edges, absent), _Jumps(size * JUMP)
    deviations, count = 0.0, 0
    for start in range(0, result.num_frames, _FRAMES):
        frames = slice(start, start + _FRAMES)
        joints = np.asarray(result.joints[index, frames])
        drift.add(joints)
        jumps.add(joints[:, there])
        if result.uncertainty is not None:
            known = np.asarray(result.uncertainty[index, frames], dtype=np.float64)
            known = known[np.isfinite(known)]
            deviations, count = deviations + float(known.sum()), count + known.size
    visible = result.visible[index][:, there]
    return {
        "hidden_share": _rounded(1 - float(visible.mean())) if visible.size else None,
        "bone_drift": _rounded(drift.mean()),
        "uncertainty": _rounded(deviations / count / size) if count else None,
        "jump_share": _rounded(jumps.share()),
    }


class _Drift:
    """The mean over bones of the standard deviation of the length over its mean, from sums over frames."""

    def __init__(self, edges: tuple[tuple[int, int], ...], absent: npt.NDArray[np.bool_]) -> None:
        pairs = [edge for edge in edges if not absent[list(edge)].any()]
        self._ends = np.array(pairs, dtype=np.intp).reshape(-1, 2).T
        self._sums = np.zeros((3, len(pairs)))

    def add(self, joints: npt.NDArray[np.float32]) -> None:
        lengths = np.linalg.norm(joints[:, self._ends[0]].astype(np.float64) - joints[:, self._ends[1]], axis=-1)
        known = np.isfinite(lengths)
        lengths = np.where(known, lengths, 0)
        self._sums += np.stack([known.sum(axis=0), lengths.sum(axis=0), np.square(lengths).sum(axis=0)])

    def mean(self) -> float | None:
        count, total, squares = self._sums[:, self._sums[0] > 1]
        if not count.size:
            return None
        mean = total / count
        deviation = np.sqrt(np.maximum(squares / count - np.square(mean), 0))
        return float((deviation / np.where(mean > 0, mean, 1)).mean())


class _Jumps:
    """The share of steps from frame to frame in which a joint moves by more than `least`."""

    def __init__(self, least: float) -> None:
        self._least = least
        self._jumped, self._steps = 0, 0
        self._last: npt.NDArray[np.float64] | None = None

    def add(self, joints: npt.NDArray[np.float32]) -> None:
        own = joints - joints.mean(axis=1, keepdims=True, dtype=np.float64)
        if self._last is not None:
            own = np.concatenate([self._last, own])
        self._last = own[-1:]
        steps = np.linalg.norm(np.diff(own, axis=0), axis=-1).max(axis=1, initial=0)
        known = np.isfinite(steps)
        self._steps += int(known.sum())
        self._jumped += int((steps[known] > self._least).sum())

    def share(self) -> float | None:
        return self._jumped / self._steps if self._steps else None


def _rounded(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(f"{value:.6g}")
