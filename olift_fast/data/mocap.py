"""Recorded 3D motion: read, turned to a common Z-up frame, split into training and held-out parts, cut into clips.

A recording is an .npz with `positions` (T, J, 3), `fps`, `joint_names`, `edges` and, where known, `clip_starts`,
`clip_names`, `subjects`, `cyclic`, `clip_fps`, `up_axis`, `mirror` and `units`. A paired file also has 2D keypoints and
calibrated cameras of the same moments.
"""

from __future__ import annotations

import warnings
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from olift_fast.data.bad_files import OnBad, read_each
from olift_fast.data.known_recordings import what_is_known
from olift_fast.errors import InputError
from olift_fast.odd_files import check_file
from olift_fast.tracks.skeleton import Skeleton

Floats = npt.NDArray[np.float32]

UP_AXES = {sign + axis: float(sign + "1") * np.eye(3)[place] for place, axis in enumerate("xyz") for sign in "+-"}
"""Directions that `up_axis` may name. "" is for a direction that nobody knows."""


@dataclass(frozen=True, eq=False)
class Motion:
    """One recording, takes end to end, in a right-handed frame with Z up.

    Args:
        positions: (T, J, 3) in `units`; NaN where a joint is not known.
        clips: first and one-past-last frame of each take; together they are all T frames.
        clip_names: one name for each take.
        fps: frames a second of all takes (`notes` say where it is a guess).
        skeleton: the joints, their bones and sides.
        source: the recording's name, "human_cmu".
        units: of `positions`.
        notes: what to know before trusting it.
        up_known: False where up is a guess: then nothing tells by how much a camera looks down.
        cyclic: for each take, whether its first frame follows its last; () where none is.
        subjects: who is seen in each take; () where nobody wrote it down.
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
    """A stretch of one take: frames `start` … `stop` - 1 of the recording, `positions` (stop - start, J, 3).

    A position is NaN where a joint is not known. `up_known` and `subject` are those of the `Motion`. A cyclic one goes
    on at its first frame after its last.
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
    """2D keypoints in C calibrated cameras and the 3D joints of the same T moments, in the cameras' world frame.

    A camera sees a world point X at K · distort(R X + t), in OpenCV's convention.

    Args:
        positions: (T, J, 3) in `units`; NaN where a joint has no 3D.
        keypoints_2d: (C, T, J, 2) pixels; NaN where nothing was detected.
        confidence: (C, T, J) 1 where the file gives none and the keypoint is there, 0 where there is no keypoint.
        K: (C, 3, 3) intrinsics in pixels.
        dist: (C, 5) lens distortion k1, k2, p1, p2, k3.
        R: (C, 3, 3) rotations from world to camera.
        t: (C, 3) translations from world to camera, in `units`.
        image_sizes: (C, 2) width and height in pixels.
        camera_names: (C) names.
        fps: frames a second.
        sequence: False where the frames are single moments, not consecutive.
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
        on_bad: "skip" leaves unusable files out, with a warning that names them.

    Raises:
        InputError: no folder, no .npz in it, or a bad one (with "skip": none that is good).
    """
    paths = sorted(Path(folder).glob("*.npz"))
    if not paths:
        raise InputError(f"{folder}: no .npz recordings here")
    return {path.stem: motion for path, motion in read_each(paths, load_motion, on_bad).items()}


def load_motion(path: str | Path) -> Motion:
    """The recording in an .npz file, turned so that Z is up.

    Up is what the file's `up_axis` says. A file without it is taken to be Z up already, unless it is of a recording
    that is known to be otherwise (`olift_fast.data.known_recordings`). Takes of another rate than `fps` (`clip_fps`)
    are resampled to it. Where a joint is NaN, it is unlabeled.

    Raises:
        InputError: not a readable .npz, an array missing, shapes that disagree, positions that are infinite, or none
            that is known.
    """
    path = Path(path)
    content = _read(path, ("positions", "joint_names", "edges", "fps"))
    positions = _positions(path, content)
    infinite = int(np.isinf(positions).sum())
    if infinite:
        raise InputError(f"{path}: positions must be finite, or NaN where not known, got {infinite} infinite values")
    positions = np.where(np.isnan(positions).any(axis=-1, keepdims=True), np.float32(np.nan), positions)
    if np.isnan(positions).all():
        raise InputError(f"{path}: positions must be known somewhere, got NaN in all {len(positions)} frames")
    skeleton, fps, known = _skeleton(path, content), _fps(path, content), what_is_known(path.stem)
    clips = _clips(path, content, len(positions))
    clip_names = tuple(map(str, _of_clips(path, content, "clip_names", "names", len(clips), range(len(clips)))))
    subjects = tuple(map(str, _of_clips(path, content, "subjects", "names", len(clips), ())))
    cyclic = tuple(map(bool, _of_clips(path, content, "cyclic", "values", len(clips), [False] * len(clips))))
    rates = tuple(map(float, _of_clips(path, content, "clip_fps", "rates", len(clips), [fps] * len(clips))))
    if not all(fps / 100 <= rate <= fps * 100 for rate in rates):
        raise InputError(f"{path}: clip_fps must be from a hundredth to a hundred times fps = {fps:g}, got {rates}")
    up_axis = str(content["up_axis"]) if "up_axis" in content else None
    if up_axis and up_axis not in UP_AXES:
        raise InputError(f"{path}: up_axis must be one of {', '.join(UP_AXES)}, or empty, got {up_axis!r}")
    up = UP_AXES[up_axis or "+z"] if up_axis is not None else known.up(positions, skeleton)
    partners = _partners(path, content, skeleton.num_joints)
    if partners is not None and known.forward is not None and not any(skeleton.sides):
        sides = _sides_of_partners(positions, partners, np.cross(up, known.forward))
        skeleton = replace(skeleton, sides=sides)
    elif known.side and not any(skeleton.sides):
        skeleton = replace(skeleton, sides=(known.side,) * skeleton.num_joints)
    takes = [positions[start:stop] for start, stop in clips]
    if known.mirrored:
        mirror = np.where(np.arange(3) == np.abs(up).argmin(), -1, 1).astype(np.float32)
        takes = [
            take * mirror if name.endswith(known.mirrored) else take
            for take, name in zip(takes, clip_names, strict=True)
        ]
    if known.there_and_back:
        takes, cyclic = [np.concatenate([take, take[-2:0:-1]]) for take in takes], (True,) * len(takes)
    takes = [_at_rate(*take, fps) for take in zip(takes, cyclic, rates, strict=True)]
    stops = np.cumsum([len(take) for take in takes]).tolist()
    return Motion(
        positions=_turn_up(np.concatenate(takes), up),
        clips=tuple(zip([0, *stops[:-1]], stops, strict=True)),
        clip_names=clip_names,
        fps=fps,
        skeleton=skeleton,
        source=path.stem,
        units=str(content.get("units", "unknown")),
        notes=known.notes,
        up_known=known.up_known and up_axis != "",
        cyclic=cyclic if any(cyclic) else (),
        subjects=subjects,
    )


def split(motion: Motion, gap: int = 48, fraction: float = 0.2) -> tuple[list[Segment], list[Segment]]:
    """The segments to train on and the segments to hold out; no frame is in both.

    A source with named held-out takes holds out those (CMU: 02_05 … 02_10), any other recording of several takes the
    last `fraction` of them. A single take holds out its last `fraction`, and `gap` frames before that go unused.

    Raises:
        InputError: `gap` or `fraction` out of range, or nothing is left to train on.
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
    """Every take of a recording, whole."""
    return [_segment(motion, clip, start, stop) for clip, (start, stop) in enumerate(motion.clips)]


def first_frames(segments: Sequence[Segment], count: int | None) -> list[Segment]:
    """The first `count` frames of the segments together; all of them for None."""
    kept: list[Segment] = []
    for segment in segments:
        frames = len(segment.positions) if count is None else min(count, len(segment.positions))
        if frames:
            kept.append(_part(segment, 0, frames))
            count = None if count is None else count - frames
    return kept


def known_stretches(segments: Sequence[Segment]) -> list[Segment]:
    """The segments without the frames in which no joint is known: a segment ends before such a frame."""
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
    """(count, frames, J, 3) clips at random places of segments of one skeleton; the same for the same `rng`.

    Each clip steps through its segment by a factor drawn log-uniformly from `speed`, with linear interpolation between
    frames: 2 plays twice as fast, or stands for half the frame rate. Where a segment is too short for the factor drawn,
    the factor is the largest that fits; segments too short for the smallest one are not drawn from. A cyclic segment is
    never too short: it starts at any frame, and goes round. A segment is drawn in proportion to its number of starting
    frames. Between a known position and an unknown one (NaN), it is unknown.

    Raises:
        InputError: no segments, different skeletons, a range that is not 0 < low <= high, or all segments too short.
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
        # A start on a frame keeps a clip at speed 1 exactly as recorded.
        start = float(rng.integers(0, int(spare + 1e-6) + 1))
        clip[:] = _at_times(segment.positions, start + factor * np.arange(frames, dtype=np.float64), segment.cyclic)
    return clips


def held_out_clips(motion: Motion, frames: int = 48, stride: int = 48) -> Floats:
    """(n, frames, J, 3) the fixed clips to evaluate on: the held-out segments cut by `cut_clips`.

    Raises:
        InputError: `frames` < 1 or `stride` < `frames`, which would overlap.
    """
    return cut_clips(split(motion)[1], frames, stride)


def cut_clips(segments: Sequence[Segment], frames: int = 48, stride: int = 48) -> Floats:
    """(n, frames, J, 3) clips of `frames` frames of segments of one skeleton, one every `stride` frames, in order.

    A cyclic segment shorter than a clip goes round; nothing else is padded. Where no segment has `frames` frames, the
    longest is returned whole as one clip.

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


def load_paired(path: str | Path) -> Paired:
    """The 2D keypoints, cameras and 3D joints in an .npz file; the world frame is the file's.

    Z is known to be up where `up_axis` says "+z", or `units` "m (z up)".

    Raises:
        InputError: not a readable .npz, an array missing, or shapes that disagree.
    """
    path = Path(path)
    content = _read(
        path, ("positions", "keypoints_2d", "joint_names", "edges", "fps", "K", "rvec", "tvec", "image_size")
    )
    positions, skeleton = _positions(path, content), _skeleton(path, content)
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
        R=np.stack([_rodrigues(rotation) for rotation in content["rvec"]]),
        t=np.asarray(content["tvec"], dtype=np.float64),
        image_sizes=np.asarray(content["image_size"]).astype(np.int64),
        camera_names=tuple(map(str, content.get("cam_names", [f"camera {index}" for index in range(cameras)]))),
        fps=_fps(path, content),
        sequence=bool(content.get("sequence", True)),
        skeleton=skeleton,
        source=path.stem,
        units=str(content.get("units", "unknown")),
        up_known=str(content.get("up_axis", "")) == "+z" or "z up" in str(content.get("units", "")),
    )


def _turn_up(positions: Floats, up: npt.NDArray[np.float64]) -> Floats:
    """The positions rotated by the smallest rotation that takes the direction `up` to Z."""
    x, y, z = up / np.linalg.norm(up)
    if z < -0.999999:
        rotation = np.diag([1.0, -1.0, -1.0])
    else:
        sideways = np.array([x, y])
        rotation = np.block([[np.eye(2) - np.outer(sideways, sideways) / (1 + z), -sideways[:, None]], [x, y, z]])
    return np.ascontiguousarray((positions @ rotation.T).astype(np.float32))


def _at_times(positions: Floats, times: npt.NDArray[np.float64], cyclic: bool = False) -> Floats:
    """(len(times), J, 3) the positions at times in frames, linear between frames; round and round where cyclic."""
    last = len(positions) - 1
    before = np.floor(times + 1e-6).astype(np.int64)
    before = before if cyclic else np.clip(before, 0, last)
    weight = np.clip(times - before, 0, 1).astype(np.float32)
    # Where the next frame has no weight it isn't read: it may be unknown.
    after = np.where(weight > 0, before + 1, before)
    before, after = (index % len(positions) if cyclic else np.minimum(index, last) for index in (before, after))
    weight = weight[:, None, None]
    return positions[before] * (1 - weight) + positions[after] * weight


def _at_rate(take: Floats, cyclic: bool, rate: float, fps: float) -> Floats:
    """A take of `rate` frames a second at `fps`; one that is cyclic keeps a whole number of frames in a round."""
    if rate == fps:
        return take
    spans = len(take) if cyclic else len(take) - 1
    count = max(round(spans * fps / rate), 1) if cyclic else int(spans * fps / rate + 1e-6) + 1
    return _at_times(take, np.arange(count, dtype=np.float64) * (spans / count if cyclic else rate / fps), cyclic)


def _partners(path: Path, content: dict[str, npt.NDArray[Any]], joints: int) -> npt.NDArray[np.int64] | None:
    """(J) each joint's left-right partner, itself on the midline, -1 where it has none; None if the file has none."""
    if "mirror" not in content:
        return None
    partners = np.asarray(content["mirror"])
    if (
        partners.shape != (joints,)
        or partners.dtype.kind not in "iu"
        or not ((partners >= -1) & (partners < joints)).all()
    ):
        raise InputError(f"{path}: mirror must be {joints} indices of joints, or -1, got {partners.tolist()}")
    return partners.astype(np.int64)


def _sides_of_partners(
    positions: Floats, partners: npt.NDArray[np.int64], left: npt.NDArray[np.float64]
) -> tuple[int, ...]:
    """(J) +1 for the partner farther in the direction `left` on average, -1 for the other, 0 where there is none."""
    with warnings.catch_warnings():
        # A joint that is never known has no mean, and no side.
        warnings.simplefilter("ignore", RuntimeWarning)
        place = np.nanmean(positions, axis=0) @ left
    other = np.where(partners < 0, np.arange(len(partners)), partners)
    return tuple(np.sign(np.nan_to_num(place - place[other])).astype(int).tolist())


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
    """Frames `start` … `stop` - 1 of a segment; only the whole of it goes round."""
    return replace(
        segment,
        positions=segment.positions[start:stop],
        start=segment.start + start,
        stop=segment.start + stop,
        cyclic=segment.cyclic and stop - start == len(segment.positions),
    )


def _rodrigues(rotation_vector: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(3, 3) the rotation about the vector by its length in radians."""
    angle = float(np.linalg.norm(rotation_vector))
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = rotation_vector / angle
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross)


def _read(path: Path, required: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
    check_file(path)
    if not zipfile.is_zipfile(path):
        raise InputError(f"{path}: not a readable .npz: it is no zip archive")
    try:
        with np.load(path, allow_pickle=False) as archive:
            content = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path}: not a readable .npz: {str(error).splitlines()[0]}") from error
    missing = [name for name in required if name not in content]
    if missing:
        raise InputError(f"{path}: has no array {', '.join(missing)}; it has {', '.join(content) or 'none'}")
    return content


def _positions(path: Path, content: dict[str, npt.NDArray[Any]]) -> Floats:
    positions = np.asarray(content["positions"], dtype=np.float32)
    joints = len(content["joint_names"])
    if positions.ndim != 3 or positions.shape[1:] != (joints, 3) or not len(positions):
        raise InputError(f"{path}: positions must be (frames, {joints}, 3), got {positions.shape}")
    return positions


def _skeleton(path: Path, content: dict[str, npt.NDArray[Any]]) -> Skeleton:
    edges = np.asarray(content["edges"]).reshape(-1, 2)
    try:
        return Skeleton(
            tuple(map(str, content["joint_names"])), tuple((int(a), int(b)) for a, b in edges), name=path.stem
        )
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _clips(path: Path, content: dict[str, npt.NDArray[Any]], frames: int) -> tuple[tuple[int, int], ...]:
    starts = [int(start) for start in np.atleast_1d(content.get("clip_starts", np.zeros(1)))]
    bounds = tuple(zip(starts, [*starts[1:], frames], strict=True))
    if not starts or starts[0] != 0 or any(start >= stop for start, stop in bounds):
        raise InputError(f"{path}: clip_starts must begin with 0 and increase to less than {frames}, got {starts}")
    return bounds


def _of_clips(
    path: Path, content: dict[str, npt.NDArray[Any]], key: str, what: str, clips: int, absent: Sequence[Any]
) -> Sequence[Any]:
    """The values of an array that has one for each take, or `absent` where the file doesn't have it."""
    if key not in content:
        return absent
    values = np.asarray(content[key])
    if values.shape != (clips,):
        raise InputError(f"{path}: {key} must have {clips} {what}, got {values.size}")
    if what != "names" and values.dtype.kind not in "biuf":
        raise InputError(f"{path}: {key} must have {clips} {what}, got {values.tolist()}")
    return values.tolist()


def _fps(path: Path, content: dict[str, npt.NDArray[Any]]) -> float:
    fps = float(content["fps"])
    if not 0 < fps < float("inf"):
        raise InputError(f"{path}: fps must be a positive number, got {fps}")
    return fps
