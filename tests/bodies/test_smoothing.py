"""Smoothing over time: what it damps and keeps, gaps, and what it needs."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np
import pytest
from lifted_bodies import lifted

from olift_fast.bodies import smooth_joints
from olift_fast.bodies.smoothing import smoothing_of
from olift_fast.errors import InputError, MissingExtraError
from olift_fast.tracks import Skeleton

PAIR = Skeleton(("a", "b"), ((0, 1),))


def parabola(frames: int = 60) -> np.ndarray:
    """(T, 2, 3) joints that move evenly accelerated, which the filter keeps as they are."""
    time = np.arange(frames)[:, None, None] / 10
    return time**2 * [[[1.0, 2.0, -3.0], [0.5, 0.0, 1.0]]] + 4 * time


def test_noise_shrinks_and_even_movements_stay() -> None:
    true = parabola()
    np.testing.assert_allclose(smooth_joints(lifted(true, PAIR, fps=30), 0.3).joints[0], true, atol=1e-3)
    noise = np.random.default_rng(0).normal(0, 1, true.shape)
    smooth = smooth_joints(lifted(true + noise, PAIR, fps=30), 0.3).joints[0]
    assert np.std(smooth - true) < 0.6 * np.std(noise)


def test_there_is_no_lag() -> None:
    bump = np.zeros((61, 2, 3))
    bump[30] = 1.0
    smooth = smooth_joints(lifted(bump, PAIR, fps=30), 0.3).joints[0, :, 0, 0]
    assert smooth.argmax() == 30
    np.testing.assert_allclose(smooth, smooth[::-1], atol=1e-6)
    assert np.flatnonzero(np.abs(smooth) > 1e-6).tolist() == list(range(26, 35))


def test_note_states_window_and_look_ahead() -> None:
    note = smooth_joints(lifted(parabola(), PAIR, fps=30), 0.3).notes[-1]
    assert note.startswith("smoothed over 9 frames (0.3 s") and "no lag" in note and "0.133 s ahead and back" in note


def test_missing_stretches_stay_missing_and_do_not_leak() -> None:
    noise = np.random.default_rng(0).normal(0, 1, (60, 2, 3))
    noise[20:25, 0] = np.nan
    noise[40:, 1] = np.nan
    noise[50, 0, 2] = np.nan
    smooth = smooth_joints(lifted(noise, PAIR, fps=30), 0.3).joints[0]
    np.testing.assert_array_equal(np.isnan(smooth).any(axis=-1), np.isnan(noise).any(axis=-1))
    for joint, start, stop in ((0, 0, 20), (0, 25, 50), (0, 51, 60), (1, 0, 40)):
        alone = smooth_joints(lifted(noise[start:stop], PAIR, fps=30), 0.3).joints[0, :, joint]
        np.testing.assert_allclose(smooth[start:stop, joint], alone, atol=1e-6)
        assert not np.allclose(alone, noise[start:stop, joint])


def test_frames_that_are_left_out_end_a_stretch() -> None:
    noise = np.random.default_rng(0).normal(0, 1, (40, 2, 3))
    frames = np.arange(40) * 2 + np.where(np.arange(40) < 15, 0, 100)
    result = lifted(noise, PAIR, fps=60, frames=frames)
    assert smoothing_of(result, 0.3).frames == 9
    smooth = smooth_joints(result, 0.3).joints[0]
    for start, stop in ((0, 15), (15, 40)):
        alone = smooth_joints(lifted(noise[start:stop], PAIR, fps=30), 0.3).joints[0]
        np.testing.assert_allclose(smooth[start:stop], alone, atol=1e-6)


def test_stretches_too_short_to_fit_stay() -> None:
    noise = np.random.default_rng(0).normal(0, 1, (30, 2, 3))
    noise[2] = np.nan
    np.testing.assert_array_equal(smooth_joints(lifted(noise, PAIR, fps=30), 0.3).joints[0, :2], noise[:2].astype("f"))


@pytest.mark.parametrize(
    ("fps", "seconds", "message"),
    [
        (None, 0.3, "smoothing needs the frames a second, and they are not known: --fps gives them"),
        (30.0, 0.0, "smoothing must be over a positive number of seconds, got 0"),
        (30.0, float("nan"), "smoothing must be over a positive number of seconds, got nan"),
        (30.0, 0.1, r"smoothing must be over 0.13 s or more at 30 frames a second \(5 frames\), got 0.1"),
    ],
)
def test_what_can_not_be_smoothed_is_said(fps: float | None, seconds: float, message: str) -> None:
    with pytest.raises(InputError, match=message):
        smooth_joints(lifted(parabola(), PAIR, fps=fps), seconds)


def test_missing_scipy_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: Any, **named: Any) -> Any:
        if name.startswith("scipy"):
            raise ImportError(name)
        return real(name, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"smoothing needs: pip install 'olift-fast\[smooth\]'"):
        smooth_joints(lifted(parabola(), PAIR, fps=30), 0.3)
