"""Generated animals, people and things: clips of varied bodies in motion, without end, with exact 3D.

All clips of a batch have one skeleton. They differ in proportions, posture, gait, camera and the detector's faults.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from olift_fast.data.cameras import CameraRange, project, random_cameras
from olift_fast.data.clips import ClipBatch
from olift_fast.data.corruption import Corruption, corrupt
from olift_fast.data.generator.bodies import Body
from olift_fast.data.generator.creatures import bird, fish, insect, snake, spider
from olift_fast.data.generator.mammals import lizard, quadruped, rodent
from olift_fast.data.generator.motion import animate
from olift_fast.data.generator.objects import articulated_object, rigid_object
from olift_fast.data.generator.people import hand, hand_at_work, human
from olift_fast.data.generator.postures import human_postures, quadruped_postures
from olift_fast.data.generator.reported_joints import choose_joints

FAMILIES: dict[str, Callable[[np.random.Generator], Body]] = {
    "quadruped": quadruped,
    "human": human,
    "rodent": rodent,
    "bird": bird,
    "insect": insect,
    "lizard": lizard,
    "spider": spider,
    "snake": snake,
    "fish": fish,
    "hand": hand,
    "quadruped_postures": quadruped_postures,
    "human_postures": human_postures,
    "hand_at_work": hand_at_work,
    "object": rigid_object,
    "articulated": articulated_object,
}

# How often each family is drawn if no families are named. Families that are not here are drawn only by name.
WEIGHTS: dict[str, float] = {
    "quadruped": 6.0,
    "human": 3.0,
    "rodent": 3.0,
    "bird": 1.5,
    "insect": 2.5,
    "lizard": 1.0,
    "spider": 0.5,
    "snake": 0.4,
    "fish": 0.4,
    "hand": 0.5,
}


class AnimalGenerator:
    """Random clips of animals, people, hands and things; the same seed gives the same clips, bit for bit.

    Args:
        seed: an int, or several, such as (seed, worker) for several processes.
        families: names of `FAMILIES`, or a mapping of names to weights; None means `WEIGHTS`.
        camera: ranges of the cameras.
        corruption: the detector's faults.
        fps: range of frame rates, drawn log-uniformly.
        without_edges: share of skeletons without edges.

    Raises:
        ValueError: a family is unknown, or there is none.
    """

    def __init__(
        self,
        seed: int | Sequence[int] = 0,
        families: Sequence[str] | Mapping[str, float] | None = None,
        camera: CameraRange | None = None,
        corruption: Corruption | None = None,
        fps: tuple[float, float] = (18.0, 70.0),
        without_edges: float = 0.05,
    ) -> None:
        if families is None:
            families = WEIGHTS
        weights = families if isinstance(families, Mapping) else {name: WEIGHTS.get(name, 1.0) for name in families}
        unknown = sorted(set(weights) - set(FAMILIES))
        if unknown or not weights:
            raise ValueError(f"families must be some of {', '.join(FAMILIES)}, got {', '.join(unknown) or 'none'}")
        self.families = tuple(weights)
        self._weights = np.array([weights[name] for name in self.families], float)
        self._weights /= self._weights.sum()
        self.seed = (seed,) if isinstance(seed, int) else tuple(seed)
        self.camera = camera or CameraRange()
        self.corruption = corruption or Corruption()
        self.fps = fps
        self.without_edges = without_edges
        self.batches = 0

    def batch(self, count: int, frames: int, family: str | None = None) -> ClipBatch:
        """`count` clips of `frames` frames of one new skeleton, of a random family unless one is named.

        The result of a generator's n-th call depends only on its seed, n and the arguments.

        Raises:
            ValueError: `count` or `frames` is less than 1, or the family is unknown.
        """
        if count < 1 or frames < 1:
            raise ValueError(f"count and frames must be >= 1, got {count} and {frames}")
        if family is not None and family not in FAMILIES:
            raise ValueError(f"family must be one of {', '.join(FAMILIES)}, got {family!r}")
        # The length comes first because numpy treats (1,) and (1, 0) as the same seed.
        sequence = np.random.SeedSequence([len(self.seed), *self.seed], spawn_key=(self.batches,))
        rng = np.random.Generator(np.random.SFC64(sequence))
        self.batches += 1
        drawn = self.families[int(rng.choice(len(self.families), p=self._weights))]
        family = family or drawn
        body = FAMILIES[family](rng)
        reported = choose_joints(body, rng, self.without_edges)
        motion = animate(body, rng, count, frames, self.fps)
        positions = np.ascontiguousarray(motion.positions[reported.nodes].transpose(2, 3, 0, 1))
        cameras = random_cameras(rng, positions, self.camera)
        true, joints = project(positions, cameras)
        keypoints, visible, _ = corrupt(rng, true, reported.skeleton, self.corruption, depth=joints[..., 2])
        labels = np.ones_like(visible)
        return ClipBatch(keypoints, visible, joints, labels, reported.skeleton, family, cameras.pitch)

    def stream(self, count: int, frames: int) -> Iterator[ClipBatch]:
        """Batches without end."""
        while True:
            yield self.batch(count, frames)


__all__ = ["FAMILIES", "WEIGHTS", "AnimalGenerator"]
