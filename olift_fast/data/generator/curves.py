"""Random curves over time that make up motion, for B clips of T frames at once. rate (B,) is in frames a second."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from olift_fast.data.generator.kinematics import Floats


def log_uniform(rng: np.random.Generator, bounds: tuple[float, float], count: int) -> NDArray[np.float64]:
    """`count` numbers whose logarithms are uniform between those of the bounds."""
    return np.exp(rng.uniform(np.log(bounds[0]), np.log(bounds[1]), count))


def idle(rng: np.random.Generator, rows: int, rate: NDArray[np.float64], frames: int, waves: int = 6) -> Floats:
    """Band-limited noise (rows, B, T) of unit variance: a sum of sines, whose frequencies differ between clips."""
    count = len(rate)
    top = log_uniform(rng, (0.3, 4.0), count)[:, None]
    hz = np.exp(np.log(0.05) + rng.random((count, waves)) * np.log(top / 0.05))
    strength = hz**-0.5
    strength /= np.sqrt((strength**2).sum(axis=1, keepdims=True))
    cycles = np.minimum(hz / rate[:, None], 0.12)
    angle = 2 * np.pi * cycles[:, :, None] * np.arange(frames)
    basis = np.concatenate([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    weights = rng.standard_normal((count, rows, 2 * waves), dtype=np.float32)
    weights *= np.concatenate([strength, strength], axis=1)[:, None].astype(np.float32)
    return np.ascontiguousarray(np.matmul(weights, basis).swapaxes(0, 1))


def gate(rng: np.random.Generator, count: int, frames: int, share: float) -> NDArray[np.float64]:
    """A factor (B, T) of motion: 1 for most clips; in a `share` of them it rises from 0, or falls to 0, smoothly."""
    moment = rng.uniform(0.1, 0.9, (count, 1)) * frames
    slope = rng.choice((-1.0, 1.0), (count, 1)) * rng.uniform(4, 12, (count, 1)) / max(frames, 12)
    opening = 0.5 + 0.5 * np.tanh(slope * (np.arange(frames) - moment))
    return np.where(rng.random((count, 1)) < share, opening, 1.0)


def moves(
    rng: np.random.Generator, rate: NDArray[np.float64], frames: int, per_second: float, lasting: tuple[float, float]
) -> Floats:
    """The progress (K, B, T) of K moves, one after the other, each from 0 to 1 with least jerk (Flash & Hogan, 1985).

    per_second: the mean pause between two moves is 1 / per_second. lasting: range of a move's duration in seconds.
    """
    count = len(rate)
    steps = int(np.clip(np.ceil(frames / rate.min() * per_second), 1, 6))
    seconds = np.arange(frames) / rate[:, None]
    start = rng.uniform(-1, 1, count) / per_second
    progress = np.empty((steps, count, frames), np.float32)
    for step in range(steps):
        length = log_uniform(rng, lasting, count)
        share = np.clip((seconds - start[:, None]) / length[:, None], 0, 1)
        progress[step] = share**3 * (10 - 15 * share + 6 * share**2)
        start = start + length + rng.exponential(1 / per_second, count)
    return progress


def random_turns(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Rotation vectors (3, B) in radians, about any axis, by up to half a turn."""
    vectors = rng.normal(size=(3, count))
    vectors *= rng.uniform(0, np.pi, count) / np.linalg.norm(vectors, axis=0)
    return vectors


def smoothed(values: Floats) -> Floats:
    """The running mean (B, T) over five frames; the first and the last frame are repeated at the ends."""
    padded = np.concatenate([values[:, :1]] * 2 + [values] + [values[:, -1:]] * 2, axis=1)
    return np.stack([padded[:, k : k + values.shape[1]] for k in range(5)]).mean(axis=0)
