"""The mixture of data that a lifter is trained on: generated animals, real motion, and any other source."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import cast, get_args

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from olift_fast.child_processes import ends_with_this_process
from olift_fast.data.animalsyn3d import load_animalsyn3d, split_animations
from olift_fast.data.cameras import CameraRange
from olift_fast.data.clips import ClipBatch, mirror
from olift_fast.data.corruption import Corruption
from olift_fast.data.generator import AnimalGenerator
from olift_fast.data.human36m import load_human36m, split_subjects
from olift_fast.data.mocap import Segment, first_frames, load_motion, segments_of, split
from olift_fast.data.sources import ClipSource, GeneratorSource, MotionSource, PairedSource
from olift_fast.data.told import Graph, with_graph, without_kinds, without_pitch
from olift_fast.errors import InputError, check_shares
from olift_fast.tracks.skeleton import Skeleton
from olift_fast.train.batches import Batch, by_size, collate
from olift_fast.train.families import (
    check_patterns,
    held_out_as,
    held_out_whole,
    is_pattern,
    recordings,
    shared_weights,
)

POOL = 16
"""The number of batches that are drawn together."""

REAL_WEIGHTS: dict[str, float] = {
    "human_cmu": 5.0,
    "rat_dannce23": 2.0,
    "mouse_salk34": 1.5,
    "fly_df3d_30": 1.5,
    "fly_anipose_17": 1.5,
}


@dataclass(frozen=True)
class Mixture:
    """The training data: where clips come from, how often, and how they are varied.

    Args:
        seed: of everything that is drawn.
        frames: T of every clip.
        lengths: instead of `frames`, how often a batch has clips of T frames, by T. `clips` is then the number of the
            longest clips; a group of shorter clips has more, so that the number of frames is about the same.
        skeletons: the number of groups in a batch; each has clips of one skeleton.
        clips: the number of clips in a group.
        real: folder of real motion (see `olift_fast.data.mocap`); the training part of its recordings is used
            (`split`). With None only generated animals are used.
        real_whole: folders of real motion whose recordings are used whole, except for `held_out`.
        held_out: recordings, and persons in them, that are never trained on: "qs_wolf", "qs_dog_*", "human_uiprmd:s01",
            "@validation" for `olift_fast.train.families.VALIDATION`. Before a colon is a recording, after it a subject
            or a take; both may have `*`, `?` and `[…]`.
        real_share: share of the groups that are not of generated animals, if there is another source.
        real_weights: how often each recording, "animalsyn3d" and "human36m" are drawn; by default 1, 0 for never. A key
            with `*`, `?` or `[…]` is a pattern: the recordings that it matches share its weight equally, except those
            that are named or that an earlier pattern matches.
        real_frames: for some recordings, the number of frames to use, from the start of the training part.
        recombined: share of the clips of real motion in which a part of the body moves as in another clip.
        bent: share of the clips of real motion in which some joints are held at other angles.
        proportions: how much bone lengths of real motion vary between clips; 0.15 times this is the standard deviation
            of their logarithms.
        speed: range of time stretches of real motion.
        families: how often each family of generated bodies is drawn; None leaves it to the generator.
        no_sides: share of groups whose joints' sides are hidden from the model.
        pitch_told: share of groups for which the model gets the cameras' pitch, if it is known.
        kinds_told: share of groups for which the model gets the kinds of joints by their names; in half of these, some
            joints' kinds are hidden.
        graphs: how often the model gets which bones (`olift_fast.data.told.Graph`): the skeleton's own ("true"), none
            ("absent"), its own with faults ("damaged"), or those inferred from names ("named") or from the group's own
            2D ("motion", which takes three times as long as drawing the group).
        mirrored: share of groups that are mirrored, left and right swapped.
        hops: of the graph that local heads see.
        camera, corruption: the cameras, and the faults of the 2D, for generated animals and real motion.
        animalsyn3d: its folder (see `olift_fast.data.animalsyn3d`); the data set's own cameras are used.
        human36m: its .npz without pickles (see `olift_fast.data.human36m`).
        sources: other sources, each with how often it is drawn, on the scale of `real_weights`.
    """

    seed: int = 0
    frames: int = 24
    lengths: Mapping[int, float] | None = None
    skeletons: int = 4
    clips: int = 6
    real: Path | None = None
    real_whole: Sequence[Path] = ()
    held_out: Sequence[str] = ()
    real_share: float = 0.45
    real_weights: Mapping[str, float] = field(default_factory=lambda: dict(REAL_WEIGHTS))
    real_frames: Mapping[str, int] = field(default_factory=dict)
    recombined: float = 0.0
    bent: float = 0.0
    proportions: float = 0.0
    speed: tuple[float, float] = (0.6, 1.8)
    families: Mapping[str, float] | None = None
    no_sides: float = 0.25
    pitch_told: float = 0.0
    kinds_told: float = 0.0
    graphs: Mapping[str, float] = field(default_factory=lambda: {"true": 1.0})
    mirrored: float = 0.5
    hops: int = 1
    camera: CameraRange = field(default_factory=CameraRange)
    corruption: Corruption = field(default_factory=Corruption)
    animalsyn3d: Path | None = None
    human36m: Path | None = None
    sources: Sequence[tuple[ClipSource, float]] = ()

    def __post_init__(self) -> None:
        for name in ("frames", "skeletons", "clips"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be >= 1, got {getattr(self, name)}")
        if self.lengths is not None:
            shares = self.lengths.values()
            if min(self.lengths, default=0) < 1 or not min(shares) >= 0 or not 0 < sum(shares) < math.inf:
                raise InputError(f"lengths must be frames >= 1 with shares >= 0, not all 0, got {dict(self.lengths)}")
        for name in ("real_share", "recombined", "bent", "no_sides", "pitch_told", "kinds_told", "mirrored"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} must be from 0 to 1, got {getattr(self, name)}")
        check_shares("graphs", self.graphs, get_args(Graph))
        if not 0 <= self.proportions < math.inf:
            raise InputError(f"proportions must be a number >= 0, got {self.proportions}")
        if not 0 < self.speed[0] <= self.speed[1]:
            raise InputError(f"speed must be a range above 0, got {self.speed}")
        for name, count in self.real_frames.items():
            if count < 1:
                raise InputError(f"real_frames.{name} must be >= 1, got {count}")

    @property
    def longest(self) -> int:
        """Frames of the longest clip."""
        return self.frames if self.lengths is None else max(frames for frames, share in self.lengths.items() if share)

    @property
    def folders(self) -> tuple[Path, ...]:
        """All folders of real motion."""
        return (*([self.real] if self.real else ()), *self.real_whole)

    def groups(self, stream: int = 0, frames: int | None = None, clips: int | None = None) -> Iterator[ClipBatch]:
        """Groups of clips without end; they depend only on the seed and the stream.

        Args:
            stream: the number of the stream.
            frames, clips: of each group; by default those of the mixture.
        """
        frames, clips = frames or self.frames, clips or self.clips
        rng = np.random.default_rng((self.seed, stream, 1))
        made = GeneratorSource(AnimalGenerator((self.seed, stream), self.families, self.camera, self.corruption))
        weighted = self.real_sources
        weights = np.array([weight for _, weight in weighted])
        while True:
            source: ClipSource = made
            if weighted and rng.random() < self.real_share:
                source = weighted[int(rng.choice(len(weighted), p=weights / weights.sum()))][0]
            group = source.draw(rng, clips, frames)
            yield mirror(group) if rng.random() < self.mirrored else group

    @cached_property
    def real_sources(self) -> list[tuple[ClipSource, float]]:
        """Sources other than generated animals, with their weights; recordings of `real` first. Files are read once.

        Raises:
            InputError: a weight is not a finite number >= 0, all weights are 0, a weight is for a missing recording, or
                a held-out recording is missing.
        """
        paths = recordings(self.folders)
        others = [name for name in ("animalsyn3d", "human36m") if getattr(self, name)]
        self._check_names(list(paths), others)
        used = [name for name in paths if not held_out_whole(name, self.held_out)]
        weights = shared_weights([*used, *others], self.real_weights)
        cut = {name: paths[name] for name in used if weights[name] != 0}
        weighted = [
            *((source, weights[source.name]) for source in self._recorded(cut, list(paths), weights)),
            *self.sources,
        ]
        for source, weight in weighted:
            if not 0 <= weight < float("inf"):
                raise InputError(f"weight of {source.name} must be a number >= 0, got {weight}")
        wanted = self.real or self.real_whole or others or self.sources
        if wanted and not sum(weight for _, weight in weighted):
            given = {**self.real_weights, **{source.name: weight for source, weight in self.sources}}
            raise InputError(f"one source at least must have a weight above 0, got {given}")
        return weighted

    def _recorded(
        self, paths: Mapping[str, Path], names: Sequence[str], weights: Mapping[str, float]
    ) -> Iterator[ClipSource]:
        """The sources of the recordings to train on; `paths` are those of `names` that are used at all."""
        motions = {name: load_motion(path) for name, path in paths.items()}
        check_patterns(self.held_out, names, (part for motion in motions.values() for part in segments_of(motion)))
        for name, motion in motions.items():
            segments = split(motion)[0] if paths[name].parent == self.real else segments_of(motion)
            segments = [segment for segment in segments if held_out_as(segment, self.held_out) is None]
            if segments:
                yield self._motion(name, first_frames(segments, self.real_frames.get(name)))
        if self.animalsyn3d and weights["animalsyn3d"] != 0:
            train, _ = split_animations(load_animalsyn3d(self.animalsyn3d))
            animations = [animation for animal in train.values() for animation in animal]
            yield PairedSource("animalsyn3d", animations, None, self.corruption, self.speed)
        if self.human36m and weights["human36m"] != 0:
            people, _ = split_subjects(load_human36m(self.human36m), held_out=())
            yield self._motion("human36m", people)

    def _motion(self, name: str, segments: Sequence[Segment]) -> MotionSource:
        varied = (self.speed, self.recombined, self.bent, self.proportions)
        return MotionSource(name, segments, self.camera, self.corruption, *varied)

    def _check_names(self, cut: Sequence[str], others: Sequence[str]) -> None:
        """A weight for a missing recording is an error, unless it is a default: users may not have those recordings."""
        for key, names, there in (
            ("real_weights", set(self.real_weights) - set(REAL_WEIGHTS), [*cut, *others]),
            ("real_frames", set(self.real_frames), cut),
        ):
            groups = {name for name in names if is_pattern(name) and any(fnmatchcase(each, name) for each in there)}
            if unknown := sorted(names - set(there) - groups):
                known = ", ".join(there) or "a folder data.real"
                raise InputError(f"{key} must name recordings of {known}, got {', '.join(unknown)}")

    def batches(self, start: int = 0, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        """Training batches without end, from number `start` on; batch k depends only on the seed and k.

        Args:
            start: the number of the first batch.
            rank, world: the number of this process, and of all processes that train together; no two get the same
                batch.
        """
        return _from_pools(map(self.pool, _turns(start, rank, world)), start)

    def loader(self, workers: int, start: int = 0, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        """`batches` from worker processes (0: from this one), which end with it; the same for any number of them."""
        if workers == 0:
            return self.batches(start, rank, world)
        made = DataLoader(
            _Pools(self),
            sampler=_turns(start, rank, world),
            batch_size=None,
            collate_fn=list,
            num_workers=workers,
            worker_init_fn=ends_with_this_process(),
            generator=torch.Generator().manual_seed(0),
        )
        pools = iter(made)
        return _from_pools(([Batch(*map(torch.from_numpy, arrays)) for arrays in pool] for pool in pools), start)

    def pool(self, index: int) -> list[Batch]:
        """`POOL` batches, drawn together so that each has skeletons of similar size; they depend on seed and index."""
        rng, telling = (np.random.default_rng((self.seed, index, stream)) for stream in (2, 3))
        if self.lengths is None:
            return self._batches(rng, telling, self.groups(index), POOL)
        lengths = sorted(self.lengths)
        shares = np.array([self.lengths[length] for length in lengths])
        counts = rng.multinomial(POOL, shares / shares.sum())
        made: list[Batch] = []
        for number, (length, count) in enumerate(zip(lengths, counts, strict=True)):
            clips = max(self.clips * self.longest // length, 1)
            groups = self.groups(index * len(lengths) + number, length, clips)
            made += self._batches(rng, telling, groups, int(count))
        return [made[place] for place in rng.permutation(POOL)]

    def _batches(
        self, rng: np.random.Generator, telling: np.random.Generator, groups: Iterator[ClipBatch], count: int
    ) -> list[Batch]:
        drawn = list(itertools.islice(groups, count * self.skeletons))
        made = []
        for part in by_size(drawn, self.skeletons, rng):
            sides = [bool(rng.random() >= self.no_sides) for _ in part]
            seen, told = zip(*(self._told(group, telling) for group in part), strict=True)
            made.append(collate(seen, self.hops, sides, told))
        return made

    def _told(self, group: ClipBatch, rng: np.random.Generator) -> tuple[ClipBatch, Skeleton]:
        """The group with or without pitch, and the skeleton that the model gets."""
        shares = np.array(list(self.graphs.values()))
        graph = list(self.graphs)[int(rng.choice(len(shares), p=shares / shares.sum()))]
        pitch, kinds = rng.random() < self.pitch_told, rng.random() < self.kinds_told
        hidden = rng.random(group.skeleton.num_joints) < (rng.random() * (rng.random() < 0.5) if kinds else 1)
        skeleton = without_kinds(with_graph(group, cast(Graph, graph), rng), hidden)
        return (group if pitch else without_pitch(group)), skeleton


def _turns(start: int, rank: int, world: int) -> Iterator[int]:
    """Indices of the pools that a process takes, from the one that holds its batch `start` on."""
    return itertools.count(start // POOL * world + rank, world)


def _from_pools(pools: Iterable[Sequence[Batch]], start: int) -> Iterator[Batch]:
    return itertools.islice(itertools.chain.from_iterable(pools), start % POOL, None)


class _Pools(Dataset[list[list[np.ndarray]]]):
    """Pools as arrays, because each tensor from a worker would keep a file descriptor open."""

    def __init__(self, mixture: Mixture) -> None:
        self.mixture = mixture

    def __getitem__(self, index: int) -> list[list[np.ndarray]]:
        return [[getattr(batch, f.name).numpy() for f in fields(batch)] for batch in self.mixture.pool(index)]
