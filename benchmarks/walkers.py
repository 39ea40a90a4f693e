"""Generated animals that walk before a camera that stands still: what is known of them, and how they look lifted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.planted import PLANS, walk
from olift_fast.data.cameras import CameraRange, Cameras, project, random_cameras
from olift_fast.data.corruption import Corruption, corrupt
from olift_fast.data.generator import FAMILIES
from olift_fast.data.generator.motion import animate
from olift_fast.data.generator.reported_joints import choose_joints
from olift_fast.tracks.containers import KeypointTracks, LiftedTracks
from olift_fast.tracks.skeleton import Skeleton
from olift_fast.world.path import rays_of, turns_to

Floats = npt.NDArray[np.float32]

FPS = 30.0
ON_LEGS = ("quadruped", "human", "rodent", "bird", "insect", "lizard", "spider")
SCALE = 0.5
"""Meters in one unit of the generator: what its animals are taken to measure."""


@dataclass(frozen=True)
class Walker:
    """One clip: the keypoints, and the truth.

    positions (T, J, 3): meters, Z up, the floor at 0. cameras: one that stands still. joints (T, J, 3): in its axes, in
    pixels. contacts (T, J): which joints stand on the floor; None where the generator does not tell.
    """

    family: str
    positions: Floats
    cameras: Cameras
    joints: Floats
    tracks: KeypointTracks
    contacts: npt.NDArray[np.bool_] | None = None

    @property
    def up(self) -> npt.NDArray[np.float64]:
        """(3) against gravity, in the camera's axes."""
        return np.asarray(self.cameras.rotation[0, 0, :, 2], dtype=np.float64)

    @property
    def radius(self) -> float:
        """The root mean square distance of the joints from the middle of their frame, meters."""
        offsets = self.positions - self.positions.mean(axis=1, keepdims=True)
        return float(np.sqrt(np.square(offsets).sum(axis=-1).mean()))

    @property
    def matrix(self) -> npt.NDArray[np.float64]:
        """(3, 3) the camera matrix."""
        (fx, fy), (cx, cy) = self.cameras.focal[0], self.cameras.center[0]
        return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], dtype=np.float64)

    def center(self) -> Floats:
        """(T, 2) pixels: where the middle of the joints is seen."""
        middle = self.positions.mean(axis=1, keepdims=True)[None]
        return project(middle, self.cameras)[0][0, :, 0]

    def true_lift(self, noise: float, seed: int) -> LiftedTracks:
        """The truth as a model without error would lift it, with Gaussian noise of `noise` radii on x, y and z.

        A model sees each frame as if it were in the middle of the picture: joints are turned by the angle to there.
        """
        rng = np.random.default_rng((2412, seed))
        radius = np.sqrt(np.square(self.joints).sum(axis=-1).mean())
        center = self.center()
        turns = turns_to(rays_of(center.astype(np.float64), self.matrix))
        joints = self.joints @ turns + noise * radius * rng.normal(size=self.joints.shape)
        joints[..., :2] += center[:, None]
        return LiftedTracks(
            joints=joints[None],
            keypoints=self.tracks.keypoints,
            confidence=self.tracks.confidence,
            visible=self.tracks.visible(),
            skeleton=self.tracks.skeleton,
            tracks=self.tracks.tracks,
            fps=self.tracks.fps,
            image_size=self.tracks.image_size,
            scale=np.ones(1),
            centers=center[None],
            rotation=np.eye(3)[None],
            model="truth",
            version="0",
        )


def walkers(
    count: int,
    families: Sequence[str] = ON_LEGS,
    *,
    frames: int = 120,
    seed: int = 0,
    camera: CameraRange | None = None,
) -> Iterator[Walker]:
    """`count` clips of animals that walk on their legs, twice their radius or more, equally of the families."""
    camera = camera or CameraRange(elevation=(0, 40), roll=(-3, 3), follow=0, pan=0, weak=0, focal=(0.8, 2.0))
    found = attempt = 0
    while found < count:
        rng = np.random.default_rng((seed, attempt))
        attempt += 1
        family = families[found % len(families)]
        body = FAMILIES[family](rng)
        reported = choose_joints(body, rng, 0.0)
        motion = animate(body, rng, 1, frames, (FPS, FPS))
        whole = motion.positions.transpose(2, 3, 0, 1)[0] * SCALE
        if not _walks(whole):
            continue
        positions = np.ascontiguousarray(whole[:, reported.nodes])
        cameras = random_cameras(rng, positions[None], camera)
        true, joints = project(positions[None], cameras)
        keypoints, visible, _ = corrupt(rng, true, reported.skeleton, Corruption(), depth=joints[..., 2])
        found += 1
        yield Walker(family, positions, cameras, joints[0], _tracks(keypoints, visible, reported.skeleton, cameras))


def _walks(positions: Floats) -> bool:
    """Whether the animal goes on: always on the floor, by its own size or more, and upright."""
    root = positions.mean(axis=1)
    radius = np.sqrt(np.square(positions - root[:, None]).sum(axis=-1).mean())
    low = positions[..., 2].min(axis=1)
    height = positions[..., 2].max(axis=1) - low
    way = np.linalg.norm(root[-1, :2] - root[0, :2])
    return bool(np.abs(low).max() < 0.08 * height.mean() and way > 2 * radius and np.ptp(root[:, 2]) < 0.3 * radius)


def _tracks(keypoints: Floats, visible: npt.NDArray[np.bool_], skeleton: Skeleton, cameras: Cameras) -> KeypointTracks:
    width, height = cameras.image_size[0]
    return KeypointTracks(
        np.where(visible[..., None], keypoints, np.nan),
        visible.astype(np.float32),
        skeleton,
        ("animal",),
        fps=FPS,
        image_size=(int(width), int(height)),
    )


def planted(count: int, *, frames: int = 150, seed: int = 0, camera: CameraRange | None = None) -> Iterator[Walker]:
    """`count` clips of people, dogs and insects whose feet stand still on the floor, and of which that is known.

    The generator's legs swing without looking at the floor, so that their feet slip. Here each foot stands where it
    was set down for its share of the step, and then swings to the next place. Paces, shares and headings are random.
    """
    camera = camera or CameraRange(elevation=(0, 40), roll=(-3, 3), follow=0, pan=0, weak=0, focal=(0.8, 2.0))
    for number in range(count):
        rng = np.random.default_rng((seed, number, 17))
        family = tuple(PLANS)[number % len(PLANS)]
        names, edges, positions, contacts = walk(PLANS[family], rng, frames, FPS)
        skeleton = Skeleton(names, edges)
        cameras = random_cameras(rng, positions[None], camera)
        true, joints = project(positions[None], cameras)
        keypoints, visible, _ = corrupt(rng, true, skeleton, Corruption(), depth=joints[..., 2])
        tracks = _tracks(keypoints, visible, skeleton, cameras)
        yield Walker(family, positions, cameras, joints[0], tracks, contacts)
