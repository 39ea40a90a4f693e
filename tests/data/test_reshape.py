"""Recorded bodies with other bone lengths and other joint angles."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from olift_fast.data.reshape import bend_joints, rescale_bones
from olift_fast.tracks.skeleton import Skeleton

NAMES = ("hip", "spine", "head", "knee_l", "foot_l", "knee_r", "foot_r")
BODY = Skeleton(NAMES, ((0, 1), (1, 2), (0, 3), (3, 4), (0, 5), (5, 6)))
LOOP = Skeleton(NAMES, ((0, 1), (1, 2), (2, 0), (0, 3), (3, 4), (0, 5), (5, 6)))
Change = Callable[[np.ndarray, Skeleton, np.random.Generator, float], np.ndarray]
CHANGES: list[Change] = [rescale_bones, bend_joints]


def clips(count: int = 6, frames: int = 5) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, frames, len(NAMES), 3)).astype(np.float32)


def bones(positions: np.ndarray, skeleton: Skeleton = BODY) -> np.ndarray:
    a, b = np.array(skeleton.edges).T
    found: np.ndarray = positions[:, :, b] - positions[:, :, a]
    return found


def lengths(positions: np.ndarray, skeleton: Skeleton = BODY) -> np.ndarray:
    return np.asarray(np.linalg.norm(bones(positions, skeleton), axis=-1))


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
    # The turn stays over the clip: bones' angles to their own earlier selves are what they were.
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


def test_unknown_joints_stay_unknown_and_hide_no_others() -> None:
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
