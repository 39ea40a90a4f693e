"""The results of a live stream, kept to be written as `LiftedTracks`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from olift_fast._version import __version__
from olift_fast.model.normalization import frame_centers
from olift_fast.streaming.session import Ended, Event, Lifted
from olift_fast.tracks.containers import CoordinateFrame, LiftedTracks
from olift_fast.tracks.skeleton import Skeleton

CELLS = 1 << 27
"""tracks × moments × joints of one part at most: it takes about 4 GB while it is put together."""

Columns = dict[str, tuple[tuple[int, ...], type, Any]]
"""By name: the shape of a joint's value, its type, and the value where there is no frame."""

_COLUMNS: Columns = {
    "joints": ((3,), np.float32, np.nan),
    "keypoints": ((2,), np.float32, np.nan),
    "confidence": ((), np.float32, 0),
    "visible": ((), np.bool_, False),
}
_UNCERTAINTY: Columns = {"uncertainty": ((2,), np.float32, np.nan)}


class Recording:
    """Keeps the results of a `Session` and gives them as `LiftedTracks`.

    A frame of `LiftedTracks` is a moment (`Lifted.tick`); a track holds NaN in the moments in which it had no frame. A
    name that comes again is another track: "dog", "dog (2)".

    Args:
        skeleton: of every track.
        frame: of coordinates, "camera" or "object".
        model: the model's name.
        pitch: of the camera, as the stream was told (`StreamingLifter`).
        fps: moments a second; by default told by the frames' times, where they have some.
        source: where the keypoints come from.
    """

    def __init__(
        self,
        skeleton: Skeleton,
        *,
        frame: CoordinateFrame = "camera",
        model: str = "",
        pitch: float | None = None,
        fps: float | None = None,
        source: str | None = None,
    ) -> None:
        self._skeleton, self._frame, self._model, self._fps, self._source = skeleton, frame, model, fps, source
        self._pitch = pitch
        self._tracks: dict[int, _Track] = {}

    def __len__(self) -> int:
        """How many frames are kept, of all tracks together."""
        return sum(track.count for track in self._tracks.values())

    def add(self, event: Event) -> None:
        """Keeps an event of the session."""
        if isinstance(event, Lifted):
            if event.life not in self._tracks:
                columns = _COLUMNS if event.uncertainty is None else _COLUMNS | _UNCERTAINTY
                self._tracks[event.life] = _Track(event.track, self._skeleton.num_joints, columns)
            self._tracks[event.life].add(event)
        elif isinstance(event, Ended) and event.life in self._tracks and event.scale is not None:
            self._tracks[event.life].scale = event.scale

    def parts(self, cells: int = CELLS) -> list[LiftedTracks]:
        """All results as one `LiftedTracks`, or as several that follow one another where one would be too large.

        A part holds only the tracks that have a frame in it: many short tracks would otherwise make a huge table that
        is nearly empty.

        Args:
            cells: tracks × moments × joints of a part at most.
        """
        if not self._tracks:
            return []
        self._tracks = dict(sorted(self._tracks.items()))
        ticks = np.unique(np.concatenate([track.kept("tick") for track in self._tracks.values()]))
        names = _distinct([track.name for track in self._tracks.values()])
        named = dict(zip(self._tracks, names, strict=True))
        return [self._part(named, part) for part in self._cut(ticks, cells)]

    def write(self, path: Path) -> list[tuple[Path, LiftedTracks]]:
        """Writes the parts as ``out.npz``, ``out.2.npz``, … and returns each file with its part.

        Args:
            path: of the first part; its suffix tells the format, as for `write_lifted`.
        """
        from olift_fast.io import write_lifted
        from olift_fast.io.write import part_path

        return [(write_lifted(part, part_path(path, n)), part) for n, part in enumerate(self.parts(), 1)]

    def _cut(self, ticks: np.ndarray, cells: int) -> list[np.ndarray]:
        """The moments, halved until each stretch makes a part that is small enough."""
        there = sum(track.within(ticks[0], ticks[-1]) for track in self._tracks.values())
        if len(ticks) == 1 or there * len(ticks) * self._skeleton.num_joints <= cells:
            return [ticks]
        half = len(ticks) // 2
        return self._cut(ticks[:half], cells) + self._cut(ticks[half:], cells)

    def _part(self, names: dict[int, str], ticks: np.ndarray) -> LiftedTracks:
        own = {life: track for life, track in self._tracks.items() if track.within(ticks[0], ticks[-1])}
        shape = len(own), len(ticks), self._skeleton.num_joints
        columns = next(iter(own.values())).columns
        values: dict[str, Any] = {
            name: np.full((*shape, *row), empty, kind) for name, (row, kind, empty) in columns.items()
        }
        for row, track in enumerate(own.values()):
            ticks_there = track.kept("tick")
            inside = slice(*np.searchsorted(ticks_there, (ticks[0], ticks[-1] + 1)))
            places = np.searchsorted(ticks, ticks_there[inside])
            for name, column in values.items():
                column[row, places] = track.kept(name)[inside]
        if "uncertainty" in values:
            values["uncertainty_xy"], values["uncertainty"] = np.moveaxis(values["uncertainty"], -1, 0)
        return LiftedTracks(
            **values,
            skeleton=self._skeleton,
            tracks=tuple(names[life] for life in own),
            fps=self._fps or self._rate(),
            frames=ticks.astype(np.int64),
            source=self._source,
            format="stream",
            frame=self._frame,
            scale=np.array([track.scale for track in own.values()]),
            centers=frame_centers(values["keypoints"], values["visible"]),
            rotation=np.tile(np.eye(3), (len(own), 1, 1)),
            pitch=self._pitch,
            model=self._model,
            version=__version__,
        )

    def _rate(self) -> float | None:
        """Moments a second, by the median step between a track's times."""
        steps = np.concatenate([np.diff(track.kept("t")) for track in self._tracks.values()])
        known = steps[np.isfinite(steps)]
        step = float(np.median(known)) if len(known) else 0.0
        return round(1 / step, 3) if 1e-6 < step < 1e3 else None


class _Track:
    """The results of a track, in arrays that double in size when they are full."""

    def __init__(self, name: str, joints: int, columns: Columns) -> None:
        self.name, self.columns, self.scale, self.count = name, columns, 1.0, 0
        self._values: dict[str, np.ndarray] = {"tick": np.empty(64, np.int64), "t": np.empty(64, np.float64)}
        self._values |= {name: np.empty((64, joints, *row), kind) for name, (row, kind, _) in columns.items()}

    def add(self, result: Lifted) -> None:
        if self.count == len(self._values["tick"]):
            self._values = {name: np.concatenate([values, values]) for name, values in self._values.items()}
        for name, values in self._values.items():
            value = getattr(result, name)
            values[self.count] = np.nan if value is None else value
        self.count += 1

    def kept(self, name: str) -> np.ndarray:
        return self._values[name][: self.count]

    def within(self, first: int, last: int) -> bool:
        ticks = self.kept("tick")
        return bool(ticks[0] <= last and ticks[-1] >= first)


def _distinct(names: list[str]) -> list[str]:
    """The names, those that come again numbered: "dog", "dog (2)"."""
    found: dict[str, None] = {}
    times: dict[str, int] = {}
    for name in names:
        wanted = name
        while wanted in found:
            times[name] = times.get(name, 1) + 1
            wanted = f"{name} ({times[name]})"
        found[wanted] = None
    return list(found)
