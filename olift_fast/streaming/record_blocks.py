"""Results of a stream in blocks: a row of numbers for each frame of each track, and the tracks' names and scales."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from olift_fast.streaming.session import Lifted

Rows = npt.NDArray[np.void]
"""A structured array of the type `row_type`."""

BLOCK_BYTES = 1 << 20
"""No rows are added to a block of more bytes than this."""


def row_type(joints: int, uncertainty: bool) -> np.dtype[np.void]:
    """The type of a row: 25 bytes a joint, or 33 with standard deviations, and 28 more."""
    fields: list[Any] = [("life", "<i8"), ("tick", "<i8"), ("t", "<f8"), ("scale", "<f4")]
    fields += [("joints", "<f4", (joints, 3)), ("keypoints", "<f4", (joints, 2)), ("confidence", "<f4", (joints,))]
    fields += [("visible", "?", (joints,))]
    return np.dtype(fields + [("uncertainty", "<f4", (joints, 2))] * uncertainty)


class Stored(Protocol):
    """A block in memory or on disk."""

    @property
    def span(self) -> tuple[int, int] | None:
        """The first and the last moment of its rows (`Lifted.tick`); None where it has no rows."""
        ...

    def load(self) -> Block:
        """The block."""
        ...


@dataclass(frozen=True, eq=False)
class Block:
    """Rows in the order in which they came, the names of their tracks, and the scales of tracks that have ended.

    Args:
        number: the block's number in the recording, from 0.
        rows: of type `row_type`.
        names: of the tracks, by their numbers (`Lifted.life`).
        scales: pixels in a model unit, by the same numbers.
    """

    number: int
    rows: Rows
    names: dict[int, str]
    scales: dict[int, float]

    @property
    def span(self) -> tuple[int, int] | None:
        """See `Stored.span`."""
        return (int(self.rows["tick"].min()), int(self.rows["tick"].max())) if len(self.rows) else None

    def load(self) -> Block:
        """The block itself."""
        return self

    def to_bytes(self) -> bytes:
        """A line of JSON, and the rows as they are in memory."""
        about = {
            "block": self.number,
            "rows": len(self.rows),
            "uncertainty": "uncertainty" in (self.rows.dtype.names or ()),
            "names": self.names,
            "scales": self.scales,
        }
        return json.dumps(about).encode() + b"\n" + self.rows.tobytes()

    @classmethod
    def from_bytes(cls, data: bytes, joints: int) -> Block:
        """The block from `to_bytes`; raises ValueError, TypeError or KeyError for other bytes."""
        line, _, rest = data.partition(b"\n")
        about = json.loads(line)
        rows = np.frombuffer(rest, row_type(joints, bool(about["uncertainty"])))
        if len(rows) != about["rows"]:
            raise ValueError(f"{about['rows']} rows were written, got {len(rows)}")
        names = {int(life): str(name) for life, name in dict(about["names"]).items()}
        scales = {int(life): checked_scale(scale) for life, scale in dict(about["scales"]).items()}
        return cls(int(about["block"]), rows, names, scales)


def checked_scale(scale: Any) -> float:
    """The scale of a track as a number; raises ValueError unless it is a positive number."""
    if not 0 < float(scale) <= float(np.finfo(np.float32).max):
        raise ValueError(f"a scale must be a positive number, got {scale!r:.40}")
    return float(scale)


@dataclass
class OpenBlock:
    """The block that results are added to. Its room for rows doubles when it is full."""

    joints: int
    number: int = 0
    _count: int = 0
    _rows: Rows | None = None
    _columns: dict[str, npt.NDArray[Any]] = field(default_factory=dict)
    _names: dict[int, str] = field(default_factory=dict)
    _scales: dict[int, float] = field(default_factory=dict)

    def fits(self, result: Lifted) -> bool:
        """Whether the result can be added to this block: the block is not full, and its rows are of the same type."""
        if self._rows is None:
            return True
        held = "uncertainty" in (self._rows.dtype.names or ())
        return self._count * self._rows.itemsize < BLOCK_BYTES and held == (result.uncertainty is not None)

    def add(self, result: Lifted) -> None:
        """Adds a row."""
        if self._rows is None:
            self._set(np.empty(16, row_type(self.joints, result.uncertainty is not None)))
        elif self._count == len(self._rows):
            self._set(np.concatenate([self._rows, self._rows]))
        for name, column in self._columns.items():
            value = getattr(result, name)
            column[self._count] = np.nan if value is None else value
        self._count += 1
        self._names.setdefault(result.life, result.track)

    def end(self, life: int, scale: float) -> None:
        """Stores the scale of a track that has ended."""
        self._scales[life] = scale

    def take(self) -> Block | None:
        """The rows added since the last call, as a block; None if there are none. The next block begins empty."""
        if not (self._count or self._scales):
            return None
        rows = np.empty(0, row_type(self.joints, False)) if self._rows is None else self._rows[: self._count].copy()
        block = Block(self.number, rows, self._names, self._scales)
        self.number += 1
        self._count, self._rows, self._columns, self._names, self._scales = 0, None, {}, {}, {}
        return block

    def _set(self, rows: Rows) -> None:
        self._rows, self._columns = rows, {name: rows[name] for name in rows.dtype.names or ()}
