"""SLEAP's projects: .slp (HDF5) and .json. A hand label replaces the prediction that it corrects."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from olift_fast.errors import InputError
from olift_fast.io.detections import Detections, as_recordings, distinct_names
from olift_fast.io.format import Format
from olift_fast.io.hdf5 import array, strings, text
from olift_fast.io.json_fields import object_keys
from olift_fast.io.open_container import HDF5, JSON
from olift_fast.io.parsed import Parsed, int64

#: A hand label without a link to a prediction corrects a prediction if their joints are, on average, nearer than this
#: share of the label's size (the diagonal of its box).
_SAME_ANIMAL = 0.15


@dataclass
class _Instance:
    """One animal in one frame of a project.

    Args:
        video: the number of its video.
        frame: the number of its frame.
        track: the number of its track; None for none.
        points: (J, 2).
        score: (J), 0 for a missing point, 1 for a point of a hand label.
        labeled: whether this is a hand label.
        source: the points (J, 2) of the prediction that a hand label was made from; None if there is none.
    """

    video: int
    frame: int
    track: int | None
    points: npt.NDArray[np.float64]
    score: npt.NDArray[np.float64]
    labeled: bool
    source: npt.NDArray[np.float64] | None = None


def read_sleap_labels(file: h5py.File) -> Parsed:
    """The instances of a .slp project: of each animal in a frame the hand label if there is one, else the prediction.

    A hand label replaces the prediction that it was made from (`from_predicted`), the prediction of the same track, and
    one in the same place. If no frame has two animals, it replaces any prediction of its frame. Instances without a
    track are joined by nearness. If there are several videos, tracks are named video0/track.

    Raises:
        InputError: no instance with a visible point, or instances of skeletons with different nodes.
    """
    metadata = json.loads(text(file["metadata"].attrs["json"]))
    skeletons = [_skeleton(skeleton, metadata["nodes"]) for skeleton in metadata["skeletons"]]
    # Up to format 1.0 the origin was the corner of the top left pixel; since 1.1 it is the center of that pixel.
    shift = 0.5 if float(file["metadata"].attrs.get("format_id", 1.0)) < 1.1 else 0.0
    tracks = strings(file, "tracks_json") if "tracks_json" in file else []
    track_names = [_track_name(json.loads(track), index) for index, track in enumerate(tracks)]
    frames, rows = array(file, "frames"), array(file, "instances")
    names, edges = _one_skeleton(skeletons, rows["skeleton"].tolist())
    poses = {0: _points(array(file, "points"), shift), 1: _points(array(file, "pred_points"), shift)}
    columns = ("frame_id", "video", "frame_idx")
    where = {
        int(frame): (int(video), int64(number, "frame number"))
        for frame, video, number in zip(*(frames[column].tolist() for column in columns), strict=True)
    }
    fields = ("instance_id", "instance_type", "frame_id", "track", "point_id_start", "point_id_end")
    sources = rows["from_predicted"].tolist() if "from_predicted" in (rows.dtype.names or ()) else [-1] * len(rows)
    instances: dict[int, _Instance] = {}
    made_from: dict[int, int] = {}
    for *row, source in zip(*(rows[field].tolist() for field in fields), sources, strict=True):
        number, kind, frame, track, start, stop = map(int, row)
        if frame not in where or kind not in poses:
            what = f"frame_id {frame}, which is not among the frames" if frame not in where else f"instance_type {kind}"
            raise InputError(f"instance {number} has {what}")
        points, score = poses[kind]
        place = where[frame]
        instances[number] = _Instance(
            *place, track if track >= 0 else None, points[start:stop], score[start:stop], labeled=kind == 0
        )
        if source >= 0 and kind == 0:
            made_from[number] = int(source)
    for label, source in made_from.items():
        if source in instances:
            instances[label].source = instances[source].points
    numbers = [number for _, number in where.values()]
    return replace(_tracks(list(instances.values()), len(names), track_names, numbers), names=names, edges=edges)


def read_sleap_json(content: Mapping[str, Any]) -> Parsed:
    """The labels of a project in SLEAP's JSON form; corrected, joined and named as in `read_sleap_labels`."""
    skeletons = [_skeleton(skeleton, content["nodes"]) for skeleton in content["skeletons"]]
    labels = content["labels"]
    listed = [(label, label.get("_instances") or label.get("instances") or []) for label in labels]
    used = [instance.get("skeleton", 0) for _, instances in listed for instance in instances]
    names, edges = _one_skeleton(skeletons, [number if isinstance(number, int) else 0 for number in used])
    track_names = [_track_name(track, index) for index, track in enumerate(content.get("tracks") or [])]
    found = []
    for label, instances in listed:
        frame, video = int64(label["frame_idx"], "frame number"), label.get("video", 0)
        for instance in instances:
            points, score, predicted = _json_points(instance, len(names))
            source = instance.get("from_predicted")
            track = instance.get("track")
            found.append(
                _Instance(
                    int(video) if isinstance(video, int | str) else 0,
                    frame,
                    track if isinstance(track, int) and track >= 0 else None,
                    points,
                    score,
                    labeled=not predicted,
                    source=_json_points(source, len(names))[0] if object_keys(source) and not predicted else None,
                )
            )
    numbers = [int64(label["frame_idx"], "frame number") for label in labels]
    return replace(_tracks(found, len(names), track_names, numbers), names=names, edges=edges)


def _tracks(instances: Sequence[_Instance], joints: int, track_names: Sequence[str], numbers: Sequence[int]) -> Parsed:
    """The tracks of a project's instances, without the predictions that were corrected.

    Args:
        numbers: the numbers of the frames that the project has, with or without an instance.
    """
    frames: dict[tuple[int, int], list[_Instance]] = {}
    for instance in instances:
        frames.setdefault((instance.video, instance.frame), []).append(instance)
    alone = all(sum(one.labeled for one in group) < 2 and sum(not one.labeled for one in group) < 2
                for group in frames.values())  # fmt: skip
    videos = sorted({video for video, _ in frames})
    found = {f"video{video}": Detections(joints) for video in videos}
    # Merged projects may have a name twice.
    labels = distinct_names(track_names)
    for (video, number), group in frames.items():
        for instance in _corrected(group, alone):
            name = None
            if instance.track is not None:
                name = labels[instance.track] if instance.track < len(labels) else f"track_{instance.track}"
            found[f"video{video}"].add(number, name, instance.points, instance.score)
    every = {*numbers, *(number for _, number in frames)}
    span = max(every) - min(every) if every else 0
    # People label pictures here and there; models predict whole videos, or parts of them.
    predicted = not any(one.labeled for one in instances) and span < 1000 * (len(every) + 10)
    is_video = predicted or span < 2 * len(every)
    return as_recordings(found, all_frames=sorted(every) if is_video else (), fill=is_video)


def _corrected(group: Sequence[_Instance], alone: bool) -> list[_Instance]:
    """The instances of a frame without the predictions that a hand label replaces.

    A label without a track gets the track of the prediction that it replaces.

    Args:
        group: the instances of one frame.
        alone: whether no frame of the project has two animals.
    """
    labeled = [one for one in group if one.labeled]
    if not labeled:
        return list(group)
    kept, replaced = [], []
    for prediction in (one for one in group if not one.labeled):
        by = next((label for label in labeled if alone or _replaces(label, prediction)), None)
        if by is None:
            kept.append(prediction)
        else:
            replaced.append((by, prediction))
    taken = {one.track for one in labeled}
    for label, prediction in replaced:
        if label.track is None and prediction.track not in taken:
            label.track = prediction.track
            taken.add(label.track)
    return [*labeled, *kept]


def _replaces(label: _Instance, prediction: _Instance) -> bool:
    if label.source is not None:
        return bool(np.array_equal(label.source, prediction.points, equal_nan=True)) or (
            label.track is not None and label.track == prediction.track
        )
    if label.track is not None and prediction.track is not None:
        return label.track == prediction.track
    distance = np.linalg.norm(label.points - prediction.points, axis=-1)
    seen = label.points[np.isfinite(label.points).all(axis=-1)]
    if not np.isfinite(distance).any():
        return False
    return float(np.nanmean(distance)) < _SAME_ANIMAL * float(np.linalg.norm(np.ptp(seen, axis=0)))


def _points(points: npt.NDArray[Any], shift: float) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Coordinates (P, 2) and confidence (P) of a project's points. Only predictions have a score; labels get 1."""
    names = points.dtype.names or ()
    score = np.nan_to_num(points["score"], nan=1.0) if "score" in names else np.ones(len(points))
    return np.stack([points["x"], points["y"]], axis=-1) - shift, np.where(points["visible"], score, 0.0)


def _json_points(
    instance: Mapping[str, Any], joints: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], bool]:
    """Points (J, 2) and scores (J) of an instance, and whether it is a prediction: predictions have scores."""
    points = np.full((joints, 2), np.nan)
    score = np.zeros(joints)
    given = instance.get("_points") or instance.get("points") or {}
    for node, point in given.items():
        points[int(node)] = float(point["x"]), float(point["y"])
        score[int(node)] = float(point.get("score", 1.0)) if point.get("visible", True) else 0.0
    predicted = "score" in instance or any("score" in point for point in given.values())
    return points, score, predicted


def _one_skeleton(
    skeletons: Sequence[tuple[list[str], list[tuple[int, int]]]], used: Sequence[Any]
) -> tuple[list[str], list[tuple[int, int]]]:
    """Names and edges of the skeletons that are used, which must have the same nodes."""
    if not skeletons:
        raise InputError("holds no skeleton")
    chosen = [skeletons[int(number)] for number in dict.fromkeys(used)] or [skeletons[0]]
    for names, _ in chosen[1:]:
        if names != chosen[0][0]:
            both = f"{', '.join(chosen[0][0][:4])} and {', '.join(names[:4])}"
            raise InputError(f"holds instances of skeletons with different nodes ({both}), wanted one skeleton")
    return chosen[0]


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
            # jsonpickle writes the type of an edge out once, and refers to it by its number afterwards.
            kinds.append(int(next(part["py/tuple"][0] for part in kind["py/reduce"] if part and "py/tuple" in part)))
            value = kinds[-1]
        else:
            value = kinds[int(kind["py/id"]) - 1] if "py/id" in kind else 1
        if value == 1:
            ends = place[number(link["source"])], place[number(link["target"])]
            edges.append((int(link.get("edge_insert_idx", len(edges))), ends))
    return names, [ends for _, ends in sorted(edges)]


def _track_name(track: Any, index: int) -> str:
    if isinstance(track, list | tuple) and len(track) > 1:
        return str(track[1])
    return str(track.get("name", f"track_{index}")) if isinstance(track, Mapping) else f"track_{index}"


LABELS = Format(
    name="sleap-labels",
    extensions=(".slp",),
    example="project.slp",
    extra=None,
    description="SLEAP projects",
    containers=(HDF5,),
    matches=lambda file: {"metadata", "frames", "instances", "pred_points"} <= set(file),
    read=read_sleap_labels,
    recognized_by="HDF5 with `metadata`, `frames`, `instances`, `pred_points`",
    takes="hand labels, and the predictions that no hand label corrects; names, edges without symmetries, tracks; each "
    "video by itself; the pixel origin of old files (format below 1.1) is corrected",
)
JSON_LABELS = Format(
    name="sleap-json",
    extensions=(".json",),
    example="labels.json",
    extra=None,
    description="SLEAP projects in JSON",
    containers=(JSON,),
    matches=lambda content: {"skeletons", "nodes", "labels"} <= object_keys(content),
    read=read_sleap_json,
    recognized_by="JSON with `skeletons`, `nodes`, `labels`",
    takes="as `sleap-labels`",
)
