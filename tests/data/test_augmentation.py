"""Recorded motion with parts of other clips, other bone lengths and other joint angles."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from olift_fast.data.augmentation import bend_joints, recombine, rescale_bones
from olift_fast.tracks.skeleton import Skeleton

NAMES = ("hip", "spine", "head", "knee_l", "foot_l", "knee_r", "foot_r")
BODY = Skeleton(NAMES, ((0, 1), (1, 2), (0, 3), (3, 4), (0, 5), (5, 6)))
LOOP = Skeleton(NAMES, ((0, 1), (1, 2), (2, 0), (0, 3), (3, 4), (0, 5), (5, 6)))
Change = Callable[[np.ndarray, Skeleton, np.random.Generator, float], np.ndarray]
CHANGES: list[Change] = [rescale_bones, bend_joints]


def clips(count: int = 6, frames: int = 5) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, frames, len(NAMES), 3)).astype(np.float32)


def one_body(count: int = 8, frames: int = 5) -> np.ndarray:
    """Bodies of one shape in random poses, each bone of its own length."""
    rng = np.random.default_rng(0)
    positions = np.zeros((count, frames, 7, 3), np.float32)
    positions[:, :, 0] = rng.normal(size=(count, frames, 3))
    for length, (a, b) in enumerate(BODY.edges, start=1):
        bone = rng.normal(size=(count, frames, 3))
        positions[:, :, b] = positions[:, :, a] + length * bone / np.linalg.norm(bone, axis=-1, keepdims=True)
    return positions


def bones(positions: np.ndarray, skeleton: Skeleton = BODY) -> np.ndarray:
    a, b = np.array(skeleton.edges).T
    found: np.ndarray = positions[:, :, b] - positions[:, :, a]
    return found


def lengths(positions: np.ndarray, skeleton: Skeleton = BODY) -> np.ndarray:
    return np.asarray(np.linalg.norm(bones(positions, skeleton), axis=-1))


def test_parts_move_as_in_other_clips_and_bones_keep_their_lengths() -> None:
    before = one_body()
    after = recombine(before, BODY, np.random.default_rng(1), share=1.0)
    # All clips have the same bone lengths, so even the bone that is cut keeps its length.
    assert np.abs(lengths(after) - lengths(before)).max() < 1e-4
    moved = np.abs(after - before).max(axis=(1, 3)) > 1e-3
    assert (moved.sum(axis=1) <= 3).all() and moved.any(axis=1).sum() >= 5
    assert (recombine(before, BODY, np.random.default_rng(1), share=0.0) == before).all()
    assert (recombine(before, BODY, np.random.default_rng(1), share=1.0) == after).all()


def test_clips_turned_about_the_vertical_recombine_into_the_same_pose() -> None:
    one = one_body(1)
    turned = np.stack([one[0, ..., 1], -one[0, ..., 0], one[0, ..., 2]], axis=-1) + np.float32([5, 6, 0])
    pair = np.stack([one[0], turned])
    assert np.abs(recombine(pair, BODY, np.random.default_rng(2), share=1.0) - pair).max() < 1e-4


def test_loops_and_missing_edges_are_not_cut() -> None:
    ring = Skeleton(NAMES, tuple((i, (i + 1) % 7) for i in range(7)))
    for skeleton in (ring, Skeleton(NAMES)):
        assert recombine(one_body(), skeleton, np.random.default_rng(0), share=1.0) is not None
        assert (recombine(one_body(), skeleton, np.random.default_rng(0), share=1.0) == one_body()).all()


def test_unknown_joints_stay_unknown_when_parts_are_exchanged() -> None:
    before = one_body()
    whole = recombine(before, BODY, np.random.default_rng(1), share=1.0)
    before[:, 2, 4] = np.nan
    after = recombine(before, BODY, np.random.default_rng(1), share=1.0)
    unknown = np.asarray(np.isnan(after).any(axis=-1))
    # Only feet become unknown, and only in that frame: joints that a part does not bring along stay known.
    assert unknown[:, 2, 4].any() and not unknown[:, [0, 1, 3, 4]].any() and not unknown[:, 2, :4].any()
    assert np.abs(lengths(after) - lengths(whole))[:, [0, 1, 3, 4]].max() < 1e-4


def test_bones_keep_their_directions_and_one_factor_over_the_clip_alike_on_both_sides() -> None:
    before = clips()
    after = rescale_bones(before, BODY, np.random.default_rng(1), 1.0)
    factors = lengths(after) / lengths(before)
    assert np.ptp(factors, axis=1).max() < 1e-4
    directions = bones(after) / lengths(after)[..., None] - bones(before) / lengths(before)[..., None]
    assert np.abs(directions).max() < 1e-4
    assert np.abs(factors[..., [2, 3]] - factors[..., [4, 5]]).max() < 1e-4  # left and right leg
    assert np.unique(factors[:, 0, :4].round(4)).size == 6 * 4  # all others, of all clips, differ


def test_factors_are_log_normal_of_the_width_that_is_asked_for() -> None:
    before = clips(count=800, frames=1)
    for proportions in (0.5, 2.0):
        after = rescale_bones(before, BODY, np.random.default_rng(2), proportions)
        logs = np.log(lengths(after) / lengths(before))[:, 0, :4]
        assert logs.std() == pytest.approx(0.15 * proportions, rel=0.06)
        assert abs(logs.mean()) < 0.02 * proportions


def test_loops_keep_their_shape() -> None:
    before = clips()
    after = rescale_bones(before, LOOP, np.random.default_rng(1), 1.0)
    assert np.abs(bones(after, LOOP)[:, :, :3] - bones(before, LOOP)[:, :, :3]).max() < 1e-5
    assert np.abs(lengths(after, LOOP)[:, :, 3:] / lengths(before, LOOP)[:, :, 3:] - 1).min() > 1e-5


def test_bent_clips_keep_lengths_and_the_motion_of_each_part() -> None:
    before = clips(count=40)
    after = bend_joints(before, BODY, np.random.default_rng(1), 1.0)
    assert np.abs(lengths(after) - lengths(before)).max() < 1e-4
    # The rotation is the same in all frames, so the angle of a bone between two frames is unchanged.
    assert (
        np.abs(
            np.einsum("btjc,bsjc->btsj", *[bones(after)] * 2) - np.einsum("btjc,bsjc->btsj", *[bones(before)] * 2)
        ).max()
        < 1e-3
    )
    turned = np.abs(bones(after) - bones(before)).max(axis=(1, 3)) > 1e-3
    assert turned.any(axis=1).all() and not turned.all(axis=0).all()
    some = np.abs(bend_joints(before, BODY, np.random.default_rng(3), 0.5) - before).max(axis=(1, 2, 3)) > 1e-4
    assert 8 <= some.sum() <= 32


@pytest.mark.parametrize("change", CHANGES)
def test_nothing_asked_for_or_nothing_known_of_the_bones_changes_nothing(change: Change) -> None:
    before = clips()
    assert (change(before, BODY, np.random.default_rng(0), 0.0) == before).all()
    assert (change(before, Skeleton(NAMES), np.random.default_rng(0), 1.0) == before).all()
    ring = Skeleton(NAMES, tuple((i, (i + 1) % 7) for i in range(7)))
    assert np.abs(change(before, ring, np.random.default_rng(0), 1.0) - before).max() < 1e-6


@pytest.mark.parametrize("change", CHANGES)
def test_the_same_draw_gives_the_same_clips_and_the_given_ones_stay(change: Change) -> None:
    before = clips()
    kept = before.copy()
    after = change(before, BODY, np.random.default_rng(4), 1.0)
    assert (change(before, BODY, np.random.default_rng(4), 1.0) == after).all() and (before == kept).all()
    assert after.dtype == np.float32 and after.shape == before.shape and (after != before).any()


def test_unknown_joints_stay_unknown_when_bones_get_other_lengths() -> None:
    before = clips()
    whole = rescale_bones(before, BODY, np.random.default_rng(1), 1.0)
    before[:, 2, 3] = np.nan
    after = rescale_bones(before, BODY, np.random.default_rng(1), 1.0)
    unknown = np.asarray(np.isnan(after).any(axis=-1))
    assert unknown[:, 2, 3].all() and unknown.sum() == len(before)
    others = [0, 1, 3, 4]
    assert np.abs(after[:, others] - whole[:, others]).max() < 1e-6
    # The foot beyond it moves as in the frame before.
    assert np.abs((after - before)[:, 2, 4] - (after - before)[:, 1, 4]).max() < 1e-6
    before[:, :, 3] = np.nan
    never = rescale_bones(before, BODY, np.random.default_rng(1), 1.0)
    assert np.isnan(never[:, :, 3]).all() and np.isfinite(np.delete(never, 3, axis=2)).all()
