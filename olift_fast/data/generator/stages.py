"""The postures of a body in a clip, one after another, and the changes between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from olift_fast.data.generator.bodies import Body, Gait, Posture
from olift_fast.data.generator.curves import moves
from olift_fast.data.generator.kinematics import Floats


@dataclass(frozen=True)
class Stages:
    """The K postures of B clips, one after another.

    Args:
        postures: K lists of B.
        progress: (K - 1, B, T), rises from 0 to 1 while a clip goes from one posture to the next.
        energy: (B,) factor of the idle motion.
        still: bool (B,), True for clips that hardly move.
    """

    postures: list[list[Posture]]
    progress: Floats
    energy: NDArray[np.float64]
    still: NDArray[np.bool_]

    def over_time(self, values: Sequence[NDArray[np.float64]]) -> NDArray[np.floating]:
        """A quantity over time (..., B, T), from its values (..., B) in the postures; (..., B, 1) if K is 1."""
        if len(values) == 1:
            return values[0][..., None]
        course = np.repeat(values[0].astype(np.float32)[..., None], self.progress.shape[-1], axis=-1)
        for before, after, progress in zip(values[:-1], values[1:], self.progress, strict=True):
            course += progress * (after - before).astype(np.float32)[..., None]
        return course

    def middle(self, curve: Floats) -> list[NDArray[np.floating]]:
        """The mean (B,) of a curve (B, T) in each of the K postures; its median over the clip if K is 1."""
        if len(self.postures) == 1:
            return [np.median(curve, axis=-1)]
        ends = np.ones((1, *curve.shape), np.float32)
        shares = np.concatenate([ends, self.progress]) - np.concatenate([self.progress, 0 * ends])
        # For a posture that is hardly reached within the clip, this gives the mean over the clip.
        shares += np.float32(1e-3)
        return list((shares * curve).sum(axis=-1) / shares.sum(axis=-1))


def choose_stages(body: Body, rng: np.random.Generator, rate: NDArray[np.float64], frames: int) -> Stages:
    """Random postures for B clips with frame rates (B,); several in a clip if the body changes its posture."""
    count = len(rate)
    weights = shares_of(body.postures)
    picks = rng.choice(len(body.postures), count, p=weights)
    still = rng.random(count) < body.still
    energy = np.where(still, rng.uniform(0.0, 0.15, count), body.energy * np.exp(rng.normal(0.1, 0.55, count)))
    postures = [[body.postures[i] for i in picks]]
    progress = np.empty((0, count, frames), np.float32)
    if body.changes:
        progress = moves(rng, rate, frames, body.changes, body.change_seconds) * ~still[:, None]
        postures += [[body.postures[i] for i in rng.choice(len(body.postures), count, p=weights)] for _ in progress]
    return Stages(postures, progress, energy, still)


def shares_of(options: Sequence[Posture] | Sequence[Gait]) -> NDArray[np.float64]:
    """How often each of the options is drawn; the sum is 1."""
    weights = np.array([option.weight for option in options], np.float64)
    return np.asarray(weights / weights.sum())
