"""Clips of your own keypoints without 3D: `adapt` learns from some of them, and is judged on the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from olift_fast.bodies.body import file_name, individual_of
from olift_fast.bodies.bones import twin_bones
from olift_fast.errors import InputError
from olift_fast.model import Lifter
from olift_fast.model.any_lifter import AnyLifter
from olift_fast.model.config import LifterConfig
from olift_fast.model.inference import check_pitch
from olift_fast.model.normalization import Normalization
from olift_fast.tracks.containers import KeypointTracks
from olift_fast.tracks.hands import hand_of
from olift_fast.tracks.skeleton import Skeleton

CLIPS_AT_ONCE = 32
LENGTHS = (48, 24)
"""Frames of a clip: the first number, or the second if the first gives fewer clips than `ENOUGH`."""
ENOUGH, FEWEST = 40, 10
SEEN = 0.5
"""The share of a clip's keypoints that must be visible."""
HELD_OUT = 5
"""One clip in this many is held out."""
APART = 12
"""An individual with fewer clips than this has no lengths of its own."""
COPY_FRAMES, COPY = 48, 0.03
"""Frames in which two recordings are compared, and the median distance of their keypoints, in RMS radii of the body in
a frame, below which one is a copy of the other, as DeepLabCut's filtered files are."""


@dataclass(frozen=True, eq=False)
class OwnClips:
    """B clips of T frames of one skeleton with J joints, in model units.

    Args:
        keypoints: ``(B, T, J, 2)``, each frame centered on its visible keypoints; 0 where hidden.
        visible: bool ``(B, T, J)``.
        present: bool ``(B, J)``, False for joints that the clip's track never has while another has them.
        skeleton: of all clips.
        sides: float32 ``(B, J)``, +1 left, -1 right: the skeleton's, or all of one side where the track's name says
            which hand it is (`hand_of`).
        track: int64 ``(B,)``, the number of each clip's track.
        recording: int64 ``(B,)``, the number of each clip's recording.
        individual: int64 ``(B,)``, 1 for the first of `individuals` and so on, 0 for all others.
        individuals: names of the I individuals with lengths of their own; none if all clips are of one.
        pitch: degrees by which all cameras look down; None if unknown.
        mirrored: whether these are the mirror images of the clips.
    """

    keypoints: Tensor
    visible: Tensor
    present: Tensor
    skeleton: Skeleton
    sides: Tensor
    track: Tensor
    recording: Tensor
    individual: Tensor
    individuals: tuple[str, ...] = ()
    pitch: float | None = None
    mirrored: bool = False

    def __len__(self) -> int:
        return len(self.visible)

    def take(self, rows: Tensor) -> OwnClips:
        """Some of the clips, by a mask ``(B,)`` or by their numbers."""
        clipwise = ("keypoints", "visible", "present", "sides", "track", "recording", "individual")
        return replace(self, **{name: getattr(self, name)[rows] for name in clipwise})

    def rows(self) -> list[Tensor]:
        """The numbers of all clips, and then those of each of `individuals`."""
        numbers = range(1, 1 + len(self.individuals))
        return [torch.arange(len(self)), *((self.individual == number).nonzero()[:, 0] for number in numbers)]

    def crop(self, start: int, frames: int) -> OwnClips:
        """`frames` frames of each clip, from frame `start` on."""
        part = slice(start, start + frames)
        return replace(self, keypoints=self.keypoints[:, part], visible=self.visible[:, part])

    def mirror(self) -> OwnClips:
        """The clips seen in a mirror: x turns to -x, left to right; joints keep their places."""
        keypoints = self.keypoints * self.keypoints.new_tensor([-1.0, 1.0])
        return replace(self, keypoints=keypoints, mirrored=not self.mirrored)

    def split(self, clips: int) -> Iterator[OwnClips]:
        """The clips in parts of so many; the last may have fewer."""
        return (self.take(rows) for rows in torch.arange(len(self)).split(clips))

    def told(self, config: LifterConfig) -> dict[str, Tensor]:
        """The inputs of a lifter with this config beside keypoints and visibility, as arguments of its `forward`."""
        count, joints = self.present.shape
        told = {"sides": -self.sides if self.mirrored else self.sides}
        if self.skeleton.edges:
            told["graph"] = torch.from_numpy(self.skeleton.graph(config.hops)).expand(count, joints, joints)
        if config.kinds:
            told["kinds"] = torch.tensor(self.skeleton.kinds).expand(count, joints)
        if config.pitch and self.pitch is not None:
            told["pitch"] = torch.full((count,), float(self.pitch))
        if not bool(self.present.all()):
            told["joint_mask"] = self.present
        return told


@torch.no_grad()
def lifted_clips(lifter: Lifter, clips: OwnClips, *, uncertainty: bool = False) -> Tensor:
    """Joints ``(B, T, J, 3)`` in model units, in the camera's axes; with `uncertainty` as `Lifter.forward` gives it."""
    parts = clips.split(CLIPS_AT_ONCE)
    given = {"uncertainty": True} if uncertainty else {}
    return torch.cat([lifter(part.keypoints, part.visible, **part.told(lifter.config), **given) for part in parts])


def mirrored_back(lifter: Lifter, clips: OwnClips) -> Tensor:
    """The lifter's results for the clips' mirror images, mirrored back."""
    return lifted_clips(lifter, clips.mirror()) * torch.tensor([-1.0, 1.0, 1.0])


def own_clips(
    lifter: AnyLifter,
    recordings: Sequence[KeypointTracks],
    *,
    min_confidence: float = 0.3,
    pitch: float | None = None,
) -> OwnClips:
    """The recordings' tracks, normalized as by `lift_tracks`, cut into consecutive clips.

    A clip is used if at least half of its keypoints are visible. It has 48 frames, or 24 if 48 would give fewer than 40
    clips. If there are several individuals (`individual_of`), those with 12 clips or more have lengths of their own.

    Args:
        lifter: the lifter that learns from them.
        recordings: of one skeleton, with the same joints, bones and sides; without copies (`copies_in`).
        min_confidence, pitch: as for `lift_tracks`.

    Raises:
        InputError: there are no recordings, several skeletons, fewer than two bones or too few clips, or the lifter
            does not take the pitch.
    """
    if not recordings:
        raise InputError("adapt needs at least one recording, got none")
    skeleton = _shared_skeleton(recordings)
    check_pitch(lifter, pitch)
    longest = max(tracks.num_frames for tracks in recordings)
    for frames in LENGTHS:
        clips = _cut(recordings, skeleton, frames, min_confidence, pitch)
        if len(clips) >= ENOUGH:
            break
    if len(clips) < FEWEST:
        raise InputError(
            f"adapt needs {FEWEST} clips of {LENGTHS[-1]} frames of which half of the keypoints are visible, got "
            f"{len(clips)} (the longest recording has {longest:,} frames): too little to learn a body from"
        )
    return clips


def copies_in(recordings: Sequence[KeypointTracks]) -> list[int]:
    """The numbers of recordings that are copies of an earlier one: the same frames, and nearly the same keypoints.

    DeepLabCut writes each recording as .csv and as .h5, and filtered ones beside them. With copies, the same clip would
    be learned from and held out.
    """
    found: list[int] = []
    kept: dict[tuple[object, ...], list[npt.NDArray[np.float32]]] = {}
    for number, tracks in enumerate(recordings):
        bones = frozenset(map(frozenset, tracks.skeleton.edges))
        alike = kept.setdefault((tracks.skeleton.names, bones, tracks.keypoints.shape), [])
        frames = np.unique(np.linspace(0, tracks.num_frames - 1, COPY_FRAMES).round().astype(np.intp))
        points = tracks.keypoints[:, frames]
        if any(_same(points, others) for others in alike):
            found.append(number)
        else:
            alike.append(points)
    return found


def _same(points: npt.NDArray[np.float32], others: npt.NDArray[np.float32]) -> bool:
    """Whether half of the keypoints (N, T, J, 2) are there in both, and most of these in the same places."""
    there, too = (np.asarray(np.isfinite(each).all(axis=-1)) for each in (points, others))
    both = there & too
    if 2 * both.sum() < max(there.sum(), too.sum(), 1):
        return False
    weight = both[..., None]
    count = np.maximum(both.sum(axis=2, keepdims=True), 1)[..., None]
    own = np.where(weight, points, np.float32(0)).astype(np.float64)
    apart = np.where(weight, points - others, np.float32(0))
    spread = np.where(weight, own - own.sum(axis=2, keepdims=True) / count, 0.0)
    radius = np.sqrt(np.square(spread).sum(axis=-1)[both].mean())
    return bool(np.median(np.linalg.norm(apart, axis=-1)[both]) <= COPY * radius)


def held_apart(clips: OwnClips) -> tuple[OwnClips, OwnClips]:
    """The clips to learn from, and the held-out clips: every fifth."""
    number = torch.arange(len(clips))
    held = number % HELD_OUT == HELD_OUT - 1
    return clips.take(~held), clips.take(held)


def _shared_skeleton(recordings: Sequence[KeypointTracks]) -> Skeleton:
    first = recordings[0]
    for other in recordings[1:]:
        ours, theirs = first.skeleton, other.skeleton
        if (ours.names, ours.sides) != (theirs.names, theirs.sides):
            differing = sorted({*ours.names} ^ {*theirs.names})
            what = f"{', '.join(differing[:3])} in one of them only" if differing else "other order or sides"
            raise InputError(
                f"{other.source}: does not have the joints of {first.source} ({what}): adapt to each by itself"
            )
        if {*map(frozenset, ours.edges)} != {*map(frozenset, theirs.edges)}:
            raise InputError(
                f"{other.source}: does not have the bones of {first.source}; --skeleton gives all of them the same"
            )
    if not first.skeleton.edges:
        raise InputError(
            f"{first.source}: no bones are known, and a body is their lengths: --skeleton FILE or RIG gives bones, and "
            "olift_fast.tracks.with_inferred_skeleton infers them"
        )
    if len({frozenset(pair) for pair in enumerate(twin_bones(first.skeleton).tolist())}) < 2:
        a, b = (first.skeleton.names[joint] for joint in first.skeleton.edges[0])
        raise InputError(
            f"{first.source}: has one bone alone ({a}-{b}; left and right count once), and a body is how long bones "
            "are beside others: --skeleton FILE or RIG gives more"
        )
    return first.skeleton


def _cut(
    recordings: Sequence[KeypointTracks], skeleton: Skeleton, frames: int, min_confidence: float, pitch: float | None
) -> OwnClips:
    joints = skeleton.num_joints
    keypoints, visible, present, sides, track, recording, owners = [], [], [], [], [], [], []
    number = 0
    names = _names_apart(recordings)
    for place, (tracks, source) in enumerate(zip(recordings, names, strict=True)):
        seen = tracks.visible(min_confidence)
        absent = tracks.absent()
        for index, name in enumerate(tracks.tracks):
            own_sides = np.array(hand_of(skeleton, name).sides, np.float32)
            normalization = Normalization.fit(tracks.keypoints[index], seen[index])
            for start in range(0, tracks.num_frames - frames + 1, frames):
                part = seen[index, start : start + frames]
                if part[:, ~absent[index]].mean() < SEEN:
                    continue
                points, _ = normalization.apply(tracks.keypoints[index, start : start + frames], part)
                keypoints.append(points)
                visible.append(part)
                present.append(~absent[index])
                sides.append(own_sides)
                track.append(number)
                recording.append(place)
                owners.append(individual_of(name, source))
            number += 1
    individual, individuals = _told_apart(owners)
    return OwnClips(
        torch.from_numpy(np.stack(keypoints) if keypoints else np.zeros((0, frames, joints, 2), np.float32)),
        torch.from_numpy(np.stack(visible) if visible else np.zeros((0, frames, joints), np.bool_)),
        torch.from_numpy(np.stack(present) if present else np.zeros((0, joints), np.bool_)),
        skeleton,
        torch.from_numpy(np.stack(sides) if sides else np.zeros((0, joints), np.float32)),
        torch.tensor(track, dtype=torch.int64),
        torch.tensor(recording, dtype=torch.int64),
        individual,
        individuals,
        pitch,
    )


def _names_apart(recordings: Sequence[KeypointTracks]) -> list[str | None]:
    """The recordings' file names; where two have one, their sources in full."""
    names = [file_name(tracks.source) for tracks in recordings]
    counts = Counter(names)
    return [name if counts[name] == 1 else tracks.source for name, tracks in zip(names, recordings, strict=True)]


def _told_apart(owners: Sequence[str]) -> tuple[Tensor, tuple[str, ...]]:
    """The numbers ``(B,)`` of the clips' individuals, and the names of those that have `APART` clips or more."""
    counts = Counter(owners)
    several = len(counts) > 1
    names = tuple(name for name, count in counts.items() if several and count >= APART)
    place = {name: number for number, name in enumerate(names, 1)}
    return torch.tensor([place.get(owner, 0) for owner in owners], dtype=torch.int64), names
