"""What a lifter is trained on: generated animals, and the training part of real motion."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from olift_fast.data.cameras import CameraRange, project, random_cameras
from olift_fast.data.clips import ClipBatch, mirror
from olift_fast.data.corruption import Corruption, corrupt
from olift_fast.data.generator import AnimalGenerator
from olift_fast.data.mocap import Segment, load_all, sample_clips, split
from olift_fast.data.recombine import recombine
from olift_fast.errors import InputError
from olift_fast.train.batches import Batch, by_size, collate

POOL = 16
"""Batches that are drawn together."""

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

    def groups(self, stream: int = 0) -> Iterator[ClipBatch]:
        """Groups of clips without end; each stream its own, the same for the same seed."""
        rng = np.random.default_rng((self.seed, stream, 1))
        generator = AnimalGenerator((self.seed, stream), self.families, self.camera, self.corruption)
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

    def batches(self, start: int = 0, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        """Training batches without end, from number `start` on: what batch k holds depends on the seed and k alone.

        Args:
            start: the first batch.
            rank, world: of how many processes that train together this is which; no two get the same batch.
        """
        return _from_pools(map(self.pool, _turns(start, rank, world)), start)

    def loader(self, workers: int, start: int = 0, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        """`batches`, made by worker processes (0: by this one): the same, however many."""
        if workers == 0:
            return self.batches(start, rank, world)
        made = DataLoader(
            _Pools(self),
            sampler=_turns(start, rank, world),
            batch_size=None,
            collate_fn=list,
            num_workers=workers,
            generator=torch.Generator().manual_seed(0),
        )
        pools = iter(made)
        return _from_pools(([Batch(*map(torch.from_numpy, arrays)) for arrays in pool] for pool in pools), start)

    def pool(self, index: int) -> list[Batch]:
        """`POOL` batches, drawn together so that skeletons of similar size meet; of the seed and the index alone."""
        rng = np.random.default_rng((self.seed, index, 2))
        groups = list(itertools.islice(self.groups(index), POOL * self.skeletons))
        return [
            collate(part, self.hops, [bool(rng.random() >= self.no_sides) for _ in part])
            for part in by_size(groups, self.skeletons, rng)
        ]

    def _segments(self) -> dict[str, list[Segment]]:
        assert self.real is not None
        return _training_part(self.real, tuple(self.real_weights))

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


@lru_cache(maxsize=1)
def _training_part(folder: Path, names: tuple[str, ...]) -> dict[str, list[Segment]]:
    motions = load_all(folder)
    if not set(motions) & set(names):
        raise InputError(
            f"{folder}: real_weights must name a recording of {', '.join(motions)}, got {', '.join(names)}"
        )
    return {name: split(motion)[0] for name, motion in motions.items() if name in names}


def _turns(start: int, rank: int, world: int) -> Iterator[int]:
    """The pools that a process takes, from the one that holds its batch `start` on."""
    return itertools.count(start // POOL * world + rank, world)


def _from_pools(pools: Iterable[Sequence[Batch]], start: int) -> Iterator[Batch]:
    return itertools.islice(itertools.chain.from_iterable(pools), start % POOL, None)


class _Pools(Dataset[list[list[np.ndarray]]]):
    """Pools as arrays: as tensors, each would hold a file descriptor on its way out of a worker."""

    def __init__(self, mixture: Mixture) -> None:
        self.mixture = mixture

    def __getitem__(self, index: int) -> list[list[np.ndarray]]:
        return [[getattr(batch, f.name).numpy() for f in fields(batch)] for batch in self.mixture.pool(index)]
