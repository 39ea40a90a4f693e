"""What a lifter is trained on: generated animals, and the training part of real motion."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset

from olift_fast.data.cameras import CameraRange, project, random_cameras
from olift_fast.data.clips import ClipBatch, mirror
from olift_fast.data.corruption import Corruption, corrupt
from olift_fast.data.generator import AnimalGenerator
from olift_fast.data.mocap import Segment, load_all, sample_clips, split
from olift_fast.data.recombine import recombine
from olift_fast.train.batches import Batch, by_size, collate

REAL_WEIGHTS: dict[str, float] = {
    "human_cmu": 5.0,
    "rat_dannce23": 2.0,
    "mouse_salk34": 1.5,
    "fly_df3d_30": 1.5,
    "fly_anipose_17": 1.5,
}


@dataclass(frozen=True)
class Mixture:
    """The recipe of the training data.

    Args:
        seed: of everything that is drawn.
        frames: T of every clip.
        skeletons: groups in a batch, each of one skeleton.
        clips: clips of a group.
        real: folder of real motion (see `olift_fast.data.mocap`); None trains on generated animals alone.
        real_share: share of the groups that are real motion, when there is any.
        real_weights: how often each recording is drawn.
        recombined: share of the clips of real motion in which a part of the body moves as in another clip.
        speed: range of time stretches of real motion.
        families: how often each family of generated animals is drawn; None leaves it to the generator.
        no_sides: share of groups whose joints' sides are hidden from the model.
        mirrored: share of groups that are seen in a mirror, sides swapped.
        hops: of the graph that local heads see.
        camera, corruption: what all clips are seen with.
    """

    seed: int = 0
    frames: int = 24
    skeletons: int = 4
    clips: int = 6
    real: Path | None = None
    real_share: float = 0.45
    real_weights: Mapping[str, float] = field(default_factory=lambda: dict(REAL_WEIGHTS))
    recombined: float = 0.0
    speed: tuple[float, float] = (0.6, 1.8)
    families: Mapping[str, float] | None = None
    no_sides: float = 0.25
    mirrored: float = 0.5
    hops: int = 1
    camera: CameraRange = field(default_factory=CameraRange)
    corruption: Corruption = field(default_factory=Corruption)

    def groups(self, worker: int = 0) -> Iterator[ClipBatch]:
        """Groups of clips without end; each worker its own, the same for the same seed."""
        rng = np.random.default_rng((self.seed, worker, 1))
        generator = AnimalGenerator((self.seed, worker), self.families, self.camera, self.corruption)
        segments = {} if self.real is None else self._segments()
        names = list(segments)
        weights = np.array([self.real_weights[name] for name in names])
        while True:
            if names and rng.random() < self.real_share:
                name = names[int(rng.choice(len(names), p=weights / weights.sum()))]
                group = self._real(name, segments[name], rng)
            else:
                group = generator.batch(self.clips, self.frames)
            yield mirror(group) if rng.random() < self.mirrored else group

    def batches(self, worker: int = 0) -> Iterator[Batch]:
        """Training batches without end."""
        rng = np.random.default_rng((self.seed, worker, 2))
        for groups in by_size(self.groups(worker), 16 * self.skeletons, self.skeletons, rng):
            yield collate(groups, self.hops, [bool(rng.random() >= self.no_sides) for _ in groups])

    def loader(self, workers: int) -> Iterator[Batch]:
        """`batches`, made by worker processes (0: by this one)."""
        if workers == 0:
            return self.batches()
        return iter(DataLoader(_Stream(self), batch_size=None, num_workers=workers, prefetch_factor=8))

    def _segments(self) -> dict[str, list[Segment]]:
        assert self.real is not None
        motions = load_all(self.real)
        return {name: split(motion)[0] for name, motion in motions.items() if name in self.real_weights}

    def _real(self, name: str, segments: list[Segment], rng: np.random.Generator) -> ClipBatch:
        positions = sample_clips(segments, self.clips, self.frames, rng, self.speed)
        positions = recombine(positions, segments[0].skeleton, rng, self.recombined)
        return observe(positions, segments[0], rng, self.camera, self.corruption, name)


def observe(
    positions: np.ndarray,
    segment: Segment,
    rng: np.random.Generator,
    camera: CameraRange,
    corruption: Corruption,
    family: str,
) -> ClipBatch:
    """Clips ``(B, T, J, 3)`` of real motion as random cameras and a detector would see them."""
    true, joints = project(positions, random_cameras(rng, positions, camera))
    keypoints, visible, _ = corrupt(rng, true, segment.skeleton, corruption, depth=joints[..., 2])
    return ClipBatch(keypoints, visible, joints, np.ones_like(visible), segment.skeleton, family)


class _Stream(IterableDataset[Batch]):
    def __init__(self, mixture: Mixture) -> None:
        self.mixture = mixture

    def __iter__(self) -> Iterator[Batch]:
        torch.set_num_threads(1)
        info = torch.utils.data.get_worker_info()
        return self.mixture.batches(0 if info is None else info.id)
