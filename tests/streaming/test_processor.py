"""Inside another program's loop: poses pass untouched, 3D is as of the whole recording, nothing stops the loop."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from olift_fast import InputError, Lifter, LifterConfig, Skeleton, lift_tracks, read_lifted
from olift_fast.model import Normalization
from olift_fast.streaming import LiftingProcessor, lift_poses
from olift_fast.tracks.containers import KeypointTracks

SKELETON = Skeleton(("nose", "left_ear", "right_ear", "tail"), ((0, 1), (0, 2), (0, 3)))


@pytest.fixture(scope="module")
def lifter() -> Lifter:
    torch.manual_seed(3)
    return Lifter(LifterConfig(width=16, heads=2, motion_layers=2, space_layers=1, window=(3, 2), frequencies=5)).eval()


def poses(count: int, seed: int = 0) -> np.ndarray:
    """``(T, J, 3)`` float64, as a network gives them."""
    random = np.random.default_rng(seed)
    values = 300 + 40 * random.standard_normal((count, 4, 3))
    values[..., 2] = random.random((count, 4))
    return values


def offline(lifter: Lifter, values: np.ndarray) -> np.ndarray:
    """The joints of all tracks ``(N, T, J, 3)``, each at its own scale, in model units."""
    given = values.astype(np.float32)
    names = tuple(str(n) for n in range(len(given)))
    tracks = KeypointTracks(given[..., :2], given[..., 2], SKELETON, names)
    return lift_tracks(lifter, tracks, frame="object").joints


def test_poses_pass_untouched_and_results_equal_offline(lifter: Lifter, tmp_path: Path) -> None:
    results = []
    processor = LiftingProcessor(SKELETON, lifter, frame="object", fit_frames=30, on_result=results.append)
    given = poses(30)
    for number, pose in enumerate(given):
        before = pose.copy()
        assert processor.process(pose, frame_time=number / 20, record=True) is pose
        np.testing.assert_array_equal(pose, before)
    assert processor.save(str(tmp_path / "session_PROC")) is True
    wanted = offline(lifter, given[None])
    np.testing.assert_allclose([result.joints for result in results], wanted[0], rtol=1e-4, atol=1e-5)
    assert [result.t for result in results] == [number / 20 for number in range(30)]
    assert processor.joints is results[-1].joints
    saved = read_lifted(tmp_path / "session_PROC.npz")
    np.testing.assert_allclose(saved.joints, wanted, rtol=1e-4, atol=1e-5)
    assert saved.fps == 20 and saved.tracks == ("0",)
    assert sys.modules.get("dlclive") is None


def test_pose_that_is_changed_later_was_copied(lifter: Lifter) -> None:
    given = poses(12)
    results = []
    processor = LiftingProcessor(
        SKELETON, lifter, frame="object", normalization=Normalization(40.0), on_result=results.append
    )
    for pose in given.copy():
        processor.process(pose)
        pose *= 0.5
    processor.flush()
    again = list(lift_poses(given, SKELETON, model=lifter, frame="object", normalization=Normalization(40.0)))
    np.testing.assert_array_equal([r.joints for r in results], [r.joints for r in again])
    np.testing.assert_array_equal([r.keypoints for r in results], given[..., :2].astype(np.float32))


def test_output_is_the_old_name_of_frame(lifter: Lifter) -> None:
    given, scale = poses(6), Normalization(40.0)
    with pytest.warns(DeprecationWarning, match="output is now frame") as caught:
        results = lift_poses(given, SKELETON, model=lifter, output="object", normalization=scale)
    assert [warning.filename for warning in caught] == [__file__]
    old = list(results)
    new = list(lift_poses(given, SKELETON, model=lifter, frame="object", normalization=scale))
    np.testing.assert_array_equal([r.joints for r in old], [r.joints for r in new])


def test_save_starts_anew_and_says_whether_there_was_something(lifter: Lifter, tmp_path: Path) -> None:
    processor = LiftingProcessor(SKELETON, lifter)
    assert processor.save(tmp_path / "nothing.npz") is False
    for pose in poses(5):
        processor.process(pose)
    assert processor.save(tmp_path / "first.csv") is True and (tmp_path / "first.csv").exists()
    for pose in poses(7):
        processor.process(pose, record=False)
    for pose in poses(3):
        processor.process(pose)
    assert processor.save(tmp_path / "second") is True
    np.testing.assert_array_equal(read_lifted(tmp_path / "second.npz").keypoints[0], poses(3)[..., :2].astype("f4"))
    assert {path.name for path in tmp_path.iterdir()} == {"first.csv", "second.npz"}


def test_what_could_not_be_saved_is_saved_by_the_next_call(lifter: Lifter, tmp_path: Path) -> None:
    processor = LiftingProcessor(SKELETON, lifter)
    for pose in poses(5):
        processor.process(pose)
    with pytest.raises(InputError, match="does not exist"):
        processor.save(tmp_path / "nowhere" / "a.npz")
    assert processor.save(tmp_path / "b.npz") is True
    assert read_lifted(tmp_path / "b.npz").num_frames == 5


def test_several_animals_that_come_and_go(lifter: Lifter, tmp_path: Path) -> None:
    processor = LiftingProcessor(SKELETON, lifter, tracks=2, frame="object", fit_frames=20)
    both = np.stack([poses(20, 1), poses(20, 2)], axis=1)
    for number, pose in enumerate(both):
        processor.process(pose[:1] if number in (7, 8) else pose)
    with pytest.warns(UserWarning, match="3 animals, and tracks=2"):
        processor.process(np.concatenate([both[0], both[0][:1]]))
    processor.save(tmp_path / "both")
    joints = read_lifted(tmp_path / "both.npz").joints
    assert np.isnan(joints[1, 7:9]).all() and np.isfinite(np.delete(joints[1], [7, 8], axis=0)).all()
    assert set(processor.latest) == {0, 1}


def test_first_pose_that_does_not_fit_is_an_error_and_a_later_one_is_left_out(lifter: Lifter) -> None:
    processor = LiftingProcessor(SKELETON, lifter)
    with pytest.raises(InputError, match=r"a pose must be \(4, 3\) as the skeleton has joints, got \(5, 3\)"):
        processor.process(np.zeros((5, 3)))
    processor.process(poses(1)[0])
    bad = np.zeros((5, 3))
    with pytest.warns(UserWarning, match="not lifted: a pose must be"):
        assert processor.process(bad) is bad
    processor.process(np.full((4, 3), np.nan))


def test_skeleton_from_a_file_and_poses_without_confidence(lifter: Lifter, tmp_path: Path) -> None:
    rig = tmp_path / "rig.json"
    rig.write_text(json.dumps({"names": SKELETON.names, "edges": SKELETON.edges}))
    found = list(lift_poses(poses(9)[..., :2], rig, model=lifter))
    assert [result.frame for result in found] == list(range(9))
    assert np.isfinite(found[-1].joints).all() and found[0].confidence.min() == 1
