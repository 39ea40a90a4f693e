"""The motion of things that don't move by themselves: held in a hand, thrown, driven, turned, or standing."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from olift_fast.data.generator.curves import gate, idle, log_uniform, moves, random_turns
from olift_fast.data.generator.kinematics import Floats, rotation_matrices

Path = tuple[NDArray[np.floating], NDArray[np.floating], NDArray[np.floating]]


def carry(rng: np.random.Generator, shapes: Floats, ways: Mapping[str, float], rate: NDArray[np.float64]) -> Floats:
    """World positions (N, 3, B, T) of bodies, each moved in a random way.

    Args:
        rng: draws the ways and the motion.
        shapes: (N, 3, B, T), the bodies in their own axes.
        ways: how often each of `WAYS` is drawn.
        rate: (B,) frames a second.
    """
    count, frames = shapes.shape[2:]
    centered = shapes - shapes.mean(axis=(0, 3), keepdims=True)
    extent = np.sqrt(np.square(centered).sum(axis=1).mean(axis=(0, 2)))
    shares = np.array(list(ways.values()), float)
    drawn = rng.choice(len(ways), count, p=shares / shares.sum())
    positions = np.empty_like(centered)
    for index, name in enumerate(ways):
        clips = np.flatnonzero(drawn == index)
        if not clips.size:
            continue
        at_first, turned, path = WAYS[name](rng, rate[clips], frames)
        start = rotation_matrices(np.asarray(at_first, np.float32))
        turn = rotation_matrices(np.asarray(turned, np.float32).reshape(3, -1)).reshape(3, 3, clips.size, frames)
        rotation = np.einsum("ijbt,jkb->ikbt", turn, start)
        mine = centered[:, :, clips]
        moved = (
            rotation[:, 0] * mine[:, 0, None] + rotation[:, 1] * mine[:, 1, None] + rotation[:, 2] * mine[:, 2, None]
        )
        positions[:, :, clips] = moved + (extent[clips, None] * path).astype(np.float32)
    return positions


def _held(rng: np.random.Generator, rate: NDArray[np.float64], frames: int) -> Path:
    """In a hand: it trembles and sways; now and then it is moved and turned."""
    count = len(rate)
    liveliness = np.exp(rng.normal(0, 0.7, count))[:, None]
    noise = idle(rng, 6, rate, frames, waves=4) * liveliness
    turned, path = 0.22 * noise[:3], 0.3 * noise[3:]
    for progress in moves(rng, rate, frames, 0.8, (0.25, 1.2)):
        turned = turned + rng.normal(0, 0.55, (3, count, 1)) * progress
        path = path + rng.normal(0, 0.8, (3, count, 1)) * progress
    return np.where(rng.random(count) < 0.3, _upright(rng, count), random_turns(rng, count)), turned, path


def _thrown(rng: np.random.Generator, rate: NDArray[np.float64], frames: int) -> Path:
    """In the air: it flies up and down and bounces, and rotates about one axis."""
    count = len(rate)
    seconds = np.arange(frames) / rate[:, None]
    axis = rng.normal(size=(3, count, 1))
    axis /= np.linalg.norm(axis, axis=0)
    spin = np.minimum(log_uniform(rng, (0.2, 4.0), count), rate / 7)[:, None]
    flight = rng.random((count, 1)) + log_uniform(rng, (0.4, 1.6), count)[:, None] * seconds
    flight -= np.floor(flight)
    path = rng.normal(0, 1.0, (3, count, 1)) * seconds
    path[2] = rng.uniform(0.5, 3, (count, 1)) * 4 * flight * (1 - flight)
    return random_turns(rng, count), 2 * np.pi * axis * spin * seconds, path


def _driven(rng: np.random.Generator, rate: NDArray[np.float64], frames: int) -> Path:
    """Along the ground, forward or backward, in curves; in some clips it starts or stops."""
    count = len(rate)
    pace = rng.normal(0.9, 0.9, (count, 1)) * gate(rng, count, frames, 0.4)
    steered = idle(rng, 1, rate, frames, waves=3)[0] * rng.uniform(0, 1.2, (count, 1)) + rng.normal(0, 0.4, (count, 1))
    heading = rng.uniform(0, 2 * np.pi, (count, 1)) + np.cumsum(steered * pace / rate[:, None], axis=1)
    step = np.stack([np.cos(heading), np.sin(heading), np.zeros_like(heading)])
    path = np.cumsum(step * pace / rate[:, None], axis=2)
    return np.zeros((3, count)), _about_z(heading), path


def _turned(rng: np.random.Generator, rate: NDArray[np.float64], frames: int) -> Path:
    """About the vertical, steadily or to and fro. A camera that moves around a thing sees the same."""
    count = len(rate)
    seconds = np.arange(frames) / rate[:, None]
    angle = rng.normal(0, 1.0, (count, 1)) * seconds + idle(rng, 1, rate, frames)[0] * rng.uniform(0, 0.6, (count, 1))
    return _upright(rng, count), _about_z(angle), np.zeros((3, count, frames))


def _standing(rng: np.random.Generator, rate: NDArray[np.float64], frames: int) -> Path:
    """Not at all."""
    still = np.zeros((3, len(rate), frames))
    return _upright(rng, len(rate)), still, still


def _upright(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Rotation vectors (3, B) about the vertical."""
    return np.stack([np.zeros(count), np.zeros(count), rng.uniform(-np.pi, np.pi, count)])


def _about_z(angle: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.stack([np.zeros_like(angle), np.zeros_like(angle), angle])


WAYS: dict[str, Callable[[np.random.Generator, NDArray[np.float64], int], Path]] = {
    "held": _held,
    "thrown": _thrown,
    "driven": _driven,
    "turned": _turned,
    "standing": _standing,
}
