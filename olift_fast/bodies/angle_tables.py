"""Writes angles as tables: a column for each angle, or a row for each angle and frame."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from olift_fast.atomic import atomic_path
from olift_fast.bodies.angles import Angles
from olift_fast.tracks.containers import LiftedTracks

LONG = ".long.csv"
"""The ending of a table with a row for each angle and frame."""


def write_angles(angles: Angles, result: LiftedTracks, path: str | Path) -> Path:
    """Write a table of angles, in full or not at all; returns the path.

    All tables begin with `track`, `frame` (its number in the video) and `time` (seconds, empty if the frame rate is
    unknown). Then ".long.csv" has `angle`, `kind`, `degrees` and `visible` (1 if all joints of the angle were seen, 0
    if one is estimated). Any other ending has a column for each angle. Cells are empty where an angle is not known.

    Raises:
        InputError: the path can't be written.
    """
    path = Path(path)
    rows = _long(angles, result) if path.name.lower().endswith(LONG) else _wide(angles, result)
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
    return path


def _wide(angles: Angles, result: LiftedTracks) -> Iterator[list[str]]:
    yield ["track", "frame", "time", *(angle.name for angle in angles.angles)]
    for number, (head, frames) in enumerate(_heads(result)):
        values = np.stack([angle.values[number] for angle in angles.angles], axis=-1) if angles.angles else None
        for index, cells in enumerate(frames):
            yield [head, *cells, *(map(_cell, values[index].tolist()) if values is not None else ())]


def _long(angles: Angles, result: LiftedTracks) -> Iterator[list[str]]:
    yield ["track", "frame", "time", "angle", "kind", "degrees", "visible"]
    for number, (head, frames) in enumerate(_heads(result)):
        for angle in angles.angles:
            visible = result.visible[number][:, list(angle.joints)].all(axis=-1)
            values = angle.values[number].tolist()
            for cells, value, seen in zip(frames, values, visible.tolist(), strict=True):
                yield [head, *cells, angle.name, angle.kind, _cell(value), str(int(seen))]


def _heads(result: LiftedTracks) -> Iterator[tuple[str, list[list[str]]]]:
    """Each track's name, and the cells of its frames: number and time."""
    numbers = range(result.num_frames) if result.frames is None else result.frames.tolist()
    frames = [[str(frame), "" if result.fps is None else f"{frame / result.fps:.9g}"] for frame in numbers]
    for track in result.tracks:
        yield track, frames


def _cell(value: float) -> str:
    """The value to a thousandth of a degree; empty for NaN."""
    return "" if value != value else f"{value:.3f}"
