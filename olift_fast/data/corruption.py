"""A detector's faults: noise, swapped sides and lost keypoints, and confidences that tell some of the faults."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from olift_fast.tracks.skeleton import Skeleton

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Corruption:
    """How much there is of each fault.

    `noise` and `outlier_size` are in units of the clip's RMS 2D radius; shares are from 0 to 1.

    Args:
        noise: median standard deviation of a keypoint's error.
        noise_spread: standard deviation of the logarithm of that error between clips and joints.
        correlated: share of the error's variance that drifts slowly. The rest is independent from frame to frame.
        outliers: share of keypoints that are far off.
        outlier_size: standard deviation of how far they are off.
        swaps: share of clips in which a left and a right joint, limbs, or all pairs are exchanged for a few frames.
        missing: expected share of keypoints that are lost one by one.
        spans: expected share of keypoints that are lost with one joint hidden for some frames.
        limbs: the same, with a joint and its neighbors hidden.
        frames: the same, with all joints hidden.
        never: expected share of joints that are never seen in a clip.
        occlusion: share of keypoints lost to self-occlusion, for some frames. Joints on the far side are hidden first.
        spread: standard deviation of the logarithm of the shares of lost keypoints between clips.
        clean: share of clips without any fault. All other shares are of the remaining clips.
    """

    noise: float = 0.012
    noise_spread: float = 0.6
    correlated: float = 0.5
    outliers: float = 0.004
    outlier_size: float = 0.4
    swaps: float = 0.06
    missing: float = 0.02
    spans: float = 0.025
    limbs: float = 0.01
    frames: float = 0.005
    never: float = 0.015
    occlusion: float = 0.03
    spread: float = 0.7
    clean: float = 0.15

    @staticmethod
    def none() -> Corruption:
        """No faults."""
        return Corruption(
            noise=0, outliers=0, swaps=0, missing=0, spans=0, limbs=0, frames=0, never=0, occlusion=0, clean=1
        )


def corrupt(
    rng: np.random.Generator,
    keypoints: Floats,
    skeleton: Skeleton,
    levels: Corruption,
    depth: Floats | None = None,
    labelled: NDArray[np.bool_] | None = None,
) -> tuple[Floats, NDArray[np.bool_], Floats]:
    """Keypoints as a detector would give them.

    Args:
        rng: draws the faults.
        keypoints: the true ones, ``(B, T, J, 2)`` in pixels.
        skeleton: its sides and edges say which joints are swapped or hidden together.
        levels: how much of each fault.
        depth: ``(B, T, J)``, larger is farther away. None: no self-occlusion.
        labelled: bool ``(B, T, J)``, False where the keypoint is unknown; it is never visible. All are known by
            default.

    Returns:
        Keypoints ``(B, T, J, 2)``, 0 where not visible; visible, bool ``(B, T, J)``; and confidence ``(B, T, J)`` from
        0 to 1, which tends to be low where the error is large, and is 0 where not visible.
    """
    count, frames, joints = len(keypoints), *keypoints.shape[1:3]
    touched = rng.random(count) >= levels.clean
    radius = _radius(keypoints, labelled)
    if labelled is not None:
        # NaN marks unknown keypoints, also after they were swapped.
        keypoints = np.where(labelled[..., None], keypoints, np.float32(np.nan))
    noisy = _swapped(rng, keypoints, skeleton, levels.swaps * touched)
    error = _noise(rng, count, frames, joints, levels)
    error *= (touched * radius)[:, None, None, None].astype(np.float32)
    noisy = noisy + error
    visible = _visible(rng, touched, (count, frames, joints), skeleton, levels, depth)
    if labelled is not None:
        visible &= labelled & np.isfinite(noisy[..., 0])
    size = np.hypot(*np.moveaxis(noisy - keypoints, -1, 0)) / np.maximum(radius, 1e-6)[:, None, None].astype(np.float32)
    doubt = np.exp(rng.standard_normal(size.shape, dtype=np.float32) * np.float32(0.7))
    score = np.where(visible, 1 / (1 + (size / np.float32(0.08) + np.float32(0.05)) * doubt), 0).astype(np.float32)
    noisy[~visible] = 0
    return noisy.astype(np.float32, copy=False), visible, score


def _radius(keypoints: Floats, labelled: NDArray[np.bool_] | None) -> NDArray[np.float32]:
    """The RMS 2D radius ``(B,)`` of each clip in pixels: of its known keypoints about their frame's mean."""
    if labelled is None:
        spread = keypoints - keypoints.mean(axis=2, keepdims=True)
        return np.sqrt(np.einsum("btjk,btjk->b", spread, spread) / spread[0, ..., 0].size)
    share = labelled[..., None] / np.maximum(labelled.sum(axis=2), 1)[:, :, None, None]
    known = np.where(labelled[..., None], keypoints, 0)
    spread = np.where(labelled[..., None], known - (known * share).sum(axis=2, keepdims=True), 0)
    square = np.einsum("btjk,btjk->b", spread, spread) / np.maximum(labelled.sum(axis=(1, 2)), 1)
    return np.sqrt(square).astype(np.float32)


def _noise(rng: np.random.Generator, count: int, frames: int, joints: int, levels: Corruption) -> Floats:
    """Errors ``(B, T, J, 2)`` in RMS 2D radii: white noise, slow drift and rare outliers."""
    if levels.noise == 0 and levels.outliers == 0:
        return np.zeros((count, frames, joints, 2), np.float32)
    shape = (count, frames, joints, 2)
    scale = levels.noise * np.exp(
        levels.noise_spread * (rng.normal(0, 0.8, (count, 1, 1, 1)) + rng.normal(0, 0.6, (count, 1, joints, 1)))
    )
    error: Floats = rng.standard_normal(shape, dtype=np.float32) * np.float32(np.sqrt(1 - levels.correlated))
    if levels.correlated > 0:
        error += np.float32(np.sqrt(levels.correlated)) * _drift(rng, shape)
    error *= scale.astype(np.float32)
    if levels.outliers > 0:
        thrown = rng.random(shape[:3], dtype=np.float32) < levels.outliers
        error[thrown] += (levels.outlier_size * rng.normal(size=(int(thrown.sum()), 2))).astype(np.float32)
    return error


def _drift(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Smooth noise ``(B, T, J, 2)`` of unit variance.

    Every few frames there is an independent normal knot. Between knots they are blended by cosine and sine, whose
    squares add up to 1, so the variance is 1 in every frame.
    """
    count, frames = shape[:2]
    every = int(rng.integers(4, 13))
    knots = rng.standard_normal((count, frames // every + 3, *shape[2:]), dtype=np.float32)
    place = np.arange(frames) + int(rng.integers(every))
    index = place // every
    angle = (0.5 * np.pi * (place % every) / every).astype(np.float32)[None, :, None, None]
    return (np.cos(angle) * knots[:, index] + np.sin(angle) * knots[:, index + 1]).astype(np.float32, copy=False)


def _swapped(rng: np.random.Generator, keypoints: Floats, skeleton: Skeleton, chance: NDArray[np.floating]) -> Floats:
    """The keypoints; in some clips a left and a right joint, a limb, or all pairs are exchanged for some frames."""
    twins = skeleton.mirror()
    paired = np.flatnonzero(twins != np.arange(len(twins)))
    chosen = np.flatnonzero(rng.random(len(keypoints)) < chance)
    if not paired.size or not chosen.size:
        return keypoints
    swapped = keypoints.copy()
    frames = keypoints.shape[1]
    near = skeleton.graph(1) if skeleton.edges else np.eye(len(twins), dtype=bool)
    for clip in chosen.tolist():
        joint = int(rng.choice(paired))
        kind = rng.random()
        if kind < 0.4:
            moved = np.array([joint, twins[joint]])
        elif kind < 0.8:
            limb = np.flatnonzero(near[joint])
            limb = np.append(limb[np.array(skeleton.sides)[limb] == skeleton.sides[joint]], joint)
            moved = np.unique(np.concatenate([limb, twins[limb]]))
        else:
            moved = paired
        length = min(int(rng.geometric(0.2)), frames)
        start = int(rng.integers(frames - length + 1))
        swapped[clip, start : start + length, moved] = keypoints[clip, start : start + length, twins[moved]]
    return swapped


def _visible(
    rng: np.random.Generator,
    touched: NDArray[np.bool_],
    shape: tuple[int, int, int],
    skeleton: Skeleton,
    levels: Corruption,
    depth: Floats | None,
) -> NDArray[np.bool_]:
    count, frames, joints = shape
    tune = np.exp(rng.normal(0, levels.spread, count) - 0.5 * levels.spread**2) * touched
    visible = np.ones(shape, dtype=bool)
    if levels.missing > 0:
        visible &= rng.random(shape, dtype=np.float32) >= (levels.missing * tune)[:, None, None]
    if levels.spans > 0:
        visible &= ~_spans(rng, levels.spans * tune, shape)
    if levels.limbs > 0:
        seeds = _spans(rng, levels.limbs * tune / 3, shape)
        near = skeleton.graph(1) if skeleton.edges else np.eye(joints, dtype=bool)
        visible &= ~(np.matmul(seeds.astype(np.float32), near.astype(np.float32)) > 0)
    if levels.frames > 0:
        visible &= ~_spans(rng, levels.frames * tune, (count, frames, 1))
    if levels.never > 0:
        visible &= rng.random((count, 1, joints)) >= (levels.never * tune)[:, None, None]
    if levels.occlusion > 0 and depth is not None:
        far = depth - depth.mean(axis=2, keepdims=True)
        far = far / (np.abs(far).mean(axis=(1, 2), keepdims=True) + np.float32(1e-6))
        hidden = _spans(rng, 3 * levels.occlusion * tune, shape)
        visible &= ~(hidden & (far > rng.normal(0.6, 0.4, (count, 1, joints))))
    return visible


def _spans(rng: np.random.Generator, share: NDArray[np.float64], shape: tuple[int, int, int]) -> NDArray[np.bool_]:
    """Bool ``(B, T, J)``, True in random spans of frames that cover about `share` ``(B,)`` of each joint's frames."""
    frames = shape[1]
    typical = max(min(8.0, frames / 3), 1.0)
    starts = rng.random(shape, dtype=np.float32) < (share / typical)[:, None, None]
    covered = np.zeros(shape, dtype=bool)
    where = np.argwhere(starts)
    lengths = rng.geometric(1 / typical, len(where))
    for (clip, frame, joint), length in zip(where.tolist(), lengths.tolist(), strict=True):
        covered[clip, max(frame - length + 1, 0) : frame + 1, joint] = True
    return covered
