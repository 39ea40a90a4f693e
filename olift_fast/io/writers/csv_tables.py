"""A result as text: DeepLabCut's wide table, and a long one with a row for each joint."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from olift_fast.io.format import OutputFormat
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
    with _open(path) as text:
        text.writelines(",".join(map(_quoted, row)) + "\n" for row in rows)
        values = result.joints.transpose(1, 0, 2, 3).reshape(result.num_frames, -1)
        text.writelines(_lines(_frame_numbers(result), values))


def _lines(frames: npt.NDArray[np.int64], values: npt.NDArray[np.float32]) -> Iterator[str]:
    # Nine significant digits restore a float32 exactly.
    template = "%d" + ",%.9g" * values.shape[1] + "\n"
    has_nan: list[bool] = np.any(np.isnan(values), axis=1).tolist()
    for index, frame in enumerate(frames.tolist()):
        line = template % (frame, *values[index].tolist())
        yield line.replace("nan", "") if has_nan[index] else line


def write_long_csv(result: LiftedTracks, path: Path) -> None:
    """Writes a row for each track, frame and joint; with the standard deviations, where the result has them."""
    frames = _frame_numbers(result)
    deviations = [values for values in (result.uncertainty, result.uncertainty_xy) if values is not None]
    more = np.stack(deviations, axis=-1) if deviations else np.empty((*result.visible.shape, 0), np.float32)
    names = [_quoted(name) for name in result.skeleton.names]
    with _open(path) as text:
        text.write("track,frame,time,joint,x,y,z,confidence,visible")
        text.write(",uncertainty,uncertainty_xy\n" if deviations else "\n")
        for track, label in enumerate(result.tracks):
            head = _quoted(label)
            for index, frame in enumerate(frames.tolist()):
                time = "" if result.fps is None else f"{frame / result.fps:.9g}"
                joints, confidence = result.joints[track, index].tolist(), result.confidence[track, index].tolist()
                visible, last = result.visible[track, index].tolist(), more[track, index].tolist()
                text.writelines(
                    f"{head},{frame},{time},{name},{_cells(xyz)},{score:.9g},{int(seen)}{_cells(rest, ',')}\n"
                    for name, xyz, score, seen, rest in zip(names, joints, confidence, visible, last, strict=True)
                )


def _cells(values: list[float], before: str = "") -> str:
    return (before if values else "") + ",".join("" if value != value else f"{value:.9g}" for value in values)


def _frame_numbers(result: LiftedTracks) -> npt.NDArray[np.int64]:
    return np.arange(result.num_frames, dtype=np.int64) if result.frames is None else result.frames


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if any(character in cell for character in ',"\n\r') else cell


@contextmanager
def _open(path: Path) -> Iterator[IO[str]]:
    with path.open("wb") as file, io.TextIOWrapper(file, encoding="utf-8", newline="") as text:
        yield text


CSV = OutputFormat(
    name="csv",
    suffix=".csv",
    extra=None,
    description="DeepLabCut's table with x, y, z; a row `individuals` for several tracks",
    holds="joints, float32 exactly; empty cells for NaN",
    write=write_csv,
)
LONG_CSV = OutputFormat(
    name="long",
    suffix=".long.csv",
    extra=None,
    description="track, frame, time, joint, x, y, z, confidence, visible; uncertainty, uncertainty_xy where known",
    holds="joints, the input's confidence, uncertainty",
    write=write_long_csv,
)
