"""Joins blocks of a stream's results to `LiftedTracks`, one part at a time, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from olift_fast._version import __version__
from olift_fast.model.normalization import frame_centers
from olift_fast.streaming.record_blocks import Rows, Stored
from olift_fast.tracks.containers import CoordinateFrame, LiftedTracks
from olift_fast.tracks.skeleton import Skeleton

CELLS = 1 << 25
"""The most tracks × moments × joints of one part, which takes about 1 GB of memory while it is joined."""
SPARSE = 1 << 22
"""In a part of more cells, at least an eighth must have a frame: many short tracks make a nearly empty table."""
STEPS = 1 << 20
"""The number of steps between times from which the rate is estimated."""

_MERGED = 4096
"""The number of blocks whose moments are merged at once."""

Indices = npt.NDArray[np.int64]

_EMPTY: dict[str, tuple[tuple[int, ...], type, Any]] = {
    "joints": ((3,), np.float32, np.nan),
    "keypoints": ((2,), np.float32, np.nan),
    "confidence": ((), np.float32, 0),
    "visible": ((), np.bool_, False),
    "uncertainty": ((2,), np.float32, np.nan),
}
"""By name: the shape of a joint's value, its type, and the value where there is no frame."""


@dataclass(frozen=True)
class Facts:
    """Facts about a recording beside its results; see `Recording`."""

    skeleton: Skeleton
    frame: CoordinateFrame = "camera"
    model: str = ""
    pitch: float | None = None
    fps: float | None = None
    source: str | None = None


def parts_of(blocks: Sequence[Stored], facts: Facts, cells: int = CELLS) -> Iterator[LiftedTracks]:
    """The parts that follow one another; see `Recording.parts`.

    The blocks are read twice or three times, one at a time.
    """
    contents = _Contents.of(blocks, facts)
    for ticks in contents.cut(0, len(contents.ticks), cells):
        yield _part(blocks, facts, contents, ticks)


@dataclass(frozen=True)
class _Contents:
    """The findings of one pass over all blocks.

    Args:
        lives: the numbers of the tracks, increasing.
        first, last: the first and the last moment of each track.
        names: of each track, distinct.
        scales: of each track; of its last row if the track has not ended.
        ticks: all moments, increasing.
        before: the number of rows before each moment, and in all.
        joints: J.
        uncertainty: whether any row has standard deviations.
        fps: moments a second, if known.
    """

    lives: Indices
    first: Indices
    last: Indices
    names: list[str]
    scales: npt.NDArray[np.float32]
    ticks: Indices
    before: Indices
    joints: int
    uncertainty: bool
    fps: float | None

    @classmethod
    def of(cls, blocks: Sequence[Stored], facts: Facts) -> _Contents:
        spans: dict[int, tuple[int, int]] = {}
        names: dict[int, str] = {}
        scales: dict[int, float] = {}
        latest: dict[int, float] = {}
        steps, counts, uncertainty = _Steps(), _Counts(), False
        for stored in blocks:
            block = stored.load()
            names.update(block.names)
            scales.update(block.scales)
            counts.add(block.rows["tick"])
            uncertainty = uncertainty or (len(block.rows) > 0 and "uncertainty" in (block.rows.dtype.names or ()))
            for life, rows in _by_life(block.rows):
                first, last = int(rows["tick"].min()), int(rows["tick"].max())
                known = spans.get(life, (first, last))
                spans[life] = min(known[0], first), max(known[1], last)
                steps.add(life, rows["t"])
                if 0 < rows["scale"][-1] < np.inf:
                    latest[life] = float(rows["scale"][-1])
        lives = sorted(spans)
        ticks, rows_of_tick = counts.all()
        return cls(
            lives=np.array(lives, np.int64),
            first=np.array([spans[life][0] for life in lives], np.int64),
            last=np.array([spans[life][1] for life in lives], np.int64),
            names=_distinct([names.get(life, f"track_{life}") for life in lives]),
            scales=np.array([scales.get(life, latest.get(life, 1.0)) for life in lives], np.float32),
            ticks=ticks,
            before=np.concatenate([np.zeros(1, np.int64), np.cumsum(rows_of_tick)]),
            joints=facts.skeleton.num_joints,
            uncertainty=uncertainty,
            fps=facts.fps or steps.rate(),
        )

    def cut(self, start: int, stop: int, cells: int) -> Iterator[Indices]:
        """The moments ``ticks[start:stop]``, halved until each stretch makes a part that is small enough."""
        if start == stop:
            return
        there = int(self.within(self.ticks[start], self.ticks[stop - 1]).sum())
        filled = int(self.before[stop] - self.before[start]) * self.joints
        most = min(cells, max(SPARSE, 8 * filled))
        if stop - start == 1 or there * (stop - start) * self.joints <= most:
            yield self.ticks[start:stop]
            return
        half = start + (stop - start) // 2
        yield from self.cut(start, half, cells)
        yield from self.cut(half, stop, cells)

    def within(self, first: int, last: int) -> npt.NDArray[np.bool_]:
        """Which tracks overlap the moments from first to last."""
        return np.asarray((self.first <= last) & (self.last >= first))


def _part(blocks: Sequence[Stored], facts: Facts, contents: _Contents, ticks: Indices) -> LiftedTracks:
    own = contents.within(ticks[0], ticks[-1])
    lives = contents.lives[own]
    shape = len(lives), len(ticks)
    columns = [name for name in _EMPTY if name != "uncertainty" or contents.uncertainty]
    values: dict[str, Any] = {
        name: np.full((*shape, contents.joints, *_EMPTY[name][0]), _EMPTY[name][2], _EMPTY[name][1]) for name in columns
    }
    centers = np.full((*shape, 2), np.nan, np.float32)
    for stored in blocks:
        span = stored.span
        if span is None or span[1] < ticks[0] or span[0] > ticks[-1]:
            continue
        rows = stored.load().rows
        rows = rows[(rows["tick"] >= ticks[0]) & (rows["tick"] <= ticks[-1])]
        place = np.searchsorted(lives, rows["life"]), np.searchsorted(ticks, rows["tick"])
        for name in set(columns) & set(rows.dtype.names or ()):
            values[name][place] = rows[name]
        centers[place] = frame_centers(rows["keypoints"], rows["visible"])
    if contents.uncertainty:
        values["uncertainty_xy"], values["uncertainty"] = np.moveaxis(values["uncertainty"], -1, 0)
    return LiftedTracks(
        **values,
        skeleton=facts.skeleton,
        tracks=tuple(name for name, there in zip(contents.names, own, strict=True) if there),
        fps=contents.fps,
        frames=ticks,
        source=facts.source,
        format="stream",
        frame=facts.frame,
        scale=contents.scales[own],
        centers=centers,
        rotation=np.tile(np.eye(3), (len(lives), 1, 1)),
        pitch=facts.pitch,
        model=facts.model,
        version=__version__,
    )


def _by_life(rows: Rows) -> Iterator[tuple[int, Rows]]:
    """The rows of each track, by its number, in their order."""
    order = np.argsort(rows["life"], kind="stable")
    lives, starts = np.unique(rows["life"][order], return_index=True)
    for life, places in zip(lives.tolist(), np.split(order, starts[1:]) if len(lives) else [], strict=True):
        yield life, rows[places]


class _Counts:
    """How many rows each moment has."""

    def __init__(self) -> None:
        self._found = [(np.zeros(0, np.int64), np.zeros(0, np.int64))]

    def add(self, ticks: Indices) -> None:
        self._found.append(np.unique(ticks, return_counts=True))
        # The blocks hold about the same moments, and are many.
        if len(self._found) > _MERGED:
            self._found = [self.all()]

    def all(self) -> tuple[Indices, Indices]:
        """The moments, increasing, and the rows of each."""
        ticks, inverse = np.unique(np.concatenate([ticks for ticks, _ in self._found]), return_inverse=True)
        counts = np.zeros(len(ticks), np.int64)
        np.add.at(counts, inverse, np.concatenate([counts for _, counts in self._found]))
        return ticks, counts


class _Steps:
    """The steps between a track's times."""

    def __init__(self) -> None:
        self._last: dict[int, float] = {}
        self._steps: list[npt.NDArray[np.float64]] = []
        self._count = 0

    def add(self, life: int, times: npt.NDArray[np.float64]) -> None:
        if self._count >= STEPS:
            return
        before = [self._last[life]] if life in self._last else []
        self._last[life] = float(times[-1])
        steps = np.diff(np.concatenate([before, times]))
        known = steps[np.isfinite(steps)]
        if len(known):
            self._steps.append(known)
            self._count += len(known)

    def rate(self) -> float | None:
        """Moments a second, by the median step."""
        step = float(np.median(np.concatenate(self._steps))) if self._count else 0.0
        return round(1 / step, 3) if 1e-6 < step < 1e3 else None


def _distinct(names: list[str]) -> list[str]:
    """The names, with repeated ones numbered: "dog", "dog (2)"."""
    found: dict[str, None] = {}
    times: dict[str, int] = {}
    for name in names:
        wanted = name
        while wanted in found:
            times[name] = times.get(name, 1) + 1
            wanted = f"{name} ({times[name]})"
        found[wanted] = None
    return list(found)
