"""Pseudo-labels of clips without 3D: a lifter's own results, taken for true, and seen by new cameras.

A lifter does not know how wrong the depth of its result is. Seen from another side, this depth lies in the picture. So
a lifter that learns from its results, seen from all sides, finds bodies that agree between the views. (Chen et al.
2019, https://arxiv.org/abs/1904.04812, use turned results in a loss that needs no labels.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from olift_fast.bodies.body import Body
from olift_fast.bodies.rigid import DEPTH, body_joints
from olift_fast.data.cameras import VIEWS, CameraRange, random_cameras
from olift_fast.data.corruption import Corruption
from olift_fast.data.sources import seen_by
from olift_fast.model import Lifter
from olift_fast.model.config import LifterConfig
from olift_fast.tracks.containers import KeypointTracks
from olift_fast.tracks.overhead import Steep, steep_camera
from olift_fast.train.batches import normalize_clips, of_plausible_size
from olift_fast.train.own_clips import OwnClips, lifted_clips, mirrored_back

FAULTS = Corruption(clean=0.3)
"""A detector's faults, on the keypoints of new cameras."""
LIKELY, LIKELY_HIDDEN = 0.7, 0.5
"""A recording with this chance of a camera from above, or from below, is taken for one; the second number is for
recordings whose bones lie along the view."""
AROUND = 20.0
"""If the pitch is known, new cameras have one that differs by at most so many degrees."""


class Elevation(NamedTuple):
    """By how many degrees a recording's camera looks down: the likeliest number, and the range for new cameras."""

    pitch: float
    low: float
    high: float


def elevation_of(
    tracks: KeypointTracks, pitch: float | None, min_confidence: float, *, hidden: bool = False
) -> Elevation:
    """The elevation of a recording's camera: around the pitch if it is given, else that of its likeliest view.

    The view is level if the recording does not look as if filmed from above or below (`steep_camera`). A wrong guess of
    these costs more than one of a level view, so they must be likely.

    Args:
        tracks: the recording.
        pitch: degrees by which its camera looks down; None if unknown.
        min_confidence: keypoints with a lower confidence count as hidden.
        hidden: whether the bones lie along the view, as from above. Then less is enough for such a view.
    """
    if pitch is not None:
        return Elevation(pitch, max(pitch - AROUND, -90.0), min(pitch + AROUND, 90.0))
    steep = steep_camera(tracks.keypoints, tracks.visible(min_confidence), tracks.skeleton) or Steep(0.0, 0.0)
    least = LIKELY_HIDDEN if hidden else LIKELY
    view = "top" if steep.above >= least else "below" if steep.below >= least else "level"
    low, high = VIEWS[view]
    return Elevation(0.5 * (low + high), low, high)


@dataclass(frozen=True, eq=False)
class SeenAnew:
    """N clips of T frames, each a view of one of `OwnClips`, in model units.

    Args:
        clip: int64 ``(N,)``, the number of the clip that it shows.
        keypoints: ``(N, T, J, 2)``, 0 where not visible.
        visible: bool ``(N, T, J)``.
        joints: ``(N, T, J, 3)``, the pseudo-labels in the new camera's axes.
        labelled: bool ``(N, T, J)``.
        pitch: ``(N,)``, degrees by which the new camera looks down.
    """

    clip: Tensor
    keypoints: Tensor
    visible: Tensor
    joints: Tensor
    labelled: Tensor
    pitch: Tensor

    def __len__(self) -> int:
        return len(self.clip)

    def told(self, clips: OwnClips, rows: Tensor, config: LifterConfig) -> dict[str, Tensor]:
        """The inputs for some of the views beside keypoints and visibility, as `OwnClips.told` gives them."""
        told = clips.take(self.clip[rows]).told(config)
        return told | {"pitch": self.pitch[rows]} if "pitch" in told else told


@torch.no_grad()
def pseudo_labels(lifter: Lifter, clips: OwnClips, body: Body | None = None) -> Tensor:
    """Joints ``(B, T, J, 3)`` of the clips: the mean of their results and of those of their mirror images.

    With a body, the bones get its lengths (`olift_fast.bodies.rigid.body_joints`), those of the clip's individual if it
    has its own. NaN for joints that a clip's track never has.

    Args:
        lifter: in evaluation mode.
        clips: B clips.
        body: with the clips' skeleton and individuals.
    """
    lifted = lifted_clips(lifter, clips, uncertainty=lifter.config.uncertainty)
    joints = 0.5 * (lifted[..., :3] + mirrored_back(lifter, clips))
    joints = torch.where(clips.present[:, None, :, None], joints, torch.nan)
    if body is None:
        return joints
    bodies = [body, *(body.individuals[name] for name in clips.individuals)]
    lengths = [own.along(clips.skeleton) for own in bodies]
    deviations = lifted[..., [3, 3, 4]] if lifter.config.uncertainty else lifted.new_tensor([1.0, 1.0, DEPTH])
    whose: list[int] = clips.individual.tolist()
    arrays = (joints.numpy(), clips.visible.numpy(), deviations.expand(joints.shape).numpy())
    steady = [
        body_joints(own, clips.skeleton, *lengths[number], seen, deviation)
        for number, own, seen, deviation in zip(whose, *arrays, strict=True)
    ]
    return torch.from_numpy(np.stack(steady))


def seen_anew(
    joints: Tensor, clips: OwnClips, elevations: Sequence[Elevation], views: int, rng: np.random.Generator
) -> SeenAnew:
    """The joints of the clips, each seen by some new cameras from all sides, with a detector's faults.

    The cameras look down by what `elevations` says, and up is where the own camera's likeliest pitch has it. Views in
    which a few joints next to each other are all that is visible are left out, as in training.

    Args:
        joints: ``(B, T, J, 3)`` in the own cameras' axes; NaN is not labeled.
        clips: B clips.
        elevations: of the cameras of each recording (`OwnClips.recording`).
        views: new cameras of each clip.
        rng: draws cameras and faults.
    """
    parts = [
        _seen(joints[rows], clips, rows, elevation, rng)
        for elevation, rows in _by_elevation(clips, elevations)
        for _ in range(views)
    ]
    return SeenAnew(*(torch.cat([getattr(part, field.name) for part in parts]) for field in fields(SeenAnew)))


def _by_elevation(clips: OwnClips, elevations: Sequence[Elevation]) -> Iterator[tuple[Elevation, Tensor]]:
    """Each elevation, and the numbers of the clips whose camera has it."""
    for elevation in dict.fromkeys(elevations):
        recordings = torch.tensor([number for number, own in enumerate(elevations) if own == elevation])
        rows = torch.isin(clips.recording, recordings).nonzero()[:, 0]
        if len(rows):
            yield elevation, rows


def _seen(joints: Tensor, clips: OwnClips, rows: Tensor, elevation: Elevation, rng: np.random.Generator) -> SeenAnew:
    """One view of each of the clips `rows`, whose joints are given."""
    positions = upright(joints.numpy(), elevation.pitch)
    known = np.isfinite(positions).all(axis=-1)
    cameras = random_cameras(rng, positions, CameraRange(elevation=elevation[1:]), known)
    up_known = np.ones(len(rows), np.bool_)
    seen = seen_by(positions, cameras, clips.skeleton, rng, FAULTS, "pseudo-labels", up_known)
    keypoints, unit = normalize_clips(seen)
    target = seen.joints / unit[:, None, None, None]
    labelled = seen.labelled & of_plausible_size(target, seen.labelled)[:, None, None]
    return SeenAnew(
        rows,
        torch.from_numpy(keypoints),
        torch.from_numpy(seen.visible),
        torch.from_numpy(target),
        torch.from_numpy(labelled),
        torch.from_numpy(seen.pitch),
    )


def upright(joints: np.ndarray, pitch: float) -> np.ndarray:
    """Joints ``(..., 3)`` from the axes of a camera that looks down by `pitch` degrees to a world with Z up."""
    cos, sin = np.cos(np.radians(pitch)), np.sin(np.radians(pitch))
    turn = np.array([[1, 0, 0], [0, -sin, cos], [0, -cos, -sin]], np.float32)
    return np.asarray(joints @ turn.T, dtype=np.float32)
