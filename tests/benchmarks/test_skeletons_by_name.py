"""Bones and sides from names, on every skeleton of the real recordings."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest

from benchmarks.skeletons_by_name import ANATOMICAL, Known, count_pieces, edge_f1, family, is_held_out, score, skeletons


def test_edge_f1_counts_hits_whatever_their_direction() -> None:
    assert edge_f1([(0, 1), (1, 2)], [(1, 0), (1, 2)]) == 1
    assert edge_f1([(0, 1), (1, 2)], [(0, 1)]) == pytest.approx(2 / 3)
    assert edge_f1([(0, 1)], []) == 0


def test_pieces_are_counted_among_the_joints_asked_for() -> None:
    assert count_pieces([0, 1, 2, 5], [(0, 1), (1, 2)]) == 2


def test_sides_are_judged_where_a_name_says_one() -> None:
    known = Known("made_up", "made_up", ("nose", "left_eye", "right_eye", "blob_l"), ((0, 1), (0, 2)))
    judged = score(known)
    assert (judged.sides_right, judged.sides_said) == (2, 2)
    assert judged.read == 0.75
    assert judged.f1 == 1


def test_twins_are_one_family_and_built_in_rigs_are_never_held_out() -> None:
    assert family("qs_fox") == family("qs_wolf")
    assert family("human_ual1_hands") == family("human_ual1")
    assert not is_held_out("animalsyn3d")


@pytest.mark.slow
def test_bones_and_sides_of_real_skeletons(real_data: Path) -> None:
    scores = [score(known) for known in skeletons(real_data)]
    anatomical = [one for one in scores if one.read >= ANATOMICAL]
    assert len(scores) > 190
    assert len(anatomical) > 90
    for held_out in (False, True):
        some = [one.f1 for one in anatomical if is_held_out(one.known.family) == held_out]
        assert len(some) > 15
        assert statistics.mean(some) >= 0.95
    said = sum(one.sides_said for one in anatomical)
    assert sum(one.sides_right for one in anatomical) >= 0.98 * said > 400
    assert {one.pieces for one in scores if one.read} == {1}
