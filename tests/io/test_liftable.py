"""What is to be lifted is read with bones, or refused in one line that names the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from olift_fast.errors import InputError
from olift_fast.io.liftable import read_liftable

NAMES = ("nose", "neck", "left_paw", "right_paw")


def recording(path: Path, joints: int = 4, confidence: float = 0.9) -> Path:
    points = np.random.default_rng(0).normal(300, 50, (2, 25, joints, 2))
    shares = np.full(points.shape[:-1], confidence)
    shares[0, :, -1] = 0
    np.savez(path, keypoints=points, confidence=shares, names=NAMES[:joints], tracks=["fly", "mouse"])
    return path


def test_bones_are_inferred_of_the_joints_that_the_taken_tracks_have(tmp_path: Path) -> None:
    path = recording(tmp_path / "two.npz")
    whole, fly = read_liftable(path), read_liftable(path, names=["fly"], fps=25)
    assert whole.tracks == ("fly", "mouse") and whole.skeleton.names == NAMES
    assert fly.tracks == ("fly",) and fly.skeleton.names == NAMES[:3] and fly.fps == 25
    assert fly.skeleton.edges and all(fly.skeleton.inferred)
    assert read_liftable(path, infer="none").skeleton.edges == ()


def test_what_cannot_be_lifted_is_refused_with_the_name_of_the_file(tmp_path: Path) -> None:
    path = recording(tmp_path / "two.npz", confidence=0.2)
    for options, told in (
        ({}, "no keypoint reaches min_confidence 0.3, the best has 0.2"),
        ({"threshold": "--least", "min_confidence": 0.5}, "no keypoint reaches --least 0.5, the best has 0.2"),
        ({"names": ["cat"]}, "has no track 'cat'; it has fly, mouse"),
    ):
        with pytest.raises(InputError) as refused:
            read_liftable(path, **options)
        assert str(refused.value) == f"{path}: {told}"
    assert read_liftable(path, min_confidence=0.2).num_tracks == 2
    one = tmp_path / "one.npz"
    np.savez(one, keypoints=np.ones((1, 5, 1, 2)), names=["nose"])
    with pytest.raises(InputError, match=r"one\.npz: has one joint \('nose'\), wanted at least 2"):
        read_liftable(one)
