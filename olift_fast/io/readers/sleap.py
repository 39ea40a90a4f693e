"""SLEAP's analysis files, in HDF5 and csv."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import h5py
import numpy as np
import numpy.typing as npt

from olift_fast.errors import InputError
from olift_fast.io.csv_table import Table, is_missing, left_out
from olift_fast.io.detections import Detections, as_recordings, distinct_names
from olift_fast.io.format import Format
from olift_fast.io.frame_numbers import whole_numbers
from olift_fast.io.hdf5 import array, strings, text
from olift_fast.io.open_container import HDF5, TABLE
from olift_fast.io.parsed import Parsed, refuse_3d

_MATLAB_ORDER = ("track", "xy", "node", "frame")


def read_sleap_analysis(file: h5py.File) -> Parsed:
    """The tracks of an analysis file: `tracks` (N, 2, J, T), or the order that its attribute `dims` names.

    Raises:
        InputError: 3D points, or names that do not fit the array.
    """
    tracks = _ordered(file, "tracks", _MATLAB_ORDER, ("track", "frame", "node", "xy"))
    if tracks.shape[-1] == 3:
        raise refuse_3d()
    if tracks.shape[-1] != 2:
        raise InputError(f"'tracks' must be (tracks, 2, nodes, frames), got {file['tracks'].shape}")
    scores = None
    if "point_scores" in file:
        scores = _ordered(file, "point_scores", ("track", "node", "frame"), ("track", "frame", "node"))
        if scores.shape != tracks.shape[:-1]:
            raise InputError(f"'point_scores' does not fit 'tracks': {file['point_scores'].shape}")
    names = strings(file, "node_names") if "node_names" in file else None
    # Merged projects may have a name twice.
    given = distinct_names(strings(file, "track_names")) if "track_names" in file else []
    track_names = given if len(given) == len(tracks) else [f"track_{index}" for index in range(len(tracks))]
    edges = array(file, "edge_inds") if "edge_inds" in file else np.zeros((0, 2), int)
    if edges.ndim == 2 and edges.shape[0] == 2 and edges.shape[1] != 2:
        edges = edges.T
    return Parsed(tracks, scores, names, edges.reshape(-1, 2).tolist(), track_names, zero_is_hidden=True)


def read_sleap_csv(table: Table) -> Parsed:
    """The rows of an analysis csv: track, frame_idx, instance.score, then name.x, name.y, name.score of each node.

    Rows without a track are one animal; if a frame has several such rows, they are joined by nearness. sleap-io also
    writes all animals of a frame in one row (inst0.name.x, inst1.name.x), and the video of each row.

    Raises:
        InputError: columns that are missing or come twice, 3D points, or cells that are not numbers.
    """
    columns = _columns(table)
    place, width = columns.place, len(columns.place)
    values = table.values(1, [place[cell] for cell in columns.points], width)
    values = values.reshape(-1, len(columns.prefixes), len(columns.names), 2).astype(np.float64)
    confidence = _scores(table, columns, len(values))
    frames = _frame_numbers(table.column(1, place["frame_idx"]))
    video = place.get("video_path", place.get("video"))
    videos = table.column(1, video) if video is not None else [""] * len(frames)
    found = {name: Detections(len(columns.names)) for name in dict.fromkeys(videos)}
    for animal, prefix in enumerate(columns.prefixes):
        tracks = table.column(1, place[f"{prefix}track"])
        for row, (name, track, frame) in enumerate(zip(videos, tracks, frames.tolist(), strict=True)):
            known = None if is_missing(track) else track
            found[name].add(frame, known, values[row, animal], confidence[row, animal])
    tracked = as_recordings(found)
    several, used = len(found) > 1, columns.used
    beside = [cell for cell in place if cell not in used and not (several and place[cell] == video)]
    notes = [*tracked.notes, *([f"{len(found)} videos, side by side"] if several else []), *left_out(beside)]
    return replace(tracked, names=columns.names, notes=notes)


class _Columns(NamedTuple):
    """The columns of an analysis csv.

    Args:
        place: the place of each column by its name.
        prefixes: what the names of each animal's columns begin with: "inst0.", …; one "" if a row is one animal.
        names: the names of the nodes.
    """

    place: dict[str, int]
    prefixes: list[str]
    names: list[str]

    @property
    def nodes(self) -> list[str]:
        """The nodes of all animals, with prefix."""
        return [f"{prefix}{name}" for prefix in self.prefixes for name in self.names]

    @property
    def points(self) -> list[str]:
        """The names of the columns of coordinates: x and y of each node of each animal."""
        return [f"{node}.{axis}" for node in self.nodes for axis in "xy"]

    @property
    def used(self) -> set[str]:
        """The names of all columns that are read, or known to hold the scores of whole animals."""
        own = {f"{prefix}{cell}" for prefix in self.prefixes for cell in ("track", *(("score",) if prefix else ()))}
        return {"", "instance.score", "frame_idx", *self.points, *(f"{node}.score" for node in self.nodes), *own}


def _columns(table: Table) -> _Columns:
    """The columns by the table's header; raises InputError if it lacks one, or has one twice or of 3D points."""
    header = table.rows(0, 1)[0]
    while header and not header[-1]:
        header.pop()
    place = {cell: column for column, cell in enumerate(header)}
    if len(place) < len(header):
        raise InputError("header names a column twice")
    if any(cell.endswith(".z") for cell in header):
        raise refuse_3d()
    prefixes = list(dict.fromkeys(match[0] for match in map(_INSTANCE.match, header) if match)) or [""]
    first = prefixes[0]
    names = [cell[len(first) : -2] for cell in header if cell.endswith(".x") and cell.startswith(first)]
    columns = _Columns(place, prefixes, names)
    wanted = (*(f"{prefix}track" for prefix in prefixes), "frame_idx", *columns.points)
    missing = [cell for cell in wanted if cell not in place]
    if missing or not names:
        raise InputError(f"header lacks {missing[0] if missing else 'columns NAME.x and NAME.y'!r}")
    return columns


def _scores(table: Table, columns: _Columns, rows: int) -> npt.NDArray[np.float64]:
    """(rows, animals, nodes) scores; those of points without one are a hand label's."""
    place = columns.place
    scores = np.full((rows, len(columns.nodes)), np.nan, np.float32)
    scored = {node: place[f"{name}.score"] for node, name in enumerate(columns.nodes) if f"{name}.score" in place}
    if scored:
        scores[:, list(scored)] = table.values(1, list(scored.values()), len(place))
    scores = np.nan_to_num(scores, nan=_LABELED)
    return scores.reshape(rows, len(columns.prefixes), len(columns.names)).astype(np.float64)


def _frame_numbers(cells: Sequence[str]) -> npt.NDArray[np.int64]:
    frames = whole_numbers(cells)
    if frames is None:
        other = next(cell for cell in cells if whole_numbers([cell]) is None)
        raise InputError(f"frame_idx must be a whole number below 2^63, got {other!r:.40}")
    return frames


_INSTANCE = re.compile(r"inst\d+\.")


def _is_sleap_csv(table: Table) -> bool:
    header = set(table.rows(0, 1)[0])
    return "frame_idx" in header and ("track" in header or any(map(_INSTANCE.match, header)))


#: The confidence of a hand label. It is above any prediction's score, so if a frame has a label and a prediction of one
#: animal, the label is kept. `settle`, the last step for all formats, clips it to 1.
_LABELED = 2.0


def _ordered(file: h5py.File, name: str, legacy: Sequence[str], wanted: Sequence[str]) -> npt.NDArray[Any]:
    """An array with its dimensions in the order `wanted`.

    Args:
        legacy: their order in files without the attribute `dims`, which names them.
    """
    dataset = file[name]
    dims = tuple(json.loads(text(dataset.attrs["dims"]))) if "dims" in dataset.attrs else tuple(legacy)
    if sorted(dims) != sorted(wanted) or dataset.ndim != len(wanted):
        raise InputError(f"{dataset.name[1:]!r} must have dimensions {', '.join(legacy)}, got shape {dataset.shape}")
    return array(file, name).transpose([dims.index(dimension) for dimension in wanted])


ANALYSIS = Format(
    name="sleap-analysis",
    extensions=(".analysis.h5", ".h5"),
    example="flies.analysis.h5",
    extra=None,
    description="SLEAP analysis files",
    containers=(HDF5,),
    matches=lambda file: "tracks" in file and "node_names" in file,
    read=read_sleap_analysis,
    recognized_by="HDF5 with `tracks` and `node_names`",
    takes="tracks in any order of dimensions (`dims`), point scores, names, edges; NaN and (0, 0) are hidden",
    hint="SLEAP",
)
CSV = Format(
    name="sleap-csv",
    extensions=(".analysis.csv", ".csv"),
    example="flies.analysis.csv",
    extra=None,
    description="SLEAP analysis tables",
    containers=(TABLE,),
    matches=_is_sleap_csv,
    read=read_sleap_csv,
    recognized_by="header with `track` and `frame_idx`, or with `frame_idx` and `inst0.NAME.x`",
    takes="the rows of each track; names from `NAME.x`; the videos of `video_path` side by side",
    hint="SLEAP's track,frame_idx,…",
)
