"""Sources of training clips: recorded motion, recordings with their own cameras, generated animals.

A source is any object with a name and a method `draw`. A mixture (`olift_fast.train.mixture`) draws from several.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from olift_fast.data.augmentation import bend_joints, recombine, rescale_bones
from olift_fast.data.cameras import CameraRange, Cameras, project, random_cameras
from olift_fast.data.clips import ClipBatch
from olift_fast.data.corruption import Corruption, corrupt
from olift_fast.data.generator import AnimalGenerator
from olift_fast.data.mocap import Paired, Segment, known_stretches, sample_clips
from olift_fast.errors import InputError
from olift_fast.tracks.skeleton import Skeleton

Floats = NDArray[np.float32]


class ClipSource(Protocol):
    """Something that training clips can be drawn from."""

    @property
    def name(self) -> str:
        """Its name in messages and logs."""

    def draw(self, rng: np.random.Generator, clips: int, frames: int) -> ClipBatch:
        """`clips` clips of `frames` frames of one skeleton; the same for the same state of `rng`."""


@dataclass(frozen=True, eq=False)
class MotionSource:
    """Recorded motion of one skeleton, seen by random cameras.

    Args:
        name: of the source, and of the clips' family.
        segments: clips are cut from these at random places.
        camera: ranges of the cameras.
        corruption: the detector's faults.
        speed: range of speeds (`sample_clips`).
        recombined: share of the clips in which a part of the body moves as in another clip (`recombine`).
        bent: share of the clips in which some joints are held at other angles (`bend_joints`).
        proportions: how much bone lengths vary between clips (`rescale_bones`); 0 keeps the recorded lengths.

    Raises:
        InputError: no joint is known in any segment, or the segments are of several skeletons.
    """

    name: str
    segments: Sequence[Segment]
    camera: CameraRange = field(default_factory=CameraRange)
    corruption: Corruption = field(default_factory=Corruption)
    speed: tuple[float, float] = (0.6, 1.8)
    recombined: float = 0.0
    bent: float = 0.0
    proportions: float = 0.0

    def __post_init__(self) -> None:
        known = known_stretches(self.segments)
        if not known:
            raise InputError(
                f"{self.name}: needs a segment with a known joint, got none in {len(self.segments)} segments"
            )
        joints = sorted({segment.skeleton.num_joints for segment in known})
        if len({segment.skeleton for segment in known}) > 1:
            raise InputError(f"{self.name}: segments must be of one skeleton, got several, of {joints} joints")
        object.__setattr__(self, "segments", known)

    def draw(self, rng: np.random.Generator, clips: int, frames: int) -> ClipBatch:
        """Clips at random places and speeds, each seen by a random camera.

        Raises:
            InputError: all segments are too short.
        """
        try:
            positions = sample_clips(self.segments, clips, frames, rng, self.speed)
        except InputError as error:
            raise InputError(f"{self.name}: {error}") from error
        skeleton = self.segments[0].skeleton
        positions = recombine(positions, skeleton, rng, self.recombined)
        positions = bend_joints(positions, skeleton, rng, self.bent)
        positions = rescale_bones(positions, skeleton, rng, self.proportions)
        return observe(positions, self.segments[0], rng, self.camera, self.corruption, self.name)


@dataclass(frozen=True, eq=False)
class PairedSource:
    """Recordings with calibrated cameras, each clip seen by a camera of its own recording.

    The 2D is the projected 3D, without lens distortion. The recordings' own 2D is not used, because it can't be played
    at other speeds.

    Args:
        name: of the source, and the family of clips whose skeleton has no name.
        recordings: of any skeletons. Each skeleton is drawn equally often, and its recordings by their lengths.
        camera: random cameras instead of the recordings' own; the world must have Z up.
        corruption: the detector's faults.
        speed: range of speeds (`sample_clips`).

    Raises:
        InputError: no joint is known in any recording.
    """

    name: str
    recordings: Sequence[Paired]
    camera: CameraRange | None = None
    corruption: Corruption = field(default_factory=Corruption)
    speed: tuple[float, float] = (0.6, 1.8)
    _stretches: Mapping[Skeleton, Sequence[tuple[Segment, Paired]]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        stretches: dict[Skeleton, list[tuple[Segment, Paired]]] = {}
        for recording in self.recordings:
            for segment in known_stretches(_segments(recording)):
                stretches.setdefault(recording.skeleton, []).append((segment, recording))
        if not stretches:
            count = len(self.recordings)
            raise InputError(f"{self.name}: needs a recording with a known joint, got none in {count} recordings")
        object.__setattr__(self, "_stretches", stretches)

    def draw(self, rng: np.random.Generator, clips: int, frames: int) -> ClipBatch:
        """Clips at random places and speeds.

        Raises:
            InputError: all recordings are too short.
        """
        least = 1 + (frames - 1) * self.speed[0]
        usable = {
            skeleton: long
            for skeleton, all_of_it in self._stretches.items()
            if (long := [pair for pair in all_of_it if len(pair[0].positions) >= least])
        }
        if not usable:
            longest = max(len(segment.positions) for pairs in self._stretches.values() for segment, _ in pairs)
            raise InputError(
                f"{self.name}: no recording is long enough for {frames} frames at speed {self.speed[0]}: "
                f"the longest has {longest}"
            )
        skeleton = list(usable)[int(rng.integers(len(usable)))]
        lengths = np.array([len(segment.positions) for segment, _ in usable[skeleton]], dtype=np.float64)
        chosen = rng.choice(len(lengths), size=clips, p=lengths / lengths.sum())
        pairs = [usable[skeleton][int(index)] for index in chosen]
        positions = np.concatenate([sample_clips([segment], 1, frames, rng, self.speed) for segment, _ in pairs])
        family = skeleton.name or self.name
        if self.camera is not None:
            return observe(positions, pairs[0][0], rng, self.camera, self.corruption, family)
        recordings = [recording for _, recording in pairs]
        cameras = _own_cameras(rng, recordings)
        up_known = np.array([recording.up_known for recording in recordings])
        return seen_by(positions, cameras, skeleton, rng, self.corruption, family, up_known)


class GeneratorSource:
    """Generated animals: clips of an `AnimalGenerator`, with its cameras and detector's faults.

    Args:
        generator: each draw is its next batch, which depends on its seed and on the number of batches before, not on
            the `rng` of `draw`. None makes a new generator from that `rng` for each draw.
        name: of the source; the family of clips is that of the animal.
        families, camera, corruption: of the new generators.
    """

    def __init__(
        self,
        generator: AnimalGenerator | None = None,
        name: str = "generator",
        families: Mapping[str, float] | None = None,
        camera: CameraRange | None = None,
        corruption: Corruption | None = None,
    ) -> None:
        self.name = name
        self._generator = generator
        self._options = (families, camera, corruption)

    def draw(self, rng: np.random.Generator, clips: int, frames: int) -> ClipBatch:
        """Clips of one new animal."""
        generator = self._generator
        if generator is None:
            generator = AnimalGenerator(int(rng.integers(2**63)), *self._options)
        return generator.batch(clips, frames)


def observe(
    positions: Floats,
    segment: Segment,
    rng: np.random.Generator,
    camera: CameraRange,
    corruption: Corruption,
    family: str,
) -> ClipBatch:
    """Clips ``(B, T, J, 3)`` of motion, seen by random cameras, with a detector's faults. NaN is not labeled.

    The clips have the cameras' pitch if the segment's up is known.
    """
    labelled = _labelled(positions)
    cameras = random_cameras(rng, positions, camera, labelled)
    up_known = np.full(len(positions), segment.up_known)
    return seen_by(positions, cameras, segment.skeleton, rng, corruption, family, up_known)


def seen_by(
    positions: Floats,
    cameras: Cameras,
    skeleton: Skeleton,
    rng: np.random.Generator,
    corruption: Corruption,
    family: str,
    up_known: NDArray[np.bool_],
) -> ClipBatch:
    """Clips ``(B, T, J, 3)`` of motion, seen by B cameras, with a detector's faults. NaN is not labeled.

    The clips have the cameras' pitch where the motion's up is known, ``(B,)``.
    """
    labelled = _labelled(positions)
    true, joints = project(positions, cameras, labelled)
    keypoints, visible, _ = corrupt(rng, true, skeleton, corruption, depth=joints[..., 2], labelled=labelled)
    labels = np.ones_like(visible) if labelled is None else labelled
    pitch = np.where(up_known, cameras.pitch, np.float32(np.nan))
    return ClipBatch(keypoints, visible, joints, labels, skeleton, family, pitch)


def _labelled(positions: Floats) -> NDArray[np.bool_] | None:
    """Bool ``(B, T, J)``, True where a position is known; None if all are."""
    known: NDArray[np.bool_] = np.asarray(np.isfinite(positions).all(axis=-1))
    return None if known.all() else known


def _segments(recording: Paired) -> list[Segment]:
    """The recording as one segment; if its frames are single moments, each frame as a segment."""
    frames = len(recording.positions)
    bounds = [(0, frames)] if recording.sequence else [(frame, frame + 1) for frame in range(frames)]
    described = (recording.fps, recording.skeleton, recording.source, "")
    return [Segment(recording.positions[start:stop], start, stop, *described) for start, stop in bounds]


def _own_cameras(rng: np.random.Generator, recordings: Sequence[Paired]) -> Cameras:
    """One random camera of each recording."""
    chosen = [(recording, int(rng.integers(len(recording.K)))) for recording in recordings]
    return Cameras.from_calibration(
        np.stack([recording.K[camera] for recording, camera in chosen]),
        np.stack([recording.R[camera] for recording, camera in chosen]),
        np.stack([recording.t[camera] for recording, camera in chosen]),
        np.stack([recording.image_sizes[camera] for recording, camera in chosen]),
    )
