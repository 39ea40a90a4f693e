"""Writes csv: DeepLabCut's wide table, and a long one with a row for each joint."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from olift_fast.io.format import OutputFormat
from olift_fast.io.writers.timing import frame_numbers
from olift_fast.tracks.containers import LiftedTracks


def write_csv(result: LiftedTracks, path: Path) -> None:
    """Writes DeepLabCut's table with x, y, z: a row for each frame, three columns for each joint of each track."""
    names = result.skeleton.names
    count = len(names) * 3
    rows = [["scorer", *[f"olift-fast {result.model} {result.version}"] * (count * result.num_tracks)]]
    if result.num_tracks > 1:
        rows.append(["individuals", *(track for track in result.tracks for _ in range(count))])
    rows.append(["bodyparts", *(name for _ in result.tracks for name in names for _ in range(3))])
    rows.append(["coords", *["x", "y", "z"] * (len(names) * result.num_tracks)])
    with open_text(path) as text:
        text.writelines(",".join(map(quoted, row)) + "\n" for row in rows)
        values = result.joints.transpose(1, 0, 2, 3).reshape(result.num_frames, -1)
        text.writelines(_lines(frame_numbers(result), values))


def _lines(frames: npt.NDArray[np.int64], values: npt.NDArray[np.float32]) -> Iterator[str]:
    # Nine significant digits restore a float32 exactly.
    template = "%d" + ",%.9g" * values.shape[1] + "\n"
    has_nan: list[bool] = np.any(np.isnan(values), axis=1).tolist()
    for index, frame in enumerate(frames.tolist()):
        line = template % (frame, *values[index].tolist())
        yield line.replace("nan", "") if has_nan[index] else line


def write_long_csv(result: LiftedTracks, path: Path) -> None:
    """Writes a row for each track, frame and joint, with uncertainty and contacts if the result has them."""
    frames = frame_numbers(result)
    known = {"uncertainty": result.uncertainty, "uncertainty_xy": result.uncertainty_xy, "contact": result.contacts}
    extra = {name: values for name, values in known.items() if values is not None}
    more = np.stack(list(extra.values()), axis=-1) if extra else np.empty((*result.visible.shape, 0), np.float32)
    names = [quoted(name) for name in result.skeleton.names]
    with open_text(path) as text:
        text.write(",".join(("track,frame,time,joint,x,y,z,confidence,visible", *extra)) + "\n")
        for track, label in enumerate(result.tracks):
            head = quoted(label)
            for index, frame in enumerate(frames.tolist()):
                time = "" if result.fps is None else f"{frame / result.fps:.9g}"
                joints, confidence = result.joints[track, index].tolist(), result.confidence[track, index].tolist()
                visible, last = result.visible[track, index].tolist(), more[track, index].tolist()
                text.writelines(
                    f"{head},{frame},{time},{name},{cells(xyz)},{score:.9g},{int(seen)}{cells(rest, ',')}\n"
                    for name, xyz, score, seen, rest in zip(names, joints, confidence, visible, last, strict=True)
                )


def cells(values: list[float], before: str = "") -> str:
    """Numbers as cells, with enough digits to restore a float32 exactly; NaN is an empty cell."""
    return (before if values else "") + ",".join("" if value != value else f"{value:.9g}" for value in values)


def quoted(cell: str) -> str:
    """A cell of text as csv writes it: in quotes if it holds commas, quotes or ends of lines."""
    return '"' + cell.replace('"', '""') + '"' if any(character in cell for character in ',"\n\r') else cell


@contextmanager
def open_text(path: Path) -> Iterator[IO[str]]:
    """A new text file in UTF-8, open for writing; ends of lines are written unchanged."""
    with path.open("wb") as file, io.TextIOWrapper(file, encoding="utf-8", newline="") as text:
        yield text


CSV = OutputFormat(
    name="csv",
    suffix=".csv",
    extra=None,
    description="DeepLabCut's table with x, y, z; a row `individuals` for several tracks",
    holds="joints, float32 exactly; empty cells for NaN; frame numbers",
    drops="confidence, fps, edges, uncertainty, units, how it was lifted",
    write=write_csv,
)
LONG_CSV = OutputFormat(
    name="long",
    suffix=".long.csv",
    extra=None,
    description="track, frame, time, joint, x, y, z, confidence, visible; uncertainty, uncertainty_xy, contact where "
    "known",
    holds="joints, float32 exactly; the input's confidence, visibility, uncertainty, contacts, frame numbers, times",
    drops="edges, units, how it was lifted",
    write=write_long_csv,
)
