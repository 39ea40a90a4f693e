"""Joins detections, a list of poses with frame numbers, into tracks: by the file's ids, or else by nearness."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from olift_fast.errors import InputError, plural
from olift_fast.io.parsed import Parsed, check_size, fill_gaps

#: A pose continues a track if the mean distance of their joints is below this share of the pose's size.
REACH = 0.5
#: A track that has not been seen for this many frames has ended.
PATIENCE = 30


@dataclass
class Detections:
    """The poses of a file, in any order.

    Args:
        num_joints: J.
        frames: a frame number for each pose.
        tracks: the file's id of the animal for each pose; None if it has none.
        points: (J, 2) for each pose, NaN for a missing keypoint.
        confidence: (J) for each pose, 0 for a missing keypoint, 1 for one without a confidence.
    """

    num_joints: int
    frames: list[int] = field(default_factory=list)
    tracks: list[str | None] = field(default_factory=list)
    points: list[npt.NDArray[np.float64]] = field(default_factory=list)
    confidence: list[npt.NDArray[np.float64]] = field(default_factory=list)

    def add(
        self, frame: int, track: str | None, points: npt.NDArray[np.float64], confidence: npt.NDArray[np.float64]
    ) -> bool:
        """Adds one pose and returns True. A pose without any keypoint is left out, and False is returned.

        Args:
            frame: the number of its frame.
            track: the file's id of the animal; None if it has none.
            points: (J, 2), NaN for a missing keypoint.
            confidence: (J), 0 for a missing keypoint, NaN for one without a confidence, which counts as certain.

        Raises:
            InputError: the pose has another number of keypoints than `num_joints`.
        """
        if len(points) != self.num_joints:
            raise InputError(f"a pose in frame {frame} has {len(points)} keypoints, wanted {self.num_joints}")
        confidence = np.where(np.isnan(confidence), 1.0, confidence)
        there = np.isfinite(points).all(axis=-1) & (confidence > 0)
        if not there.any():
            return False
        self.frames.append(frame)
        self.tracks.append(track)
        self.points.append(np.where(there[:, None], points, np.nan))
        self.confidence.append(np.where(there, np.minimum(confidence, 1e6), 0.0))
        return True


def as_tracks(found: Detections, *, prefix: str = "track", all_frames: Sequence[int] = (), fill: bool = True) -> Parsed:
    """Assigns each pose to a track and a frame. The reader adds the names, edges and other content of its file.

    A pose with an id belongs to the track with that id. If a frame has two poses with one id, the more confident one
    stays, with a warning. If frames have several poses and all poses have the same id, the id is ignored.

    A pose without an id joins a track with an id if that is safe: if the file has one animal, or if the nearest track
    has no pose in that frame. If no frame has two of the remaining poses, they are one animal. Otherwise they are
    joined frame by frame, with a note. Of all pairs of a pose and a live track, the nearest pair is joined first, then
    the next, as long as the mean distance of their shared joints is below `REACH` of the pose's size (the diagonal of
    its box). A pose that no track takes starts a track of its own. A track ends when it was not seen for `PATIENCE`
    frames.

    Args:
        prefix: tracks that are joined by nearness are named prefix_0, prefix_1, … in the order in which they appear.
        all_frames: the numbers of the file's frames, with or without a pose in them.
        fill: whether the numbers count the frames of a video; then each missing number becomes a hidden frame.

    Raises:
        InputError: there are no poses, or frame numbers are too far apart to be frames of a video.
    """
    if not found.frames:
        frames_of_file = plural(len(set(all_frames)), "frame")
        raise InputError(f"no keypoint is visible in {frames_of_file}, wanted at least one animal")
    numbers = np.unique(np.array([*found.frames, *all_frames], dtype=np.int64))
    frames, places = fill_gaps(numbers, found.num_joints) if fill else (numbers, np.arange(len(numbers)))
    ids, notes = _telling_ids(found)
    named = list(dict.fromkeys(track for track in ids if track is not None))
    index = {track: number for number, track in enumerate(named)}
    owner = np.array([-1 if track is None else index[track] for track in ids])
    without = int((owner < 0).sum())
    owner = _adopted(found, owner)
    loose = np.flatnonzero(owner < 0)
    if adopted := without - len(loose):
        notes.append(f"{adopted} of {len(owner)} poses have no id: each joins the nearest track without a pose there")
    alone = len({found.frames[pose] for pose in loose}) == len(loose)
    joined = np.zeros(len(loose), np.int64) if alone else _join(found, loose)
    owner[loose] = joined + len(named)
    made = int(joined.max(initial=-1)) + 1
    names = (*named, *_fresh_names(prefix, made, set(named)))
    check_size(len(names), len(frames), found.num_joints)
    keypoints = np.full((len(names), len(frames), found.num_joints, 2), np.nan, np.float32)
    confidence = np.zeros(keypoints.shape[:3], np.float32)
    place = places[np.searchsorted(numbers, found.frames)]
    for pose in np.argsort([score.sum() for score in found.confidence], kind="stable"):
        where = owner[pose], place[pose]
        keypoints[where] = found.points[pose]
        confidence[where] = found.confidence[pose]
    lost = len(owner) - len(set(zip(owner.tolist(), found.frames, strict=True)))
    left_out = f"{lost} of {len(owner)} poses left out: their frame has another pose of the same id, more confident"
    joining = f"poses without an id are joined by nearness, into {plural(made, 'track')}"
    return Parsed(
        keypoints,
        confidence,
        None,
        tracks=names,
        frames=frames,
        notes=notes if alone else [*notes, joining],
        warnings=[left_out] if lost else [],
    )


def as_recordings(
    recordings: Mapping[str, Detections], *, prefix: str = "track", all_frames: Sequence[int] = (), fill: bool = True
) -> Parsed:
    """The tracks of several recordings, named recording/track; a single recording is read as by `as_tracks`.

    Poses of different recordings are never joined. The result has the frames of all recordings together.

    Args:
        recordings: the poses of each recording, by its name.
        prefix: as in `as_tracks`.
        all_frames: the numbers of the frames of all recordings together.
        fill: as in `as_tracks`.

    Raises:
        InputError: there are no poses, or frame numbers are too far apart to be frames of a video.
    """
    seen = {name: found for name, found in recordings.items() if found.frames}
    if len(seen) < 2:
        alone = next(iter(seen.values() or recordings.values()), Detections(0))
        tracked = as_tracks(alone, prefix=prefix, all_frames=all_frames, fill=fill)
        only = next(iter(seen), "")
        names = [f"{only}/{name}" for name in tracked.tracks] if len(recordings) > 1 else tracked.tracks
        return replace(tracked, tracks=names)
    numbers = sorted({*all_frames, *(frame for found in seen.values() for frame in found.frames)})
    parts: dict[str, Parsed] = {}
    tracks = len(seen)
    for name, found in seen.items():
        # Each recording has at least one track. Check the size of all together before more memory is allocated.
        check_size(tracks, numbers[-1] - numbers[0] + 1 if fill else len(numbers), found.num_joints)
        parts[name] = as_tracks(found, prefix=prefix, all_frames=numbers, fill=fill)
        tracks += len(parts[name].tracks) - 1
    first = next(iter(parts.values()))
    check_size(tracks, *first.keypoints.shape[1:3])
    return replace(
        first,
        keypoints=np.concatenate([part.keypoints for part in parts.values()]),
        confidence=np.concatenate([part.confidence for part in parts.values() if part.confidence is not None]),
        tracks=[f"{name}/{track}" for name, part in parts.items() for track in part.tracks],
        notes=[f"{name}: {note}" for name, part in parts.items() for note in part.notes],
        warnings=[f"{name}: {warning}" for name, part in parts.items() for warning in part.warnings],
    )


def identity(value: Any) -> str | None:
    """A file's id of an animal as text; None for no id: null, an empty text, -1, or a list of these."""
    while isinstance(value, list) and value:
        value = value[0]
    if isinstance(value, bool | list | dict) or value in (None, "", "-1"):
        return None
    if isinstance(value, int | float):
        return f"{value:g}" if 0 <= value < 1e6 else str(value) if 0 <= value < np.inf else None
    return str(value)


def as_stills(found: Detections, names: Sequence[str]) -> Parsed:
    """Each pose as a track of one frame, for unrelated pictures.

    Args:
        names: of the tracks; a repeated name gets its place in the list appended.

    Raises:
        InputError: there are no poses.
    """
    if not found.frames:
        raise InputError("no keypoint is visible, wanted at least one animal")
    keypoints = np.stack(found.points)[:, None].astype(np.float32)
    confidence = np.stack(found.confidence)[:, None].astype(np.float32)
    return Parsed(keypoints, confidence, None, tracks=distinct_names(names), frames=np.zeros(1, np.int64))


def distinct_names(names: Sequence[str]) -> list[str]:
    """The names, with the place in the list appended to repeated ones."""
    count = Counter(names)
    return [name if count[name] == 1 else f"{name}_{place}" for place, name in enumerate(names)]


def _telling_ids(found: Detections) -> tuple[list[str | None], list[str]]:
    """The id of each pose. If all ids are the same although frames have several poses: no ids, and a note."""
    ids = set(found.tracks)
    frames = set(found.frames)
    if len(ids) > 1 or ids == {None} or 10 * (len(found.frames) - len(frames)) < len(frames):
        return found.tracks, []
    return [None] * len(found.tracks), [f"all poses have the id {found.tracks[0]}, which tells no animals apart"]


def _adopted(found: Detections, owner: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The track of each pose, -1 for none. Poses without an id have joined the file's tracks where that is safe."""
    if owner.min() >= 0 or owner.max() < 0:
        return owner
    if owner.max() == 0 and len(set(found.frames)) == len(owner):
        return np.zeros_like(owner)
    owner = owner.copy()
    frames = np.array(found.frames, dtype=np.int64)
    points, size = np.stack(found.points), _sizes(found)
    groups = _by_frame(np.arange(len(frames)), frames)
    # Forward first; then backward, for poses before their track begins: trackers give an id late.
    for ordered in (groups, groups[::-1]):
        live: dict[int, tuple[int, npt.NDArray[np.float64]]] = {}
        for group in ordered:
            now = int(frames[group[0]])
            there = {int(owner[pose]) for pose in group if owner[pose] >= 0}
            live.update({int(owner[pose]): (now, points[pose]) for pose in group if owner[pose] >= 0})
            loose = group[owner[group] < 0]
            if not len(loose):
                continue
            live = {track: seen for track, seen in live.items() if abs(now - seen[0]) <= PATIENCE}
            known = list(live)
            cost = _costs(points[loose], size[loose], [live[track][1] for track in known])
            settled: set[int] = set()
            for row, column in _near_pairs(cost):
                pose, track = int(loose[row]), known[column]
                # If the nearest track has another pose in this frame, this pose stays without: it may be any animal.
                if pose not in settled and track not in there:
                    owner[pose] = track
                    live[track] = (now, _update(live[track][1], points[pose]))
                    there.add(track)
                settled.add(pose)
    return owner


def _sizes(found: Detections) -> npt.NDArray[np.float64]:
    """The diagonal of each pose's box."""
    points = np.stack(found.points)
    with np.errstate(invalid="ignore"):
        extent = np.fmax.reduce(points, axis=1) - np.fmin.reduce(points, axis=1)
        field_of_view = np.fmax.reduce(points, axis=(0, 1)) - np.fmin.reduce(points, axis=(0, 1))
    size = np.linalg.norm(extent, axis=-1)
    # A pose of one visible joint has no size: use a twentieth of the field of view.
    return np.where(size > 0, size, max(float(np.linalg.norm(field_of_view)) / 20, 1.0))


def _join(found: Detections, poses: npt.NDArray[np.intp]) -> npt.NDArray[np.int64]:
    """The track number of each of `poses`, in the order of their frames."""
    owner = np.full(len(found.frames), -1, dtype=np.int64)
    if len(poses) == 0:
        return owner[poses]
    frames = np.array(found.frames, dtype=np.int64)
    points, size = np.stack(found.points), _sizes(found)
    live: dict[int, tuple[int, npt.NDArray[np.float64]]] = {}
    count = 0
    for group in _by_frame(poses, frames):
        now = int(frames[group[0]])
        live = {track: seen for track, seen in live.items() if now - seen[0] <= PATIENCE}
        known = list(live)
        cost = _costs(points[group], size[group], [live[track][1] for track in known])
        for row, column in _near_pairs(cost):
            pose, track = group[row], known[column]
            if owner[pose] < 0 and live[track][0] < now:
                owner[pose] = track
                live[track] = (now, _update(live[track][1], points[pose]))
        for pose in group:
            if owner[pose] < 0:
                owner[pose] = count
                live[count] = (now, points[pose])
                count += 1
    return owner[poses]


def _by_frame(poses: npt.NDArray[np.intp], frames: npt.NDArray[np.int64]) -> list[npt.NDArray[np.intp]]:
    """The poses of each frame, in the order of the frames."""
    order = poses[np.argsort(frames[poses], kind="stable")]
    return np.split(order, np.flatnonzero(np.diff(frames[order])) + 1)


def _near_pairs(cost: npt.NDArray[np.float64]) -> Iterator[tuple[int, int]]:
    """The places of the costs within `REACH`, the smallest first."""
    for row, column in zip(*np.unravel_index(np.argsort(cost, axis=None, kind="stable"), cost.shape), strict=True):
        if cost[row, column] > REACH:
            return
        yield int(row), int(column)


def _costs(
    poses: npt.NDArray[np.float64], sizes: npt.NDArray[np.float64], seen: list[npt.NDArray[np.float64]]
) -> npt.NDArray[np.float64]:
    """(poses, tracks) mean distance of shared joints in units of the pose's size; infinite if none is shared."""
    if not seen:
        return np.full((len(poses), 0), np.inf)
    distance = np.linalg.norm(poses[:, None] - np.stack(seen)[None], axis=-1)
    shared = np.isfinite(distance)
    total = np.where(shared, distance, 0).sum(axis=-1)
    count = shared.sum(axis=-1)
    return np.where(count > 0, total / np.maximum(count, 1) / sizes[:, None], np.inf)


def _update(old: npt.NDArray[np.float64], new: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The new pose, with its missing joints filled in from where they were last seen."""
    return np.where(np.isfinite(new), new, old)


def _fresh_names(prefix: str, count: int, taken: set[str]) -> list[str]:
    """prefix_0, prefix_1, …; with a longer prefix if one of these names is taken."""
    while any(f"{prefix}_{number}" in taken for number in range(count)):
        prefix += "_"
    return [f"{prefix}_{number}" for number in range(count)]
