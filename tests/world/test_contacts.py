"""The likeliest sequence of standing and swinging, against all sequences."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest

from olift_fast.world.floor import CHANGE, likeliest


@pytest.mark.parametrize("frames", [1, 2, 9])
def test_the_sequence_of_most_evidence_is_found(frames: int) -> None:
    evidence = np.random.default_rng(frames).normal(0, 1.5, (frames, 40))
    found = likeliest(evidence)

    def worth(states: np.ndarray, own: np.ndarray) -> float:
        return own[states].sum() - CHANGE * sum(a != b for a, b in pairwise(states))

    for own, states in zip(evidence.T, found.T, strict=True):
        best = max(worth(np.array(every), own) for every in product((False, True), repeat=frames))
        assert worth(states, own) == pytest.approx(best)


def test_a_doubtful_frame_changes_nothing_and_a_clear_one_does() -> None:
    evidence = np.full((9, 2), 3.0)
    evidence[4] = (-1.5, -4.0)
    assert likeliest(evidence).sum(axis=0).tolist() == [9, 8]


def test_no_frames_and_impossible_ones() -> None:
    assert likeliest(np.zeros((0, 3))).shape == (0, 3)
    assert not likeliest(np.full((4, 2), -np.inf)).any()
