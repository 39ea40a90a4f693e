"""Recombined clips: bones keep their lengths, poses are new."""

from __future__ import annotations

import numpy as np

from olift_fast.data.recombine import recombine
from olift_fast.tracks.skeleton import Skeleton

NAMES = ("hip", "spine", "head", "knee_l", "foot_l", "knee_r", "foot_r")
BODY = Skeleton(NAMES, ((0, 1), (1, 2), (0, 3), (3, 4), (0, 5), (5, 6)))


def clips(count: int = 8, frames: int = 5) -> np.ndarray:
    """Bodies of one shape in random poses, each bone of its own length."""
    rng = np.random.default_rng(0)
    positions = np.zeros((count, frames, 7, 3), np.float32)
    positions[:, :, 0] = rng.normal(size=(count, frames, 3))
    for length, (a, b) in enumerate(BODY.edges, start=1):
        bone = rng.normal(size=(count, frames, 3))
        positions[:, :, b] = positions[:, :, a] + length * bone / np.linalg.norm(bone, axis=-1, keepdims=True)
    return positions


def lengths(positions: np.ndarray) -> np.ndarray:
    a, b = np.array(BODY.edges).T
    return np.linalg.norm(positions[..., a, :] - positions[..., b, :], axis=-1)


def test_parts_move_as_in_other_clips_and_bones_keep_their_lengths() -> None:
    before = clips()
    after = recombine(before, BODY, np.random.default_rng(1), share=1.0)
    # A body of one shape: the cut bone is as long in the other clip, so even that one keeps its length.
    assert np.abs(lengths(after) - lengths(before)).max() < 1e-4
    moved = np.abs(after - before).max(axis=(1, 3)) > 1e-3
    assert (moved.sum(axis=1) <= 3).all() and moved.any(axis=1).sum() >= 5
    assert (recombine(before, BODY, np.random.default_rng(1), share=0.0) == before).all()
    assert (recombine(before, BODY, np.random.default_rng(1), share=1.0) == after).all()


def test_clips_turned_about_the_vertical_recombine_into_the_same_pose() -> None:
    one = clips(1)
    turned = np.stack([one[0, ..., 1], -one[0, ..., 0], one[0, ..., 2]], axis=-1) + np.float32([5, 6, 0])
    pair = np.stack([one[0], turned])
    assert np.abs(recombine(pair, BODY, np.random.default_rng(2), share=1.0) - pair).max() < 1e-4


def test_loops_and_missing_edges_are_left_alone() -> None:
    ring = Skeleton(NAMES, tuple((i, (i + 1) % 7) for i in range(7)))
    for skeleton in (ring, Skeleton(NAMES)):
        assert recombine(clips(), skeleton, np.random.default_rng(0), share=1.0) is not None
        assert (recombine(clips(), skeleton, np.random.default_rng(0), share=1.0) == clips()).all()


def test_unknown_joints_stay_unknown_and_hide_no_others() -> None:
    before = clips()
    whole = recombine(before, BODY, np.random.default_rng(1), share=1.0)
    before[:, 2, 4] = np.nan
    after = recombine(before, BODY, np.random.default_rng(1), share=1.0)
    unknown = np.asarray(np.isnan(after).any(axis=-1))
    # Only in the frame that lacks a foot, and there that foot, never a joint that moves on its own.
    assert unknown[:, 2, 4].any() and not unknown[:, [0, 1, 3, 4]].any() and not unknown[:, 2, :4].any()
    assert np.abs(lengths(after) - lengths(whole))[:, [0, 1, 3, 4]].max() < 1e-4
