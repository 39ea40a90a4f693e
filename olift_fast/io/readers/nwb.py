"""NWB files with poses of the extension ndx-pose, as movement, neuroconv or sleap-io write them; read by h5py alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import h5py
import numpy as np
import numpy.typing as npt

from olift_fast.errors import InputError
from olift_fast.io.format import Format
from olift_fast.io.frame_gaps import with_hidden_frames
from olift_fast.io.hdf5 import array, strings, text
from olift_fast.io.nwb_types import TypedGroups
from olift_fast.io.open_container import HDF5
from olift_fast.io.parsed import Parsed, check_size, refuse_3d
from olift_fast.io.time_axis import one_axis, seconds_of


class _Series(NamedTuple):
    """One joint: its points (t, 2), their confidence (t), NaN if there is none, and their times (t) in seconds.

    `rate` is frames a second, if the file has a rate instead of times.
    """

    points: npt.NDArray[np.float64]
    confidence: npt.NDArray[np.float64]
    times: npt.NDArray[np.float64]
    rate: float | None = None


class _Skeleton(NamedTuple):
    nodes: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]


def read_nwb(file: h5py.File) -> Parsed:
    """The PoseEstimation containers of a file, in any place and under any name; each one is a track.

    The joints are the nodes of the Skeleton, in their order, and the series are matched to them by name. Without a
    Skeleton, each series is a joint.

    Raises:
        InputError: no such container, 3D points, containers of different skeletons or of several cameras, times that do
            not fit one axis of frames.
    """
    types = TypedGroups(file)
    containers = types.all_of("PoseEstimation")
    if not containers:
        raise InputError(_nothing(types))
    cameras = types.all_of("MultiCameraPoseEstimation")
    if len(containers) > 1 and cameras:
        views = ", ".join(_base(group) for group in containers[:6])
        raise InputError(f"holds poses of {len(containers)} cameras ({views}), wanted one")
    skeletons = [_skeleton(types, group) for group in containers]
    poses = [
        _by_joint({_base(group): _series(group) for group in types.within(container, "PoseEstimationSeries")}, skeleton)
        for container, skeleton in zip(containers, skeletons, strict=True)
    ]
    names = tuple(poses[0])
    for container, pose in zip(containers, poses, strict=True):
        if set(pose) != set(names):
            what = f"{_base(containers[0])} ({', '.join(names):.80}) and {_base(container)} ({', '.join(pose):.80})"
            raise InputError(f"holds poses of different skeletons: {what}; save one in a file of its own")
    if not names:
        raise InputError(f"{containers[0].name} holds no PoseEstimationSeries")
    edges = skeletons[0].edges if skeletons[0] is not None else ()
    tracks, notes = _track_names(file, containers), []
    if skeletons[0] is not None and not any(name in skeletons[0].nodes for name in names):
        edges, notes = (), [f"the Skeleton's nodes ({', '.join(skeletons[0].nodes):.60}) name none of the series"]
    parsed = _assembled(poses, names, tracks)
    notes += [f"each PoseEstimation container is a track: {', '.join(map(_base, containers))}"] * (len(tracks) > 1)
    return with_hidden_frames(replace(parsed, edges=edges, notes=(*notes, *parsed.notes)))


def _assembled(poses: Sequence[Mapping[str, _Series]], names: Sequence[str], tracks: Sequence[str]) -> Parsed:
    """The series at their times in one array; frames are numbered by the times."""
    series = [pose[name] for pose in poses for name in names]
    regular = all((np.diff(one.times) > 0).all() for one in series)
    longest = max(len(one.times) for one in series)
    if not regular and any(len(one.times) not in (0, longest) for one in series):
        raise InputError("timestamps do not increase, and the series differ in length")
    rates = {one.rate for one in series if len(one.times)}
    rate = rates.pop() if len(rates) == 1 else None
    axis = one_axis([one.times for one in series], rate) if regular else None
    frames = [np.arange(len(one.times)) for one in series] if axis is None else axis.frames
    numbers = np.unique(np.concatenate(frames))
    check_size(len(tracks), len(numbers), len(names))
    points = np.full((len(tracks), len(numbers), len(names), 2), np.nan, np.float32)
    confidence = np.full(points.shape[:3], np.nan, np.float32)
    for index, (one, own) in enumerate(zip(series, frames, strict=True)):
        track, joint = divmod(index, len(names))
        at = np.searchsorted(numbers, own)
        with np.errstate(over="ignore"):
            points[track, at, joint] = one.points
            confidence[track, at, joint] = one.confidence
    parsed = Parsed(points, confidence, tuple(names), tracks=tuple(tracks))
    if axis is None:
        return replace(parsed, warnings=("timestamps do not increase: frames are counted from 0",))
    parsed = replace(parsed, warnings=axis.warnings)
    if axis.fps is None:
        return replace(parsed, fps=rate)
    fps = axis.fps if rate is None or abs(axis.fps - rate) > 0.01 * rate else rate
    if fps == 1:
        note = "timestamps are 1 s apart, as files without a frame rate have them: they are taken as frame numbers"
        return replace(parsed, frames=numbers, notes=(note,))
    if fps < 1 and rate is None:
        slow = f"timestamps are {1 / fps:.6g} s apart; if they are milliseconds, give the frame rate (--fps)"
        parsed = replace(parsed, warnings=(*parsed.warnings, slow))
    return replace(parsed, frames=numbers, fps=fps)


def _series(group: h5py.Group) -> _Series:
    data = array(group, "data")
    if data.ndim == 2 and data.shape[1] == 3:
        raise refuse_3d()
    if data.ndim != 2 or data.shape[1] != 2 or data.dtype.kind not in "fiu":
        raise InputError(f"{group.name}/data must be (frames, 2) numbers, got {data.shape} of {data.dtype}")
    points = data.astype(np.float64)
    attributes = group["data"].attrs
    if text(attributes.get("unit", "")).casefold().startswith("pixel"):
        points = points * float(attributes.get("conversion", 1.0)) + float(attributes.get("offset", 0.0))
    confidence = np.full(len(points), np.nan)
    if "confidence" in group:
        confidence = array(group, "confidence").astype(np.float64).ravel()
    times, rate = _times(group, len(points))
    if len(confidence) != len(points) or len(times) != len(points):
        lengths = f"{len(points)} points, {len(confidence)} confidences, {len(times)} timestamps"
        raise InputError(f"{group.name} must have one of each a frame, got {lengths}")
    if not np.isfinite(times).all():
        raise InputError(f"{group.name}: timestamps must be finite")
    return _Series(points, confidence, times, rate)


def _times(group: h5py.Group, frames: int) -> tuple[npt.NDArray[np.float64], float | None]:
    """The times of a series in seconds: its timestamps, or those that follow from a starting time and a rate; and the
    rate, or None."""
    if "timestamps" in group:
        times = array(group, "timestamps").astype(np.float64).ravel()
        # NWB prescribes seconds, but some files have another unit and say so.
        return times * (seconds_of(text(group["timestamps"].attrs.get("unit", ""))) or 1), None
    if "starting_time" not in group:
        raise InputError(f"{group.name} has neither timestamps nor starting_time")
    rate = float(group["starting_time"].attrs["rate"])
    if not 0 < rate < np.inf:
        raise InputError(f"{group.name}: rate must be > 0, got {rate:g}")
    return float(array(group, "starting_time")) + np.arange(frames) / rate, rate


def _skeleton(types: TypedGroups, container: h5py.Group) -> _Skeleton | None:
    """The skeleton that a container links to, or has in itself (up to ndx-pose 0.1), or the only one of the file."""
    linked = types.within(container, "Skeleton")
    if not linked and "nodes" in container:
        linked = [container]
    known = linked or types.all_of("Skeleton")
    if len(known) != 1 or "nodes" not in known[0]:
        return None
    nodes = tuple(strings(known[0], "nodes"))
    if len(set(nodes)) < len(nodes):
        raise InputError(f"{known[0].name}/nodes names a joint twice")
    edges = array(known[0], "edges") if isinstance(known[0].get("edges"), h5py.Dataset) else np.zeros((0, 2), int)
    pairs = edges.reshape(-1, 2).tolist() if edges.size and edges.dtype.kind in "iu" else []
    return _Skeleton(nodes, tuple((int(a), int(b)) for a, b in pairs))


def _by_joint(series: dict[str, _Series], skeleton: _Skeleton | None) -> dict[str, _Series]:
    """The series by joint, in the order of the nodes. A node without a series is hidden; series without a node come
    last."""
    if skeleton is None:
        return {_short(name): one for name, one in series.items()} if _distinct(map(_short, series)) else series
    plain = {_plain(name): name for name in series}
    found: dict[str, _Series] = {}
    used = set()
    for node in skeleton.nodes:
        name = node if node in series else plain.get(_plain(node))
        if name is not None and name not in used:
            used.add(name)
            found[node] = series[name]
    if not used:
        return _by_joint(series, None)
    empty = _Series(np.zeros((0, 2)), np.zeros(0), np.zeros(0))
    found = {node: found.get(node, empty) for node in skeleton.nodes}
    return found | {name: one for name, one in series.items() if name not in used}


def _track_names(file: h5py.File, containers: Sequence[h5py.Group]) -> list[str]:
    """The containers' names. A single container has its track's name, or else that of the file's subject."""
    names = [_base(group).removeprefix("track=") for group in containers]
    if len(containers) == 1:
        if names[0] != _base(containers[0]):
            return names
        subject = file.get("general/subject/subject_id")
        return [text(subject[()]) if isinstance(subject, h5py.Dataset) else "track_0"]
    if not _distinct(names):
        names = [f"{_base(group.parent)}/{name}" for group, name in zip(containers, names, strict=True)]
    return names


def _nothing(types: TypedGroups) -> str:
    holds = ", ".join(f"{_base(group)} ({kind})" for group, kind in types.interfaces()[:6]) or "nothing"
    return (
        f"an NWB file without poses: wanted a PoseEstimation container of ndx-pose, its processing modules hold {holds}"
    )


def _short(name: str) -> str:
    """A series' name without the prefix that neuroconv gives it."""
    return name.removeprefix("PoseEstimationSeries") or name


def _plain(name: str) -> str:
    """A name's letters and digits without the prefix, so that "left_ear" and "…SeriesLeftEar" are the same."""
    return re.sub(r"[\W_]", "", _short(name).casefold()) or name


def _base(group: h5py.Group) -> str:
    return str(group.name).rsplit("/", 1)[-1]


def _distinct(names: Iterable[str]) -> bool:
    listed = list(names)
    return len(set(listed)) == len(listed)


FORMAT = Format(
    name="nwb",
    extensions=(".nwb",),
    example="session.nwb",
    extra=None,
    description="NWB with ndx-pose",
    containers=(HDF5,),
    matches=lambda file: "nwb_version" in file.attrs,
    read=read_nwb,
    recognized_by="HDF5 with `nwb_version`",
    takes="every PoseEstimation container as a track; names, order and edges of the Skeleton; confidence; frames a "
    "second from the rate or the timestamps, whose gaps become hidden frames",
    hint="NWB",
)
