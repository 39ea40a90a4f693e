"""The benchmark of skeletons compares the bones that are found with the true ones."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.skeletons import group_of, score
from olift_fast.data.generator import AnimalGenerator
from olift_fast.tracks.rigid_pairs import edges_by_motion
from olift_fast.tracks.skeleton import Skeleton


def test_f1_counts_bones_in_common() -> None:
    batch = AnimalGenerator(3, ["quadruped"], without_edges=0).batch(1, 60)
    found, sure = edges_by_motion(batch.keypoints, batch.visible)
    same = score("upright", replace(batch, skeleton=Skeleton(batch.skeleton.names, found)))
    assert (same.f1, same.near, same.sure, same.true) == (1.0, 1.0, sure, (True,) * len(found))
    half = found[: len(found) // 2]
    fewer = score("upright", replace(batch, skeleton=Skeleton(batch.skeleton.names, half)))
    assert fewer.f1 == pytest.approx(2 * len(half) / (len(half) + len(found)))
    assert fewer.true == tuple(edge in half for edge in found)


def test_each_recording_is_in_the_first_group_that_fits() -> None:
    assert group_of("human_cmu") == "people"
    assert group_of("qs_horse") == "animals of animators"
    assert group_of("aw_zebra") == "animals made of boxes"
    assert group_of("rat_dannce23") == "measured animals"
