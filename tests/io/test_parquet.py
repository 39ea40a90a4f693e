"""Parquet tables of keypoints."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest

from olift_fast.errors import InputError, MissingExtraError
from olift_fast.io import read_keypoints
from olift_fast.tracks.rigs import rig


def test_parquet_tables_are_read_as_flat_ones(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "_ibl_leftCamera.lightningPose.pqt"
    columns = {
        "nose_tip_x": np.array([1.5, np.nan]),
        "nose_tip_y": [2.5, None],
        "nose_tip_likelihood": np.array([0.5, 0.9], np.float32),
        "paw_l_x": [300, 4],
        "paw_l_y": [5, 6],
        "paw_l_likelihood": [0.25, 1],
        "__index_level_0__": [10, 12],
    }
    parquet.write_table(pyarrow.table(columns), path)
    found = read_keypoints(path)
    assert found.format == "parquet" and found.skeleton.names == ("nose_tip", "paw_l")
    assert found.frames is not None and found.frames.tolist() == [10, 11, 12]
    nan = [np.nan, np.nan]
    np.testing.assert_array_equal(found.keypoints[0], [[[1.5, 2.5], [300, 5]], [nan, nan], [nan, [4, 6]]])
    np.testing.assert_array_equal(found.confidence[0], [[0.5, 0.25], [0, 0], [0, 1]])
    parquet.write_table(pyarrow.table({"a": ["x"]}), path)
    with pytest.raises(InputError, match="a Parquet table without columns such as nose_x, nose_y"):
        read_keypoints(path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match="not a readable Parquet file"):
        read_keypoints(path)


def test_long_tables_and_landmarks_of_mediapipe_are_read_too(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "a.parquet"
    columns = {"frame": [3, 3, 4], "keypoint": ["a", "b", "a"], "x": [1.5, 300, 3], "y": [4, 5, 6]}
    parquet.write_table(pyarrow.table(columns), path)
    found = read_keypoints(path)
    assert found.skeleton.names == ("a", "b") and found.frames is not None and found.frames.tolist() == [3, 4]
    assert found.keypoints[0, 0].tolist() == [[1.5, 4], [300, 5]]
    landmarks = {"frame": [0] * 33, "type": ["pose"] * 33, "landmark_index": range(33)}
    axes = {axis: np.linspace(0.1, 0.9, 33, dtype=np.float32) for axis in "xyz"}
    parquet.write_table(pyarrow.table({**landmarks, **axes}), path)
    found = read_keypoints(path, image_size=(100, 200))
    assert found.skeleton == rig("mediapipe_pose_33")
    np.testing.assert_allclose(found.keypoints[0, 0, -1], [90, 180], rtol=1e-6)


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.pqt"
    path.write_bytes(b"PAR1" + bytes(30))

    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(MissingExtraError, match=r"reading Parquet tables needs: pip install 'olift-fast\[io\]'"):
        read_keypoints(path)
