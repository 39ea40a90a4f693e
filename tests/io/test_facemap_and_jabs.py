"""Facemap's and JABS' HDF5 files, written here with h5py in their layouts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from olift_fast.errors import InputError
from olift_fast.io import read_keypoints


def _write_facemap(path: Path, **lengths: int) -> Path:
    with h5py.File(path, "w") as file:
        for number, part in enumerate(("eye(back)", "nose(tip)", "whisker(I)")):
            group = file.create_group(f"Facemap/{part}")
            for axis, name in enumerate(("x", "y", "likelihood")):
                length = lengths.get(name, 5)
                group[name] = np.full(length, 0.5) if axis == 2 else np.arange(length) + 10.0 * number + 100 * axis
    return path


def test_facemap_keypoints(tmp_path: Path) -> None:
    found = read_keypoints(_write_facemap(tmp_path / "clip_FacemapPose.h5"))
    assert found.format == "facemap" and found.skeleton.names == ("eye(back)", "nose(tip)", "whisker(I)")
    assert found.keypoints[0, 2].tolist() == [[2, 102], [12, 112], [22, 122]] and (found.confidence == 0.5).all()
    with pytest.raises(InputError, match=r"body parts must have a value for each frame, got \[4, 5\] values"):
        read_keypoints(_write_facemap(tmp_path / "bad.h5", y=4))


def _write_jabs(path: Path, version: int, **arrays: Any) -> Path:
    """Two mice in four frames, whose poses change places in frame 2; y, x are 10 * joint + mouse, 1000 + frame."""
    points = np.zeros((4, 3, 12, 2), np.uint16)
    confidence = np.zeros((4, 3, 12), np.float32)
    order = np.array([[0, 1], [0, 1], [1, 0], [0, 1]])
    for frame in range(4):
        for place, mouse in enumerate(order[frame]):
            points[frame, place, :, 0] = 10 * np.arange(12) + mouse + 1
            points[frame, place, :, 1] = 1000 + frame
            confidence[frame, place] = 0.9
    ids = np.zeros((4, 3), np.uint32)
    ids[:, :2] = order + (1 if version > 3 else 0)
    with h5py.File(path, "w") as file:
        group = file.create_group("poseest")
        if version == 2:
            group["points"], group["confidence"] = points[:, 0], confidence[:, 0]
        else:
            group.attrs["version"] = np.array([version, 0], np.uint16)
            group["points"], group["confidence"] = points, confidence
            group["instance_count"] = np.array([2, 2, 2, 2], np.uint8)
            group["instance_track_id"] = ids
        if version > 3:
            group["instance_embed_id"], group["id_mask"] = ids, (ids == 0).astype(np.uint8)
        for name, values in arrays.items():
            if name in group:
                del group[name]
            group[name] = values
    return path


@pytest.mark.parametrize("version", [3, 4, 6])
def test_jabs_poses_follow_their_identities(tmp_path: Path, version: int) -> None:
    found = read_keypoints(_write_jabs(tmp_path / f"clip_pose_est_v{version}.h5", version))
    assert found.format == "jabs" and found.tracks == (("0", "1") if version == 3 else ("1", "2"))
    assert found.skeleton.names[:2] == ("NOSE", "LEFT_EAR") and (3, 6) in found.skeleton.edges
    assert found.keypoints[:, 2, 4].tolist() == [[1002, 41], [1002, 42]], "y comes before x in the file"
    assert found.visible().all() and found.confidence[0, 0, 0] == np.float32(0.9)


def test_jabs_file_of_one_mouse(tmp_path: Path) -> None:
    found = read_keypoints(_write_jabs(tmp_path / "clip_pose_est_v2.h5", 2))
    assert found.tracks == ("track_0",) and found.keypoints[0, 1, 3].tolist() == [1001, 31]


def test_jabs_poses_without_an_identity_are_left_out_and_told(tmp_path: Path) -> None:
    mask = np.array([[0, 0, 1], [0, 1, 1], [0, 0, 1], [0, 0, 1]])
    found = read_keypoints(_write_jabs(tmp_path / "clip_pose_est_v4.h5", 4, id_mask=mask))
    assert found.notes == ("1 poses without an identity are left out",)
    assert found.visible()[1].any(axis=-1).tolist() == [True, False, True, True]
    with pytest.raises(InputError, match="no pose of 4 frames has an identity"):
        read_keypoints(_write_jabs(tmp_path / "clip_pose_est_v4.h5", 4, id_mask=np.ones((4, 3))))


def test_jabs_files_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    path = _write_jabs(tmp_path / "clip_pose_est_v3.h5", 3, points=np.ones((4, 3, 12, 3)))
    with pytest.raises(
        InputError, match=r"poseest/points must be \(frames, poses, joints, 2\) numbers, got \(4, 3, 12, 3\)"
    ):
        read_keypoints(path)
    path = _write_jabs(tmp_path / "clip_pose_est_v3.h5", 3, instance_count=np.ones(3))
    with pytest.raises(InputError, match=r"instance_count must have 4 values, got 3"):
        read_keypoints(path)
