"""SLEAP: analysis h5 and csv, and the project files .slp (HDF5) and .json with their skeleton's edges."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from olift_fast.errors import InputError
from olift_fast.io.csv_table import Table, left_out
from olift_fast.io.detections import Detections, as_tracks
from olift_fast.io.format import Format
from olift_fast.io.frame_numbers import whole_numbers
from olift_fast.io.hdf5 import array, strings
from olift_fast.io.json_fields import object_keys
from olift_fast.io.open_container import HDF5, JSON, TABLE
from olift_fast.io.parsed import Parsed, int64, refuse_3d

_MATLAB_ORDER = ("track", "xy", "node", "frame")


def read_sleap_analysis(file: h5py.File) -> Parsed:
    """The tracks of an analysis file: `tracks` (N, 2, J, T) or any order that its `dims` attribute names.

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
    given = strings(file, "track_names") if "track_names" in file else []
    track_names = given if len(given) == len(tracks) else [f"track_{index}" for index in range(len(tracks))]
    edges = array(file, "edge_inds") if "edge_inds" in file else np.zeros((0, 2), int)
    if edges.ndim == 2 and edges.shape[0] == 2 and edges.shape[1] != 2:
        edges = edges.T
    return Parsed(tracks, scores, names, edges.reshape(-1, 2).tolist(), track_names, zero_is_hidden=True)


def read_sleap_labels(file: h5py.File) -> Parsed:
    """The instances of a .slp project; a hand label replaces a prediction of the same animal in the same frame.

    Instances without a track are joined by nearness. With several videos, tracks are named video0/track.

    Raises:
        InputError: no instance with a visible point, or several videos and instances without a track.
    """
    metadata = json.loads(_text(file["metadata"].attrs["json"]))
    skeletons = [_skeleton(skeleton, metadata["nodes"]) for skeleton in metadata["skeletons"]]
    if not skeletons:
        raise InputError("holds no skeleton")
    # Up to format 1.0 the origin was the corner of the top left pixel; since 1.1 it is the center of that pixel.
    shift = 0.5 if float(file["metadata"].attrs.get("format_id", 1.0)) < 1.1 else 0.0
    track_names = [str(json.loads(track)[1]) for track in strings(file, "tracks_json")] if "tracks_json" in file else []
    frames, instances = array(file, "frames"), array(file, "instances")
    poses = {0: _points(array(file, "points"), shift), 1: _points(array(file, "pred_points"), shift)}
    names, edges = skeletons[int(instances["skeleton"][0])] if len(instances) else skeletons[0]
    videos = len(np.unique(frames["video"]))
    where = dict(
        zip(
            frames["frame_id"].tolist(),
            zip(frames["video"].tolist(), frames["frame_idx"].tolist(), strict=True),
            strict=True,
        )
    )
    found = Detections(len(names))
    columns = ("instance_type", "frame_id", "track", "point_id_start", "point_id_end")
    for kind, frame, track, start, stop in zip(*(instances[column].tolist() for column in columns), strict=True):
        video, number = where[frame]
        xy, score = poses[kind]
        name = track_names[track] if 0 <= track < len(track_names) else None
        if videos > 1:
            if name is None:
                raise InputError(f"holds {videos} videos and instances without a track, wanted one video or tracks")
            name = f"video{video}/{name}"
        found.add(int64(number, "frame number"), name, xy[start:stop], score[start:stop])
    tracked = as_tracks(found, fill=_is_video(found, [int(number) for number in frames["frame_idx"]]))
    return replace(tracked, names=names, edges=edges)


def read_sleap_json(content: Mapping[str, Any]) -> Parsed:
    """The labels of a project in SLEAP's JSON form; joined and named as in `read_sleap_labels`."""
    names, edges = _skeleton(content["skeletons"][0], content["nodes"])
    track_names = [_track_name(track, index) for index, track in enumerate(content.get("tracks") or [])]
    found = Detections(len(names))
    for label in content["labels"]:
        frame = int64(label["frame_idx"], "frame number")
        for instance in label.get("_instances") or label.get("instances") or []:
            xy = np.full((len(names), 2), np.nan)
            score = np.zeros(len(names))
            for node, point in (instance.get("_points") or instance.get("points") or {}).items():
                xy[int(node)] = float(point["x"]), float(point["y"])
                score[int(node)] = float(point.get("score", _LABELED)) if point.get("visible", True) else 0.0
            track = instance.get("track")
            name = track_names[track] if isinstance(track, int) and 0 <= track < len(track_names) else None
            found.add(frame, name, xy, score)
    return replace(as_tracks(found, fill=_is_video(found, [])), names=names, edges=edges)


def read_sleap_csv(table: Table) -> Parsed:
    """The rows of an analysis csv: track, frame_idx, instance.score, then name.x, name.y, name.score of each node.

    Rows without a track are one animal, or are joined by nearness where a frame has several.

    Raises:
        InputError: columns that are missing or come twice, 3D points, or cells that are no numbers.
    """
    header = table.rows(0, 1)[0]
    while header and not header[-1]:
        header.pop()
    names = [cell[:-2] for cell in header if cell.endswith(".x")]
    place = {cell: column for column, cell in enumerate(header)}
    if len(place) < len(header):
        raise InputError("header names a column twice")
    if any(cell.endswith(".z") for cell in header):
        raise refuse_3d()
    wanted = ["track", "frame_idx", *(f"{name}.{axis}" for name in names for axis in "xy")]
    missing = [cell for cell in wanted if cell not in place]
    if missing or not names:
        raise InputError(f"header lacks {missing[0] if missing else 'columns NAME.x and NAME.y'!r}")
    columns = [place[cell] for cell in wanted[2:]]
    scores = [place.get(f"{name}.score") for name in names]
    values = table.values(1, columns, len(header)).reshape(-1, len(names), 2)
    confidence = np.full(values.shape[:2], np.nan, np.float32)
    scored = [joint for joint, column in enumerate(scores) if column is not None]
    if scored:
        confidence[:, scored] = table.values(1, [column for column in scores if column is not None], len(header))
    found = Detections(len(names))
    given = table.column(1, place["frame_idx"])
    frames = whole_numbers(given)
    if frames is None:
        other = next(cell for cell in given if whole_numbers([cell]) is None)
        raise InputError(f"frame_idx must be a whole number below 2^63, got {other!r:.40}")
    for row, (track, frame) in enumerate(zip(table.column(1, place["track"]), frames.tolist(), strict=True)):
        score = np.nan_to_num(confidence[row].astype(np.float64), nan=_LABELED)
        found.add(frame, track or None, values[row].astype(np.float64), score)
    known = {"", "instance.score", *wanted, *(f"{name}.score" for name in names)}
    return replace(as_tracks(found), names=names, notes=left_out(cell for cell in header if cell not in known))


#: The confidence of a hand label: above any prediction's score, so that of two poses of one animal in one frame the
#: label is kept. `settle`, the last step for all formats, clips it to 1.
_LABELED = 2.0


def _points(points: npt.NDArray[Any], shift: float) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Coordinates (P, 2) and confidence (P) of a project's points; hand labels have no score, predictions have one."""
    names = points.dtype.names or ()
    score = np.nan_to_num(points["score"], nan=1.0) if "score" in names else np.full(len(points), _LABELED)
    return np.stack([points["x"], points["y"]], axis=-1) - shift, np.where(points["visible"], score, 0.0)


def _is_video(found: Detections, numbers: Sequence[int]) -> bool:
    """Whether the frames are a video's (most of its frames are there) and not a few that were picked for labeling."""
    frames = set(found.frames) | set(numbers)
    return bool(frames) and max(frames) - min(frames) < 2 * len(frames)


def _skeleton(skeleton: Mapping[str, Any], nodes: Sequence[Any]) -> tuple[list[str], list[tuple[int, int]]]:
    """A SLEAP skeleton's node names in their order, and its edges between them, without symmetries."""

    def number(reference: Any) -> int:
        return int(reference["id"]) if isinstance(reference, Mapping) else int(reference)

    order = [number(node["id"]) for node in skeleton["nodes"]]
    names = [str(nodes[node]["name"] if isinstance(nodes[node], Mapping) else nodes[node]) for node in order]
    place = {node: index for index, node in enumerate(order)}
    kinds: list[int] = []
    edges: list[tuple[int, tuple[int, int]]] = []
    for link in skeleton.get("links", ()):
        kind = link.get("type", {})
        if "py/reduce" in kind:
            # jsonpickle writes an edge type out once and refers to it by number afterwards.
            kinds.append(int(next(part["py/tuple"][0] for part in kind["py/reduce"] if part and "py/tuple" in part)))
            value = kinds[-1]
        else:
            value = kinds[int(kind["py/id"]) - 1] if "py/id" in kind else 1
        if value == 1:
            ends = place[number(link["source"])], place[number(link["target"])]
            edges.append((int(link.get("edge_insert_idx", len(edges))), ends))
    return names, [ends for _, ends in sorted(edges)]


def _ordered(file: h5py.File, name: str, legacy: Sequence[str], wanted: Sequence[str]) -> npt.NDArray[Any]:
    """An array with its dimensions in the order `wanted`.

    Args:
        legacy: their order in files without the attribute `dims`, which names them.
    """
    dataset = file[name]
    dims = tuple(json.loads(_text(dataset.attrs["dims"]))) if "dims" in dataset.attrs else tuple(legacy)
    if sorted(dims) != sorted(wanted) or dataset.ndim != len(wanted):
        raise InputError(f"{dataset.name[1:]!r} must have dimensions {', '.join(legacy)}, got shape {dataset.shape}")
    return array(file, name).transpose([dims.index(dimension) for dimension in wanted])


def _text(value: Any) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def _track_name(track: Any, index: int) -> str:
    if isinstance(track, list | tuple) and len(track) > 1:
        return str(track[1])
    return str(track.get("name", f"track_{index}")) if isinstance(track, Mapping) else f"track_{index}"


ANALYSIS = Format(
    name="sleap-analysis",
    extensions=(".analysis.h5", ".h5"),
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
    extra=None,
    description="SLEAP analysis tables",
    containers=(TABLE,),
    matches=lambda table: {"track", "frame_idx"} <= set(table.rows(0, 1)[0]),
    read=read_sleap_csv,
    recognized_by="header with `track` and `frame_idx`",
    takes="the rows of each track; names from `NAME.x`",
    hint="SLEAP's track,frame_idx,…",
)
LABELS = Format(
    name="sleap-labels",
    extensions=(".slp",),
    extra=None,
    description="SLEAP projects",
    containers=(HDF5,),
    matches=lambda file: {"metadata", "frames", "instances", "pred_points"} <= set(file),
    read=read_sleap_labels,
    recognized_by="HDF5 with `metadata`, `frames`, `instances`, `pred_points`",
    takes="hand labels, else predictions; names, edges without symmetries, tracks; pixel origin of old versions "
    "(below 1.1) corrected",
)
JSON_LABELS = Format(
    name="sleap-json",
    extensions=(".json",),
    extra=None,
    description="SLEAP projects in JSON",
    containers=(JSON,),
    matches=lambda content: {"skeletons", "nodes", "labels"} <= object_keys(content),
    read=read_sleap_json,
    recognized_by="JSON with `skeletons`, `nodes`, `labels`",
    takes="as `sleap-labels`",
)
