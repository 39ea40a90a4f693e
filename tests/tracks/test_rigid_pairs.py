"""Bones are found in the motion of their joints, whatever the camera, the detector's faults and the joints' order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from olift_fast.data.cameras import CameraRange
from olift_fast.data.corruption import Corruption
from olift_fast.data.generator import AnimalGenerator
from olift_fast.data.mocap import held_out_clips, load_motion, split
from olift_fast.data.sources import observe
from olift_fast.errors import InputError
from olift_fast.tracks.rigid_pairs import FACTS, WEIGHTS, edges_by_motion

CHAIN = tuple((joint, joint + 1) for joint in range(7))


def chain(seed: int = 0, frames: int = 200, tracks: int = 1) -> np.ndarray:
    """(N, T, 8, 2) an arm of eight joints that bends at each in 3D, seen from the front."""
    rng = np.random.default_rng(seed)
    time = np.arange(frames)[:, None]
    made = []
    for _ in range(tracks):
        rates, starts = rng.uniform(0.05, 0.3, (2, 7)), rng.uniform(0, 6, (2, 7))
        turn, tilt = (1.2 * np.sin(rate * time + start) for rate, start in zip(rates, starts, strict=True))
        bones = np.stack([np.cos(turn) * np.cos(tilt), np.sin(turn) * np.cos(tilt)], axis=-1)
        made.append(np.pad(bones, ((0, 0), (1, 0), (0, 0))).cumsum(axis=1) * 40 + 300)
    return np.stack(made)


def as_set(edges: tuple[tuple[int, int], ...]) -> set[frozenset[int]]:
    return {frozenset(edge) for edge in edges}


def test_bones_of_a_bending_arm() -> None:
    keypoints = chain()[0]
    edges, sure = edges_by_motion(keypoints, np.ones(keypoints.shape[:2], dtype=bool))
    assert edges == CHAIN
    assert len(sure) == len(edges) and all(0.5 < chance <= 1 for chance in sure)


def test_order_scale_and_place_do_not_matter() -> None:
    keypoints = chain(1)[0]
    seen = np.ones(keypoints.shape[:2], dtype=bool)
    order = np.random.default_rng(2).permutation(8)
    edges, sure = edges_by_motion(keypoints, seen)
    moved, same = edges_by_motion(3 * keypoints[:, order] - 1000, seen)
    assert as_set(tuple((order[a], order[b]) for a, b in moved)) == as_set(edges)
    assert sorted(same) == pytest.approx(sorted(sure), abs=0.02)


def test_hidden_keypoints_are_not_read() -> None:
    keypoints = chain(3)[0]
    visible = np.random.default_rng(4).random(keypoints.shape[:2]) > 0.3
    visible[:5] = False
    results = [edges_by_motion(np.where(visible[..., None], keypoints, fill), visible) for fill in (np.nan, 0, 1e9)]
    assert results[0] == results[1] == results[2]
    assert as_set(results[0][0]) == as_set(CHAIN)


def test_outliers_are_overruled() -> None:
    keypoints = chain(5)[0]
    thrown = np.random.default_rng(6).random(keypoints.shape[:2]) < 0.02
    keypoints[thrown] += 400
    assert edges_by_motion(keypoints, ~np.zeros_like(thrown))[0] == CHAIN


def test_tracks_are_pooled() -> None:
    keypoints = chain(7, frames=12, tracks=8)
    seen = np.ones(keypoints.shape[:3], dtype=bool)
    assert edges_by_motion(keypoints[0], seen[0]) == ((), ())
    assert as_set(edges_by_motion(keypoints, seen)[0]) == as_set(CHAIN)


def test_known_bones_are_kept_and_completed() -> None:
    keypoints = chain(8)[0]
    start = ((7, 0), (3, 4))
    edges, sure = edges_by_motion(keypoints, np.ones(keypoints.shape[:2], dtype=bool), start=start)
    assert edges[:2] == start and sure[:2] == (1.0, 1.0)
    assert len(edges) == 7 and as_set(edges[2:]) < as_set(CHAIN) - as_set(start)


def test_known_loop_is_kept() -> None:
    keypoints = chain(8)[0]
    start = ((0, 1), (1, 2), (2, 0))
    edges, _ = edges_by_motion(keypoints, np.ones(keypoints.shape[:2], dtype=bool), start=start)
    assert edges == (*start, *CHAIN[2:])


def test_joint_that_is_never_seen_gets_no_bone() -> None:
    keypoints = chain(9)[0]
    visible = np.ones(keypoints.shape[:2], dtype=bool)
    visible[:, 7] = False
    edges, _ = edges_by_motion(keypoints, visible)
    assert edges == CHAIN[:-1]


def test_nothing_is_guessed_from_too_little() -> None:
    keypoints = chain(10)[0]
    visible = np.ones(keypoints.shape[:2], dtype=bool)
    assert edges_by_motion(keypoints[:19], visible[:19]) == ((), ())
    assert edges_by_motion(keypoints[:20], visible[:20])[0]
    assert edges_by_motion(keypoints, np.zeros_like(visible)) == ((), ())
    assert edges_by_motion(np.full_like(keypoints, 5.0), visible) == ((), ())
    assert edges_by_motion(keypoints[:19], visible[:19], start=[(0, 1)]) == (((0, 1),), (1.0,))
    one = np.zeros_like(visible)
    one[np.arange(200), np.arange(200) % 8] = True
    assert edges_by_motion(keypoints, one) == ((), ()), "one visible joint a frame is no pair"


def test_wrong_input_is_told() -> None:
    keypoints = chain()[0]
    visible = np.ones(keypoints.shape[:2], dtype=bool)
    with pytest.raises(InputError, match=r"got \(200, 8, 2\) and \(200, 7\)"):
        edges_by_motion(keypoints, visible[:, :7])
    with pytest.raises(InputError, match=r"0 … 7, got \(0, 8\)"):
        edges_by_motion(keypoints, visible, start=[(0, 8)])
    keypoints[3, 2] = np.nan
    with pytest.raises(InputError, match="finite, got 1 "):
        edges_by_motion(keypoints, visible)


def test_each_fact_has_a_weight() -> None:
    assert WEIGHTS.shape == (len(FACTS),)


@pytest.mark.slow
def test_confidence_is_about_the_share_of_true_bones() -> None:
    generator = AnimalGenerator((18, 7, 3), without_edges=0)
    sure: list[float] = []
    true: list[bool] = []
    for _ in range(40):
        batch = generator.batch(1, 300)
        edges, confidence = edges_by_motion(batch.keypoints, batch.visible)
        known = as_set(batch.skeleton.edges)
        sure += confidence
        true += [frozenset(edge) in known for edge in edges]
    for low, high in ((0.0, 0.5), (0.5, 0.8), (0.8, 0.95), (0.95, 1.0)):
        those = (np.array(sure) >= low) & (np.array(sure) <= high)
        assert abs(np.array(true)[those].mean() - np.array(sure)[those].mean()) < 0.12


@pytest.mark.slow
@pytest.mark.parametrize("elevation", [(0.0, 40.0), (45.0, 90.0)])
def test_bones_of_recorded_people(real_data: Path, elevation: tuple[float, float]) -> None:
    motion = load_motion(real_data / "motion3d/human_cmu.npz")
    positions = held_out_clips(motion, 300, 300)
    camera = CameraRange(elevation=elevation)
    seen = observe(positions, split(motion)[1][0], np.random.default_rng(0), camera, Corruption(), "people")
    found, _ = edges_by_motion(seen.keypoints, seen.visible)
    assert len(found) == 24
    assert len(as_set(found) & as_set(motion.skeleton.edges)) >= 16
