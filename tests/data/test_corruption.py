"""Detector faults occur at about the stated rates, and only those that are asked for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from olift_fast.data.corruption import Corruption, corrupt
from olift_fast.tracks.skeleton import Skeleton

PAIRS = ("hip", "knee", "ankle", "shoulder", "elbow", "wrist")
NAMES = (*(f"{side}_{part}" for part in PAIRS for side in ("left", "right")), "nose", "tail")
EDGES = ((0, 2), (2, 4), (1, 3), (3, 5), (6, 8), (8, 10), (7, 9), (9, 11), (0, 13), (1, 13), (6, 12), (7, 12), (12, 13))
SKELETON = Skeleton(names=NAMES, edges=EDGES)
NONE = replace(Corruption.none(), clean=0.0, spread=0.0)


def still_clips(count: int = 200, frames: int = 48) -> np.ndarray:
    rng = np.random.default_rng(0)
    pose = rng.normal(500, 100, (count, 1, len(NAMES), 2))
    return np.repeat(pose, frames, axis=1).astype(np.float32)


def radius(keypoints: np.ndarray) -> np.ndarray:
    return np.sqrt(np.square(keypoints - keypoints.mean(axis=2, keepdims=True)).sum(-1).mean(axis=(1, 2)))


def test_none_leaves_everything_as_it_is() -> None:
    clips = still_clips(5)
    for levels in (Corruption.none(), NONE):
        noisy, visible, score = corrupt(np.random.default_rng(1), clips, SKELETON, levels, depth=clips[..., 0])
        assert np.array_equal(noisy, clips) and visible.all()
        assert (score > 0).all() and (score <= 1).all()


def test_input_is_not_written_to() -> None:
    clips = still_clips(20)
    copy = clips.copy()
    corrupt(np.random.default_rng(1), clips, SKELETON, Corruption(swaps=1.0, missing=0.3, clean=0.0))
    assert np.array_equal(clips, copy)


@pytest.mark.parametrize(
    ("field", "rate"), [("missing", 0.1), ("spans", 0.1), ("frames", 0.1), ("never", 0.1), ("limbs", 0.06)]
)
def test_share_of_lost_keypoints_is_as_stated(field: str, rate: float) -> None:
    clips = still_clips(300)
    _, visible, score = corrupt(np.random.default_rng(2), clips, SKELETON, replace(NONE, **{field: rate}))
    lost = 1 - visible.mean()
    assert 0.7 * rate < lost < 1.3 * rate
    assert (score[~visible] == 0).all() and (score[visible] > 0).all()
    if field == "never":
        assert np.array_equal(visible.any(axis=1), visible.all(axis=1)), "a joint is seen always or never"
    if field == "frames":
        assert np.array_equal(visible.any(axis=2), visible.all(axis=2)), "a frame is lost as a whole"
    if field == "spans":
        changes = (visible[:, 1:] != visible[:, :-1]).mean()
        assert changes < 0.7 * 2 * lost * (1 - lost), "losses last longer than independent ones"


def test_limbs_are_lost_with_their_neighbours() -> None:
    clips = still_clips(200)
    _, visible, _ = corrupt(np.random.default_rng(3), clips, SKELETON, replace(NONE, limbs=0.05))
    hidden = ~visible
    knee = NAMES.index("left_knee")
    both = hidden[..., knee] & (hidden[..., NAMES.index("left_hip")] | hidden[..., NAMES.index("left_ankle")])
    assert both.sum() > 0.95 * hidden[..., knee].sum()


def test_noise_has_the_stated_size_and_is_partly_slow() -> None:
    clips = still_clips(300)
    levels = replace(NONE, noise=0.02, noise_spread=0.0, correlated=0.6)
    noisy, visible, _ = corrupt(np.random.default_rng(4), clips, SKELETON, levels)
    error = (noisy - clips) / radius(clips)[:, None, None, None]
    assert visible.all()
    assert 0.95 * 0.02 < error.std() < 1.05 * 0.02
    assert abs(error.mean()) < 1e-3
    step = np.mean(error[:, 1:] * error[:, :-1]) / error.var()
    assert 0.5 < step < 0.62, "neighbouring frames share the slow part"
    assert abs(np.mean(error[:, 40:] * error[:, :-40]) / error.var()) < 0.05


def test_noise_differs_between_joints_and_clips() -> None:
    clips = still_clips(100)
    noisy, _, _ = corrupt(np.random.default_rng(5), clips, SKELETON, replace(NONE, noise=0.02, noise_spread=0.6))
    spread = (noisy - clips).std(axis=(1, 3)) / radius(clips)[:, None]
    assert 0.4 < np.log(spread).std() < 0.8
    assert 0.015 < np.median(spread) < 0.027


def test_outliers_are_rare_and_large() -> None:
    clips = still_clips(200)
    noisy, _, score = corrupt(np.random.default_rng(6), clips, SKELETON, replace(NONE, outliers=0.02, outlier_size=0.5))
    size = np.linalg.norm(noisy - clips, axis=-1) / radius(clips)[:, None, None]
    thrown = size > 0
    assert 0.015 < thrown.mean() < 0.025
    assert 0.4 < np.median(size[thrown]) < 0.8
    assert score[thrown].mean() < 0.6 * score[~thrown].mean(), "the score half-knows"


def test_swaps_exchange_twins_for_a_while() -> None:
    clips = still_clips(300)
    noisy, _, _ = corrupt(np.random.default_rng(7), clips, SKELETON, replace(NONE, swaps=0.5))
    moved = (noisy != clips).any(axis=-1)
    share = moved.any(axis=(1, 2)).mean()
    assert 0.4 < share < 0.6
    twins = SKELETON.mirror()
    swapped = clips[:, :, twins]
    assert np.array_equal(noisy, np.where(moved[..., None], swapped, clips))
    assert np.array_equal(moved, moved[:, :, twins])
    assert not moved[:, :, NAMES.index("nose")].any()
    assert moved.any(axis=2).mean() < 0.25


def test_far_joints_are_hidden_more() -> None:
    clips = still_clips(300)
    depth = np.random.default_rng(8).normal(size=clips.shape[:3]).astype(np.float32)
    depth[:] = depth[:, :1]
    _, visible, _ = corrupt(np.random.default_rng(9), clips, SKELETON, replace(NONE, occlusion=0.1), depth=depth)
    assert 0.04 < 1 - visible.mean() < 0.16
    far = depth > np.median(depth)
    assert (~visible)[far].mean() > 4 * (~visible)[~far].mean()
    _, visible, _ = corrupt(np.random.default_rng(9), clips, SKELETON, replace(NONE, occlusion=0.1))
    assert visible.all(), "without depth nothing is occluded"


def test_clean_clips_stay_clean() -> None:
    clips = still_clips(400)
    noisy, visible, _ = corrupt(np.random.default_rng(10), clips, SKELETON, replace(Corruption(), clean=0.4))
    untouched = (noisy == clips).all(axis=(1, 2, 3)) & visible.all(axis=(1, 2))
    assert 0.33 < untouched.mean() < 0.47


def test_unknown_keypoints_stay_invisible_wherever_they_go() -> None:
    clips = still_clips(100)
    labelled = np.random.default_rng(11).random(clips.shape[:3]) > 0.3
    poisoned = np.where(labelled[..., None], clips, np.float32(np.nan))
    levels = replace(NONE, noise=0.01, noise_spread=0.0, swaps=1.0)
    noisy, visible, score = corrupt(np.random.default_rng(12), poisoned, SKELETON, levels, labelled=labelled)
    assert np.isfinite(noisy).all() and np.isfinite(score).all()
    assert not (visible & ~labelled).any()
    assert (noisy[~visible] == 0).all()


def test_skeletons_without_edges_or_twins_are_fine() -> None:
    clips = still_clips(10)
    bare = Skeleton(names=tuple(f"p{i}" for i in range(len(NAMES))))
    levels = Corruption(swaps=1.0, limbs=0.1, clean=0.0)
    noisy, visible, _ = corrupt(np.random.default_rng(13), clips, bare, levels, depth=clips[..., 0])
    assert np.isfinite(noisy).all() and not visible.all()
