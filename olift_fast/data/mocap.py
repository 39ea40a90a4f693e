"""Recorded 3D motion: read, turned so that Z is up, split into training and held-out parts, cut into clips.

A recording is an .npz with `positions` (T, J, 3), `fps`, `joint_names`, `edges` and, if known, `clip_starts`,
`clip_names`, `subjects`, `cyclic`, `clip_fps`, `up_axis`, `mirror` and `units`. A paired file also has 2D keypoints of
the same moments, and calibrated cameras.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from olift_fast.data.bad_files import OnBad, read_each
from olift_fast.data.known_recordings import Known, what_is_known
from olift_fast.data.motion_arrays import (
    UP_AXES,
    bounds_of_takes,
    fps_of,
    known_positions,
    partners_of,
    positions_of,
    rates_of_takes,
    read_arrays,
    skeleton_of,
    up_axis_of,
    values_of_takes,
)
from olift_fast.data.motion_math import at_rate, at_times, rotation_about, sides_of_partners, turned_up
from olift_fast.errors import InputError
from olift_fast.tracks.skeleton import Skeleton

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Motion:
    """One recording, takes end to end, in a right-handed frame with Z up.

    Args:
        positions: ``(T, J, 3)`` in `units`; NaN where a joint is not known.
        clips: first and one-past-last frame of each take; together they are all T frames.
        clip_names: one name for each take.
        fps: frames a second of all takes; `notes` say so if it is assumed.
        skeleton: the joints, their bones and sides.
        source: the recording's name, such as "human_cmu".
        units: of `positions`.
        notes: what to know before trusting it.
        up_known: False if up is a guess; a camera's pitch is then unknown.
        cyclic: for each take, whether its first frame follows its last; () if none is cyclic.
        subjects: the subject of each take; () if unknown.
    """

    positions: Floats
    clips: tuple[tuple[int, int], ...]
    clip_names: tuple[str, ...]
    fps: float
    skeleton: Skeleton
    source: str
    units: str
    notes: tuple[str, ...] = ()
    up_known: bool = True
    cyclic: tuple[bool, ...] = ()
    subjects: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Segment:
    """A stretch of one take: frames `start` … `stop` - 1 of the recording, `positions` ``(stop - start, J, 3)``.

    A position is NaN where a joint is not known. `up_known` and `subject` are those of the `Motion`. In a cyclic
    segment the first frame follows the last.
    """

    positions: Floats
    start: int
    stop: int
    fps: float
    skeleton: Skeleton
    source: str
    clip_name: str
    up_known: bool = True
    cyclic: bool = False
    subject: str = ""


@dataclass(frozen=True, eq=False)
class Paired:
    """2D keypoints in C calibrated cameras, and the 3D joints of the same T moments in the world of the calibration.

    A camera sees a world point X at K · distort(R X + t), in OpenCV's convention.

    Args:
        positions: ``(T, J, 3)`` in `units`; NaN where a joint has no 3D.
        keypoints_2d: ``(C, T, J, 2)`` in pixels; NaN where nothing was detected.
        confidence: ``(C, T, J)``, 0 where there is no keypoint; 1 for all others if the file has no confidences.
        K: ``(C, 3, 3)`` intrinsics in pixels.
        dist: ``(C, 5)`` lens distortion k1, k2, p1, p2, k3.
        R: ``(C, 3, 3)`` rotations from world to camera.
        t: ``(C, 3)`` translations from world to camera, in `units`.
        image_sizes: ``(C, 2)`` width and height in pixels.
        camera_names: C names.
        fps: frames a second.
        sequence: False if the frames are single moments, not consecutive.
        skeleton: the joints, their bones and sides.
        source: the recording's name.
        units: of `positions`.
        up_known: whether the world is known to have Z up.
    """

    positions: Floats
    keypoints_2d: Floats
    confidence: Floats
    K: npt.NDArray[np.float64]
    dist: npt.NDArray[np.float64]
    R: npt.NDArray[np.float64]
    t: npt.NDArray[np.float64]
    image_sizes: npt.NDArray[np.int64]
    camera_names: tuple[str, ...]
    fps: float
    sequence: bool
    skeleton: Skeleton
    source: str
    units: str
    up_known: bool = False


def load_all(folder: str | Path, on_bad: OnBad = "raise") -> dict[str, Motion]:
    """Every recording in a folder, by name, in alphabetical order.

    Args:
        folder: of .npz files.
        on_bad: "skip" leaves unusable files out, with a warning that counts and names them.

    Raises:
        InputError: there is no such folder or no .npz in it, or a file is unusable (with "skip": all are).
    """
    paths = sorted(Path(folder).glob("*.npz"))
    if not paths:
        raise InputError(f"{folder}: no .npz recordings here")
    return {path.stem: motion for path, motion in read_each(paths, load_motion, on_bad).items()}


def load_motion(path: str | Path) -> Motion:
    """The recording in an .npz file, turned so that Z is up.

    `up_axis` in the file says which axis is up. A file without it is taken to have Z up, except for recordings that are
    known to have another (`olift_fast.data.known_recordings`). Takes whose rate (`clip_fps`) is not `fps` are resampled
    to `fps`. A joint that is NaN in a frame is not labeled there.

    Raises:
        InputError: the file is no readable .npz, an array is missing, shapes disagree, a position is infinite, or all
            positions are unknown.
    """
    path = Path(path)
    content = read_arrays(path, ("positions", "joint_names", "edges", "fps"))
    positions, skeleton, fps = known_positions(path, content), skeleton_of(path, content), fps_of(path, content)
    known = what_is_known(path.stem)
    bounds = bounds_of_takes(path, content, len(positions))
    count = len(bounds)
    names = tuple(map(str, values_of_takes(path, content, "clip_names", "names", count, range(count))))
    subjects = tuple(map(str, values_of_takes(path, content, "subjects", "names", count, ())))
    cyclic = tuple(map(bool, values_of_takes(path, content, "cyclic", "values", count, [False] * count)))
    rates = rates_of_takes(path, content, count, fps)
    up_axis = up_axis_of(path, content)
    up = known.up(positions, skeleton) if up_axis is None else UP_AXES[up_axis or "+z"]
    skeleton = _with_sides(skeleton, positions, partners_of(path, content, skeleton.num_joints), up, known)
    takes = [positions[start:stop] for start, stop in bounds]
    if known.mirrored:
        mirror = np.where(np.arange(3) == np.abs(up).argmin(), -1, 1).astype(np.float32)
        takes = [
            take * mirror if name.endswith(known.mirrored) else take for take, name in zip(takes, names, strict=True)
        ]
    if known.there_and_back:
        takes, cyclic = [np.concatenate([take, take[-2:0:-1]]) for take in takes], (True,) * count
    takes = [at_rate(*take, fps) for take in zip(takes, cyclic, rates, strict=True)]
    stops = np.cumsum([len(take) for take in takes]).tolist()
    return Motion(
        positions=turned_up(np.concatenate(takes), up),
        clips=tuple(zip([0, *stops[:-1]], stops, strict=True)),
        clip_names=names,
        fps=fps,
        skeleton=skeleton,
        source=path.stem,
        units=str(content.get("units", "unknown")),
        notes=known.notes,
        up_known=known.up_known and up_axis != "",
        cyclic=cyclic if any(cyclic) else (),
        subjects=subjects,
    )


def _with_sides(
    skeleton: Skeleton,
    positions: Floats,
    partners: npt.NDArray[np.int64] | None,
    up: npt.NDArray[np.float64],
    known: Known,
) -> Skeleton:
    """The skeleton with sides. If the names tell none, they come from left-right partners or from `known`."""
    if any(skeleton.sides):
        return skeleton
    if partners is not None and known.forward is not None:
        return replace(skeleton, sides=sides_of_partners(positions, partners, np.cross(up, known.forward)))
    return replace(skeleton, sides=(known.side,) * skeleton.num_joints) if known.side else skeleton


def load_paired(path: str | Path) -> Paired:
    """The 2D keypoints, cameras and 3D joints in an .npz file, in the file's world axes.

    Z is known to be up if `up_axis` is "+z", or `units` has "z up".

    Raises:
        InputError: the file is no readable .npz, an array is missing, or shapes disagree.
    """
    path = Path(path)
    content = read_arrays(
        path, ("positions", "keypoints_2d", "joint_names", "edges", "fps", "K", "rvec", "tvec", "image_size")
    )
    positions, skeleton = positions_of(path, content), skeleton_of(path, content)
    stored = np.asarray(content["keypoints_2d"], dtype=np.float32)
    if stored.ndim != 4 or stored.shape[1:3] != positions.shape[:2] or stored.shape[3] not in (2, 3):
        wanted = f"(cameras, {positions.shape[0]}, {positions.shape[1]}, 2 or 3)"
        raise InputError(f"{path}: keypoints_2d must be {wanted}, got {stored.shape}")
    cameras = len(stored)
    for name, shape in {"K": (3, 3), "rvec": (3,), "tvec": (3,), "image_size": (2,)}.items():
        if content[name].shape != (cameras, *shape):
            raise InputError(f"{path}: {name} must have shape {(cameras, *shape)}, got {content[name].shape}")
    given = np.asarray(content.get("dist", np.zeros((cameras, 5))), dtype=np.float64)
    if given.ndim != 2 or len(given) != cameras or given.shape[1] > 5:
        raise InputError(f"{path}: dist must have shape ({cameras}, at most 5), got {given.shape}")
    dist = np.zeros((cameras, 5))
    dist[:, : given.shape[1]] = given
    finite = np.isfinite(stored).all(axis=-1)
    confidence = np.where(finite, stored[..., 2] if stored.shape[3] == 3 else 1, 0).astype(np.float32)
    keypoints = np.where(confidence[..., None] > 0, stored[..., :2], np.float32(np.nan))
    return Paired(
        positions=positions,
        keypoints_2d=keypoints,
        confidence=confidence,
        K=np.asarray(content["K"], dtype=np.float64),
        dist=dist,
        R=np.stack([rotation_about(rotation) for rotation in content["rvec"]]),
        t=np.asarray(content["tvec"], dtype=np.float64),
        image_sizes=np.asarray(content["image_size"]).astype(np.int64),
        camera_names=tuple(map(str, content.get("cam_names", [f"camera {index}" for index in range(cameras)]))),
        fps=fps_of(path, content),
        sequence=bool(content.get("sequence", True)),
        skeleton=skeleton,
        source=path.stem,
        units=str(content.get("units", "unknown")),
        up_known=str(content.get("up_axis", "")) == "+z" or "z up" in str(content.get("units", "")),
    )


def split(motion: Motion, gap: int = 48, fraction: float = 0.2) -> tuple[list[Segment], list[Segment]]:
    """The segments to train on and the segments to hold out; no frame is in both.

    For some recordings the takes to hold out are named (`Known.held_out`; for CMU 02_05 … 02_10). Of other recordings
    with several takes, the last `fraction` of the takes is held out. Of a single take, the last `fraction` of its
    frames is held out, and the `gap` frames before these are not used.

    Raises:
        InputError: `gap` or `fraction` is out of range, or nothing is left to train on.
    """
    if gap < 0 or not 0 < fraction < 1:
        raise InputError(f"gap must be >= 0 and fraction between 0 and 1, got {gap} and {fraction}")
    if len(motion.clips) == 1:
        frames = len(motion.positions)
        cut = frames - max(1, round(fraction * frames))
        if cut - gap < 1:
            raise InputError(
                f"{motion.source}: {frames} frames are too few to hold out {frames - cut} after a gap of {gap}"
            )
        return [_segment(motion, 0, 0, cut - gap)], [_segment(motion, 0, cut, frames)]
    held_names = what_is_known(motion.source).held_out
    if not set(held_names) & set(motion.clip_names):
        held_names = motion.clip_names[-max(1, round(fraction * len(motion.clips))) :]
    train: list[Segment] = []
    held_out: list[Segment] = []
    for clip, (start, stop) in enumerate(motion.clips):
        (held_out if motion.clip_names[clip] in held_names else train).append(_segment(motion, clip, start, stop))
    if not train:
        raise InputError(f"{motion.source}: all of its takes are held out, nothing is left to train on")
    return train, held_out


def segments_of(motion: Motion) -> list[Segment]:
    """Every take of a recording, as one segment each."""
    return [_segment(motion, clip, start, stop) for clip, (start, stop) in enumerate(motion.clips)]


def first_frames(segments: Sequence[Segment], count: int | None) -> list[Segment]:
    """The first `count` frames of all segments together; all frames if None."""
    kept: list[Segment] = []
    for segment in segments:
        frames = len(segment.positions) if count is None else min(count, len(segment.positions))
        if frames:
            kept.append(_part(segment, 0, frames))
            count = None if count is None else count - frames
    return kept


def known_stretches(segments: Sequence[Segment]) -> list[Segment]:
    """The stretches of the segments in which at least one joint is known in every frame."""
    stretches: list[Segment] = []
    for segment in segments:
        known = ~np.isnan(segment.positions[..., 0]).all(axis=1)
        bounds = np.flatnonzero(np.diff(known, prepend=False, append=False)).tolist()
        for start, stop in zip(bounds[::2], bounds[1::2], strict=True):
            stretches.append(_part(segment, start, stop))
    return stretches


def sample_clips(
    segments: Sequence[Segment],
    count: int,
    frames: int,
    rng: np.random.Generator,
    speed: tuple[float, float] = (1.0, 1.0),
) -> Floats:
    """Clips ``(count, frames, J, 3)`` at random places of segments of one skeleton; the same for the same `rng`.

    Each clip has a speed, drawn log-uniformly from the range `speed`: 2 plays twice as fast, as half the frame rate
    does. Positions between two frames are interpolated linearly; they are unknown (NaN) if one of the two is. If a
    segment is too short for its speed, the speed is the highest that fits. Segments that are too short for the lowest
    speed are not used. A cyclic segment is never too short: a clip starts at any of its frames, and goes round. A
    segment is drawn in proportion to the number of its frames at which a clip can start.

    Raises:
        InputError: there are no segments, or of different skeletons; `count`, `frames` or `speed` is out of range; or
            all segments are too short.
    """
    low, high = speed
    if count < 0 or frames < 1 or not 0 < low <= high < float("inf"):
        raise InputError(
            f"count must be >= 0, frames >= 1, speed 0 < low <= high, got {count}, {frames}, ({low}, {high})"
        )
    if len({segment.skeleton for segment in segments}) != 1:
        raise InputError("segments to sample from must be of one skeleton, and at least one")
    starts = np.array([len(each.positions) - (0 if each.cyclic else (frames - 1) * low) for each in segments])
    usable = [index for index, number in enumerate(starts) if number >= 1]
    if not usable:
        longest = max(len(segment.positions) for segment in segments)
        raise InputError(f"no segment is long enough for {frames} frames at speed {low}: the longest has {longest}")
    weights = starts[usable] / starts[usable].sum()
    clips = np.empty((count, frames, *segments[0].positions.shape[1:]), dtype=np.float32)
    for clip in clips:
        segment = segments[usable[rng.choice(len(usable), p=weights)]]
        last = len(segment.positions) - 1
        factor = float(np.exp(rng.uniform(np.log(low), np.log(high))))
        if frames > 1 and not segment.cyclic:
            factor = min(factor, last / (frames - 1))
        spare = last if segment.cyclic else last - (frames - 1) * factor
        # The start is a whole frame, so that a clip at speed 1 is exactly as recorded.
        start = float(rng.integers(0, int(spare + 1e-6) + 1))
        clip[:] = at_times(segment.positions, start + factor * np.arange(frames, dtype=np.float64), segment.cyclic)
    return clips


def held_out_clips(motion: Motion, frames: int = 48, stride: int = 48) -> Floats:
    """Clips ``(n, frames, J, 3)`` to score on: the held-out segments, cut by `cut_clips`.

    Raises:
        InputError: `frames` < 1 or `stride` < `frames`, which would overlap.
    """
    return cut_clips(split(motion)[1], frames, stride)


def cut_clips(segments: Sequence[Segment], frames: int = 48, stride: int = 48) -> Floats:
    """Clips ``(n, frames, J, 3)`` of segments of one skeleton: one starts every `stride` frames.

    A cyclic segment that is shorter than a clip goes round; no other one is padded. If no segment gives a clip, the
    longest segment is returned as one clip.

    Raises:
        InputError: `frames` < 1 or `stride` < `frames`, which would overlap.
    """
    if frames < 1 or stride < frames:
        raise InputError(f"frames must be >= 1 and stride >= frames, got {frames} and {stride}")
    clips = [
        segment.positions.take(range(start, start + frames), axis=0, mode="wrap")
        for segment in segments
        for start in range(0, max(len(segment.positions) - frames, 0 if segment.cyclic else -1) + 1, stride)
    ]
    return np.stack(clips or [max((segment.positions for segment in segments), key=len)])


def _segment(motion: Motion, clip: int, start: int, stop: int) -> Segment:
    return Segment(
        motion.positions[start:stop],
        start,
        stop,
        motion.fps,
        motion.skeleton,
        motion.source,
        motion.clip_names[clip],
        motion.up_known,
        bool(motion.cyclic) and motion.cyclic[clip] and (start, stop) == motion.clips[clip],
        motion.subjects[clip] if motion.subjects else "",
    )


def _part(segment: Segment, start: int, stop: int) -> Segment:
    """Frames `start` … `stop` - 1 of a segment. It is cyclic only if it is all of a cyclic segment."""
    return replace(
        segment,
        positions=segment.positions[start:stop],
        start=segment.start + start,
        stop=segment.start + stop,
        cyclic=segment.cyclic and stop - start == len(segment.positions),
    )
